//! A run within a run. The kernel lets a process have one supervisor only, so the inner prise cannot have sockets of its
//! own to give; but its program has the outer run's already.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::guest::status_field;
use crate::report;
use crate::start::config::RunConfig;
use crate::start::outcome::RunError;

/// Ancestors that are looked at: more than any process has.
const ANCESTORS_MAX: usize = 1024;

/// The supervisor of the run that this process is part of.
fn outer() -> Option<u32> {
    // Most processes have no filter, and are spared the search.
    if status_field("self", "Seccomp:")? != "2" {
        return None;
    }
    let running = report::running(rustix::process::geteuid().as_raw()).unwrap_or_default();
    let mut process = std::process::id();
    for _ in 0..ANCESTORS_MAX {
        process = status_field(process, "PPid:")?.parse().ok()?;
        if running.contains(&process) {
            return Some(process);
        }
        if process <= 1 {
            return None;
        }
    }
    None
}

/// Within another run, becomes the program, unless more was asked for than the outer run gives.
pub(crate) fn join_outer(config: &RunConfig) -> Result<(), RunError> {
    let Some(supervisor) = outer() else { return Ok(()) };
    let mut plain = RunConfig::new(config.program.clone());
    plain.args.clone_from(&config.args);
    plain.impairment.seed = config.impairment.seed;
    if *config != plain {
        return Err(RunError::Nested { supervisor });
    }
    let error = Command::new(&config.program).args(&config.args).exec();
    Err(crate::start::program::exec_error(config, error))
}
