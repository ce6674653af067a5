//! Packet sockets: who gets one, and what the supervisor has to do while there are any ([`crate::world::mirror`]).

use std::os::fd::AsFd;

use prise_socket::Errno;
use prise_wire::time::Duration;
use rustix::net::SocketFlags;

use crate::guest::capabilities::may_see_packets;
use crate::guest::notify::{Answer, Call, Judged, errno_of};
use crate::poller::Source;
use crate::supervisor::Supervisor;
use crate::world::mirror::{Mirror, NotSent, OpenError};

/// `SOCK_PACKET`, the last type that there is (linux/net.h).
const TYPE_LAST: i32 = 10;

/// Frames from packet sockets that are put on each link before others get their turn.
const ROUND_FRAMES: usize = 256;

/// Whether a socket of that protocol, as socket(2) is given it, may be to see packets of connections: arping's is not.
fn may_hear_of_connections(protocol: i32) -> bool {
    // 0 leaves it to bind(2).
    let of_connections = [0, libc::ETH_P_ALL, libc::ETH_P_IP, libc::ETH_P_IPV6];
    // Linux takes the lower half of the number.
    of_connections
        .map(|protocol| (protocol as u16).to_be())
        .contains(&(protocol as u16))
}

impl Supervisor {
    /// socket(2) with `AF_PACKET`. Whatever is done with the socket is the kernel's affair.
    pub(super) fn packet_socket(&mut self, call: &Call, kind: i32, flags: SocketFlags) -> Judged {
        if kind > TYPE_LAST {
            return Err(Errno::EINVAL);
        }
        // The gateway would judge what is sent, but who may see packets sees those of others; and a policy takes `CAP_NET_RAW` from root.
        if self.is_confined() || !may_see_packets(call.tid) {
            return Err(Errno::EPERM);
        }
        if !self.has_no_mirror
            && let Err(error) = self.open_mirror()
        {
            self.has_no_mirror = true;
            self.complain_of_packet_sockets(&error);
        }
        let mirror = self.mirror.as_ref().ok_or(Errno::EPERM)?;
        let asked = kind | (flags.bits().cast_signed() & libc::SOCK_NONBLOCK);
        let socket = mirror.socket(asked, call.int(2)).map_err(|error| errno_of(&error))?;
        self.close_shortcut();
        self.hands.watch(true);
        if !self.hands.shows_all_connections() && may_hear_of_connections(call.int(2)) {
            self.tell_of_unseen_connections();
        }
        self.calls
            .install(call.id, socket.as_fd(), flags.contains(SocketFlags::CLOEXEC))
            .map_err(|error| errno_of(&error))?;
        Ok(Answer::Settled)
    }

    /// Shows the run's links, from the first packet socket on.
    fn open_mirror(&mut self) -> Result<(), OpenError> {
        if self.mirror.is_some() {
            return Ok(());
        }
        let mirror = Mirror::open(self.host.stack(), self.now)?;
        for readable in mirror.poll_fds() {
            self.poller.watch(readable, Source::Sent).map_err(OpenError::Sockets)?;
        }
        self.world.tap(mirror.panes());
        self.mirror = Some(Box::new(mirror));
        Ok(())
    }

    /// Packet sockets have sent frames: puts them on their links.
    pub(crate) fn put_what_was_sent(&mut self) {
        let Some(mirror) = &mut self.mirror else { return };
        for link in mirror.links().iter() {
            for _ in 0..ROUND_FRAMES {
                match mirror.sent(link) {
                    Ok(frame) => mirror.unseen(|| self.world.put(&mut self.host, self.now, link, frame)),
                    Err(NotSent::Refused) => self.host.stack_mut().discard_besides(link, 1),
                    Err(NotSent::Nothing) => break,
                }
            }
            self.host.stack_mut().discard_besides(link, mirror.lost(link));
        }
    }

    /// Nothing tells of the close of a packet socket.
    pub(crate) fn look_at_packet_sockets(&mut self) {
        /// What was closed costs until then, a copy of each frame.
        const INTERVAL: Duration = Duration::from_millis(250);
        if let Some(mirror) = &mut self.mirror
            && mirror.is_watching()
            && mirror.look_if_due(self.now, INTERVAL)
        {
            self.hands.watch(mirror.is_watching());
        }
    }

    /// Whether somebody looks at what passes the run's links.
    pub(crate) fn is_watched(&self) -> bool {
        self.world.is_captured() || self.mirror.as_ref().is_some_and(|mirror| mirror.is_watching())
    }

    /// What /proc/net/packet has below its first line.
    pub(super) fn packet_rows(&mut self) -> String {
        let rows = self.mirror.as_mut().and_then(|mirror| mirror.rows());
        rows.unwrap_or_default().into_iter().map(|row| row + "\n").collect()
    }
}
