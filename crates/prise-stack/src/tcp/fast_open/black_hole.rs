//! Paths on which connections opened this way vanish (RFC 7413 §4.1.3.1 asks clients to remember; Linux pauses Fast
//! Open as a whole, for twice as long each time).

use core::time::Duration;

use prise_wire::Instant;

/// The pause is doubled so many times at most.
const DOUBLINGS_MAX: u32 = 6;

/// Whether Fast Open pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlackHole {
    met_at: Instant,
    times: u32,
}

impl Default for BlackHole {
    fn default() -> Self {
        Self {
            met_at: Instant::ZERO,
            times: 0,
        }
    }
}

impl BlackHole {
    /// Whether nothing goes into SYNs now; `timeout` is the first pause, zero none.
    pub(super) fn pauses(&self, now: Instant, timeout: Duration) -> bool {
        self.was_met() && !timeout.is_zero() && now < self.met_at + timeout * (1 << (self.times - 1).min(DOUBLINGS_MAX))
    }

    /// Whether the last attempt ended in one.
    pub(super) fn was_met(&self) -> bool {
        self.times > 0
    }

    pub(super) fn meet(&mut self, now: Instant) {
        self.met_at = now;
        self.times = self.times.saturating_add(1);
    }

    pub(super) fn forget(&mut self) {
        self.times = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_black_hole_doubles_the_pause_until_data_flows_again() {
        let hour = Duration::from_secs(3600);
        let mut hole = BlackHole::default();
        let mut now = Instant::from_secs(1000);
        assert!(!hole.pauses(now, hour));
        for doubled in [1, 2, 4, 8, 16, 32, 64, 64] {
            hole.meet(now);
            assert!(hole.pauses(now + hour * doubled - Duration::from_secs(1), hour));
            assert!(!hole.pauses(now, Duration::ZERO), "switched off");
            now += hour * doubled;
            assert!(!hole.pauses(now, hour));
        }
        hole.forget();
        hole.meet(now);
        assert!(!hole.pauses(now + hour, hour));
    }
}
