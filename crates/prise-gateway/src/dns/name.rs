//! Domain names as they stand in messages (RFC 1035 §3.1) and as people write them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035 §2.3.4: a name takes at most 255 octets, the root's zero included.
const NAME_MAX: usize = 255;
/// RFC 1035 §2.3.4: a label takes at most 63 octets.
const LABEL_MAX: usize = 63;

/// A domain name, uncompressed, in the case in which it came (the question is echoed octet by octet).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Labels with their lengths, up to and including the root's zero.
    wire: Vec<u8>,
}

/// Why octets are no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// The message ends inside the name.
    Truncated,
    /// A label or the whole name is too long, or a label is empty.
    Length,
    /// A compression pointer does not point backwards, or a label type is unknown.
    Pointer,
}

impl Name {
    /// Reads the name at `at` and returns it with the position behind it. Pointers (RFC 1035 §4.1.4) must point
    /// backwards, which makes loops impossible.
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), NameError> {
        let mut wire = Vec::with_capacity(32);
        let mut cursor = at;
        let mut end = None;
        // Every pointer must lead before everything read so far.
        let mut earliest = at;
        loop {
            let length = usize::from(*message.get(cursor).ok_or(NameError::Truncated)?);
            match length {
                0 => {
                    wire.push(0);
                    return Ok((Self { wire }, end.unwrap_or(cursor + 1)));
                }
                1..=LABEL_MAX => {
                    let label = message.get(cursor..=cursor + length).ok_or(NameError::Truncated)?;
                    wire.extend_from_slice(label);
                    if wire.len() >= NAME_MAX {
                        return Err(NameError::Length);
                    }
                    cursor += 1 + length;
                }
                0xc0.. => {
                    let low = usize::from(*message.get(cursor + 1).ok_or(NameError::Truncated)?);
                    let target = (length & 0x3f) << 8 | low;
                    end = end.or(Some(cursor + 2));
                    if target >= earliest {
                        return Err(NameError::Pointer);
                    }
                    cursor = target;
                    earliest = target;
                }
                _ => return Err(NameError::Pointer),
            }
        }
    }

    /// The name that `text` writes, with or without the final dot.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.').filter(|_| !text.is_empty()) {
            if label.is_empty() || label.len() > LABEL_MAX {
                return Err(NameError::Length);
            }
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        if wire.len() > NAME_MAX {
            return Err(NameError::Length);
        }
        Ok(Self { wire })
    }

    /// The octets of the name as they stand in a message.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The labels, without the root.
    fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let mut labels = Vec::new();
        let mut at = 0;
        while let Some(&length) = self.wire.get(at).filter(|length| **length != 0) {
            let label = &self.wire[at + 1..=at + usize::from(length)];
            labels.push(label);
            at += 1 + usize::from(length);
        }
        labels.into_iter()
    }

    /// The name in lower case without a final dot if it is one that a host may have (letters, digits, hyphens and the
    /// underscores that people use); `None` for any other, which a host's resolver would misread or refuse.
    pub fn host_name(&self) -> Option<String> {
        let mut text = String::with_capacity(self.wire.len());
        for label in self.labels() {
            if !text.is_empty() {
                text.push('.');
            }
            for &octet in label {
                if !(octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_') {
                    return None;
                }
                text.push(octet.to_ascii_lowercase().into());
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// The address that a name under `in-addr.arpa` (RFC 1035 §3.5) or `ip6.arpa` (RFC 3596 §2.5) asks about.
    pub fn reverse_address(&self) -> Option<IpAddr> {
        let text = self.host_name()?;
        if let Some(digits) = text.strip_suffix(".in-addr.arpa") {
            let mut octets = [0u8; 4];
            let mut parts = digits.split('.').rev();
            for octet in &mut octets {
                *octet = parts.next()?.parse().ok()?;
            }
            return parts.next().is_none().then_some(Ipv4Addr::from(octets).into());
        }
        let nibbles = text.strip_suffix(".ip6.arpa")?;
        let mut value = 0u128;
        let mut count = 0;
        for nibble in nibbles.split('.').rev() {
            if nibble.len() != 1 || count == 32 {
                return None;
            }
            value = value << 4 | u128::from_str_radix(nibble, 16).ok()?;
            count += 1;
        }
        (count == 32).then_some(Ipv6Addr::from(value).into())
    }
}

impl fmt::Display for Name {
    /// Presentation format, RFC 1035 §5.1: odd octets as `\DDD`, dots within labels escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut any = false;
        for label in self.labels() {
            if any {
                f.write_str(".")?;
            }
            any = true;
            for &octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", octet as char)?,
                    0x21..=0x7e => write!(f, "{}", octet as char)?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        if any { Ok(()) } else { f.write_str(".") }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// Whether getaddrinfo(3) would read `host_name` as a numeric address (inet_aton(3) takes one to four parts, decimal,
/// octal or hexadecimal) instead of looking it up.
pub(super) fn looks_numeric(host_name: &str) -> bool {
    host_name.split('.').all(|part| {
        let hexadecimal = part.strip_prefix("0x");
        match hexadecimal {
            Some(digits) => digits.bytes().all(|octet| octet.is_ascii_hexdigit()),
            None => !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_what_they_write() {
        let name = Name::from_text("Www.Example.com.").unwrap();
        assert_eq!(name.wire(), b"\x03Www\x07Example\x03com\x00");
        let (read, end) = Name::read(name.wire(), 0).unwrap();
        assert_eq!((read, end), (name.clone(), name.wire().len()));
        assert_eq!(name.to_string(), "Www.Example.com");
        assert_eq!(name.host_name().as_deref(), Some("www.example.com"));
    }

    #[test]
    fn pointers_are_followed_backwards_only() {
        let message = b"\x03com\x00\x01a\xc0\x00";
        let (name, end) = Name::read(message, 5).unwrap();
        assert_eq!((name.to_string().as_str(), end), ("a.com", 9));
        assert_eq!(Name::read(b"\xc0\x00", 0), Err(NameError::Pointer));
        assert_eq!(
            Name::read(b"\x01a\xc0\x00", 2).map(|found| found.1),
            Err(NameError::Pointer)
        );
        assert_eq!(Name::read(b"\x05ab", 0), Err(NameError::Truncated));
        assert_eq!(Name::read(b"\x80", 0), Err(NameError::Pointer));
    }

    #[test]
    fn over_long_names_are_refused() {
        let label = "a".repeat(63);
        let long = [label.as_str(); 4].join(".");
        assert_eq!(Name::from_text(&long), Err(NameError::Length));
        assert_eq!(Name::from_text(&"b".repeat(64)), Err(NameError::Length));
        assert_eq!(Name::from_text("a..b"), Err(NameError::Length));
        let mut wire = Vec::new();
        for _ in 0..4 {
            wire.push(63);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        assert_eq!(Name::read(&wire, 0), Err(NameError::Length));
        assert_eq!(Name::from_text("").unwrap().wire(), [0]);
    }

    #[test]
    fn reverse_names_give_their_address() {
        let reverse = |text: &str| Name::from_text(text).unwrap().reverse_address();
        assert_eq!(reverse("1.2.0.10.in-addr.arpa"), Some("10.0.2.1".parse().unwrap()));
        assert_eq!(reverse("2.0.10.in-addr.arpa"), None);
        let v6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reverse(v6), Some("fd00:0:2::2".parse().unwrap()));
        assert_eq!(reverse(&format!("1.{v6}")), None);
        assert_eq!(reverse("ip6.arpa"), None);
    }

    #[test]
    fn odd_octets_are_shown_escaped_and_are_no_host_name() {
        let (name, _) = Name::read(b"\x04a.\x07b\x00", 0).unwrap();
        assert_eq!(name.to_string(), "a\\.\\007b");
        assert_eq!(name.host_name(), None);
    }

    #[test]
    fn numbers_are_not_names() {
        for number in ["1", "127.1", "0x7f.1", "1.2.3.4", "010"] {
            assert!(looks_numeric(number), "{number}");
        }
        for name in ["1.example", "a", "x7f", "3com"] {
            assert!(!looks_numeric(name), "{name}");
        }
    }
}
