//! One account of the memory that waiting octets hold, for the whole stack: send queues, receive queues, what waits behind
//! holes, half-open connections, datagrams (Linux's `tcp_mem` and `udp_mem`, tcp(7), in one).
//!
//! Whatever holds octets owns a [`Charge`] and tells it how much memory it holds, not how many octets it shows; the charge
//! gives its part back when it is dropped, so that nothing that goes can be forgotten. Every question costs the same,
//! however many connections there are:
//!
//! - up to `pressure` everybody grows as the measurements say;
//! - above it, until `low` is reached again, nobody may hold more than a [share](Memory::share) of what is left, which
//!   shrinks as the rest does (dynamic thresholds, Choudhury and Hahne 1998): queues that are read stay short and go on,
//!   those that nobody reads stop growing;
//! - above `high` a connection has [`SHARE_MIN`] octets each way, no new ones are taken in, and the oldest orphans are reset.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What the stack may hold, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Below this, pressure is over.
    pub low: u64,
    /// Above this, nobody grows freely any more.
    pub pressure: u64,
    /// Above this, what is new is refused.
    pub high: u64,
    /// Connections that their programs have closed and that still live (Linux's `tcp_max_orphans`); one more, and the
    /// oldest is reset.
    pub orphans: u32,
    /// Half-open connections of one listener (Linux's `tcp_max_syn_backlog`); further requests are answered by cookies.
    pub syn_backlog: u32,
}

impl Default for MemoryBudget {
    /// A quarter, three eighths and half a GiB: what a machine of a few GiB can spare for one program, and enough for some
    /// dozens of connections at full speed over the longest paths, or some thousands that nobody reads.
    fn default() -> Self {
        Self {
            low: 256 << 20,
            pressure: 384 << 20,
            high: 512 << 20,
            orphans: 16_384,
            syn_backlog: 4096,
        }
    }
}

/// How much of the budget is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// The budget.
    pub budget: MemoryBudget,
    /// Octets of memory held now.
    pub used: u64,
    /// The most that ever was.
    pub peak: u64,
    /// Whether the stack is under pressure.
    pub pressure: bool,
    /// How often it came under pressure (Linux's `TCPMemoryPressures`).
    pub pressures: u64,
}

/// What everybody always may hold, each way, so that who is read, or heard, at once goes on at speed while others hold what
/// they will not let go. (Linux's `tcp_rmem[0]` is 4096, which under a flood of slow readers left a third of the goodput.)
pub(crate) const SHARE_MIN: u32 = 16_384;
/// Under pressure nobody may hold more than this part of what is left.
const SHARE: u64 = 8;

/// The stack is behind one `&mut`, so nobody counts at the same time: the atomics only let it move between threads.
#[derive(Debug)]
struct Pool {
    budget: MemoryBudget,
    used: AtomicU64,
    peak: AtomicU64,
    pressure: AtomicBool,
    pressures: AtomicU64,
}

/// The account.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Pool>);

impl Memory {
    pub(crate) fn new(budget: MemoryBudget) -> Self {
        Self(Arc::new(Pool {
            budget,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            pressure: AtomicBool::new(false),
            pressures: AtomicU64::new(0),
        }))
    }

    pub(crate) fn usage(&self) -> MemoryUse {
        let pool = &*self.0;
        MemoryUse {
            budget: pool.budget,
            used: pool.used.load(Relaxed),
            peak: pool.peak.load(Relaxed),
            pressure: pool.pressure.load(Relaxed),
            pressures: pool.pressures.load(Relaxed),
        }
    }

    pub(crate) fn orphans_max(&self) -> usize {
        self.0.budget.orphans as usize
    }

    pub(crate) fn syn_backlog(&self) -> u32 {
        self.0.budget.syn_backlog
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.used.load(Relaxed) > self.0.budget.high
    }

    pub(crate) fn is_under_pressure(&self) -> bool {
        self.0.pressure.load(Relaxed)
    }

