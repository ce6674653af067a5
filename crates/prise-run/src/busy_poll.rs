//! Whether to look again before sleeping (busy polling, as `SO_BUSY_POLL` has the kernel do for a device).
//!
//! Where two programs talk through our TCP, each message wakes the supervisor and then its reader, and a wake-up costs as much as
//! everything else that is done for the message. Who answers within microseconds is waited for awake. That is for conversations
//! only: a transfer fills the queues while the supervisor works, and processors that programs want are not to be kept from them.

use core::time::Duration;

/// Looking longer costs more than being woken.
const LOOK: Duration = Duration::from_micros(12);
/// A wait is short that was no longer although who slept had to be woken.
const SHORT: Duration = Duration::from_micros(25);
/// Octets carried in a turn, from programs and to them, that are still a message and its like.
const MESSAGE: usize = 8 << 10;
/// So many short waits in a row have the next one looked through; each look in vain doubles that …
const STREAK_MIN: u8 = 2;
/// … up to this.
const STREAK_MAX: u8 = 128;

/// Follows the waits behind turns that carried messages.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    carried: usize,
    wait: Wait,
    streak: u8,
    needed: u8,
}

/// What the supervisor is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Its turn carried nothing, or a part of a transfer: how long it sleeps tells nothing.
    Other,
    Asleep,
    Looking,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            carried: 0,
            wait: Wait::Other,
            streak: 0,
            needed: STREAK_MIN,
        }
    }
}

impl BusyPoll {
    /// Octets went between a program and our TCP.
    pub(crate) fn carry(&mut self, octets: usize) {
        self.carried += octets;
    }

    /// The turn is over: how long to look before sleeping.
    pub(crate) fn begin_wait(&mut self) -> Duration {
        let carried = core::mem::take(&mut self.carried);
        self.wait = if !(1..=MESSAGE).contains(&carried) {
            Wait::Other
        } else if self.streak < self.needed {
            Wait::Asleep
        } else {
            Wait::Looking
        };
        if self.wait == Wait::Looking {
            LOOK
        } else {
            Duration::ZERO
        }
    }

    /// Something has happened after so long; none where it was only time to do something, which tells nothing.
    pub(crate) fn end_wait(&mut self, lasted: Option<Duration>) {
        let Some(lasted) = lasted else { return };
        match self.wait {
            Wait::Other => (),
            Wait::Asleep if lasted <= SHORT => self.streak = self.streak.saturating_add(1),
            Wait::Asleep => self.streak = 0,
            Wait::Looking if lasted <= LOOK => self.needed = (self.needed / 2).max(STREAK_MIN),
            Wait::Looking => {
                self.streak = 0;
                self.needed = self.needed.saturating_mul(2).min(STREAK_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns that carry so much, each followed by a wait of so long: whether it was looked through.
    fn looks(busy: &mut BusyPoll, turns: usize, octets: usize, lasts: Duration) -> Vec<bool> {
        let turn = |_| {
            busy.carry(octets);
            let looks = busy.begin_wait() == LOOK;
            busy.end_wait(Some(lasts));
            looks
        };
        (0..turns).map(turn).collect()
    }

    #[test]
    fn a_conversation_is_waited_for_awake_after_its_first_messages() {
        let mut busy = BusyPoll::default();
        assert_eq!(looks(&mut busy, 4, 64, LOOK / 2), [false, false, true, true]);
    }

    #[test]
    fn transfers_slow_answers_and_turns_that_carry_nothing_are_slept_through() {
        for (octets, lasts) in [(MESSAGE + 1, LOOK / 2), (64, SHORT * 2), (0, LOOK / 2)] {
            let mut busy = BusyPoll::default();
            assert!(
                !looks(&mut busy, 100, octets, lasts).contains(&true),
                "{octets} {lasts:?}"
            );
        }
    }

    #[test]
    fn timers_that_end_waits_are_no_answers() {
        let mut busy = BusyPoll::default();
        for _ in 0..10 {
            busy.carry(64);
            assert_eq!(busy.begin_wait(), Duration::ZERO);
            busy.end_wait(None);
        }
    }

    #[test]
    fn looks_in_vain_become_rare_and_one_that_pays_makes_them_likelier() {
        let mut busy = BusyPoll::default();
        // Where the other side waits for this very processor, it has no turn before the supervisor sleeps.
        let in_vain = |busy: &mut BusyPoll| looks(busy, 1000, 64, SHORT).iter().filter(|&&looked| looked).count();
        assert!(in_vain(&mut busy) < 15);
        assert!(in_vain(&mut busy) < 9);
        let needed = busy.needed;
        while !looks(&mut busy, 1, 64, LOOK / 2)[0] {}
        assert_eq!(busy.needed, needed / 2);
    }
}
