//! TCP options as octets and as a script writes them. Independent of `prise-wire`, so that a mistake there cannot hide
//! itself here.

use std::fmt;

/// The kind of a signature (RFC 2385 §3.0).
pub const SIGNATURE: u8 = 19;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opt {
    /// End of the list.
    Eol,
    /// No operation.
    Nop,
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    Scale(u8),
    /// SACK permitted.
    SackOk,
    /// SACK blocks, absolute.
    Sack(Vec<(u32, u32)>),
    /// Timestamps; `None`: the automatic ones, or any.
    Timestamps {
        /// TSval.
        value: Option<u32>,
        /// TSecr.
        echo: Option<u32>,
    },
    /// Fast Open (RFC 7413); `None` in an expected segment: any cookie.
    FastOpen(Option<Vec<u8>>),
    /// Fast Open with a cookie by its name: an expected one is remembered, a sent one is put in.
    FastOpenNamed(String),
    /// A signature by this key (RFC 2385); its digest is put in when the segment is whole.
    Signature(String),
    /// Any other kind, with its octets after the length; written as `raw KIND:HEX`.
    Other(u8, Vec<u8>),
    /// Octets as they are, however wrong; written as `hex HEX`.
    Octets(Vec<u8>),
}

impl Opt {
    /// Whether a seen option is what a script asks for.
    pub fn admits(&self, seen: &Self) -> bool {
        match (self, seen) {
            (
                Self::Timestamps { value, echo },
                Self::Timestamps {
                    value: seen_value,
                    echo: seen_echo,
                },
            ) => (value.is_none() || value == seen_value) && (echo.is_none() || echo == seen_echo),
            (Self::FastOpen(None), Self::FastOpen(Some(_))) => true,
            (Self::FastOpenNamed(_), Self::FastOpen(Some(cookie))) => !cookie.is_empty(),
            _ => self == seen,
        }
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Eol => out.push(0),
            Self::Nop => out.push(1),
            Self::Mss(mss) => {
                out.extend([2, 4]);
                out.extend(mss.to_be_bytes());
            }
            Self::Scale(scale) => out.extend([3, 3, *scale]),
            Self::SackOk => out.extend([4, 2]),
            Self::Sack(blocks) => {
                out.extend([5, 2 + 8 * blocks.len() as u8]);
                for (left, right) in blocks {
                    out.extend(left.to_be_bytes());
                    out.extend(right.to_be_bytes());
                }
            }
            Self::Timestamps { value, echo } => {
                out.extend([8, 10]);
                out.extend(value.unwrap_or(0).to_be_bytes());
                out.extend(echo.unwrap_or(0).to_be_bytes());
            }
            Self::FastOpen(cookie) => {
                let cookie = cookie.as_deref().unwrap_or_default();
                out.extend([34, 2 + cookie.len() as u8]);
                out.extend(cookie);
            }
            Self::Signature(_) => {
                out.extend([SIGNATURE, 18]);
                out.extend([0; 16]);
            }
            // Its octets were put in before.
            Self::FastOpenNamed(_) => {}
            Self::Other(kind, octets) => {
                out.extend([*kind, 2 + octets.len() as u8]);
                out.extend(octets);
            }
            Self::Octets(octets) => out.extend(octets),
        }
    }
}

/// Which key is to sign a segment with these options, and where among their octets its digest goes.
pub fn signature(options: &[Opt]) -> Option<(&str, usize)> {
    let at = options.iter().position(|it| matches!(it, Opt::Signature(_)))?;
    let Opt::Signature(key) = &options[at] else { return None };
    let mut before = Vec::new();
    for option in &options[..at] {
        option.push(&mut before);
    }
    Some((key, before.len() + 2))
}

/// The options as octets, padded to whole words with end-of-list.
pub fn emit(options: &[Opt]) -> Vec<u8> {
    let mut out = Vec::new();
    for option in options {
        option.push(&mut out);
    }
    while out.len() % 4 != 0 {
        out.push(0);
    }
    out
}

/// The options of a header. What follows an end-of-list, and padding, is not kept.
pub fn parse(mut octets: &[u8]) -> Result<Vec<Opt>, String> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = octets {
        match kind {
            0 => {
                if rest.iter().any(|octet| *octet != 0) {
                    return Err("octets after the end of the option list".into());
                }
                options.push(Opt::Eol);
                break;
            }
            1 => {
                options.push(Opt::Nop);
                octets = rest;
                continue;
            }
            _ => {}
        }
        let len = usize::from(*rest.first().ok_or("an option without a length")?);
        if len < 2 || len > octets.len() {
            return Err(format!("option {kind} claims {len} octets"));
        }
        options.push(parse_one(*kind, &octets[2..len])?);
        octets = &octets[len..];
    }
    Ok(options)
}

fn word(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |all, octet| all << 8 | u32::from(*octet))
}

fn parse_one(kind: u8, value: &[u8]) -> Result<Opt, String> {
    Ok(match (kind, value.len()) {
        (2, 2) => Opt::Mss(word(value) as u16),
        (3, 1) => Opt::Scale(value[0]),
        (4, 0) => Opt::SackOk,
        (5, len) if len % 8 == 0 => Opt::Sack(
            value
                .chunks(8)
                .map(|block| (word(&block[..4]), word(&block[4..])))
                .collect(),
        ),
        (8, 8) => Opt::Timestamps {
            value: Some(word(&value[..4])),
            echo: Some(word(&value[4..])),
        },
        (34, _) => Opt::FastOpen(Some(value.to_vec())),
        (2..=5 | 8, len) => return Err(format!("option {kind} with {len} octets of value")),
        (kind, _) => Opt::Other(kind, value.to_vec()),
    })
}

fn hex(octets: &[u8]) -> String {
    octets
        .iter()
        .fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

impl fmt::Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eol => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::Scale(scale) => write!(f, "wscale {scale}"),
            Self::SackOk => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            Self::Timestamps { value, echo } => {
                f.write_str("TS")?;
                if let Some(value) = value {
                    write!(f, " val {value}")?;
                }
                echo.map_or(Ok(()), |echo| write!(f, " ecr {echo}"))
            }
            Self::FastOpen(None) => f.write_str("FO"),
            Self::FastOpen(Some(cookie)) => write!(f, "FO {}", hex(cookie)),
            Self::FastOpenNamed(name) => write!(f, "FO ${name}"),
            Self::Signature(key) => write!(f, "md5 {key}"),
            Self::Other(kind, octets) => write!(f, "raw {kind}:{}", hex(octets)),
            Self::Octets(octets) => write!(f, "hex {}", hex(octets)),
        }
    }
}

/// A list of options as a script writes it.
pub fn list(options: &[Opt]) -> String {
    let words: Vec<String> = options.iter().map(ToString::to_string).collect();
    format!("<{}>", words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed_again() {
        let options = vec![
            Opt::Mss(1460),
            Opt::SackOk,
            Opt::Timestamps {
                value: Some(7),
                echo: Some(9),
            },
            Opt::Nop,
            Opt::Scale(7),
            Opt::Nop,
            Opt::Nop,
            Opt::Sack(vec![(1, 2)]),
        ];
        assert_eq!(parse(&emit(&options)), Ok(options));
    }

    #[test]
    fn an_option_longer_than_the_header_is_told() {
        assert!(parse(&[2, 9, 0, 0]).is_err());
        assert!(parse(&[2, 0, 0, 0]).is_err());
        assert!(parse(&[0, 1, 0, 0]).is_err());
    }
}
