//! Every script against our stack.

use prise_script::library;
use prise_script::ours::Ours;
use prise_script::run::{self, Variant};

fn run_all(ipv6: bool, isn: impl Fn(&prise_script::script::Script) -> u32, seed: u8) {
    let scripts = library::load().expect("the scripts can be read");
    let mut failures = Vec::new();
    for script in scripts.iter().filter(|script| script.not_on_ours.is_none()) {
        let variant = Variant { ipv6, isn: isn(script) };
        if let Err(failure) = run::run(script, &mut Ours::new(script, ipv6, seed), variant) {
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
    run_all(false, |script| library::isn(script, 0), 1);
}

#[test]
fn every_script_comes_true_over_ipv6() {
    run_all(true, |script| library::isn(script, 1), 2);
}

#[test]
fn every_script_comes_true_where_the_peers_numbers_wrap() {
    run_all(false, |_| 0xfeff_ff00, 3);
}
