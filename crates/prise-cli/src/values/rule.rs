//! `--allow` and `--deny HOST[:PORT]`: a name, a wildcard, an address or a network, and perhaps ports.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use prise_run::config::{Ports, Subject};

/// Whom a rule is about, and at which ports.
pub(crate) type Host = (Subject, Ports);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RuleError {
    Empty,
    /// Rules are about whom connections lead to, and do not see what is asked for there.
    Url,
    /// `2001:db8::1:443` could be an address or an address and a port.
    NoBrackets,
    Port(String),
    Address(String),
    Prefix(String),
    Name(String),
    /// A star anywhere but alone or before the first dot.
    Wildcard,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("write HOST[:PORT], such as api.example.com:443, 192.0.2.0/24 or *:53"),
            Self::Url => {
                f.write_str("a rule is about a host and its ports, not about a URL; write api.example.com:443")
            }
            Self::NoBrackets => f.write_str("an IPv6 address stands in brackets; write [2001:db8::1]:443"),
            Self::Port(text) => {
                write!(
                    f,
                    "{text:?} is not a port; write numbers from 1 to 65535, such as 443, 80,443 or 8000-8080"
                )
            }
            Self::Address(text) => write!(f, "{text:?} is not an address; write 192.0.2.1 or [2001:db8::1]"),
            Self::Prefix(text) => {
                write!(
                    f,
                    "{text:?} is not a prefix length; write 192.0.2.0/24 or [2001:db8::]/32"
                )
            }
            Self::Name(text) => write!(
                f,
                "{text:?} is not a host name; write letters, digits and hyphens, and other letters in their xn-- form"
            ),
            Self::Wildcard => f.write_str("a star stands alone or for what is before a name; write * or *.example.com"),
        }
    }
}

impl core::error::Error for RuleError {}

/// `example.com`, `*.example.com:443`, `192.0.2.0/24:80,443`, `[2001:db8::]/32:8000-8080`, `*:53`.
pub(crate) fn host(text: &str) -> Result<Host, RuleError> {
    if text.contains("//") {
        return Err(RuleError::Url);
    }
    let (host, ports) = split_ports(text)?;
    let ports = ports.map_or(Ok(Ports::all()), parse_ports)?;
    Ok((subject(&host)?, ports))
}

/// The part before the ports, without brackets, and the ports.
fn split_ports(text: &str) -> Result<(String, Option<&str>), RuleError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or(RuleError::NoBrackets)?;
        let (prefix, ports) = match rest.split_once(':') {
            Some((prefix, ports)) => (prefix, Some(ports)),
            None => (rest, None),
        };
        if !inside.contains(':') || !(prefix.is_empty() || prefix.starts_with('/')) {
            return Err(RuleError::Address(text.to_owned()));
        }
        return Ok((format!("{inside}{prefix}"), ports));
    }
    if text.matches(':').count() > 1 {
        let address = text.split('/').next().unwrap_or_default();
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok((text.to_owned(), None)),
            Err(_) => Err(RuleError::NoBrackets),
        };
    }
    Ok(match text.split_once(':') {
        Some((host, ports)) => (host.to_owned(), Some(ports)),
        None => (text.to_owned(), None),
    })
}

fn parse_ports(text: &str) -> Result<Ports, RuleError> {
    let port = |digits: &str| {
        let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits
            .parse::<u16>()
            .ok()
            .filter(|&port| all_digits && port > 0)
            .ok_or_else(|| RuleError::Port(text.to_owned()))
    };
    if text == "*" {
        return Ok(Ports::all());
    }
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(RuleError::Port(text.to_owned()));
        }
        ranges.push((first, last));
    }
    Ok(Ports::ranges(ranges))
}

