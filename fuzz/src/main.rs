//! One binary for all targets; `PRISE_FUZZ_TARGET` names the one to run (see `fuzz/run`).
#![no_main]

mod arrival;
mod stack;
mod target;
mod view;
mod wire;

use std::sync::OnceLock;

/// Every target.
const TARGETS: &[&[target::Target]] = &[wire::TARGETS, stack::TARGETS, arrival::TARGETS, view::TARGETS];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    TARGET.get_or_init(chosen)(input);
});

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("PRISE_FUZZ_TARGET").unwrap_or_default();
    let mut targets = TARGETS.iter().copied().flatten();
    let Some((_, target)) = targets.clone().find(|(known, _)| *known == name) else {
        let known: Vec<_> = targets.by_ref().map(|(known, _)| *known).collect();
        eprintln!("PRISE_FUZZ_TARGET is {name:?}; the targets are: {}", known.join(" "));
        std::process::exit(2);
    };
    *target
}
