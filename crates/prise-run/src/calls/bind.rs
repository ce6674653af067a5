//! bind(2) and listen(2).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use prise_socket::{Errno, Family, Kind, SocketId};

use rustix::event::PollFlags;
use rustix::net::{Shutdown, shutdown};

use super::{Target, read_address, require_stream};
use crate::guest::notify::{Call, DONE, Judged, errno, errno_of};
use crate::guest::sockaddr::{Named, V4_LEN, V6_LEN_MIN, parse};
use crate::socket::listener::{Callers, Listening, Sign};
use crate::socket::unix;
use crate::socket::{GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn bind(&mut self, call: &Call, target: &Target) -> Judged {
        let octets = read_address(call, call.args[1], call.int(2))?;
        let socket = self.entry(target.slot)?;
        let (id, family, kind) = (socket.id, socket.family, socket.kind);
        let address = match (parse(&octets, family)?, family) {
            (Named::Endpoint(address), _) => address,
            (Named::Unspecified(..), Family::Inet) if octets.len() < V4_LEN => return Err(Errno::EINVAL),
            (Named::Unspecified(..), Family::Inet6) if octets.len() < V6_LEN_MIN => return Err(Errno::EINVAL),
            // Old programs leave the family out; Linux takes that for the IPv4 wildcard.
            (Named::Unspecified(Ipv4Addr::UNSPECIFIED, port), Family::Inet) => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
            }
            (Named::Unspecified(..), _) => return Err(Errno::EAFNOSUPPORT),
        };
        self.look_whether_over(target);
        match self.bind_in_view(id, kind, address) {
            Err(Errno::EADDRINUSE) => {
                // Perhaps by a socket that was closed without telling, or whose connection is over.
                self.sweep();
                self.give_up_ports_of_those_over(address.port());
                self.bind_in_view(id, kind, address)?;
            }
            result => result?,
        }
        self.audit_bind(call, target.slot);
        if address.port() != 0 && !self.ledger.is_resting(self.now) && self.shares_port(target.slot, address.port()) {
            // One of them may be closed, and would take what is meant for this one.
            self.sweep();
        }
        // One that was shut polls so, which a new object would not; nor would it tell of the error that waits on one that was disconnected.
        let is_used = || unix::shows(&target.copy, PollFlags::ERR | PollFlags::RDHUP);
        if !self.listens_natively() && self.listens_next(target.slot) && !self.host.is_shut(id) && !is_used() {
            // If it fails listen(2) tries again.
            let _ = self.renewed(call, target);
        }
        DONE
    }

    /// Makes a stream's object a listener of the kernel's; none where nothing would tell of its close.
    fn sign_of_callers(&mut self, target: &Target) -> Option<Callers> {
        let inode = self.sockets.get(target.slot)?.inode;
        let closes = self.closes.as_mut()?;
        closes.watch(&target.copy, target.slot, inode).ok()?;
        Callers::of(&target.copy).ok()
    }

    /// Gives a stream's object another end, for octets.
    fn sign_of_octets(&mut self, target: &Target) -> Result<Sign, Errno> {
        let end = self.attach(target).map_err(|error| errno_of(&error))?;
        // A listener is never writable.
        unix::fill(&target.copy).map_err(errno)?;
        // And who writes to it all the same must not wait for room: EPIPE, as on Linux.
        shutdown(&target.copy, Shutdown::Write).map_err(errno)?;
        Ok(Sign::Octets { end, tokens: 0 })
    }

    /// Whether another datagram socket has the same port, as `SO_REUSEADDR` allows.
    fn shares_port(&self, slot: Slot, port: u16) -> bool {
        let shares = |other: &GuestSocket| {
            matches!(other.role, Role::Datagram(_)) && self.host.local_addr(other.id).is_ok_and(|it| it.port() == port)
        };
        self.sockets
            .get(slot)
            .is_some_and(|socket| socket.kind == Kind::Datagram)
            && self
                .sockets
                .iter()
                .any(|(other, socket)| other != slot && shares(socket))
    }

    pub(super) fn listen(&mut self, call: &Call, target: Target) -> Judged {
        let socket = self.entry(target.slot)?;
        require_stream(socket)?;
        let id = socket.id;
        let listens = matches!(&socket.role, Role::Listener(listening) if !listening.ended);
        match self.listen_in_view(id, call.int(1)) {
            Err(Errno::EADDRINUSE) => {
                self.sweep();
                if let Ok(local) = self.host.local_addr(id) {
                    self.give_up_ports_of_those_over(local.port());
                }
                self.listen_in_view(id, call.int(1))?;
            }
            result => result?,
        }
        if listens {
            self.listen_again(&target);
            return DONE;
        }
        self.listen_for_published(target.slot);
        if let Some(slot) = self.listen_natively(call, &target) {
            self.opened_listener(call, slot, id);
        } else {
            self.stays_inside_next(call);
            // What was shut and never connected listens all the same.
            let target = &self.unused_or_shut(call, target, id)?;
            let sign = match self.sign_of_callers(target) {
                Some(callers) => Sign::Callers(callers),
                None => self.sign_of_octets(target)?,
            };
            self.entry(target.slot)?.role = Role::Listener(Listening::new(sign));
            if let Some(keeping) = &mut self.keeping {
                keeping.look_from(self.now);
            }
            self.opened_listener(call, target.slot, id);
        }
        DONE
    }

    fn opened_listener(&mut self, call: &Call, slot: Slot, id: SocketId) {
        let local = self.host.local_addr(id);
        self.audit_listen(call, slot);
        self.tell_gate(local);
        self.attend_listener(slot);
    }
}
