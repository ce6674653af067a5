//! Every script against our stack.

use prise_script::library;
use prise_script::ours::{self, Ours};
use prise_script::run::{self, Variant};
use prise_script::script::Script;
use std::time::Duration;

/// Runs all scripts that suit; the start of virtual time may depend on the script.
fn run_all(ipv6: bool, isn: impl Fn(&Script) -> u32, seed: u8, start: impl Fn(&Script, Variant) -> Duration) {
    let scripts = library::load().expect("the scripts can be read");
    let mut failures = Vec::new();
    let suitable = |script: &&Script| script.not_on_ours.is_none() && script.suits(ipv6);
    for script in scripts.iter().filter(suitable) {
        let variant = Variant { ipv6, isn: isn(script) };
        let start = start(script, variant);
        if let Err(failure) = run::run(script, &mut Ours::starting_at(script, ipv6, seed, start), variant) {
            failures.push(failure.to_string());
        }
    }
    assert!(
        failures.is_empty(),
        "{} failed\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_script_comes_true_over_ipv4() {
    run_all(false, |script| library::isn(script, 0), 1, |_, _| ours::START);
}

#[test]
fn every_script_comes_true_over_ipv6() {
    run_all(true, |script| library::isn(script, 1), 2, |_, _| ours::START);
}

#[test]
fn every_script_comes_true_where_the_peers_numbers_wrap() {
    run_all(false, |_| 0xfeff_ff00, 3, |_, _| ours::START);
}

#[test]
fn every_script_comes_true_where_our_numbers_wrap() {
    // RFC 6528: the ISN is a secret of the four-tuple plus a clock, here of 4.096 µs. At another time it is what we want.
    let start = |script: &Script, variant| {
        let trace = run::run(script, &mut Ours::new(script, false, 4), variant);
        let isn = trace.ok().and_then(|trace| trace.subject_isn).unwrap_or(0);
        let ticks = 0xffff_ff00_u32.wrapping_sub(isn);
        ours::START + Duration::from_nanos(u64::from(ticks) << 12)
    };
    run_all(false, |script| library::isn(script, 2), 4, start);
}
