//! getsockname(2) and getpeername(2).

use super::{Target, write_address};
use crate::guest::notify::{Call, DONE, Judged};
use crate::guest::sockaddr::encode;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn getsockname(&mut self, call: &Call, target: &Target) -> Judged {
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let address = self.host.local_addr(id)?;
        write_address(call, call.args[1], call.args[2], encode(address, family).as_slice())?;
        self.still = true;
        DONE
    }

    pub(super) fn getpeername(&mut self, call: &Call, target: &Target) -> Judged {
        self.require_peer(target)?;
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let address = self.host.peer_addr(id)?;
        write_address(call, call.args[1], call.args[2], encode(address, family).as_slice())?;
        self.still = true;
        DONE
    }
}
