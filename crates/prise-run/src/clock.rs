//! The supervisor's clock: `CLOCK_MONOTONIC`, as the stack's instants count it.

use prise_wire::Instant;

/// Now. Counted from the machine's start, never going back.
pub(crate) fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
