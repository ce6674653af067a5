//! The least round trip of ProbeRTT (§5.3.4 of the draft), and whether it is known to be that of the empty path.
//!
//! The draft drains the path every five seconds to see it. A flow that is alone sees it anyway: each of its probes makes a queue, and
//! the round trip is back at the least when that queue is gone. So ProbeRTT is left out as long as that goes on, and a flow that is
//! alone does not lose two of a hundred. Who came to a queue that others keep full sees no such thing, however steady its round trip
//! is: it drains with the others, and until the least is known it takes each loss for one of a queue, as the draft does.

use core::time::Duration;

use prise_wire::Instant;

use super::PROBE_RTT_INTERVAL;

/// A round trip that exceeds the least by so small a part of it is as good.
const NEARLY: u32 = 64;
/// One that exceeds it by no more is told apart from one with a queue, on a host that is busy, too.
const GONE: u32 = 16;
/// So many times that much shows a queue of our own: less comes and goes in a queue that others keep full.
const CAME: u32 = 3;
/// One that exceeds it by this part would show a queue.
const QUEUE: u32 = 8;
/// By so little falls the round trip of a path without a queue when half of what is in flight is held back.
const STEADY: u32 = 32;

#[derive(Debug)]
pub(super) struct Least {
    /// `BBR.probe_rtt_min_delay`, `probe_rtt_min_stamp`.
    pub(super) rtt: Duration,
    pub(super) at: Instant,
    /// The least round trips of this round and of the one before.
    floors: [Duration; 2],
    /// A probe of ours has made one since it was last seen to be gone.
    queue_came: bool,
    /// Whether `rtt` is known to be the empty path's; `None` as long as that could not be.
    pub(super) known: Option<bool>,
    /// The round trip at which ProbeRTT began.
    drained_from: Duration,
}

impl Least {
    pub(super) fn new() -> Self {
        Self {
            rtt: Duration::MAX,
            at: Instant::ZERO,
            floors: [Duration::MAX; 2],
            queue_came: false,
            known: None,
            drained_from: Duration::ZERO,
        }
    }

    /// A round trip was measured; `unit` is what the segments that leave together take, `filling` says that what is in flight is a
    /// probe of ours, or drains after one. Answers whether the path has to be drained to be seen.
    pub(super) fn on_rtt(
        &mut self,
        now: Instant,
        rtt: Duration,
        unit: Duration,
        filling: bool,
        round_start: bool,
    ) -> bool {
        if round_start {
            self.floors = [Duration::MAX, self.floors[0]];
        }
        self.floors[0] = self.floors[0].min(rtt);
        let least = self.rtt;
        // Of a small share of the path that would be as long as the queue.
        let unit = unit.min(least / QUEUE);
        let gone = unit.max(least / GONE);
        self.queue_came |= filling && rtt > least.saturating_add(gone * CAME);
        if self.queue_came && rtt <= least.saturating_add(gone) {
            self.known = Some(true);
            if rtt <= least.saturating_add(unit.max(least / NEARLY)) {
                self.queue_came = false;
                self.at = now;
            }
        }
        let expired = now.saturating_since(self.at) > PROBE_RTT_INTERVAL;
        if rtt >= least && !expired {
            return false;
        }
        let first = least == Duration::MAX;
        if !first && (rtt > least || rtt < least / QUEUE * (QUEUE - 1)) {
            self.known = self.known.map(|_| false);
        }
        (self.rtt, self.at) = (rtt, now);
        expired && !first
    }

    /// Whether not one round trip of a whole round was free of a queue: the burst in which segments leave makes none that is kept.
    pub(super) fn keeps_queue(&self) -> bool {
        let floor = self.floors[0].min(self.floors[1]);
        floor != Duration::MAX && floor > self.rtt.saturating_add(self.rtt / NEARLY)
    }

    /// The flow has cruised, and no queue of its own has come and gone.
    pub(super) fn doubt(&mut self) {
        self.known.get_or_insert(false);
    }

    pub(super) fn start_draining(&mut self) {
        self.drained_from = self.rtt;
    }

    /// The path was drained of half of what we had in flight.
    pub(super) fn drained(&mut self, now: Instant) {
        self.at = now;
        if self.rtt.saturating_add(self.drained_from / STEADY) >= self.drained_from {
            self.known = Some(true);
        }
    }
}