    /// What one holder may hold now.
    pub(crate) fn share(&self) -> u32 {
        if !self.is_under_pressure() {
            return u32::MAX;
        }
        let left = self.0.budget.high.saturating_sub(self.0.used.load(Relaxed));
        u32::try_from(left / SHARE).unwrap_or(u32::MAX).max(SHARE_MIN)
    }

    fn exchange(&self, before: u32, after: u32) {
        let pool = &*self.0;
        let used = (pool.used.load(Relaxed) + u64::from(after)).saturating_sub(u64::from(before));
        pool.used.store(used, Relaxed);
        if used > pool.peak.load(Relaxed) {
            pool.peak.store(used, Relaxed);
        }
        if used > pool.budget.pressure {
            if !pool.pressure.swap(true, Relaxed) {
                pool.pressures.store(pool.pressures.load(Relaxed) + 1, Relaxed);
            }
        } else if used < pool.budget.low {
            pool.pressure.store(false, Relaxed);
        }
    }
}

/// What one holder has been charged.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    memory: Option<Memory>,
    octets: u32,
}

impl Charge {
    pub(crate) fn of(memory: &Memory) -> Self {
        Self {
            memory: Some(memory.clone()),
            octets: 0,
        }
    }

    /// The holder holds so many octets of memory now.
    pub(crate) fn hold(&mut self, memory: &Memory, octets: u32) {
        if octets != self.octets {
            memory.exchange(self.octets, octets);
            self.octets = octets;
            if self.memory.is_none() {
                self.memory = Some(memory.clone());
            }
        }
    }

    /// The same, for a holder that knows its account.
    pub(crate) fn set(&mut self, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        if let Some(memory) = &self.memory {
            memory.exchange(self.octets, octets);
        }
        self.octets = octets;
    }

    pub(crate) fn is_under_pressure(&self) -> bool {
        self.memory.as_ref().is_some_and(Memory::is_under_pressure)
    }

    /// What the holder may hold now.
    pub(crate) fn share(&self) -> u32 {
        self.memory.as_ref().map_or(u32::MAX, Memory::share)
    }

    /// Whether the holder may grow by so much.
    pub(crate) fn may_grow(&self, octets: u32) -> bool {
        self.octets == 0 || self.octets.saturating_add(octets) <= self.share()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.exchange(self.octets, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Memory {
        Memory::new(MemoryBudget {
            low: 1 << 20,
            pressure: 2 << 20,
            high: 4 << 20,
            orphans: 1,
            syn_backlog: 1,
        })
    }

    #[test]
    fn a_charge_gives_its_part_back_when_it_goes() {
        let memory = small();
        let mut charge = Charge::default();
        charge.hold(&memory, 1000);
        charge.hold(&memory, 300);
        assert_eq!((memory.usage().used, memory.usage().peak), (300, 1000));
        drop(charge);
        assert_eq!(memory.usage().used, 0);
    }

    #[test]
    fn pressure_begins_above_its_mark_and_ends_below_the_low_one() {
        let memory = small();
        let mut charge = Charge::of(&memory);
        for (octets, expected) in [(2 << 20, false), ((2 << 20) + 1, true), (3 << 19, true), (1000, false)] {
            charge.set(octets);
            assert_eq!(memory.is_under_pressure(), expected, "{octets}");
        }
        assert_eq!(memory.usage().pressures, 1);
    }

    #[test]
    fn a_share_shrinks_with_what_is_left_down_to_the_least_that_everybody_has() {
        let memory = small();
        let mut hog = Charge::of(&memory);
        assert_eq!(memory.share(), u32::MAX);
        hog.set(3 << 20);
        assert_eq!(memory.share(), 1 << 17);
        assert!(!hog.may_grow(1));
        assert!(Charge::of(&memory).may_grow(64 << 10));
        hog.set(5 << 20);
        assert!(memory.is_exhausted());
        assert_eq!(memory.share(), SHARE_MIN);
        assert!(
            Charge::of(&memory).may_grow(100_000),
            "who holds nothing may always take one"
        );
    }
}
