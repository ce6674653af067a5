//! getsockname(2) and getpeername(2).

use super::{Target, write_address};
use crate::listener::{Callers, Sign};
use crate::notify::{Call, DONE, Judged};
use crate::sockaddr::encode;
use crate::socket::Role;
use crate::supervisor::Supervisor;
use crate::unix;

impl Supervisor {
    pub(super) fn getsockname(&mut self, call: &Call, target: &Target) -> Judged {
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let address = self.host.local_addr(id)?;
        write_address(call, call.args[1], call.args[2], encode(address, family).as_slice())?;
        DONE
    }

    pub(super) fn getpeername(&mut self, call: &Call, target: &Target) -> Judged {
        self.show_by_callers(call, target);
        self.require_peer(target)?;
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let address = self.host.peer_addr(id)?;
        write_address(call, call.args[1], call.args[2], encode(address, family).as_slice())?;
        DONE
    }

    /// A listener whose peer is asked for may be read from next: see [`crate::listener`].
    fn show_by_callers(&mut self, call: &Call, target: &Target) {
        let is_meant = |role: &Role| matches!(role, Role::Listener(it) if !it.ended && it.returned.is_empty() && matches!(it.sign, Sign::Octets { .. }));
        if !self
            .sockets
            .get(target.slot)
            .is_some_and(|socket| is_meant(&socket.role))
        {
            return;
        }
        // Others would keep the object that is replaced.
        if self.guests.descriptors_of(unix::inode(&target.copy)) != 1 {
            return;
        }
        // Without it the listener stays as it was.
        let Ok(theirs) = Self::like(&target.copy) else { return };
        let Ok(callers) = Callers::of(&theirs) else { return };
        if self.poller.watch_socket(callers.hung_up(), target.slot).is_err() {
            return;
        }
        let Some(socket) = self.sockets.get_mut(target.slot) else {
            return;
        };
        let role = core::mem::replace(&mut socket.role, Role::Fresh);
        let replaced = self.replace_object(call, target, &theirs);
        if let Some(socket) = self.sockets.get_mut(target.slot) {
            socket.role = role;
            if let (Role::Listener(listening), Ok(())) = (&mut socket.role, replaced) {
                listening.sign = Sign::Callers(callers);
                self.silent_listeners.push(target.slot);
                self.attend_listener(target.slot);
            }
        }
    }

    /// Closes the listeners that were closed without telling: asked for before a connection to one of them is tried.
    pub(super) fn sweep_listeners(&mut self) {
        for slot in core::mem::take(&mut self.silent_listeners) {
            match self.sockets.get(slot).map(|socket| &socket.role) {
                Some(Role::Listener(listening)) if listening.is_closed() => self.finish(slot),
                Some(Role::Listener(_)) => self.silent_listeners.push(slot),
                _ => (),
            }
        }
    }
}
