//! When the octets of a stream came that a program is to be told of it (`SO_TIMESTAMP` and its like) and that goes by our TCP.
//!
//! What has come lies with the host, then in the program's object, from which it reads as it likes, unseen. So octets are counted as they
//! come to the host, and a read that is judged finds its place by what is left unread behind it.

use std::collections::VecDeque;

use prise_wire::Instant;

/// So many segments that wait one behind another become one, and have the last one's time (`tcp_try_coalesce`): as many pieces as an skb
/// has room for (`MAX_SKB_FRAGS`).
const SEGMENTS_IN_ONE: u8 = 17;
/// A program that asks for stamps and then reads without looking at them makes the list no longer; the last ones share a time.
const TIMES_MAX: usize = 256;

/// When what came, from where it was first asked for.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Octets that have come since.
    came: i64,
    /// Of all that have come, those that the host has still.
    with_host: usize,
    times: VecDeque<Arrival>,
}

#[derive(Debug)]
struct Arrival {
    /// Behind its last octet.
    end: i64,
    at: Instant,
    segments: u8,
}

impl Arrivals {
    /// From now on; the host has octets that came before.
    pub(crate) fn new(with_host: usize) -> Self {
        Self {
            came: 0,
            with_host,
            times: VecDeque::new(),
        }
    }

    /// The host has so many octets at this time, and none were taken from it since the last time.
    pub(crate) fn note(&mut self, with_host: usize, at: Instant) {
        let more = with_host.saturating_sub(self.with_host);
        self.with_host = with_host;
        if more == 0 {
            return;
        }
        self.came += more as i64;
        let is_full = self.times.len() == TIMES_MAX;
        match self.times.back_mut() {
            Some(last) if is_full || last.segments < SEGMENTS_IN_ONE => {
                last.end = self.came;
                last.at = at;
                last.segments = last.segments.saturating_add(1);
            }
            _ => self.times.push_back(Arrival {
                end: self.came,
                at,
                segments: 1,
            }),
        }
    }

    /// The program's object has taken some; so many are left with the host.
    pub(crate) fn leave(&mut self, with_host: usize) {
        self.with_host = with_host;
    }

    /// When the last octet came of so many that were read, or the next one if they were none: the object has so many left. Those that
    /// were `only_looked_at` are among them.
    pub(crate) fn of_read(&mut self, read: usize, only_looked_at: bool, in_object: usize) -> Option<Instant> {
        let next = self.came - (self.with_host + in_object) as i64;
        let behind = if only_looked_at { next + read as i64 } else { next };
        let last = if read == 0 { behind } else { behind - 1 };
        let at = self.times.iter().find(|arrival| arrival.end > last)?.at;
        while self.times.front().is_some_and(|arrival| arrival.end <= next) {
            self.times.pop_front();
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: u64) -> Instant {
        Instant::from_nanos(millisecond * 1_000_000)
    }

    #[test]
    fn a_read_has_the_time_of_its_last_segment_and_of_those_that_joined_it() {
        let mut arrivals = Arrivals::new(0);
        arrivals.note(3, at(1));
        arrivals.leave(0);
        assert_eq!(arrivals.of_read(1, false, 2), Some(at(1)));
        arrivals.note(5, at(2));
        // Two are in the object, five with the host.
        assert_eq!(arrivals.of_read(2, true, 2), Some(at(2)));
        assert_eq!(arrivals.of_read(0, false, 2), Some(at(2)));
        arrivals.leave(0);
        assert_eq!(arrivals.of_read(7, false, 0), Some(at(2)));
        // An end.
        assert_eq!(arrivals.of_read(0, false, 0), None);
    }

    #[test]
    fn what_came_before_stamps_were_asked_for_has_none() {
        let mut arrivals = Arrivals::new(4);
        arrivals.leave(0);
        assert_eq!(arrivals.of_read(1, false, 3), None);
        arrivals.note(2, at(5));
        arrivals.leave(0);
        assert_eq!(arrivals.of_read(5, false, 0), Some(at(5)));
    }

    #[test]
    fn segments_are_one_up_to_a_number_and_the_list_ends() {
        let mut arrivals = Arrivals::new(0);
        for number in 1..=u64::from(SEGMENTS_IN_ONE) + 1 {
            arrivals.note(1, at(number));
            arrivals.leave(0);
        }
        let all = usize::from(SEGMENTS_IN_ONE) + 1;
        assert_eq!(arrivals.of_read(1, false, all - 1), Some(at(all as u64 - 1)));
        assert_eq!(arrivals.of_read(all - 1, false, 0), Some(at(all as u64)));
        for number in 0..2 * TIMES_MAX * usize::from(SEGMENTS_IN_ONE) {
            arrivals.note(1, at(number as u64));
            arrivals.leave(0);
        }
        assert_eq!(arrivals.times.len(), TIMES_MAX);
    }
}
