//! `prise-script`: runs segment scripts against our stack or against Linux.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use prise_script::library;
use prise_script::linux::{self, Outcome};
use prise_script::ours::Ours;
use prise_script::run::{self, Variant};
use prise_script::script::Script;

const USAGE: &str = "\
usage: prise-script ours  [-6] [-v] [FILTER…]           against our stack, in virtual time
       prise-script linux [-6] [-v] [-j JOBS] [-r RETRIES] [FILTER…]   against this kernel, in namespaces
       prise-script list  [FILTER…]
       prise-script docs                                writes docs/linux.md and docs/rfc.md
FILTER is a part of `file: title`; -v shows what happened.
";

#[derive(Debug)]
struct Options {
    ipv6: bool,
    verbose: bool,
    jobs: usize,
    retries: usize,
    filters: Vec<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    if command == "child" {
        return child(&rest);
    }
    if command == "docs" {
        return docs();
    }
    let (Some(options), true) = (read(&rest), matches!(command.as_str(), "ours" | "linux" | "list")) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let scripts = match library::load() {
        Ok(scripts) => scripts,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let wanted = |script: &Script| options.wants(script) && script.suits(options.ipv6);
    let chosen: Vec<Script> = scripts.into_iter().filter(wanted).collect();
    match command.as_str() {
        "list" => {
            for script in &chosen {
                println!("{}", script.name());
            }
            ExitCode::SUCCESS
        }
        "ours" => ours(&chosen, &options),
        _ => on_linux(&chosen, &options),
    }
}

impl Options {
    fn wants(&self, script: &Script) -> bool {
        let name = script.name();
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

fn read(arguments: &[String]) -> Option<Options> {
    let mut options = Options {
        ipv6: false,
        verbose: false,
        jobs: 32,
        retries: 2,
        filters: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-6" => options.ipv6 = true,
            "-v" => options.verbose = true,
            "-j" => options.jobs = arguments.next()?.parse().ok()?,
            "-r" => options.retries = arguments.next()?.parse().ok()?,
            flag if flag.starts_with('-') => return None,
            filter => options.filters.push(filter.into()),
        }
    }
    Some(options)
}

fn docs() -> ExitCode {
    match prise_script::docs::write() {
        Ok(written) => {
            for path in written {
                println!("wrote {path}");
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn ours(scripts: &[Script], options: &Options) -> ExitCode {
    let mut failed = 0;
    for script in scripts {
        if let Some(reason) = &script.not_on_ours {
            println!("skipped {}: {reason}", script.name());
            continue;
        }
        let variant = Variant {
            ipv6: options.ipv6,
            isn: library::isn(script, 0),
        };
        let mut subject = Ours::new(script, options.ipv6, 1);
        match run::run(script, &mut subject, variant) {
            Ok(trace) if options.verbose => println!("ok      {}\n{trace}", script.name()),
            Ok(_) => {}
            Err(failure) => {
                failed += 1;
                println!("FAILED  {failure}");
            }
        }
    }
    finish(scripts.len(), failed)
}

fn on_linux(scripts: &[Script], options: &Options) -> ExitCode {
    if let Err(reason) = linux::probe() {
        println!("skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let Ok(program) = std::env::current_exe() else {
        eprintln!("where this program is cannot be told");
        return ExitCode::FAILURE;
    };
    let program = program.to_string_lossy();
    let mut failed = 0;
    let Options {
        ipv6, jobs, retries, ..
    } = *options;
    linux::run_all(scripts, &program, ipv6, jobs, retries, &mut |report| {
        let script = &scripts[report.index];
        match &report.outcome {
            Outcome::Passed if options.verbose => println!("ok      {}\n{}", script.name(), report.output),
            Outcome::Passed => {}
            Outcome::Skipped(reason) => println!("skipped {}: {reason}", script.name()),
            Outcome::Failed(message) => {
                failed += 1;
                println!("FAILED  {message}");
            }
        }
        let _closed = std::io::stdout().flush();
    });
    finish(scripts.len(), failed)
}

fn finish(all: usize, failed: usize) -> ExitCode {
    println!("{all} scripts, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One script in a namespace that was made for it: `child FILE LINE FAMILY`.
fn child(arguments: &[String]) -> ExitCode {
    let [file, line, family] = arguments else {
        return ExitCode::from(2);
    };
    let path = library::directory().join(format!("{file}.script"));
    let script = library::load_file(&path)
        .ok()
        .and_then(|scripts| scripts.into_iter().find(|script| script.line.to_string() == *line));
    let Some(script) = script else {
        eprintln!("no script at {file}:{line}");
        return ExitCode::from(2);
    };
    let variant = Variant {
        ipv6: family == "6",
        isn: library::isn(&script, 0),
    };
    match linux::run_here(&script, variant) {
        Ok(trace) => {
            print!("{trace}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprint!("{message}");
            ExitCode::FAILURE
        }
    }
}
