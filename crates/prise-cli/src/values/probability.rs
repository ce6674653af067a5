//! Percentages.

use core::fmt;

use prise_run::config::Probability;

use super::number::split_unit;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ProbabilityError {
    NotANumber,
    /// 0.01 could be one in a hundred or one in ten thousand.
    NoPercentSign,
    MoreThanAlways,
}

impl fmt::Display for ProbabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a percentage; write a number and a percent sign, such as 1%",
            Self::NoPercentSign => "a percentage needs its sign; write 1% for one packet in a hundred",
            Self::MoreThanAlways => "more than every packet; write at most 100%",
        })
    }
}

impl core::error::Error for ProbabilityError {}

/// `1%`, `0.1%`.
pub(crate) fn probability(text: &str) -> Result<Probability, ProbabilityError> {
    let (percent, unit) = split_unit(text).ok_or(ProbabilityError::NotANumber)?;
    match unit {
        "%" => Probability::new(percent / 100.0).ok_or(ProbabilityError::MoreThanAlways),
        "" if percent == 0.0 => Ok(Probability::NEVER),
        "" => Err(ProbabilityError::NoPercentSign),
        _ => Err(ProbabilityError::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_share_of_all_packets() {
        for (text, share) in [("0", 0.0), ("0%", 0.0), ("1%", 0.01), ("0.1%", 0.001), ("100%", 1.0)] {
            assert_eq!(probability(text).map(Probability::share), Ok(share), "{text}");
        }
    }

    #[test]
    fn what_is_no_percentage_is_refused_with_its_reason() {
        for (text, error) in [
            ("", ProbabilityError::NotANumber),
            ("some", ProbabilityError::NotANumber),
            ("-1%", ProbabilityError::NotANumber),
            ("1%%", ProbabilityError::NotANumber),
            ("0.01", ProbabilityError::NoPercentSign),
            ("100.1%", ProbabilityError::MoreThanAlways),
        ] {
            assert_eq!(probability(text), Err(error), "{text}");
        }
    }
}
