//! `prise run` without its command line: the integration tests' way in, and the smallest use of this crate.
//!
//! `run PROGRAM [ARGS...]`

use prise_run::{Exit, RunConfig};

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(program) = args.next() else {
        eprintln!("usage: run PROGRAM [ARGS...]");
        std::process::exit(125);
    };
    let mut config = RunConfig::new(program);
    config.args = args.collect();
    match prise_run::run(&config) {
        Ok(Exit::Code(code)) => std::process::exit(i32::from(code)),
        // As a shell tells it; the command itself ends by the same signal.
        Ok(Exit::Signal(signal)) => std::process::exit(128 + signal),
        Err(error) => {
            eprintln!("prise: {error}");
            std::process::exit(i32::from(error.exit_code()));
        }
    }
}
