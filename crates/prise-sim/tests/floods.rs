//! The floods in small: `cargo run --release -p prise-sim --example floods` is the whole.

#[path = "../examples/floods/flood.rs"]
mod flood;

use flood::{KINDS, Kind};

#[test]
fn legitimate_connections_keep_their_goodput_under_every_flood() {
    let quiet = flood::run(Kind::None, 400, 0, &|| 0);
    assert!(quiet.goodput > 4_000_000, "{quiet:?}");
    for kind in KINDS {
        let outcome = flood::run(kind, 400, 50, &|| 0);
        assert_eq!(outcome.frames, 20_000, "{kind:?}");
        assert!(
            10 * outcome.goodput >= 8 * quiet.goodput,
            "{kind:?}: {outcome:?} beside {quiet:?}"
        );
        let budget = outcome.memory.budget;
        // A connection may always hold 16 KiB.
        assert!(
            outcome.memory.peak <= budget.high + 8004 * 16_384,
            "{kind:?}: {outcome:?}"
        );
        let answered_once = outcome.answers <= outcome.frames + 10_000;
        assert!(
            answered_once && outcome.cpu.as_nanos() > 0 && outcome.heap_peak == 0,
            "{kind:?}: {outcome:?}"
        );
    }
}
