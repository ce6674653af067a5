//! What the policy (`--allow`, `--deny`) says of an attempt, before any packet: the program is told at once, by an errno
//! of its own. The gateway judges every connection and datagram again; what is refused here and there is the same.

use core::net::{IpAddr, SocketAddr};

use prise_gateway::{Decision, Transport};
use prise_socket::Errno;

use crate::notify::Call;
use crate::supervisor::Supervisor;

/// What connect(2) says where a rule of the local firewall is in the way. It is no error of the network, so that no
/// program waits or tries again.
const DENIED: Errno = Errno::EACCES;

impl Supervisor {
    /// Whether a call may reach `to`; if not, the audit knows.
    pub(crate) fn permit(&mut self, call: &Call, transport: Transport, to: SocketAddr) -> Result<(), Errno> {
        if self.policy.is_empty() {
            return Ok(());
        }
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if self.stays_inside(to.ip()) || self.judge_endpoint(to) == Decision::Allow {
            return Ok(());
        }
        self.audit_denied(call, transport, to);
        Err(DENIED)
    }

    /// Loopback, and the run's own addresses: what is sent there does not leave. Nobody is the run itself.
    fn stays_inside(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip.is_unspecified() || self.host.stack().is_local(ip)
    }

    fn judge_endpoint(&self, to: SocketAddr) -> Decision {
        match &self.gate {
            Some(gate) => gate.judge(self.now, to),
            None => self.policy.for_address(to),
        }
    }
}
