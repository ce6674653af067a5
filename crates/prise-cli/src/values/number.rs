//! Numbers: bare ones, and ones followed by their unit: `1.5ms`, `0.1%`, `100mbit`.

use core::fmt;
use core::num::{NonZeroU32, NonZeroU64};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    Packets,
    Seed,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packets => "not a number of packets; write at least 1, such as 100",
            Self::Seed => "not a seed; write a whole number from 0 to 18446744073709551615, such as 7",
        })
    }
}

impl core::error::Error for NumberError {}

/// A queue's length. A queue of none would carry nothing.
pub(crate) fn packets(text: &str) -> Result<NonZeroU64, NumberError> {
    text.parse().map_err(|_| NumberError::Packets)
}

/// How many packets a burst of losses takes on average.
pub(crate) fn burst_length(text: &str) -> Result<NonZeroU32, NumberError> {
    text.parse().map_err(|_| NumberError::Packets)
}

/// A seed, as prise prints it.
pub(crate) fn seed(text: &str) -> Result<u64, NumberError> {
    text.parse().map_err(|_| NumberError::Seed)
}

/// Splits `text` into its decimal number and what follows. `None` where it does not begin with a plain decimal number:
/// digits with at most one point between or after them. Signs, exponents and `inf` are not numbers to a reader.
pub(super) fn split_unit(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let begins_with_digit = number.starts_with(|c: char| c.is_ascii_digit());
    let number = begins_with_digit.then(|| number.parse().ok()).flatten()?;
    Some((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_ends_where_its_unit_begins() {
        assert_eq!(split_unit("1.5ms"), Some((1.5, "ms")));
        assert_eq!(split_unit("100"), Some((100.0, "")));
        assert_eq!(
            split_unit("1e3ms"),
            Some((1.0, "e3ms")),
            "an exponent is no number, so its e is a unit"
        );
    }

    #[test]
    fn what_does_not_begin_with_a_digit_is_no_number() {
        for text in ["", "ms", ".5s", "-1s", "+1s", "inf", "1.2.3s"] {
            assert_eq!(split_unit(text), None, "{text}");
        }
    }
}
