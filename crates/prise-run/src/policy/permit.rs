//! What the policy (`--allow`, `--deny`) says of an attempt, before any packet: the program is told at once, by an errno
//! of its own. The gateway judges every connection and datagram again; what is refused here and there is the same.

use core::net::{IpAddr, SocketAddr};

use prise_gateway::{Decision, Transport};
use prise_socket::{Errno, Kind};

use crate::guest::notify::Call;
use crate::guest::sockaddr::canonical;
use crate::socket::Slot;
use crate::supervisor::Supervisor;

/// What connect(2) says where a rule of the local firewall is in the way. It is no error of the network, so that no
/// program waits or tries again.
const DENIED: Errno = Errno::EACCES;

impl Supervisor {
    /// Whether a call may reach `to`; if not, the audit knows.
    pub(crate) fn permit(&mut self, call: &Call, slot: Slot, to: SocketAddr) -> Result<(), Errno> {
        if self.policy.is_empty() {
            return Ok(());
        }
        let to = canonical(to);
        let (transport, port) = self.speaker(slot);
        if self.stays_inside(to.ip()) || self.judge_endpoint(transport, port, to) == Decision::Allow {
            return Ok(());
        }
        self.audit_denied(call, slot, to);
        Err(DENIED)
    }

    /// Loopback, and the run's own addresses: what is sent there does not leave. Nobody is the run itself.
    fn stays_inside(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip.is_unspecified() || self.host.stack().is_local(ip)
    }

    /// The transport of a socket, and its port if it has one.
    fn speaker(&self, slot: Slot) -> (Transport, u16) {
        let Some(socket) = self.sockets.get(slot) else {
            return (Transport::Udp, 0);
        };
        let transport = match socket.kind {
            Kind::Stream => Transport::Tcp,
            Kind::Datagram | Kind::Raw => Transport::Udp,
        };
        (
            transport,
            self.host.local_addr(socket.id).map_or(0, |local| local.port()),
        )
    }

    fn judge_endpoint(&self, transport: Transport, port: u16, to: SocketAddr) -> Decision {
        match (&self.gate, transport) {
            (Some(gate), Transport::Tcp) => gate.judge(self.now, to),
            (Some(gate), Transport::Udp) => gate.judge_datagram(self.now, port, to),
            (None, _) => self.policy.for_address(to),
        }
    }
}
