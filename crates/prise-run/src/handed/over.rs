//! Connections that the host's kernel carried and that are over, while programs still hold their sockets.
//!
//! Linux takes a port that was picked for a connection from its socket as soon as that is closed (`tcp_set_state`): bind(2) may
//! be called on it once more, and the port is anybody's. The supervisor is not told of the end; it looks where a port is wanted.

use crate::calls::Target;
use crate::handed::adopted::is_closed;
use crate::handed::{Handed, Stage};
use crate::socket::{GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;

impl Supervisor {
    /// A connection of the kernel's may be over: its socket is then closed, as Linux has it.
    pub(crate) fn look_whether_over(&mut self, target: &Target) {
        if let Some(socket) = self.sockets.get(target.slot)
            && was_connected(socket)
            && is_closed(&target.copy)
        {
            let left = self.host.over_elsewhere(socket.id);
            if let (Some(left), Some(ends)) = (left, &socket.ends) {
                // In TIME-WAIT, if it is not gone.
                self.lingering.note(left, **ends);
            }
        }
    }

    /// The same of all that hold a port.
    pub(crate) fn give_up_ports_of_those_over(&mut self, port: u16) {
        let holds = |socket: &GuestSocket| {
            was_connected(socket) && self.host.local_addr(socket.id).is_ok_and(|local| local.port() == port)
        };
        let holders: Vec<Slot> = self
            .sockets
            .iter()
            .filter(|(_, socket)| holds(socket))
            .map(|(slot, _)| slot)
            .collect();
        for slot in holders {
            if let Some(copy) = self.copy_of(slot) {
                self.look_whether_over(&Target { slot, copy });
            }
        }
    }
}

fn was_connected(socket: &GuestSocket) -> bool {
    matches!(
        socket.role,
        Role::Handed(Handed {
            stage: Stage::Connected | Stage::Connecting(_)
        })
    )
}
