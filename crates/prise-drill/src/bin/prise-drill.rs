//! `prise-drill [OPTIONS] FILE.pkt…`: runs packetdrill's scripts against a stack that packetdrill could load.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use prise_drill::pkt::{Plan, run};

const USAGE: &str = "usage: prise-drill [--library FILE.so] [--flags FLAGS] [-4|-6|-m] [-v] FILE.pkt...

Runs each script over IPv4 (over IPv6 with -6, over IPv4 by IPv6 sockets with -m), against the stack that is linked in or against FILE.so, which is loaded as
packetdrill loads it. Exits with 1 if a script failed.";

fn main() -> ExitCode {
    let mut plan = Plan::default();
    let mut verbose = false;
    let mut files = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--library" => plan.library = words.next().map(PathBuf::from),
            "--flags" => plan.flags = words.next().unwrap_or_default(),
            "-4" => plan.ipv6 = false,
            "-6" => plan.ipv6 = true,
            "-m" => plan.mapped = true,
            "-v" => verbose = true,
            other if !other.starts_with('-') => files.push(PathBuf::from(other)),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if files.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut failed = 0;
    for file in &files {
        let name = file.display();
        plan.folder = file.parent().map(PathBuf::from);
        let outcome = match std::fs::read_to_string(file) {
            Ok(text) => run(&text, &plan).map_err(|failure| failure.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(report) => {
                println!("ok {name}");
                if verbose {
                    for note in report.notes {
                        println!("   {name}:{note}");
                    }
                }
            }
            Err(reason) => {
                failed += 1;
                println!("FAILED {name}:{reason}");
            }
        }
    }
    println!("{} of {} scripts passed", files.len() - failed, files.len());
    ExitCode::from(u8::from(failed > 0))
}
