//! Durations, with tc(8)'s unit names.

use core::fmt;
use core::time::Duration;

use super::number::split_unit;

/// A packet held back for longer than this is lost in all but name; the bound also keeps sums of deadlines in range.
const DURATION_MAX: Duration = Duration::from_hours(24);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DurationError {
    NotANumber,
    /// tc reads a bare number as microseconds, a person rarely does: no guess is right for both.
    NoUnit,
    UnknownUnit,
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a duration; write a number and a unit, such as 50ms",
            Self::NoUnit => "a duration needs a unit; write us, ms, s or min after the number, such as 50ms",
            Self::UnknownUnit => "unknown unit of time; write ns, us, ms, s or min, such as 50ms",
            Self::TooLong => "longer than a day; write a shorter one, such as 50ms",
        })
    }
}

impl core::error::Error for DurationError {}

/// `50ms`, `1.5s`, `200us`.
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    let (number, unit) = split_unit(text).ok_or(DurationError::NotANumber)?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "" if number == 0.0 => 1.0,
        "" => return Err(DurationError::NoUnit),
        "ns" | "nsec" | "nsecs" => 1e-9,
        "us" | "usec" | "usecs" | "µs" => 1e-6,
        "ms" | "msec" | "msecs" => 1e-3,
        "s" | "sec" | "secs" => 1.0,
        "m" | "min" | "mins" => 60.0,
        _ => return Err(DurationError::UnknownUnit),
    };
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| DurationError::TooLong)?;
    if duration > DURATION_MAX {
        Err(DurationError::TooLong)
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_its_length() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0ms", 0),
            ("7ns", 7),
            ("50us", 50_000),
            ("50usecs", 50_000),
            ("50µs", 50_000),
            ("50ms", 50_000_000),
            ("50MS", 50_000_000),
            ("0.1ms", 100_000),
            ("1.5s", 1_500_000_000),
            ("2min", 120_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        for (text, error) in [
            ("", DurationError::NotANumber),
            ("-5ms", DurationError::NotANumber),
            ("fast", DurationError::NotANumber),
            ("50", DurationError::NoUnit),
            ("50 ms", DurationError::UnknownUnit),
            ("50mm", DurationError::UnknownUnit),
            ("1e9s", DurationError::UnknownUnit),
            ("25000min", DurationError::TooLong),
            ("99999999999999999999999s", DurationError::TooLong),
        ] {
            assert_eq!(duration(text), Err(error), "{text}");
        }
    }
}
