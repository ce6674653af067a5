//! What a run tells: the trace, and the line that did not come true.

use std::fmt;
use std::time::Duration;

/// What happened, in the words of a script.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    start: Duration,
    lines: Vec<(Duration, String)>,
    /// The ISN that the subject chose for flow 1.
    pub subject_isn: Option<u32>,
}

impl Trace {
    pub(crate) fn new(start: Duration) -> Self {
        Self {
            start,
            lines: Vec::new(),
            subject_isn: None,
        }
    }

    pub(crate) fn add(&mut self, at: Duration, text: &str) {
        self.lines.push((at.saturating_sub(self.start), text.into()));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = Duration::ZERO;
        for (at, text) in &self.lines {
            let since = at.saturating_sub(before);
            before = *at;
            writeln!(f, "  {:>12} {:>10}  {text}", time(*at), format!("+{}", time(since)))?;
        }
        Ok(())
    }
}

/// A time in the unit that suits it.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 1000 {
        format!("{micros}us")
    } else if micros < 1_000_000 {
        format!("{:.1}ms", micros as f64 / 1e3)
    } else {
        format!("{:.3}s", micros as f64 / 1e6)
    }
}

/// A script that did not come true.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The file below `scripts/`.
    pub file: String,
    /// The script.
    pub title: String,
    /// The line in the file.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// What was seen instead.
    pub message: String,
    /// What had happened until then.
    pub trace: Trace,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}.script:{}: {}", self.file, self.line, self.title)?;
        writeln!(f, "expected {}", self.text)?;
        writeln!(f, "{}", self.message)?;
        write!(f, "so far:\n{}", self.trace)
    }
}
