//! HyStart++ (RFC 9406): leave slow start when the round trip grows, before the queue overflows.

use core::time::Duration;

use prise_wire::SeqNum;

/// §4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;
/// A deviation: five rounds are for a round trip that has grown by an eighth, which may be chance. Where not one round trip of a
/// round is below this many times the least, the window holds the path and a queue as long as it, and more of it would only be lost:
/// slow start ends at once. On a long path with a long queue that spares a recovery whose round trip is the whole queue.
const FULL: u32 = 2;

/// Conservative slow start: the growth is slowed while it is watched whether the round trip stays long.
#[derive(Clone, Copy, Debug)]
struct Conservative {
    baseline_min_rtt: Duration,
    rounds: u8,
}

/// The state of one initial slow start.
#[derive(Clone, Copy, Debug)]
pub(super) struct HyStart {
    window_end: SeqNum,
    last_round_min_rtt: Duration,
    current_round_min_rtt: Duration,
    least_rtt: Duration,
    samples: u8,
    conservative: Option<Conservative>,
}

/// What slow start should do with acknowledged octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Grow by them, divided by this.
    Divided(u32),
    /// Slow start is over.
    Leave,
}

impl HyStart {
    pub(super) fn new(nxt: SeqNum) -> Self {
        Self {
            window_end: nxt,
            last_round_min_rtt: Duration::MAX,
            current_round_min_rtt: Duration::MAX,
            least_rtt: Duration::MAX,
            samples: 0,
            conservative: None,
        }
    }

    /// §4.2, at each acknowledgment.
    pub(super) fn on_ack(&mut self, una: SeqNum, nxt: SeqNum, rtt: Option<Duration>) -> Growth {
        if self.window_end.precedes_or_equals(una) {
            self.window_end = nxt;
            self.last_round_min_rtt = self.current_round_min_rtt;
            self.current_round_min_rtt = Duration::MAX;
            self.samples = 0;
            if let Some(conservative) = &mut self.conservative {
                conservative.rounds += 1;
                if conservative.rounds >= CSS_ROUNDS {
                    return Growth::Leave;
                }
            }
        }
        if let Some(rtt) = rtt {
            self.current_round_min_rtt = self.current_round_min_rtt.min(rtt);
            self.least_rtt = self.least_rtt.min(rtt);
            self.samples = self.samples.saturating_add(1);
        }
        if self.samples >= N_RTT_SAMPLE {
            self.judge();
            if self.conservative.is_some() && self.shows_full_queue() {
                return Growth::Leave;
            }
        }
        Growth::Divided(if self.conservative.is_some() {
            CSS_GROWTH_DIVISOR
        } else {
            1
        })
    }

    fn shows_full_queue(&self) -> bool {
        let full = (self.least_rtt.saturating_mul(FULL)).max(self.least_rtt.saturating_add(MAX_RTT_THRESH));
        self.current_round_min_rtt >= full
    }

    fn judge(&mut self) {
        match self.conservative {
            // The round trip has come down again: it was no queue of ours.
            Some(conservative) if self.current_round_min_rtt < conservative.baseline_min_rtt => {
                self.conservative = None;
            }
            None if self.last_round_min_rtt != Duration::MAX => {
                let eighth = self.last_round_min_rtt / MIN_RTT_DIVISOR;
                let threshold = eighth.clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if self.current_round_min_rtt >= self.last_round_min_rtt + threshold {
                    self.conservative = Some(Conservative {
                        baseline_min_rtt: self.current_round_min_rtt,
                        rounds: 0,
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(hystart: &mut HyStart, number: u32, rtt: Duration) -> Growth {
        let (una, nxt) = (SeqNum(number * 1000), SeqNum(number * 1000 + 1000));
        let mut growth = hystart.on_ack(una, nxt, Some(rtt));
        for _ in 0..8 {
            growth = hystart.on_ack(una, nxt, Some(rtt));
        }
        growth
    }

    #[test]
    fn a_growing_round_trip_slows_and_then_ends_slow_start() {
        let mut hystart = HyStart::new(SeqNum(0));
        let ms = Duration::from_millis;
        assert_eq!(round(&mut hystart, 0, ms(40)), Growth::Divided(1));
        assert_eq!(round(&mut hystart, 1, ms(41)), Growth::Divided(1));
        assert_eq!(round(&mut hystart, 2, ms(50)), Growth::Divided(4));
        for number in 3..7 {
            assert_eq!(round(&mut hystart, number, ms(55)), Growth::Divided(4));
        }
        assert_eq!(hystart.on_ack(SeqNum(7000), SeqNum(8000), None), Growth::Leave);
    }

    #[test]
    fn a_round_trip_that_has_doubled_ends_it_at_once() {
        let mut hystart = HyStart::new(SeqNum(0));
        let ms = Duration::from_millis;
        for (number, rtt) in [40, 40, 50].into_iter().enumerate() {
            round(&mut hystart, number as u32, ms(rtt));
        }
        assert_eq!(round(&mut hystart, 3, ms(79)), Growth::Divided(4));
        assert_eq!(round(&mut hystart, 4, ms(80)), Growth::Leave);
        // Of a short round trip that would be no time at all.
        let mut hystart = HyStart::new(SeqNum(0));
        for (number, rtt) in [2, 2, 10].into_iter().enumerate() {
            round(&mut hystart, number as u32, ms(rtt));
        }
        assert_eq!(round(&mut hystart, 3, ms(17)), Growth::Divided(4));
        assert_eq!(round(&mut hystart, 4, ms(18)), Growth::Leave);
    }

    #[test]
    fn a_passing_delay_does_not() {
        let mut hystart = HyStart::new(SeqNum(0));
        let ms = Duration::from_millis;
        for (number, rtt) in [40, 40, 60].into_iter().enumerate() {
            round(&mut hystart, number as u32, ms(rtt));
        }
        assert_eq!(round(&mut hystart, 3, ms(40)), Growth::Divided(1));
    }
}
