//! The command `prise`: text in, typed values out, and what became of them in words and an exit status.
#![forbid(unsafe_code)]

mod args;
mod doctor;
mod log;
mod ss;
mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command, Run, Ss};

/// What POSIX utilities exit with when they are called wrongly.
const USAGE: u8 = 2;
/// prise itself failed, as env(1) and timeout(1) number it.
const FAILED: u8 = 125;
/// Names that the product has fixed for tools to come.
const LATER: [&str; 9] = [
    "top",
    "lab",
    "ping",
    "traceroute",
    "nc",
    "scan",
    "dump",
    "serve",
    "bench",
];

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli {
            command: Command::Run(run),
        }) => self::run(*run),
        Ok(Cli {
            command: Command::Ss(ss),
        }) => self::ss(&ss),
        Ok(Cli {
            command: Command::Doctor,
        }) => doctor(),
        Ok(Cli {
            command: Command::Other(words),
        }) => unknown(&words),
        Err(error) => usage(&error),
    }
}

/// prise's own words: on standard error, one line, with its name in front.
fn say(message: impl core::fmt::Display) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "prise: {message}");
}

fn run(run: Run) -> ExitCode {
    if let Some(level) = run.log
        && let Err(error) = log::start(level, run.log_file.as_deref())
    {
        say(format_args!(
            "the log file cannot be written ({error}); name another for --log-file"
        ));
        return ExitCode::from(FAILED);
    }
    let config = match run.config() {
        Ok(config) => config,
        Err(refusal) => {
            say(refusal);
            return ExitCode::from(USAGE);
        }
    };
    match prise_run::run(&config) {
        Ok(exit) => ExitCode::from(exit.pass_on()),
        Err(error) => {
            say(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn ss(ss: &Ss) -> ExitCode {
    let uid = rustix::process::geteuid().as_raw();
    let answers = match ss::ask_all(uid) {
        Ok(answers) => answers,
        Err(error) => {
            say(format_args!(
                "the list of runs cannot be read from /proc/net/unix: {error}"
            ));
            return ExitCode::from(FAILED);
        }
    };
    if let Err(error) = print_reports(&answers.reports, ss) {
        // Whoever reads through head(1) has seen enough.
        if error.kind() != io::ErrorKind::BrokenPipe {
            say(format_args!("standard output cannot be written: {error}"));
        }
        return ExitCode::FAILURE;
    }
    for (supervisor, error) in &answers.silent {
        say(format_args!(
            "the run with pid {supervisor} does not answer ({error}); is it stopped?"
        ));
    }
    if answers.reports.is_empty() && answers.silent.is_empty() {
        say("nothing runs; start something with: prise run -- PROGRAM");
    }
    if answers.silent.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn doctor() -> ExitCode {
    match doctor::report(&mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("standard output cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn print_reports(reports: &[prise_run::report::Report], how: &Ss) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    if how.json {
        serde_json::to_writer_pretty(&mut output, reports)?;
        writeln!(output)?;
    } else if how.summary {
        ss::write_summary(reports, &mut output)?;
    } else {
        ss::write_table(reports, &mut output)?;
    }
    output.flush()
}

fn unknown(words: &[OsString]) -> ExitCode {
    let word = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    if LATER.contains(&&*word) {
        say(format_args!(
            "`prise {word}` is not available in this version; there are `prise run`, `prise ss` and `prise doctor`"
        ));
    } else {
        say(format_args!(
            "{word:?} is not a command; to run a program write: prise run -- {word}"
        ));
    }
    ExitCode::from(USAGE)
}

/// clap's own words behind our name; help and version, which were asked for, go to standard output as they are.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(USAGE)
        }
        _ => {
            // A program of that name is not what anybody means who writes an option that does not exist.
            let lines = text
                .split_inclusive('\n')
                .filter(|line| !line.contains("tip: to pass '"));
            let text: String = lines.collect();
            let text = text.replace("\n\n\n", "\n\n");
            say(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
            ExitCode::from(USAGE)
        }
    }
}
