//! What is left when the last guest has gone: what it wrote goes on to its peer, as after close(2), and the run ends when nothing can be
//! delivered any more. Called by the supervisor's `run`.
//!
//! A stream whose object still holds octets stays until TCP has taken them. A connection within the run leads to nobody: it gets to say
//! that it is closed, for those who record packets, and is waited for no longer once a timeout has passed in vain.

use core::time::Duration;

use prise_stack::{SocketSummary, State};
use rustix::event::epoll::EventFlags;

use crate::clock;
use crate::complaints::complain_of_loss;
use crate::guest::sockaddr::canonical;
use crate::poller::{Patience, Source};
use crate::socket::{Role, Slot};
use crate::start::outcome::RunError;
use crate::supervisor::Supervisor;
use crate::world::gate::Gate;

/// A connection that makes no progress for so long is given up. Linux would keep such an orphan for 100 s (`tcp_orphan_retries`), and
/// nobody would wait for it.
const STALL: Duration = Duration::from_secs(30);

/// What is still to be delivered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Left {
    connections: usize,
    octets: usize,
    in_gate: usize,
}

impl Supervisor {
    /// Every guest has gone: what they held is closed, and what they wrote is delivered.
    pub(crate) fn deliver_what_is_left(&mut self, ready: &mut Vec<(Source, EventFlags)>) -> Result<(), RunError> {
        self.release();
        self.settle();
        let (mut left, mut progress) = (self.undelivered(), clock::now());
        while left != Left::default() && !self.program.hurried {
            self.turn_briefly(ready)?;
            self.release();
            let now_left = self.undelivered();
            if now_left != left {
                (left, progress) = (now_left, self.now);
            } else if self.now.saturating_since(progress) > STALL {
                self.name_what_is_left();
                complain_of_loss(left.connections, left.octets + left.in_gate, STALL);
                break;
            }
        }
        Ok(())
    }

    /// Closes what the guests held, but for streams whose octets TCP has not taken yet.
    fn release(&mut self) {
        let slots: Vec<Slot> = self.sockets.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            if self.owed(slot) > 0 {
                // Whoever has another copy outside of the run can do nothing with it.
                if let Some(socket) = self.sockets.get_mut(slot)
                    && let Role::Stream(stream) = &mut socket.role
                {
                    stream.note(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP);
                }
                self.attend_stream(slot);
            }
            if self.owed(slot) == 0 {
                self.finish(slot);
            }
        }
    }

    /// Octets of a stream that its program has written, that TCP has not taken, and that somebody may still want.
    fn owed(&self, slot: Slot) -> usize {
        let Some(socket) = self.sockets.get(slot) else { return 0 };
        let Role::Stream(stream) = &socket.role else { return 0 };
        let leads_out = self.host.info(socket.id).and_then(|info| info.remote);
        if leads_out.is_some_and(|remote| !self.host.stack().is_local(canonical(remote).ip())) {
            stream.owed()
        } else {
            0
        }
    }

    fn undelivered(&self) -> Left {
        let stack = self.host.stack();
        let mut left = Left {
            in_gate: self.gate.as_ref().map_or(0, Gate::octets_held),
            ..Left::default()
        };
        for owed in self
            .sockets
            .iter()
            .map(|(slot, _)| self.owed(slot))
            .filter(|owed| *owed > 0)
        {
            left.connections += 1;
            left.octets += owed;
        }
        for orphan in stack.tcp_unowned() {
            if is_awaited(&orphan, stack.is_local(orphan.remote.ip().to_canonical())) {
                left.connections += 1;
                left.octets += orphan.send_queue as usize;
            }
        }
        left
    }

    /// For who looks for the reason why something was not delivered.
    fn name_what_is_left(&self) {
        let stack = self.host.stack();
        for orphan in stack.tcp_unowned() {
            if is_awaited(&orphan, stack.is_local(orphan.remote.ip().to_canonical())) {
                tracing::debug!(?orphan, "given up");
            }
        }
        for (slot, socket) in self.sockets.iter() {
            let owed = self.owed(slot);
            if owed > 0 {
                tracing::debug!(info = ?self.host.info(socket.id), owed, "given up");
            }
        }
    }

    /// A turn that does not sleep for long: what is waited for has no event.
    fn turn_briefly(&mut self, ready: &mut Vec<(Source, EventFlags)>) -> Result<(), RunError> {
        const PAUSE: Duration = Duration::from_millis(20);
        let due = self.next_due().map(|due| due.saturating_since(clock::now()));
        let timeout = due.map_or(PAUSE, |timeout| timeout.min(PAUSE));
        let setup = |error| RunError::Setup {
            step: "deliver what the program wrote",
            error,
        };
        self.poller
            .wait(None, &[], Patience::asleep(timeout), ready)
            .map_err(setup)?;
        self.now = clock::now();
        for &(source, events) in &*ready {
            match source {
                Source::Socket(slot) => self.on_end(slot, events),
                Source::Arrival(slot) => self.on_held_listener(slot, events),
                Source::Signals => self.program.forward_signals(&self.guests),
                Source::Inspection => self.answer_inspection(),
                Source::Link => self.attend_link(),
                Source::Closes => self.hear_of_closes(),
                // What a program sent before it went is sent.
                Source::Sent => self.put_what_was_sent(),
                Source::Calls | Source::Program => (),
            }
        }
        self.settle();
        Ok(())
    }
}

/// Whether an orphan has something to deliver that may arrive. `within`: its peer was a program of the run, which is gone, too.
fn is_awaited(orphan: &SocketSummary, within: bool) -> bool {
    match orphan.state {
        State::TimeWait | State::FinWait2 | State::SynReceived | State::Closed => false,
        _ => !within || orphan.timeouts == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(state: State, timeouts: u8) -> SocketSummary {
        SocketSummary {
            local: "127.0.0.1:1".parse().unwrap(),
            remote: "127.0.0.1:2".parse().unwrap(),
            state,
            send_queue: 100,
            timeouts,
            expires: None,
        }
    }

    #[test]
    fn who_has_nothing_more_to_say_is_not_awaited() {
        for state in [State::TimeWait, State::FinWait2, State::SynReceived, State::Closed] {
            assert!(!is_awaited(&orphan(state, 0), false), "{state:?}");
        }
    }

    #[test]
    fn within_the_run_a_timeout_in_vain_ends_the_wait() {
        for state in [
            State::Established,
            State::FinWait1,
            State::Closing,
            State::LastAck,
            State::CloseWait,
        ] {
            assert!(is_awaited(&orphan(state, 0), true), "{state:?}");
            assert!(!is_awaited(&orphan(state, 1), true), "{state:?}");
            assert!(
                is_awaited(&orphan(state, 7), false),
                "{state:?}: the outside may answer yet"
            );
        }
    }
}
