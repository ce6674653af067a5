//! `MSG_FASTOPEN`: sendto(2) and sendmsg(2) that connect, with data in the SYN where the server is known (RFC 7413).
//!
//! The call is a connect that ends in a write: it waits, or is left in progress, as connect(2) does, and answers how many
//! octets went with the SYN and after it.

use prise_socket::Errno;
use prise_sys::memory::Area;

use super::receive::host_flags;
use super::send::gather_front;
use super::{Target, blocks};
use crate::guest::notify::{Answer, Call, DONE, Judged};
use crate::guest::sockaddr::{Named, parse};
use crate::socket::connecting::{Asked, Connecting, Opening};
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn send_opening(
        &mut self,
        call: &Call,
        target: Target,
        areas: &[Area],
        flags: i32,
        address: &[u8],
    ) -> Judged {
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let remote = match parse(address, family)? {
            Named::Endpoint(remote) => remote,
            Named::Unspecified(..) => return Err(Errno::EOPNOTSUPP),
        };
        self.permit(call, target.slot, remote)?;
        self.hear_of_closes();
        let mut rest = gather_front(call, areas)?;
        let before = rest.len();
        let sent = self
            .host
            .send_opening(self.now, id, &mut rest, host_flags(flags), Some(remote));
        match sent {
            Ok(_) | Err(Errno::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        self.note_owner(call, target.slot, Some(remote));
        let blocking = blocks(&target.copy, flags);
        let opening = Opening {
            sent: before - rest.len(),
            rest,
            flags,
        };
        if matches!(self.entry(target.slot)?.role, Role::Stream(_)) {
            // The SYN had waited for data behind a descriptor that is connected already (TCP_FASTOPEN_CONNECT).
            self.attend(target.slot);
            return Ok(Answer::Value(opening.sent as i64));
        }
        let target = self.unused(call, target)?;
        self.asked.push(target.slot);
        let slot = target.slot;
        self.entry(slot)?.role = Role::Connecting(Connecting::Asked(Asked {
            call: *call,
            remote,
            copy: target.copy,
            blocking,
            opening: Some(opening),
        }));
        Ok(Answer::Settled)
    }

    /// The answer of a call that waited for its connection: of one that opened it, what it has sent.
    pub(super) fn opened(&mut self, call: &Call, slot: Slot, judged: Judged, opening: Option<&Opening>) -> Judged {
        let Some(opening) = opening.filter(|_| judged == DONE) else {
            return judged;
        };
        let more = match self.target_again(call, slot) {
            Some(target) if !opening.rest.is_empty() => {
                self.try_send_stream(call, &target, &opening.rest, opening.flags)
            }
            _ => DONE,
        };
        match more {
            Ok(Answer::Value(more)) => Ok(Answer::Value(opening.sent as i64 + more)),
            Err(error) if opening.sent == 0 => Err(error),
            _ => Ok(Answer::Value(opening.sent as i64)),
        }
    }
}

impl Opening {
    /// The answer of a call that does not wait.
    pub(super) fn in_progress(opening: Option<&Self>) -> Judged {
        match opening {
            Some(opening) if opening.sent > 0 => Ok(Answer::Value(opening.sent as i64)),
            _ => Err(Errno::EINPROGRESS),
        }
    }
}
