//! The timer wheel: one for all of TCP, after Varghese and Lauck (1987), hierarchical.
//!
//! A timer is a node with a key. Moving a deadline later costs nothing here: the owner writes its own field,
//! lets the node fire early and puts it back. Insertion, removal and firing are O(1); nothing walks all timers.
//! Ticks are 2^16 ns; a level has 64 slots and a 64-bit map of those in use, so the next deadline is found by
//! counting zeros.

use alloc::vec::Vec;

use prise_wire::Instant;

/// One tick is 65.5 µs: well below the smallest protocol timer, and a power of two.
const TICK_SHIFT: u32 = 16;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Eight levels reach 2^(16+48) ns: all of `Instant`.
const LEVELS: usize = 8;
const NONE: u32 = u32::MAX;

/// A node's place in the wheel; its owner keeps it to move or cancel the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId(u32);

impl TimerId {
    /// No timer: what an owner holds while nothing is armed.
    pub(crate) const NONE: Self = Self(NONE);

    pub(crate) fn is_none(self) -> bool {
        self.0 == NONE
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    tick: u64,
    previous: u32,
    next: u32,
    /// `level << 8 | slot`, or `FREE`.
    place: u16,
}

const FREE: u16 = u16::MAX;

/// A hierarchical timer wheel over keys of 64 bits.
#[derive(Debug)]
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    free: u32,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    /// All ticks up to and including this one have fired.
    elapsed: u64,
    len: usize,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            elapsed: 0,
            len: 0,
        }
    }

    /// Timers that are armed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Arms a timer. It fires at the first `pop` whose `now` is at or after the deadline, rounded up to a tick.
    pub(crate) fn insert(&mut self, deadline: Instant, key: u64) -> TimerId {
        let index = if self.free == NONE {
            self.nodes.push(Node {
                key,
                tick: 0,
                previous: NONE,
                next: NONE,
                place: FREE,
            });
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            self.nodes[index as usize].key = key;
            index
        };
        self.len += 1;
        self.link(index, ticks(deadline));
        TimerId(index)
    }

    /// Moves an armed timer.
    pub(crate) fn reset(&mut self, id: TimerId, deadline: Instant) {
        debug_assert!(self.nodes[id.0 as usize].place != FREE, "the timer is armed");
        self.unlink(id.0);
        self.link(id.0, ticks(deadline));
    }

    /// Disarms a timer and forgets its node.
    pub(crate) fn cancel(&mut self, id: TimerId) {
        self.unlink(id.0);
        self.release(id.0);
    }

    /// The deadline of an armed timer, rounded up to a tick.
    pub(crate) fn deadline(&self, id: TimerId) -> Instant {
        instant(self.nodes[id.0 as usize].tick)
    }

    /// Takes one timer that is due and forgets its node; call until `None`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<u64> {
        let limit = now.as_nanos() >> TICK_SHIFT;
        loop {
            let (level, slot, start) = self.first()?;
            if start > limit {
                // Nothing is due; what lies between needs no visit.
                return None;
            }
            self.elapsed = self.elapsed.max(start);
            let index = self.heads[level][slot];
            if level == 0 {
                let key = self.nodes[index as usize].key;
                self.unlink(index);
                self.release(index);
                return Some(key);
            }
            self.cascade(level, slot);
        }
    }

    /// A bound: nothing fires before it, and at it something may (a slot of a higher level is spread then).
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.first().map(|(_, _, start)| instant(start))
    }

    /// The earliest slot in use: its level, number and first tick.
    fn first(&self) -> Option<(usize, usize, u64)> {
        // A lower level is always earlier than a higher one: its timers agree with `elapsed` in more digits.
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let slot = self.occupied[level].trailing_zeros() as usize;
            let shift = SLOT_BITS * level as u32;
            let above = self.elapsed.checked_shr(shift + SLOT_BITS).unwrap_or(0);
            let start = (above.checked_shl(SLOT_BITS).unwrap_or(0) | slot as u64) << shift;
            return Some((level, slot, start));
        }
        None
    }

    /// Spreads a slot of a higher level over the levels below it.
    fn cascade(&mut self, level: usize, slot: usize) {
        let mut index = self.heads[level][slot];
        self.heads[level][slot] = NONE;
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let next = self.nodes[index as usize].next;
            let tick = self.nodes[index as usize].tick;
            self.link(index, tick);
            index = next;
        }
    }

    fn link(&mut self, index: u32, tick: u64) {
        let tick = tick.max(self.elapsed);
        let differing = tick ^ self.elapsed;
        let level = if differing == 0 {
            0
        } else {
            (differing.ilog2() / SLOT_BITS) as usize
        };
        let slot = ((tick >> (SLOT_BITS * level as u32)) & (SLOTS as u64 - 1)) as usize;
        let head = self.heads[level][slot];
        let node = &mut self.nodes[index as usize];
        node.tick = tick;
        node.place = (level << 8 | slot) as u16;
        node.previous = NONE;
        node.next = head;
        if head != NONE {
            self.nodes[head as usize].previous = index;
        }
        self.heads[level][slot] = index;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let Node {
            previous, next, place, ..
        } = self.nodes[index as usize];
        let (level, slot) = ((place >> 8) as usize, (place & 0xff) as usize);
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous == NONE {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        } else {
            self.nodes[previous as usize].next = next;
        }
    }

    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.place = FREE;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
    }
}

/// The first tick that is not before `deadline`.
fn ticks(deadline: Instant) -> u64 {
    deadline.as_nanos().saturating_add((1 << TICK_SHIFT) - 1) >> TICK_SHIFT
}

fn instant(tick: u64) -> Instant {
    Instant::from_nanos(tick << TICK_SHIFT)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        let mut wheel = Wheel::new();
        wheel.insert(at(1000), 7);
        assert_eq!(wheel.pop(at(999)), None);
        assert_eq!(wheel.pop(at(1066)), Some(7));
        assert_eq!(wheel.pop(at(10_000_000)), None);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn timers_fire_in_the_order_of_a_sorted_list() {
        let mut wheel = Wheel::new();
        let mut expected: Vec<(u64, u64)> = Vec::new();
        let mut state = 0x1234_5678_9abc_def0_u64;
        for key in 0..5000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let micros = match key % 4 {
                0 => (state >> 33) % 500,
                1 => (state >> 33) % 100_000,
                2 => (state >> 33) % 10_000_000,
                _ => (state >> 33) % 10_000_000_000,
            };
            let id = wheel.insert(at(micros), key);
            if key % 7 == 0 {
                wheel.cancel(id);
            } else if key % 5 == 0 {
                wheel.reset(id, at(micros / 2));
                expected.push((ticks(at(micros / 2)), key));
            } else {
                expected.push((ticks(at(micros)), key));
            }
        }
        expected.sort_unstable();
        let mut fired = Vec::new();
        while let Some(deadline) = wheel.next_deadline() {
            while let Some(key) = wheel.pop(deadline) {
                fired.push((deadline.as_nanos() >> TICK_SHIFT, key));
            }
        }
        fired.sort_unstable();
        assert_eq!(fired, expected);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_pop() {
        let mut wheel = Wheel::new();
        wheel.insert(at(5_000_000), 1);
        assert_eq!(wheel.pop(at(6_000_000)), Some(1));
        wheel.insert(at(1), 2);
        assert_eq!(wheel.pop(at(6_000_000)), Some(2));
    }
}
