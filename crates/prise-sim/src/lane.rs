//! One direction of a link: what happens to a frame between two ports.
//!
//! In order, as on a real path: the queue and the rate of the bottleneck, then loss, corruption, duplication and delay
//! with jitter and reordering. Nothing is lost without a [`Fate`] that says so.

use crate::random::Random;
use prise_wire::{Frame, Instant, Medium};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// What a direction of a link does to frames. All zero is a perfect link of no length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairments {
    /// One-way delay of every frame.
    pub delay: Duration,
    /// Each frame is up to this much later or (never before it was sent) earlier: alone enough to reorder.
    pub jitter: Duration,
    /// Probability of being lost.
    pub loss: f64,
    /// Probability of arriving twice.
    pub duplicate: f64,
    /// Probability of being held back by up to [`held`](Self::held), so that later frames overtake.
    pub reorder: f64,
    /// How long a frame is held back at most, to be reordered.
    pub held: Duration,
    /// Probability of one flipped bit behind the link header (whose own check sum is not part of a frame here).
    pub corrupt: f64,
    /// Bits per second; none for no limit.
    pub rate: Option<u64>,
    /// Frames that wait for the rate at most; the next one is dropped. Zero for no limit.
    pub queue: usize,
}

/// What became of a frame that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It will arrive once, whole.
    Sent,
    /// It will arrive twice.
    Duplicated,
    /// It will arrive with this bit of this octet flipped.
    Corrupted {
        /// Offset in the frame.
        octet: usize,
        /// The bit's mask.
        mask: u8,
    },
    /// It was lost.
    Lost,
    /// The queue before the bottleneck was full.
    QueueFull,
}

/// How many frames met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that were offered.
    pub offered: u64,
    /// Frames that came out.
    pub delivered: u64,
    /// See [`Fate::Lost`].
    pub lost: u64,
    /// See [`Fate::QueueFull`].
    pub queue_full: u64,
    /// See [`Fate::Corrupted`].
    pub corrupted: u64,
    /// See [`Fate::Duplicated`].
    pub duplicated: u64,
}

/// One direction of a link, with the frames that are on it.
#[derive(Debug)]
pub struct Lane {
    impairments: Impairments,
    random: Random,
    medium: Medium,
    /// When the bottleneck has sent what it has accepted.
    free_at: Instant,
    /// When each frame that waits for the bottleneck leaves it.
    waiting: VecDeque<Instant>,
    flying: BinaryHeap<Reverse<Flying>>,
    order: u64,
    tally: Tally,
}

#[derive(Debug)]
struct Flying {
    at: Instant,
    order: u64,
    frame: Frame,
}

impl Lane {
    /// A direction with nothing on it.
    pub const fn new(medium: Medium, impairments: Impairments, random: Random) -> Self {
        Self {
            impairments,
            random,
            medium,
            free_at: Instant::ZERO,
            waiting: VecDeque::new(),
            flying: BinaryHeap::new(),
            order: 0,
            tally: Tally {
                offered: 0,
                delivered: 0,
                lost: 0,
                queue_full: 0,
                corrupted: 0,
                duplicated: 0,
            },
        }
    }

    /// Changes what happens to frames from now on.
    pub fn set_impairments(&mut self, impairments: Impairments) {
        self.impairments = impairments;
    }

    /// Sends a frame. It must be complete: no checksum to fill in, no train to cut.
    pub fn offer(&mut self, now: Instant, mut frame: Frame) -> Fate {
        self.tally.offered += 1;
        let Some(leaves) = self.pass_bottleneck(now, frame.total_len()) else {
            self.tally.queue_full += 1;
            return Fate::QueueFull;
        };
        let random = &mut self.random;
        let it = &self.impairments;
        if random.chance(it.loss) {
            self.tally.lost += 1;
            return Fate::Lost;
        }
        let mut fate = Fate::Sent;
        if random.chance(it.corrupt) {
            let (octet, mask) = flip(&mut frame, self.medium, random);
            fate = Fate::Corrupted { octet, mask };
            self.tally.corrupted += 1;
        }
        if random.chance(it.duplicate) {
            self.tally.duplicated += 1;
            if fate == Fate::Sent {
                fate = Fate::Duplicated;
            }
            let copy = frame.clone();
            self.fly(leaves, copy);
        }
        self.fly(leaves, frame);
        fate
    }

