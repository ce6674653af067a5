//! `prise doctor`: what this machine lets prise do, and what to do where it does not.

use std::io::{self, Write};

use prise_run::probe::{Finding, findings, purpose};

/// Prints every finding. Whether programs can be run.
pub(crate) fn report(output: &mut impl Write) -> io::Result<bool> {
    let findings = findings();
    for finding in &findings {
        writeln!(output, "{:8} {}", word(finding), purpose(finding.feature))?;
        if let (Some(remedy), Some(error)) = (finding.remedy(), &finding.missing) {
            writeln!(output, "         {remedy} ({error})")?;
        }
    }
    let healthy = !findings.iter().any(Finding::is_fatal);
    let verdict = if healthy {
        "programs can be run here"
    } else {
        "no program can be run here: see what is missing"
    };
    writeln!(output, "{verdict}")?;
    Ok(healthy)
}

fn word(finding: &Finding) -> &'static str {
    match (&finding.missing, finding.is_fatal()) {
        (None, _) => "ok",
        (Some(_), false) => "without",
        (Some(_), true) => "missing",
    }
}
