//! shutdown(2).

use prise_shortcut::chart::Mark;
use prise_socket::{Errno, How, Kind, SocketId};

use super::Target;
use crate::guest::notify::{Answer, Call, DONE, Judged, errno};
use crate::handed::marked;
use crate::socket::Role;
use crate::socket::listener::Sign;
use crate::socket::sentinel;
use crate::socket::unix;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn shutdown(&mut self, call: &Call, target: Target) -> Judged {
        let how = How::from_raw(call.int(1))?;
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        if socket.kind != Kind::Stream {
            self.flush_datagrams(target.slot);
            let target = if how.read() {
                self.expect_to_hear_on(call, target)
            } else {
                target
            };
            return self.shutdown_datagram(&target, id, how);
        }
        let target = &target;
        match &mut socket.role {
            Role::Stream(stream) => {
                if how.write() && !stream.outgoing_ended() {
                    let left = sentinel::end_sending(&target.copy, &stream.end)?;
                    stream.end_outgoing(left);
                    // Once the other direction ends too, nothing else tells of the close.
                    self.enter_ledger(target);
                }
                if how.read() {
                    // Its own verb in the host, which acknowledges what still comes.
                    let _ = self.host.shutdown(self.now, id, How::Read);
                    if let Role::Stream(stream) = &mut self.entry(target.slot)?.role {
                        stream.end_incoming();
                    }
                }
                self.attend_stream(target.slot);
                DONE
            }
            // A listener has nothing to send, but who watches it by edges is woken (`inet_shutdown`).
            Role::Listener(listening) if !how.read() && !listening.ended => {
                if listening.is_native() {
                    unix::shut(&target.copy, how).map_err(errno)?;
                }
                DONE
            }
            // It listens no more, and is shut as any unconnected stream is: it fails, and polls so.
            Role::Listener(listening) if listening.ended && listening.is_native() => {
                // So is the object that takes the place of this one when it is connected.
                let _ = self.host.shutdown(self.now, id, how);
                unix::shut(&target.copy, how).map_err(errno)?;
                DONE
            }
            Role::Listener(_) => {
                self.leave_as_listener(target.slot);
                self.host.shutdown(self.now, id, how)?;
                self.end_listening(target);
                DONE
            }
            Role::Fresh | Role::Handed(_) | Role::Connecting(_) | Role::Ended(_) => {
                let judged = self.host.shutdown(self.now, id, how);
                if judged == Err(Errno::ENOTCONN) && matches!(self.entry(target.slot)?.role, Role::Fresh) {
                    // It fails and shuts the socket all the same, which polls so.
                    unix::shut(&target.copy, how).map_err(errno)?;
                }
                judged?;
                self.attend(target.slot);
                DONE
            }
            Role::Datagram(_) => Err(Errno::EOPNOTSUPP),
        }
    }
}

impl Supervisor {
    /// The host listens no more: nor does the program's object, and nobody waits for it.
    pub(super) fn end_listening(&mut self, target: &Target) {
        let Some(listening) = self.listening(target.slot).filter(|it| !it.ended) else {
            return;
        };
        listening.ended = true;
        Self::turn_callers_away(listening.callers.drain(..));
        if let Sign::Native(native) = &listening.sign
            && native.unasked.ever()
        {
            // Should it listen again, others may come than its published clients.
            marked::mark(&target.copy, Mark::Known);
        }
        // Both directions are shut then: the end hangs up, and no longer tells of the close.
        listening.shut(&target.copy);
        self.enter_ledger(target);
        if let Some(socket) = self.sockets.get(target.slot) {
            self.return_address(&socket.role);
            self.tell_gate(self.host.local_addr(socket.id));
        }
        self.wake_acceptors(target.slot);
    }

    /// The kernel's object behaves as UDP's does. Without a peer the call fails and shuts the socket all the same, as on
    /// Linux: programs wake those who wait by it.
    fn shutdown_datagram(&mut self, target: &Target, id: SocketId, how: How) -> Judged {
        let judged = self.host.shutdown(self.now, id, how);
        if matches!(judged, Ok(()) | Err(Errno::ENOTCONN)) {
            match unix::shut(&target.copy, how) {
                // An object of UDP that has lost its peer is shut all the same, too.
                Ok(()) | Err(rustix::io::Errno::NOTCONN) => (),
                Err(error) => return Err(errno(error)),
            }
            if let Role::Datagram(datagram) = &mut self.entry(target.slot)?.role {
                datagram.mute |= how.write();
                datagram.deaf |= how.read();
            }
            if how.read() {
                self.serve_receivers(target.slot);
            }
        }
        judged.map(|()| Answer::Value(0))
    }
}
