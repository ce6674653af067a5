//! Streams that are born as the host kernel's own, without anybody being asked, while connections that leave the run are
//! handed over ([`crate::handed`]).
//!
//! socket(2) is most of what a connection costs besides connect(2), and nothing can be reached with what it gives: whatever
//! gives a socket a name, a peer or an option is judged. The first such call finds a TCP stream of the kernel's that the
//! supervisor does not know, without a name and without a peer, and makes it one of the run's. What was never judged is the
//! kernel's alone, which says of it what Linux says of a fresh stream.
//!
//! A program in a network name space of its own makes them there, where the run's addresses lead nowhere: such a stream gets
//! an object of the supervisor's at once. Where listeners are not the kernel's ([`crate::handed::native_listener`]) a stream that is to listen gets another
//! object with bind(2), when it is hardly ever shared yet: see `calls::bind`.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Family, Kind, SocketId};
use prise_sys::sockopt as options;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

use crate::calls::Target;
use crate::guest::notify::Call;
use crate::handed::marked::take_failure;
use crate::handed::{Handed, Stage};
use crate::socket::{Holder, Role, Slot};
use crate::supervisor::Supervisor;

/// `TCP_CLOSE` and `TCP_SYN_SENT` (net/tcp_states.h).
const CLOSED: u8 = 7;
const SYN_SENT: u8 = 2;

/// asm-generic/socket.h; libc has the name for other architectures only.
const SO_NETNS_COOKIE: i32 = 71;

/// What of a run's TCP streams is the kernel's without anybody being asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Native {
    /// The families whose streams are born so.
    pub(crate) families: &'static [i32],
    /// They stay so when they listen ([`crate::handed::native_listener`]), so that options which only the connection knows need not be
    /// judged ([`crate::start::filter`]).
    pub(crate) listeners: bool,
}

/// The families whose streams may be born as the kernel's: those that it has, where it tells name spaces apart.
pub(crate) fn families() -> &'static [i32] {
    let has = |family| {
        let stream = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        stream.is_ok_and(|it| name_space(&it).is_some())
    };
    match (has(AddressFamily::INET), has(AddressFamily::INET6)) {
        (true, true) => &[libc::AF_INET, libc::AF_INET6],
        (true, false) => &[libc::AF_INET],
        (false, _) => &[],
    }
}

/// The kernel's name of the network name space that a socket belongs to.
pub(crate) fn name_space(socket: &OwnedFd) -> Option<[u8; 8]> {
    let octets = options::get(socket.as_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, 8).ok()?;
    octets.as_slice().try_into().ok()
}

impl Supervisor {
    /// Makes a stream that was born as the kernel's one of the run's; none if it is none, or has a port or a peer already:
    /// then it was inherited from beyond the run. What was inherited without either is made the run's, be it that its connect(2) failed there:
    /// nothing tells it from what was born here, and nobody reaches it or is reached by it.
    pub(crate) fn adopt_stream(&mut self, call: &Call, copy: &OwnedFd) -> Option<Slot> {
        if !self.hands.have_native_streams() {
            return None;
        }
        let (tid, fd) = (call.tid, call.fd());
        let holder = Holder { tid, fd };
        if let Some(slot) = self.adopt_marked(holder, copy) {
            return Some(slot);
        }
        if let Some(slot) = self.adopt_accepted(holder, copy) {
            return Some(slot);
        }
        let (family, shows_port) = freshen(copy)?;
        let id = self.host.socket(family, Kind::Stream, 0).ok()?;
        if shows_port {
            // Its program was told of the failure, which is not to be looked for again.
            take_failure(copy);
            self.show_a_port(id, family);
        }
        let slot = self.sockets.next_slot();
        let adopted = self.ledger.enter(copy.as_fd(), slot).ok().and_then(|()| {
            self.describe(call, id, (family, Kind::Stream), copy, Handed::role(Stage::Idle))
                .ok()
        });
        let Some(mut socket) = adopted else {
            self.host.close(self.now, id);
            return None;
        };
        socket.holder.fd = call.fd();
        self.sockets.insert(socket);
        if self.sweep_is_due() {
            self.sweep();
        }
        Some(slot)
    }

    /// A stream that has failed to connect shows a port as if it had one: the run's own.
    fn show_a_port(&mut self, id: SocketId, family: Family) {
        let anywhere = match family {
            Family::Inet => SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            Family::Inet6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 1)),
        };
        // Without a port that is free it shows none.
        if self.host.connect_elsewhere(id, anywhere).is_ok() {
            let _ = self.host.disconnect(self.now, id);
        }
    }

    /// Gives a stream that was just adopted an object of the supervisor's where its own belongs to another network.
    pub(crate) fn bring_home(&mut self, call: &Call, target: Target) -> Result<Target, Errno> {
        if self.hands.is_at_home(&target.copy) {
            return Ok(target);
        }
        if self.listens_natively() {
            return self.renewed_natively(call, &target);
        }
        self.unused(call, target)
    }

    /// A stream that has been given a name will listen, as far as one can tell: a wrong guess costs another object at connect(2), while at
    /// listen(2) other processes may have copies of it already.
    pub(crate) fn listens_next(&self, slot: Slot) -> bool {
        let is_idle = |role: &Role| matches!(role, Role::Handed(Handed { stage: Stage::Idle }));
        self.sockets.get(slot).is_some_and(|socket| is_idle(&socket.role))
    }
}

/// Whether it is a TCP stream that is closed: never connected, or over.
pub(crate) fn is_closed(stream: &OwnedFd) -> bool {
    is_in(stream, CLOSED)
}

/// Whether it is a TCP stream whose handshake is under way.
pub(crate) fn is_connecting(stream: &OwnedFd) -> bool {
    is_in(stream, SYN_SENT)
}

fn is_in(stream: &OwnedFd, state: u8) -> bool {
    // Other sockets have no such option; of its structure the first octet is the state.
    options::get(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, 1).is_ok_and(|told| told == [state])
}

/// Makes a TCP stream without a port and without a peer show none: its family, and whether it showed a port.
fn freshen(copy: &OwnedFd) -> Option<(Family, bool)> {
    if !is_closed(copy) {
        return None;
    }
    let name: SocketAddr = getsockname(copy).ok()?.try_into().ok()?;
    let (family, anywhere) = match name {
        SocketAddr::V4(_) => (Family::Inet, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        SocketAddr::V6(_) => (Family::Inet6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
    };
    let shows_port = name.port() != 0;
    (!shows_port || hide_port(copy, anywhere)).then_some((family, shows_port))
}

/// Has a closed stream show no port that it has not; whether it has none. One that has failed to connect has given its port back and goes on showing
/// it (`inet_put_port`, net/ipv4/inet_hashtables.c), as if it had been bound by somebody beyond the run: left alone it would be bound, and listen, in the host's network.
///
/// bind(2) fails for whoever has a port, and with this option takes none (`__inet_bind`). After that no port is shown.
fn hide_port(copy: &OwnedFd, anywhere: SocketAddr) -> bool {
    let set = |value: i32| {
        let octets = value.to_ne_bytes();
        options::set(copy.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &octets)
    };
    let chosen = options::get(copy.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 4);
    let bound = set(1).is_ok() && bind(copy, &anywhere).is_ok();
    if chosen.is_ok_and(|value| value == [0; 4]) {
        // It was possible before.
        let _ = set(0);
    }
    bound
}
