//! accept(2) that a program makes without asking, by the library that it is loaded with ([`crate::start::shortcut`]).
//!
//! At a published address of the host's loopback ([`crate::handed::direct`]) whoever comes is a client, and is called the gateway. Where the library asks for a
//! client there and nobody else is in the queue, its listener is marked, and from then on accept(2) is the kernel's, waiting included. Nothing is remembered
//! of whom it gives out: they are adopted when somebody asks ([`crate::handed::places`]).
//!
//! *When others may come* – a client of the run, who has another name, or a token for who waits with the supervisor – the leave is taken back before, for the whole
//! run. Calls that wait in the kernel then find a client all the same: the library asks about each that it is given once the leave is gone, by getpeername(2), and is told
//! the right name, or `ENOTCONN` of a token, after which it has accept(2) judged.

use prise_shortcut::chart::Mark;

use crate::calls::Target;
use crate::guest::notify::Call;
use crate::handed::marked;
use crate::start::shortcut::Leave;
use crate::supervisor::Supervisor;

/// Whether accept(2) of a listener is made without asking.
#[derive(Debug, Default)]
pub(crate) struct Unasked {
    leave: Option<Leave>,
    ever: bool,
}

impl Unasked {
    /// Others than clients of the published address may come: calls are judged again, of all listeners.
    pub(crate) fn end(&mut self) {
        if let Some(leave) = self.leave.take() {
            leave.end();
        }
    }

    /// Whether it is or was so. Somebody may still wait in the kernel.
    pub(crate) fn ever(&self) -> bool {
        self.ever
    }
}

impl Supervisor {
    /// Lets the library that makes this call of accept(2) make the next ones itself, where it may.
    pub(crate) fn offer_unasked(&mut self, call: &Call, target: &Target) {
        let Some(leave) = self.shortcut.as_ref().and_then(|it| it.leave_for(call)) else {
            return;
        };
        let nobody_hidden = self.connections_waiting(target.slot) == 0;
        let Some(native) = self.native_listener_mut(target.slot) else {
            return;
        };
        let Some(publication) = native.publication() else {
            return;
        };
        let fits = nobody_hidden && native.expects_strangers_only();
        if !fits || native.unasked.ever() || !marked::mark(&target.copy, Mark::Published) {
            return;
        }
        native.unasked = Unasked {
            leave: Some(leave),
            ever: true,
        };
        self.places.note_published(publication, target.slot);
        self.hands.note_marked();
    }
}
