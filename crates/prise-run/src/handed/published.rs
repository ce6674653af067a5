//! Published ports while nobody needs the packets: a client's connection to the host is what accept(2) gives out.
//!
//! ```text
//! pumped   client ── host socket ── gateway ── TCP ── supervisor ── AF_UNIX ── program
//! handed   client ── host socket ─────────────────────────────────────────── program
//! ```
//! The gateway accepts; the client then waits at the listener to which its SYN would have gone, beside the connections of the
//! run, and counts against the backlog as they do. A listener without room, or one that waits for data itself, gets the client
//! by TCP. See [`crate::handed`] for what the accepted socket is.

use core::net::SocketAddr;
use core::time::Duration;
use std::os::fd::{AsFd, OwnedFd};

use prise_gateway::Caller;
use prise_socket::Errno;
use prise_stack::LinkId;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{SocketFlags, sockopt};

use crate::calls::{Acceptor, is_about_name};
use crate::guest::notify::{Answer, Judged, errno};
use crate::guest::sockaddr::{canonical, for_family};
use crate::handed::chosen::{self, Chosen};
use crate::handed::lingering::Ends;
use crate::handed::{Handed, Stage};
use crate::socket::listener::Listening;
use crate::socket::{GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;

/// Clients that may wait at one listener, a descriptor of the supervisor's each; the others come by the run's TCP.
pub(crate) const CALLERS_MAX: usize = 1024;

impl Supervisor {
    /// Who publishes a port means the program's, wherever it listens: a listener of the loopback hears its clients, too, at the address
    /// to which they are led, unless another listener is there.
    pub(crate) fn listen_for_published(&mut self, slot: Slot) {
        let Some(id) = self.sockets.get(slot).map(|socket| socket.id) else {
            return;
        };
        let (Some(gate), Some(link), Ok(local)) = (&self.gate, self.outside(), self.host.local_addr(id)) else {
            return;
        };
        let local = canonical(local);
        if local.ip().is_loopback() && gate.publishes(local.port()) {
            let (_, guest) = gate.client(local, local.port());
            self.host.listen_besides(id, link, guest.ip());
        }
    }

    /// Clients have come to published ports: gives each to its listener. Whether there were any.
    pub(crate) fn receive_callers(&mut self) -> bool {
        let mut came = false;
        while let Some(caller) = self.gate.as_ref().and_then(crate::world::gate::Gate::caller) {
            came = true;
            let link = self.outside().filter(|_| self.hands.outside());
            let Some(slot) = link.and_then(|link| self.listener_for_caller(link, &caller)) else {
                if let Some(gate) = &self.gate {
                    gate.admit(self.now, caller);
                    self.world.attend();
                }
                continue;
            };
            self.queue_caller(slot, caller);
        }
        came
    }

    /// A caller waits at a listener.
    pub(crate) fn queue_caller(&mut self, slot: Slot, caller: Caller) {
        if let Some(listening) = self.listening(slot) {
            listening.callers.push_back(caller);
            self.count_callers(slot);
            self.attend_listener(slot);
        }
    }

    /// Those who wait take places of the listener's queue in the host.
    fn count_callers(&mut self, slot: Slot) {
        if let Some(GuestSocket {
            id,
            role: Role::Listener(listening),
            ..
        }) = self.sockets.get(slot)
        {
            self.host.wait_elsewhere(*id, listening.callers.len());
        }
    }

    /// The listener of a client of a published port. The client is connected already, whatever the backlog says: held back by the
    /// run's TCP, all that find the queue full would come again at the same moments, and most in vain each time.
    fn listener_for_caller(&self, link: LinkId, caller: &Caller) -> Option<Slot> {
        let id = self.host.listener_for(link, caller.guest, caller.shown)?;
        let slot = self.sockets.by_id(id)?;
        let takes = |it: &Listening| !it.ended && it.callers.len() < CALLERS_MAX;
        matches!(&self.sockets.get(slot)?.role, Role::Listener(listening) if takes(listening)).then_some(slot)
    }

    /// The listener to which a connection between these endpoints would come by `link`, if it has room for one more.
    pub(crate) fn listener_with_room(&self, link: LinkId, guest: SocketAddr, shown: SocketAddr) -> Option<Slot> {
        let id = self.host.listener_for(link, guest, shown)?;
        let slot = self.sockets.by_id(id)?;
        let listens = matches!(&self.sockets.get(slot)?.role, Role::Listener(listening) if !listening.ended);
        let backlog = self.host.info(id)?.send_queue;
        // One more than the backlog, as on Linux (`sk_acceptq_is_full`).
        (listens && self.connections_waiting(slot) <= backlog).then_some(slot)
    }

    /// accept(2) of a client; `EAGAIN` if none waits.
    pub(crate) fn accept_caller(&mut self, acceptor: Acceptor<'_>, copy: Option<&OwnedFd>) -> Judged {
        let slot = acceptor.listener;
        let listening = self.listening(slot).ok_or(Errno::EINVAL)?;
        let caller = listening.callers.pop_front().ok_or(Errno::EAGAIN)?;
        let mut status = OFlags::RDWR;
        status.set(OFlags::NONBLOCK, acceptor.flags.contains(SocketFlags::NONBLOCK));
        fcntl_setfl(&caller.socket, status).map_err(errno)?;
        let listener = self.entry(slot)?;
        let inherited = listener.chosen.of_accepted();
        let (native, family) = (listener.role.is_hosts_object(), listener.family);
        inherited.apply(&caller.socket);
        if let Some(copy) = copy.filter(|_| native) {
            let fresh = || Self::hosts_object(family, SocketFlags::empty()).ok();
            chosen::inherit(copy, &caller.socket, fresh);
        }
        self.show_taken(slot, copy);
        let judged = self.give_caller(acceptor, caller, (inherited, None));
        self.count_callers(slot);
        judged
    }

    /// Answers accept(2) with a connection, of which is known what it has of its listener's choices and perhaps its ends. If the call cannot take it the next one gets it.
    pub(crate) fn give_caller(
        &mut self,
        acceptor: Acceptor<'_>,
        caller: Caller,
        known: (Chosen, Option<Ends>),
    ) -> Judged {
        let slot = acceptor.listener;
        let judged = self.install_caller(acceptor, &caller, known);
        // Accepted, and closed because its name could not be told: Linux does so.
        if judged.as_ref().is_err_and(|error| !is_about_name(*error))
            && let Some(listening) = self.listening(slot)
        {
            listening.callers.push_front(caller);
            self.show_hidden(slot);
        }
        judged
    }

    /// Tells the client's name and hands its socket out; what the run has to know of it comes afterwards, while the program goes on.
    fn install_caller(&mut self, acceptor: Acceptor<'_>, caller: &Caller, known: (Chosen, Option<Ends>)) -> Judged {
        let Caller { socket, shown, guest } = caller;
        let family = self.entry(acceptor.listener)?.family;
        acceptor.tell(for_family(*shown, family), family)?;
        let fd = acceptor.install(&self.calls, socket)?;
        // Without memory for it the program has a socket of the kernel's that the run knows nothing of.
        let _ = self.enter_accepted(acceptor, (socket, fd), (*guest, *shown), known);
        if self.ledger.is_due() {
            self.sweep();
        }
        Ok(Answer::Settled)
    }

    fn enter_accepted(
        &mut self,
        acceptor: Acceptor<'_>,
        (object, fd): (&OwnedFd, i32),
        (guest, shown): (SocketAddr, SocketAddr),
        (chosen, ends): (Chosen, Option<Ends>),
    ) -> Result<(), Errno> {
        let socket = self.entry(acceptor.listener)?;
        let (id, family, kind) = (socket.id, socket.family, socket.kind);
        let buffers = socket.buffers;
        let id = self.host.accept_elsewhere(id, guest, shown)?;
        let role = Handed::role(Stage::Connected);
        let mut accepted = match self.describe(acceptor.call, id, (family, kind), object, role) {
            Ok(accepted) => accepted,
            Err(error) => {
                self.host.close(self.now, id);
                return Err(error);
            }
        };
        accepted.holder.fd = fd;
        accepted.ends = ends.or_else(|| Ends::of(object)).map(Box::new);
        let slot = self.sockets.insert(GuestSocket {
            buffers,
            chosen,
            ..accepted
        });
        // Out of memory or watches, the socket stays until its guests have gone.
        let _ = self.ledger.enter(object.as_fd(), slot);
        Ok(())
    }

    /// Nobody will accept any more: clients that wait are reset.
    pub(crate) fn turn_callers_away(callers: impl IntoIterator<Item = Caller>) {
        for caller in callers {
            // If it fails the client gets a FIN, which is the next best.
            let _ = sockopt::set_socket_linger(&caller.socket, Some(Duration::ZERO));
        }
    }
}
