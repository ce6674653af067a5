//! What became of a script.

use std::fmt;

/// Why a script failed, and at which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line of the script, counted from one.
    pub line: usize,
    /// What was wrong.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

/// What a script that passed has to say.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Things that were passed over: commands, code without Python.
    pub notes: Vec<String>,
}

/// A failure at a line.
pub(super) fn at(line: usize) -> impl Fn(String) -> Failure {
    move |reason| Failure { line, reason }
}
