//! What becomes of calls that wait, other than what they wait for: timeouts, signals, death.

pub(crate) mod parked;
pub(crate) mod slices;

use core::time::Duration;
use std::collections::VecDeque;

use prise_socket::Errno;

use crate::clock;
use crate::guest::message::{ReceiveForm, SendForm};
use crate::guest::notify::{Answer, Call};
use crate::guest::pending::{self, Pending};
use crate::socket::connecting::Connecting;
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::{ParkId, Parked, Wish};

/// Looks after which a signal that is still pending for a process counts for its first thread, and for any other.
const LIKELY_AFTER: u8 = 3;
const POSSIBLE_AFTER: u8 = 6;

/// The calls that wait for the same on a socket; none where nothing can be waited for any more.
type QueueOf = fn(&mut Supervisor, Slot) -> Option<&mut VecDeque<ParkId>>;

impl Supervisor {
    /// Serves calls that wait on a socket in their order, until one has to go on waiting; `serve` tells whether it is served.
    pub(crate) fn serve_waiting(&mut self, slot: Slot, queue_of: QueueOf, serve: fn(&mut Self, ParkId, Slot) -> bool) {
        let Some(queue) = queue_of(self, slot) else { return };
        // Apart meanwhile: to serve pumps a stream first, which comes here again and would forget whoever is being served.
        let mut waiting = core::mem::take(queue);
        while let Some(&id) = waiting.front()
            && serve(self, id, slot)
        {
            waiting.pop_front();
        }
        match queue_of(self, slot) {
            Some(queue) => {
                // Who has come meanwhile stays behind.
                waiting.append(queue);
                *queue = waiting;
            }
            // The stream has ended meanwhile.
            None => waiting.into_iter().for_each(|id| self.judge_parked_anew(id)),
        }
    }

    /// Lets a call wait, for `timeout` at most.
    pub(crate) fn park(&mut self, call: &Call, slot: Slot, wish: Wish, timeout: Option<Duration>) -> ParkId {
        let deadline = timeout.map(|timeout| self.now + timeout);
        self.parked.insert(
            Parked {
                call: *call,
                slot,
                wish,
                deadline,
                suspicions: 0,
            },
            self.now,
        )
    }

    /// A call's timeout has come.
    pub(crate) fn give_up(&mut self, id: ParkId) {
        let Some(mut parked) = self.parked.remove(id) else {
            return;
        };
        let received = self.received_so_far(&mut parked);
        let judged = match (&parked.wish, transferred(&parked.wish)) {
            _ if let Some(received) = received => received,
            (_, Some(count)) => Ok(Answer::Value(count)),
            (&Wish::Connect(still), _) => {
                self.leave_waiting_connect(&parked.call, parked.slot);
                Err(still)
            }
            _ => Err(Errno::EAGAIN),
        };
        self.answer(&parked.call, judged);
    }

    /// Looks which calls wait in vain: their thread is gone, or a signal waits for it.
    pub(crate) fn look_at_parked(&mut self) {
        let begin = clock::now();
        for id in self.parked.ids() {
            let Some(parked) = self.parked.get_mut(id) else {
                continue;
            };
            let call = parked.call;
            if !self.calls.is_waiting(call.id) {
                self.abandon(id);
                continue;
            }
            let (counts, restartable) = match pending::look(call.tid) {
                Pending::Nothing => {
                    parked.suspicions = 0;
                    if matches!(parked.wish, Wish::Foreign) {
                        self.retry_foreign(id);
                    }
                    continue;
                }
                Pending::Certain => (true, true),
                Pending::Likely => (parked.suspicions + 1 >= LIKELY_AFTER, true),
                Pending::Possible => (parked.suspicions + 1 >= POSSIBLE_AFTER, false),
            };
            parked.suspicions += 1;
            if counts {
                self.interrupt(id, restartable);
            }
        }
        self.parked.looked(begin, clock::now());
    }

    /// Lets a waiting call go for a signal's sake.
    fn interrupt(&mut self, id: ParkId, restartable: bool) {
        let Some(mut parked) = self.parked.remove(id) else {
            return;
        };
        if matches!(parked.wish, Wish::Connect(_)) {
            self.leave_waiting_connect(&parked.call, parked.slot);
        }
        if let Some(received) = self.received_so_far(&mut parked) {
            self.answer(&parked.call, received);
        } else if let Some(count) = transferred(&parked.wish) {
            self.answer(&parked.call, Ok(Answer::Value(count)));
        } else if parked.deadline.is_some() || !restartable {
            // With a timeout no call is restarted (signal(7)).
            self.answer(&parked.call, Err(Errno::EINTR));
        } else {
            self.restart(&parked.call);
        }
    }

    /// The thread of a waiting call was killed.
    fn abandon(&mut self, id: ParkId) {
        let Some(parked) = self.parked.remove(id) else { return };
        let slot = parked.slot;
        let waits = |role: &Role| matches!(role, Role::Connecting(Connecting::Waiting { parked, .. }) if *parked == id);
        if self.sockets.get(slot).is_some_and(|socket| waits(&socket.role)) && self.copy_of(slot).is_none() {
            self.finish(slot);
        }
    }
}

/// What a call has done already: that is its answer then.
pub(crate) fn transferred(wish: &Wish) -> Option<i64> {
    let count = match wish {
        Wish::Receive(request) => match request.form {
            ReceiveForm::Many { filled, .. } => filled,
            ReceiveForm::One(_) => 0,
        },
        Wish::Send(request) => match request.form {
            SendForm::Many { sent, .. } => sent,
            SendForm::One(_) => 0,
        },
        Wish::Accept { .. } | Wish::Connect(_) | Wish::Foreign => 0,
    };
    (count > 0).then_some(count as i64)
}
