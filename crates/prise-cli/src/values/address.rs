//! `--address ADDR[/PREFIX]`.

use core::fmt;
use core::net::IpAddr;

use prise_run::config::InterfaceAddress;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AddressError {
    NotAnAddress,
    PrefixLength,
    /// Unspecified, loopback, multicast, or one that belongs to the gateway or the name server.
    Unusable,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => "not an address; write one with its prefix, such as 192.168.7.15/24 or fd00:7::15/64",
            Self::PrefixLength => "not a prefix length; write one that leaves room for a gateway and a name server, such as /24 or /64",
            Self::Unusable => {
                "no program can have that address; write a unicast one, other than the gateway's (…2) and the name server's (…3)"
            }
        })
    }
}

impl core::error::Error for AddressError {}

/// `192.168.7.15/24`, `fd00:7::15/64`; without a prefix /24 and /64.
pub(crate) fn interface_address(text: &str) -> Result<InterfaceAddress, AddressError> {
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| AddressError::NotAnAddress)?;
    let (default, longest) = if address.is_ipv4() { (24, 29) } else { (64, 125) };
    let prefix_len = prefix
        .map_or(Ok(default), str::parse)
        .map_err(|_| AddressError::PrefixLength)?;
    if prefix_len == 0 || prefix_len > longest {
        return Err(AddressError::PrefixLength);
    }
    InterfaceAddress::new(address, prefix_len).ok_or(AddressError::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_usual_prefix_unless_it_names_another() {
        for (text, address, prefix_len) in [
            ("192.168.7.15", "192.168.7.15", 24),
            ("192.168.7.10/28", "192.168.7.10", 28),
            ("fd00:7::15", "fd00:7::15", 64),
            ("fd00:7::15/112", "fd00:7::15", 112),
        ] {
            let parsed = interface_address(text).unwrap();
            assert_eq!(
                (parsed.address(), parsed.prefix_len()),
                (address.parse().unwrap(), prefix_len),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_host_can_have_is_refused_with_its_reason() {
        for (text, error) in [
            ("", AddressError::NotAnAddress),
            ("guest", AddressError::NotAnAddress),
            ("10.0.0.1/", AddressError::PrefixLength),
            ("10.0.0.1/0", AddressError::PrefixLength),
            ("10.0.0.5/30", AddressError::PrefixLength),
            ("fd00::5/126", AddressError::PrefixLength),
            ("10.0.0.5/300", AddressError::PrefixLength),
            ("0.0.0.0", AddressError::Unusable),
            ("127.0.0.1", AddressError::Unusable),
            ("224.0.0.1", AddressError::Unusable),
            ("192.168.7.2", AddressError::Unusable),
            ("192.168.7.3", AddressError::Unusable),
            ("192.168.7.0", AddressError::Unusable),
            ("192.168.7.255", AddressError::Unusable),
            ("fd00:7::2", AddressError::Unusable),
        ] {
            assert_eq!(interface_address(text), Err(error), "{text}");
        }
    }
}
