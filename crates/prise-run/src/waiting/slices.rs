//! Calls about many messages, made in slices: between two of them everybody else has a turn.
//!
//! A turn of the supervisor's serves one call, the oldest, so that who calls all the time is served no more often than who calls
//! once. sendmmsg(2) and recvmmsg(2) name a thousand messages of 64 KiB in one call, which on Linux is their own process's time, and here
//! would be that of all others. So such a call goes on in later turns, as a call does that waits; a signal, its timeout and its
//! death end it in the same way, with what was done until then.

use core::time::Duration;

use prise_socket::Errno;

use crate::guest::notify::{Answer, Call, Judged};
use crate::socket::Slot;
use crate::supervisor::Supervisor;
use crate::waiting::parked::{ParkId, Parked, Wish};
use crate::waiting::transferred;

/// What is done of a call in one turn: some tens of microseconds of work, several times what a turn costs by itself.
const MESSAGES_MAX: u32 = 16;
const OCTETS_MAX: usize = 32 << 10;

/// What is left of a turn for one call.
#[derive(Debug)]
pub(crate) struct Slice {
    messages: u32,
    octets: usize,
}

impl Slice {
    pub(crate) const fn new() -> Self {
        Self {
            messages: MESSAGES_MAX,
            octets: OCTETS_MAX,
        }
    }

    /// A message was sent or received.
    pub(crate) const fn spend(&mut self, octets: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets);
    }

    /// Whether nothing was done in it yet.
    pub(crate) const fn is_new(&self) -> bool {
        self.messages == MESSAGES_MAX
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.messages == 0 || self.octets == 0
    }
}

impl Supervisor {
    /// A call whose slice is over waits for the next turn.
    pub(crate) fn put_off(&mut self, call: &Call, slot: Slot, wish: Wish, timeout: Option<Duration>) -> Answer {
        let id = self.park(call, slot, wish, timeout);
        self.unfinished.push(id);
        Answer::Settled
    }

    /// What came of a call that waited and was tried again. False: it waits on, for the same.
    pub(crate) fn answer_again(&mut self, id: ParkId, parked: Parked, judged: Judged) -> bool {
        match judged {
            Err(Errno::EAGAIN) => {
                self.parked.restore(id, parked, self.now);
                return false;
            }
            Ok(Answer::Unfinished) => self.keep_unfinished(id, parked),
            judged => self.answer(&parked.call, judged),
        }
        true
    }

    /// The next slice is over, too.
    fn keep_unfinished(&mut self, id: ParkId, parked: Parked) {
        self.parked.restore(id, parked, self.now);
        self.unfinished.push(id);
    }

    /// The next slices of calls that were put off.
    pub(crate) fn go_on(&mut self) {
        for id in core::mem::take(&mut self.unfinished) {
            self.go_on_with(id);
        }
    }

    fn go_on_with(&mut self, id: ParkId) {
        // Ended meanwhile, it was answered.
        let Some(mut parked) = self.parked.remove(id) else {
            return;
        };
        let (call, slot) = (parked.call, parked.slot);
        let judged = match (self.target_again(&call, slot), &mut parked.wish) {
            (Some(target), Wish::Send(request)) => {
                self.flush_datagrams(slot);
                self.try_send(&call, &target, request)
            }
            (Some(target), Wish::Receive(request)) => self.try_receive(&call, &target, request),
            // Another thread has closed the descriptor.
            _ => Err(Errno::EBADF),
        };
        match (judged, transferred(&parked.wish)) {
            (Ok(Answer::Unfinished), _) => self.keep_unfinished(id, parked),
            (Err(Errno::EAGAIN), _) if !self.is_deaf(slot) && self.waits_for_datagrams(slot, id) => {
                self.parked.restore(id, parked, self.now);
            }
            (Err(_), Some(count)) => self.answer(&call, Ok(Answer::Value(count))),
            (judged, _) => self.answer(&call, judged),
        }
    }

    /// Puts a call among those that wait for datagrams.
    fn waits_for_datagrams(&mut self, slot: Slot, id: ParkId) -> bool {
        let datagram = self.sockets.datagram_mut(slot);
        datagram.map(|datagram| datagram.receiving.push_back(id)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_over_after_many_messages_or_many_octets() {
        let mut small = Slice::new();
        for _ in 0..MESSAGES_MAX {
            assert!(!small.is_over());
            small.spend(1);
        }
        assert!(small.is_over());
        let mut large = Slice::new();
        large.spend(OCTETS_MAX - 1);
        assert!(!large.is_over());
        large.spend(1);
        assert!(large.is_over());
    }
}
