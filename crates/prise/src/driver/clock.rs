//! The one clock: the system's monotonic clock, counted from shortly before the first time anybody asked.

use prise_wire::Instant;
use std::sync::OnceLock;
use std::time::{self, Duration};

/// What the clock shows when it is first asked: not zero, so that "a while ago" can be said from the start.
const START: Instant = Instant::from_secs(1000);

fn origin() -> time::Instant {
    static ORIGIN: OnceLock<time::Instant> = OnceLock::new();
    *ORIGIN.get_or_init(time::Instant::now)
}

/// What time it is.
pub(crate) fn now() -> Instant {
    let origin = origin();
    START + time::Instant::now().saturating_duration_since(origin)
}

/// The same moment as the standard library says it; none if it is too far away for that, and so never comes.
pub(crate) fn to_std(at: Instant) -> Option<time::Instant> {
    if at < START {
        return Some(origin());
    }
    let after: Duration = at - START;
    origin().checked_add(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back_and_converts_there_and_back() {
        let before = time::Instant::now();
        let at = now();
        let after = time::Instant::now();
        let converted = to_std(at).expect("the present is not far away");
        assert!(before <= converted && converted <= after);
        assert!(now() >= at);
        assert!(to_std(Instant::ZERO).is_some());
    }
}