fn subject(host: &str) -> Result<Subject, RuleError> {
    if host.is_empty() {
        return Err(RuleError::Empty);
    }
    if host == "*" {
        return Ok(Subject::Any);
    }
    if let Some((address, prefix)) = host.split_once('/') {
        let address: IpAddr = address.parse().map_err(|_| RuleError::Address(address.to_owned()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        return match prefix.parse() {
            Ok(prefix_len) if digits && prefix_len <= longest => Ok(Subject::Network { address, prefix_len }),
            _ => Err(RuleError::Prefix(prefix.to_owned())),
        };
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let prefix_len = if address.is_ipv4() { 32 } else { 128 };
        return Ok(Subject::Network { address, prefix_len });
    }
    match host.strip_prefix("*.") {
        _ if host.strip_prefix("*.").unwrap_or(host).contains('*') => Err(RuleError::Wildcard),
        Some(parent) => Ok(Subject::Beneath(name(parent)?)),
        None => Ok(Subject::Name(name(host)?)),
    }
}

/// A name as lookups spell it: in lower case, without the final dot.
fn name(text: &str) -> Result<String, RuleError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let allowed = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if text.len() > 253 || !text.split('.').all(allowed) {
        return Err(RuleError::Name(text.to_owned()));
    }
    // RFC 3696 §2: the last label of a name is no number; this was meant to be an address.
    if text.rsplit('.').next().is_some_and(numeric) {
        return Err(RuleError::Address(text.to_owned()));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix_len: u8) -> Subject {
        Subject::Network {
            address: address.parse().unwrap(),
            prefix_len,
        }
    }

    fn named(name: &str) -> Subject {
        Subject::Name(name.to_owned())
    }

    #[test]
    fn a_host_is_a_name_a_wildcard_an_address_a_network_or_everyone() {
        let ports = |ranges: &[(u16, u16)]| Ports::ranges(ranges.to_vec());
        for (text, expected) in [
            ("example.com", (named("example.com"), Ports::all())),
            ("API.Example.COM.:443", (named("api.example.com"), ports(&[(443, 443)]))),
            (
                "_srv.xn--bcher-kva.example",
                (named("_srv.xn--bcher-kva.example"), Ports::all()),
            ),
            (
                "*.example.com:80,443",
                (Subject::Beneath("example.com".into()), ports(&[(80, 80), (443, 443)])),
            ),
            ("192.0.2.1", (network("192.0.2.1", 32), Ports::all())),
            (
                "192.0.2.0/24:8000-8080",
                (network("192.0.2.0", 24), ports(&[(8000, 8080)])),
            ),
            ("0.0.0.0/0:*", (network("0.0.0.0", 0), Ports::all())),
            ("2001:db8::1", (network("2001:db8::1", 128), Ports::all())),
            ("2001:db8::/32", (network("2001:db8::", 32), Ports::all())),
            ("[2001:db8::1]", (network("2001:db8::1", 128), Ports::all())),
            ("[2001:db8::1]:53", (network("2001:db8::1", 128), ports(&[(53, 53)]))),
            ("[2001:db8::]/32:53", (network("2001:db8::", 32), ports(&[(53, 53)]))),
            ("[2001:db8::/32]:53", (network("2001:db8::", 32), ports(&[(53, 53)]))),
            ("*", (Subject::Any, Ports::all())),
            ("*:53", (Subject::Any, ports(&[(53, 53)]))),
        ] {
            assert_eq!(host(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_reason() {
        let port = |text: &str| RuleError::Port(text.to_owned());
        for (text, error) in [
            ("", RuleError::Empty),
            (":443", RuleError::Empty),
            ("https://example.com/index.html", RuleError::Url),
            ("example.com:", port("")),
            ("example.com:0", port("0")),
            ("example.com:https", port("https")),
            ("example.com:90-80", port("90-80")),
            ("example.com:80,", port("80,")),
            ("example.com:+80", port("+80")),
            ("2001:db8::1:port", RuleError::NoBrackets),
            ("[2001:db8::1", RuleError::NoBrackets),
            ("[192.0.2.1]:80", RuleError::Address("[192.0.2.1]:80".to_owned())),
            ("[2001:db8::g]", RuleError::Name("2001:db8::g".to_owned())),
            ("192.0.2", RuleError::Address("192.0.2".to_owned())),
            ("192.0.2.256", RuleError::Address("192.0.2.256".to_owned())),
            ("192.0.2.0/33", RuleError::Prefix("33".to_owned())),
            ("192.0.2.0/", RuleError::Prefix(String::new())),
            ("example.com/24", RuleError::Address("example.com".to_owned())),
            ("api.*.com", RuleError::Wildcard),
            ("*example.com", RuleError::Wildcard),
            ("**.example.com", RuleError::Wildcard),
            ("exa mple.com", RuleError::Name("exa mple.com".to_owned())),
            ("bücher.example", RuleError::Name("bücher.example".to_owned())),
            ("a..example", RuleError::Name("a..example".to_owned())),
        ] {
            assert_eq!(host(text), Err(error), "{text}");
        }
    }
}
