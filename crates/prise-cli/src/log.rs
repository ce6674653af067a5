//! `--log LEVEL`: what prise does, one line an event, for whoever debugs prise itself.

use core::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use clap::ValueEnum;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, Uptime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// From the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Begins to log; called once, before anything that could say something.
pub(crate) fn start(level: Level, file: Option<&Path>) -> io::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::from(level))
        .event_format(Line);
    match file {
        None => builder
            .with_writer(Mutex::new(Lines::new(io::stderr(), "standard error".to_owned())))
            .init(),
        Some(path) => {
            let lines = Lines::new(File::create(path)?, path.display().to_string());
            builder.with_writer(Mutex::new(lines)).init();
        }
    }
    Ok(())
}

/// Where lines go. That it cannot be written is told once, on standard error, and lines that cannot be are left out: the subscriber would
/// say each time that they cannot, and panic where standard error is what cannot be written.
struct Lines<W> {
    to: W,
    name: String,
    complained: bool,
}

impl<W: Write> Lines<W> {
    fn new(to: W, name: String) -> Self {
        Self {
            to,
            name,
            complained: false,
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self.to.write(octets) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                if !core::mem::replace(&mut self.complained, true) {
                    crate::say(format_args!("{}: the log is incomplete: {error}", self.name));
                }
                Ok(octets.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// `prise: 0.001234567s DEBUG prise_run::launch: …`: the prefix that all of prise's words have, then seconds since the start.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        to.write_str("prise: ")?;
        Uptime::default().format_time(&mut to)?;
        write!(to, " {} {}: ", metadata.level(), metadata.target())?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody() {
        let mut log = Lines::new(File::create("/dev/full").unwrap(), "/dev/full".to_owned());
        assert!(log.write_all(b"a line").is_ok() && log.complained);
    }
}
