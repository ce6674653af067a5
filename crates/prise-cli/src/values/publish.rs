//! `-p [ADDR:]PORT[:GUEST_PORT][/udp]`, with ranges of ports for a port.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;

use prise_run::config::{Publish, Transport};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// Nothing, or too many parts.
    Shape,
    Port(String),
    /// None of the host's, or 0: others pick one then.
    NoHostPort,
    Address(String),
    /// `::1:80` could be an address or an address and a port.
    NoBrackets,
    Transport(String),
    /// The last of a range lies below the first.
    Backwards(String),
    /// The host's range and the program's are not of one length.
    Lengths,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => {
                f.write_str("write [ADDR:]PORT[:GUEST_PORT][/udp], such as 8080, 8080:80, 8000-8010 or [::1]:8080:80")
            }
            Self::Port(text) => write!(f, "{text:?} is not a port; write a number from 1 to 65535"),
            Self::NoHostPort => f.write_str(
                "the host's port is missing, and prise picks none; write it, such as 8080:80 or 127.0.0.1:8080:80",
            ),
            Self::Address(text) => {
                write!(
                    f,
                    "{text:?} is not an address of this host; write 127.0.0.1, 0.0.0.0, [::1] or another number"
                )
            }
            Self::NoBrackets => f.write_str("an IPv6 address stands in brackets; write [::1]:80"),
            Self::Backwards(text) => write!(f, "{text:?} ends before it begins; write the lower port first"),
            Self::Lengths => {
                f.write_str("the two ranges differ in length; write as many ports of the program as of the host")
            }
            Self::Transport(text) => write!(f, "{text:?} is not a transport; write /udp, or nothing for TCP"),
        }
    }
}

impl core::error::Error for PublishError {}

/// What one option publishes: a port, or a range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published(pub(crate) Vec<Publish>);

/// `8080`, `8080:80`, `127.0.0.1:8080`, `[::1]:8080:80/udp`, `8000-8010`, `8000-8010:9000-9010`.
pub(crate) fn publish(text: &str) -> Result<Published, PublishError> {
    let (endpoints, transport) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), Transport::Tcp),
        Some((endpoints, "udp")) => (endpoints, Transport::Udp),
        Some((_, other)) => return Err(PublishError::Transport(other.to_owned())),
    };
    let (host_address, ports) = split_address(endpoints)?;
    let mut ports = ports.split(':');
    let of_host = ports.next().filter(|it| !matches!(*it, "" | "0"));
    let (first, last) = range(of_host.ok_or(PublishError::NoHostPort)?)?;
    let (guest_first, guest_last) = ports.next().map_or(Ok((first, last)), range)?;
    if ports.next().is_some() {
        return Err(PublishError::Shape);
    }
    let (host, guest) = (first.get()..=last.get(), guest_first.get()..=guest_last.get());
    if host.len() != guest.len() {
        return Err(PublishError::Lengths);
    }
    let nonzero = |port| NonZeroU16::new(port).unwrap_or(first);
    let publish = |(host_port, guest_port)| Publish {
        host_address,
        host_port: nonzero(host_port),
        guest_port: nonzero(guest_port),
        transport,
    };
    Ok(Published(host.zip(guest).map(publish).collect()))
}

/// `8000`, `8000-8010`: the first and the last port.
fn range(text: &str) -> Result<(NonZeroU16, NonZeroU16), PublishError> {
    let Some((first, last)) = text.split_once('-') else {
        let only = port(text)?;
        return Ok((only, only));
    };
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(PublishError::Backwards(text.to_owned()));
    }
    Ok((first, last))
}

/// Takes the address off the front, if there is one: in brackets, or anything that is no number before the first colon.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), PublishError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, ports) = rest.split_once("]:").ok_or(PublishError::Shape)?;
        let address: Ipv6Addr = address.parse().map_err(|_| PublishError::Address(address.to_owned()))?;
        return Ok((Some(address.into()), ports));
    }
    match text.split_once(':') {
        // However many colons follow, it is no address of IPv6.
        Some((first, ports)) if let Ok(address) = first.parse::<Ipv4Addr>() => Ok((Some(address.into()), ports)),
        _ if text.is_empty() => Err(PublishError::Shape),
        _ if text.contains("::") || text.matches(':').count() > 2 => Err(PublishError::NoBrackets),
        Some((first, _)) if !first.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
            Err(PublishError::Address(first.to_owned()))
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

/// A port of the host's that two of these would have at one address.
pub(crate) fn published_twice(publish: &[Publish]) -> Option<u16> {
    let mut sorted: Vec<&Publish> = publish.iter().collect();
    let port = |it: &&Publish| (it.transport == Transport::Udp, it.host_port);
    sorted.sort_by_key(port);
    let twice = |same: &&[&Publish]| {
        let pairs = same.iter().enumerate();
        pairs.clone().any(|(at, one)| {
            same[at + 1..]
                .iter()
                .any(|other| overlap(one.host_address, other.host_address))
        })
    };
    let mut ports = sorted.chunk_by(|one, other| port(one) == port(other));
    ports.find(twice).map(|same| same[0].host_port.get())
}

/// Whether there is an address that both mean; none is the loopback's of both families.
fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        let named = one.or(other);
        let own = |ip: IpAddr| ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
        return named.is_none_or(|ip| own(ip) || ip.is_unspecified());
    };
    one.is_ipv4() == other.is_ipv4() && (one == other || one.is_unspecified() || other.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(address: Option<&str>, host_port: u16, guest_port: u16, transport: Transport) -> Published {
        Published(vec![Publish {
            host_address: address.map(|text| text.parse().unwrap()),
            host_port: NonZeroU16::new(host_port).unwrap(),
            guest_port: NonZeroU16::new(guest_port).unwrap(),
            transport,
        }])
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
            ("0", PublishError::NoHostPort),
            ("0:80", PublishError::NoHostPort),
            ("127.0.0.1::80", PublishError::NoHostPort),
            ("[::1]::80", PublishError::NoHostPort),
            ("65536", port("65536")),
            ("+80", port("+80")),
            ("http", port("http")),
            ("8080:", port("")),
            ("8080:0", port("0")),
            ("80:80:80", PublishError::Shape),
            ("127.0.0.1", PublishError::Shape),
            ("127.0.0.1:80:80:80", PublishError::Shape),
            ("127.0.0.256:80", PublishError::Address("127.0.0.256".to_owned())),
            ("localhost:80", PublishError::Address("localhost".to_owned())),
            (":80", PublishError::NoHostPort),
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
    #[test]
    fn ranges_are_as_many_ports() {
        let ports = |text: &str| -> Vec<(u16, u16)> {
            let Published(all) = publish(text).unwrap();
            all.iter().map(|it| (it.host_port.get(), it.guest_port.get())).collect()
        };
        assert_eq!(ports("8000-8002"), [(8000, 8000), (8001, 8001), (8002, 8002)]);
        assert_eq!(ports("127.0.0.1:80-81:90-91/udp"), [(80, 90), (81, 91)]);
        assert_eq!(ports("[::1]:65535-65535"), [(65535, 65535)]);
        assert_eq!(publish("81-80"), Err(PublishError::Backwards("81-80".to_owned())));
        assert_eq!(publish("80-82:90-91"), Err(PublishError::Lengths));
        assert_eq!(publish("80-"), Err(PublishError::Port(String::new())));
        assert_eq!(publish("80-82:90"), Err(PublishError::Lengths));
    }
}
