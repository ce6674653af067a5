//! A sample of the scripts against Linux, where network namespaces are permitted; all of them with
//! `cargo run -p prise-script -- linux`.

use prise_script::library;
use prise_script::linux::{self, Outcome};
use prise_script::script::{Action, Script, When};
use std::time::Duration;

/// Only scripts that wait no longer than this are in the sample.
const WAITING_MAX: Duration = Duration::from_millis(300);

fn waiting(script: &Script) -> Duration {
    let of = |when| match when {
        When::Now => Duration::ZERO,
        When::After { time, .. } => time,
        When::Between(_, max) => max,
    };
    script
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::Wait(time) => of(step.when) + *time,
            _ => of(step.when),
        })
        .sum()
}

#[test]
fn linux_agrees_with_a_sample() {
    if let Err(reason) = linux::probe() {
        println!("skipped: {reason}");
        return;
    }
    let program = env!("CARGO_BIN_EXE_prise-script");
    let sample: Vec<Script> = library::load()
        .expect("the scripts can be read")
        .into_iter()
        .filter(|script| script.not_on_linux.is_none() && waiting(script) <= WAITING_MAX)
        .step_by(4)
        .collect();
    let mut failures = Vec::new();
    linux::run_all(&sample, program, false, 8, 3, &mut |report| {
        if let Outcome::Failed(message) = &report.outcome {
            failures.push(message.clone());
        }
    });
    assert!(
        failures.is_empty(),
        "{} failed\n{}",
        failures.len(),
        failures.join("\n")
    );
}
