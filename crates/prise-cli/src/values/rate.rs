//! Rates, in the units of tc(8).

use core::fmt;
use core::num::NonZeroU64;

use super::number::split_unit;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RateError {
    NotANumber,
    UnknownUnit,
    Zero,
    TooFast,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a rate; write a number and a unit, such as 100mbit",
            Self::UnknownUnit => {
                "unknown unit of rate; write bit, kbit, mbit or gbit (bits a second), or bps, kbps, mbps, gbps (octets a \
                 second, as tc reads them)"
            }
            Self::Zero => "a rate of nothing; to cut the network off, write --link none or --loss 100%",
            Self::TooFast => "faster than can be counted; leave --rate out for no limit",
        })
    }
}

impl core::error::Error for RateError {}

/// `100mbit`, `1.5gbit`, `8kbps`: bits a second. `bps` counts octets, as tc(8) has it; a bare number counts bits.
pub(crate) fn rate(text: &str) -> Result<NonZeroU64, RateError> {
    let (number, unit) = split_unit(text).ok_or(RateError::NotANumber)?;
    let unit = unit.to_ascii_lowercase();
    let (prefix, bits) = if let Some(prefix) = unit.strip_suffix("bit") {
        (prefix, 1.0)
    } else if let Some(prefix) = unit.strip_suffix("bps") {
        (prefix, 8.0)
    } else if unit.is_empty() {
        ("", 1.0)
    } else {
        return Err(RateError::UnknownUnit);
    };
    let scale = match prefix {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        "ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(RateError::UnknownUnit),
    };
    let bits_per_second = number * bits * scale;
    // Beyond 2^53 a float no longer holds every integer, and no link is that fast.
    if bits_per_second >= (1_u64 << 53) as f64 {
        return Err(RateError::TooFast);
    }
    NonZeroU64::new(bits_per_second as u64).ok_or(RateError::Zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_tc() {
        for (text, bits_per_second) in [
            ("9600", 9600),
            ("9600bit", 9600),
            ("56kbit", 56_000),
            ("100mbit", 100_000_000),
            ("100Mbit", 100_000_000),
            ("1.5gbit", 1_500_000_000),
            ("1tbit", 1_000_000_000_000),
            ("1kibit", 1024),
            ("1mibit", 1_048_576),
            ("1bps", 8),
            ("8kbps", 64_000),
            ("1mbps", 8_000_000),
            ("1mibps", 8_388_608),
        ] {
            assert_eq!(rate(text).map(NonZeroU64::get), Ok(bits_per_second), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_its_reason() {
        for (text, error) in [
            ("", RateError::NotANumber),
            ("mbit", RateError::NotANumber),
            ("-1mbit", RateError::NotANumber),
            ("1mb", RateError::UnknownUnit),
            ("1mbit/s", RateError::UnknownUnit),
            ("1xbit", RateError::UnknownUnit),
            ("0mbit", RateError::Zero),
            ("0.5bit", RateError::Zero),
            ("99999tbit", RateError::TooFast),
        ] {
            assert_eq!(rate(text), Err(error), "{text}");
        }
    }
}
