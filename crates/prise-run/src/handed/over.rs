//! Connections that the host's kernel carried and that are over, while programs still hold their sockets.
//!
//! Linux takes a port that was picked for a connection from its socket as soon as that is closed (`tcp_set_state`): bind(2) may
//! be called on it once more, and the port is anybody's. The supervisor is not told of the end; it looks where a port is wanted.

use prise_socket::{LeftPort, SocketId};

use crate::calls::Target;
use crate::handed::adopted::is_closed;
use crate::handed::{Handed, Stage};
use crate::socket::{GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;

impl Supervisor {
    /// A connection of the kernel's may be over: its socket is then closed, as Linux has it.
    pub(crate) fn look_whether_over(&mut self, target: &Target) {
        if let Some(id) = self.ended(target) {
            let left = self.host.over_elsewhere(id);
            self.note_end(target.slot, left);
        }
    }

    /// A stream is being disconnected: of a connection that is over already TIME-WAIT may be left.
    pub(crate) fn leave_what_is_over(&mut self, target: &Target) {
        if let Some(id) = self.ended(target) {
            // One that has its port by bind(2) keeps it, and so does what is left.
            let left = self.host.over_elsewhere(id).or_else(|| self.host.left_port(id));
            self.note_end(target.slot, left);
        }
    }

    /// The socket of a connection that is over.
    fn ended(&self, target: &Target) -> Option<SocketId> {
        let socket = self.sockets.get(target.slot).filter(|socket| was_connected(socket))?;
        is_closed(&target.copy).then_some(socket.id)
    }

    /// What holds the port of a connection that is over.
    fn note_end(&mut self, slot: Slot, left: Option<LeftPort>) {
        if let (Some(left), Some(ends)) = (left, self.sockets.get(slot).and_then(|socket| socket.ends.as_deref())) {
            // In TIME-WAIT, if it is not gone.
            self.lingering.note(left, *ends);
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