    /// When a frame of `len` octets has left the bottleneck; none if its queue is full.
    fn pass_bottleneck(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.impairments.rate else {
            return Some(now);
        };
        while self.waiting.front().is_some_and(|leaves| *leaves <= now) {
            self.waiting.pop_front();
        }
        if self.impairments.queue > 0 && self.waiting.len() > self.impairments.queue {
            return None;
        }
        let nanos = (len as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
        let leaves = self.free_at.max(now) + Duration::from_nanos(nanos as u64);
        self.free_at = leaves;
        self.waiting.push_back(leaves);
        Some(leaves)
    }

    fn fly(&mut self, leaves: Instant, frame: Frame) {
        let it = &self.impairments;
        let random = &mut self.random;
        let mut at = leaves + it.delay;
        if !it.jitter.is_zero() {
            at = (at + random.up_to(it.jitter * 2) - it.jitter).max(leaves);
        }
        if random.chance(it.reorder) {
            at += random.up_to(it.held);
        }
        self.order += 1;
        let order = self.order;
        self.flying.push(Reverse(Flying { at, order, frame }));
    }

    /// Takes the next frame that has arrived by `now`.
    pub fn arrive(&mut self, now: Instant) -> Option<Frame> {
        if self.flying.peek()?.0.at > now {
            return None;
        }
        self.tally.delivered += 1;
        self.flying.pop().map(|Reverse(flying)| flying.frame)
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.peek().map(|Reverse(flying)| flying.at)
    }

    /// What became of all frames so far.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many frames are on their way.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }
}

impl Tally {
    /// Whether every frame offered is accounted for, `in_flight` of them being on their way.
    pub const fn adds_up(&self, in_flight: usize) -> bool {
        self.offered + self.duplicated == self.delivered + self.lost + self.queue_full + in_flight as u64
    }
}

/// Flips one bit behind the link header.
fn flip(frame: &mut Frame, medium: Medium, random: &mut Random) -> (usize, u8) {
    let link_header = match medium {
        Medium::Ethernet => 14,
        Medium::Ip => 0,
    };
    let mut octets = frame.to_vec();
    let octet = link_header + random.below(octets.len().saturating_sub(link_header) as u64) as usize;
    let mask = 1 << random.below(8);
    if let Some(target) = octets.get_mut(octet) {
        *target ^= mask;
    }
    *frame = crate::frames::from_octets(medium, octets);
    (octet, mask)
}

impl PartialEq for Flying {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Flying {}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flying {
    /// By arrival, and by the order of sending where that is the same.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: u32 = 10_000;

    /// What comes out of a lane into which numbered frames were put, one each microsecond: when, and which.
    fn pass(impairments: Impairments, seed: u64) -> (Lane, Vec<(Instant, Vec<u8>)>) {
        let mut lane = Lane::new(Medium::Ip, impairments, Random::new(seed));
        for number in 0..FRAMES {
            let frame = crate::frames::from_octets(Medium::Ip, number.to_be_bytes().to_vec());
            lane.offer(Instant::from_micros(number.into()), frame);
        }
        let mut out = Vec::new();
        while let Some(at) = lane.next_arrival() {
            let frame = lane.arrive(at).expect("an arrival was announced");
            out.push((at, frame.to_vec()));
        }
        assert!(lane.tally().adds_up(0), "{:?}", lane.tally());
        (lane, out)
    }

    #[test]
    fn a_perfect_lane_delivers_in_order_after_its_delay() {
        let delay = Duration::from_millis(3);
        let (_, out) = pass(
            Impairments {
                delay,
                ..Impairments::default()
            },
            1,
        );
        let expected = (0..FRAMES).map(|n| (Instant::from_micros(n.into()) + delay, n.to_be_bytes().to_vec()));
        assert!(out.into_iter().eq(expected));
    }

    #[test]
    fn every_fault_happens_about_as_often_as_asked_and_the_same_for_the_same_seed() {
        let faults = Impairments {
            delay: Duration::from_millis(1),
            loss: 0.1,
            duplicate: 0.1,
            reorder: 0.1,
            held: Duration::from_millis(1),
            corrupt: 0.1,
            ..Impairments::default()
        };
        let (lane, out) = pass(faults.clone(), 1);
        let tally = lane.tally();
        let about_a_tenth = |n: u64| (800..1200).contains(&n);
        assert!(
            about_a_tenth(tally.lost) && about_a_tenth(tally.duplicated) && about_a_tenth(tally.corrupted),
            "{tally:?}"
        );
        let overtaken = out.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
        assert!(overtaken > 500, "{overtaken}");
        assert_eq!(out, pass(faults.clone(), 1).1);
        assert_ne!(out, pass(faults, 2).1);
    }

    #[test]
    fn the_rate_spaces_frames_and_the_queue_drops_the_rest() {
        // Four octets at 16 Mbit/s take two microseconds, twice the time between two frames.
        let slow = Impairments {
            rate: Some(16_000_000),
            queue: 10,
            ..Impairments::default()
        };
        let (lane, out) = pass(slow, 1);
        assert!(
            out.windows(2)
                .all(|pair| pair[1].0 - pair[0].0 >= Duration::from_micros(2))
        );
        let dropped = lane.tally().queue_full;
        assert!((4_900..=5_000).contains(&dropped), "{dropped}");
    }
}
