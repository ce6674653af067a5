//! `SO_TIMESTAMPING` of what a stream sends: the error queue tells when the last octet of a call left and when it was acknowledged
//! (the kernel's `Documentation/networking/timestamping.rst`). Possible where every send comes through [`Host::send`].

use prise_stack::{Stamp, StampsWanted};
use prise_wire::Instant;

use crate::option::Opt;
use crate::option::stamping::BY_NEW_NAME;
use crate::{Errno, Host, SocketId};

/// `SOF_TIMESTAMPING_TX_SOFTWARE`.
pub(crate) const SENT: i64 = 1 << 1;
/// `SOF_TIMESTAMPING_OPT_ID`: the stamps of a stream are numbered by octets.
pub(crate) const NUMBERED: i64 = 1 << 7;
/// `SOF_TIMESTAMPING_TX_SCHED`.
pub(crate) const SCHEDULED: i64 = 1 << 8;
/// `SOF_TIMESTAMPING_TX_ACK`.
const ACKNOWLEDGED: i64 = 1 << 9;
/// What is about sending.
pub(crate) const OF_SENDING: i64 = SENT | NUMBERED | SCHEDULED | ACKNOWLEDGED;

impl Host {
    /// `SO_TIMESTAMPING` is set on a stream: octets are numbered from the first that is not acknowledged.
    pub(crate) fn number_octets(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let info = self.tcp_info(now, s).ok_or(Errno::EINVAL)?;
        let socket = self.socket_mut(s)?;
        if socket.value(Opt::Timestamping) & NUMBERED == 0 {
            socket.set_value(Opt::StampBase, info.bytes_acked as i64);
        }
        Ok(())
    }

    /// A call that sends is over: its last octet is marked, if the program wants to know of it. [`Host::send`] does so by itself where it
    /// took everything; who ends a call with less says so here.
    pub fn mark_sent(&mut self, now: Instant, s: SocketId) {
        let Ok(socket) = self.socket_ref(s) else { return };
        let (flags, base) = (socket.value(Opt::Timestamping), socket.value(Opt::StampBase));
        let wanted = StampsWanted {
            scheduled: flags & SCHEDULED != 0,
            sent: flags & SENT != 0,
            acknowledged: flags & ACKNOWLEDGED != 0,
        };
        if wanted == StampsWanted::default() {
            return;
        }
        let (Some(id), Some(info)) = (self.connection(s), self.tcp_info(now, s)) else {
            return;
        };
        let last = info.bytes_acked + u64::from(info.send_queue);
        let key = if flags & NUMBERED == 0 {
            0
        } else {
            (last as u32).wrapping_sub(1).wrapping_sub(base as u32)
        };
        self.stack.tcp_stamp(id, key, wanted);
    }

    /// The oldest stamp of what was sent (`MSG_ERRQUEUE`).
    pub fn take_transmit_stamp(&mut self, s: SocketId) -> Option<Stamp> {
        let id = self.connection(s)?;
        self.stack.tcp_take_stamp(id)
    }

    /// Whether `SO_TIMESTAMPING` was set by its newer number (`SO_TIMESTAMPING_NEW`), which its control data has then.
    pub fn stamps_by_new_name(&self, s: SocketId) -> bool {
        let socket = self.sockets.get(s);
        socket.is_some_and(|socket| socket.value(Opt::Timestamping) & BY_NEW_NAME != 0)
    }

    /// Whether there is one, which readiness shows as an error.
    pub(crate) fn has_transmit_stamp(&self, s: SocketId) -> bool {
        self.connection(s).is_some_and(|id| self.stack.tcp_has_stamp(id))
    }
}
