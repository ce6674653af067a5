//! `-p [ADDR:]PORT[:GUEST_PORT][/udp]`.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;

use prise_run::config::{Publish, Transport};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// Nothing, or too many parts.
    Shape,
    Port(String),
    Address(String),
    /// `::1:80` could be an address or an address and a port.
    NoBrackets,
    Transport(String),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => f.write_str("write [ADDR:]PORT[:GUEST_PORT][/udp], such as 8080, 8080:80 or [::1]:8080:80"),
            Self::Port(text) => write!(f, "{text:?} is not a port; write a number from 1 to 65535"),
            Self::Address(text) => {
                write!(
                    f,
                    "{text:?} is not an address of this host; write 127.0.0.1, 0.0.0.0, [::1] or another number"
                )
            }
            Self::NoBrackets => f.write_str("an IPv6 address stands in brackets; write [::1]:80"),
            Self::Transport(text) => write!(f, "{text:?} is not a transport; write /udp, or nothing for TCP"),
        }
    }
}

impl core::error::Error for PublishError {}

/// `8080`, `8080:80`, `127.0.0.1:8080`, `[::1]:8080:80/udp`.
pub(crate) fn publish(text: &str) -> Result<Publish, PublishError> {
    let (endpoints, transport) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), Transport::Tcp),
        Some((endpoints, "udp")) => (endpoints, Transport::Udp),
        Some((_, other)) => return Err(PublishError::Transport(other.to_owned())),
    };
    let (host_address, ports) = split_address(endpoints)?;
    let mut ports = ports.split(':');
    let host_port = port(ports.next().unwrap_or_default())?;
    let guest_port = ports.next().map_or(Ok(host_port), port)?;
    if ports.next().is_some() {
        return Err(PublishError::Shape);
    }
    Ok(Publish {
        host_address,
        host_port,
        guest_port,
        transport,
    })
}

/// Takes the address off the front, if there is one: in brackets, or anything that is no number before the first colon.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), PublishError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, ports) = rest.split_once("]:").ok_or(PublishError::Shape)?;
        let address: Ipv6Addr = address.parse().map_err(|_| PublishError::Address(address.to_owned()))?;
        return Ok((Some(address.into()), ports));
    }
    match text.split_once(':') {
        _ if text.is_empty() => Err(PublishError::Shape),
        _ if text.contains("::") || text.matches(':').count() > 2 => Err(PublishError::NoBrackets),
        Some((first, ports)) if !first.bytes().all(|b| b.is_ascii_digit()) => {
            let address: Ipv4Addr = first.parse().map_err(|_| PublishError::Address(first.to_owned()))?;
            Ok((Some(address.into()), ports))
        }
        _ if text.contains('.') => Err(PublishError::Shape),
        _ => Ok((None, text)),
    }
}

fn port(text: &str) -> Result<NonZeroU16, PublishError> {
    // `parse` alone would take "+80".
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| PublishError::Port(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(address: Option<&str>, host_port: u16, guest_port: u16, transport: Transport) -> Publish {
        Publish {
            host_address: address.map(|text| text.parse().unwrap()),
            host_port: NonZeroU16::new(host_port).unwrap(),
            guest_port: NonZeroU16::new(guest_port).unwrap(),
            transport,
        }
    }

    #[test]
    fn every_part_but_the_port_may_be_left_out() {
        use Transport::{Tcp, Udp};
        for (text, expected) in [
            ("8080", published(None, 8080, 8080, Tcp)),
            ("8080:80", published(None, 8080, 80, Tcp)),
            ("8080/udp", published(None, 8080, 8080, Udp)),
            ("8080/tcp", published(None, 8080, 8080, Tcp)),
            ("53000:53/udp", published(None, 53000, 53, Udp)),
            ("127.0.0.1:8080", published(Some("127.0.0.1"), 8080, 8080, Tcp)),
            ("0.0.0.0:8080:80", published(Some("0.0.0.0"), 8080, 80, Tcp)),
            ("[::1]:80", published(Some("::1"), 80, 80, Tcp)),
            ("[::]:8080:80/udp", published(Some("::"), 8080, 80, Udp)),
        ] {
            assert_eq!(publish(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_published_is_refused_with_its_reason() {
        let port = |text: &str| PublishError::Port(text.to_owned());
        for (text, error) in [
            ("", PublishError::Shape),
            ("0", port("0")),
            ("65536", port("65536")),
            ("+80", port("+80")),
            ("http", port("http")),
            ("8080:", port("")),
            ("8080:0", port("0")),
            ("80:80:80", PublishError::Shape),
            ("127.0.0.1", PublishError::Shape),
            ("127.0.0.1:80:80:80", PublishError::NoBrackets),
            ("127.0.0.256:80", PublishError::Address("127.0.0.256".to_owned())),
            ("localhost:80", PublishError::Address("localhost".to_owned())),
            (":80", port("")),
            ("::1:80", PublishError::NoBrackets),
            ("[::1]", PublishError::Shape),
            ("[::1]80", PublishError::Shape),
            ("[::g]:80", PublishError::Address("::g".to_owned())),
            ("80/sctp", PublishError::Transport("sctp".to_owned())),
            ("80/UDP", PublishError::Transport("UDP".to_owned())),
        ] {
            assert_eq!(publish(text), Err(error), "{text}");
        }
    }
}
