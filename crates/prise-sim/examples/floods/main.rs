//! What floods do to legitimate connections: goodput kept, cost of a frame, memory.
//!
//! ```console
//! $ cargo run --release -p prise-sim --example floods            # a million frames of each kind
//! $ cargo run --release -p prise-sim --example floods -- 100000  # fewer
//! ```

mod flood;

use flood::{KINDS, Kind, Outcome};
use prise_sys::heap::CountingAllocator;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::new();

/// Frames of the flood in a virtual millisecond: 100,000 a second, eight times as many as the legitimate ones.
const RATE: u64 = 100;

fn main() {
    let frames: u64 = std::env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(1_000_000);
    let ticks = frames / RATE;
    let heap = || HEAP.in_use();
    let quiet = flood::run(Kind::None, ticks, 0, &heap);
    println!("flood            frames   goodput    ns/frame  CPU share  answers/frame  heap MiB  charged MiB");
    print(Kind::None, &quiet, &quiet, ticks);
    for kind in KINDS {
        let outcome = flood::run(kind, ticks, RATE, &heap);
        print(kind, &outcome, &quiet, ticks);
    }
}

fn print(kind: Kind, outcome: &Outcome, quiet: &Outcome, ticks: u64) {
    let kept = 100.0 * outcome.goodput as f64 / quiet.goodput as f64;
    let frames = outcome.frames.max(1) as f64;
    let extra = outcome.cpu.saturating_sub(quiet.cpu).as_nanos() as f64 / frames;
    let share = 100.0 * outcome.cpu.as_secs_f64() / (ticks as f64 / 1000.0);
    let mib = |octets: f64| octets / f64::from(1 << 20);
    println!(
        "{:<15} {:>8} {:>8.1} % {:>10.0} {:>8.1} % {:>14.3} {:>9.1} {:>12.1}",
        format!("{kind:?}"),
        outcome.frames,
        kept,
        extra,
        share,
        outcome.answers as f64 / frames,
        mib(outcome.heap_peak as f64),
        mib(outcome.memory.peak as f64),
    );
}
