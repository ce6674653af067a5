//! Where a frame's headers are.

use super::Medium;
use crate::ethernet::{self, EtherType, EthernetHeader};
use crate::ipv6::extension;
use crate::octets::{from, u8_at, u16_at};
use crate::{ipv4, ipv6, protocol, tcp, udp};

/// The two versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// Where the headers of an IP packet are, from the start of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the IP header begins: the length of the link header.
    pub network_at: usize,
    /// The IP header's version.
    pub version: IpVersion,
    /// Where the upper layer's header begins.
    pub transport_at: usize,
    /// The upper layer's protocol.
    pub protocol: u8,
    /// The packet is a fragment other than the first: what is at `transport_at` is not a header.
    pub is_later_fragment: bool,
    /// The packet is a fragment, the first or another.
    pub is_fragment: bool,
}

impl Layout {
    /// Finds the headers in `octets`, the front of a frame; `None` if it is not IP or its headers do not hold together.
    pub fn of(medium: Medium, octets: &[u8]) -> Option<Self> {
        let (network_at, version) = network(medium, octets)?;
        let packet = from(octets, network_at);
        match version {
            IpVersion::V4 => {
                let header_len = usize::from(u8_at(packet, 0) & 0x0f) * 4;
                if header_len < ipv4::HEADER_LEN || packet.len() < header_len {
                    return None;
                }
                let fragmentation = u16_at(packet, 6);
                Some(Self {
                    network_at,
                    version,
                    transport_at: network_at + header_len,
                    protocol: u8_at(packet, 9),
                    is_later_fragment: fragmentation & 0x1fff != 0,
                    is_fragment: fragmentation & 0x3fff != 0,
                })
            }
            IpVersion::V6 => {
                if packet.len() < ipv6::HEADER_LEN {
                    return None;
                }
                let chain = extension::walk(packet).ok()?;
                Some(Self {
                    network_at,
                    version,
                    transport_at: network_at + chain.upper_at,
                    protocol: chain.upper,
                    is_later_fragment: chain.fragment.is_some_and(|(_, fragment)| fragment.offset != 0),
                    is_fragment: chain.fragment.is_some_and(|(_, fragment)| !fragment.is_atomic()),
                })
            }
        }
    }
}

/// Where the IP header begins and of which version it is.
fn network(medium: Medium, octets: &[u8]) -> Option<(usize, IpVersion)> {
    let network_at = match medium {
        Medium::Ip => 0,
        Medium::Ethernet => {
            let header = EthernetHeader::parse(octets)?;
            if !matches!(header.ether_type, EtherType::IPV4 | EtherType::IPV6) {
                return None;
            }
            header.header_len()
        }
    };
    match octets.get(network_at)? >> 4 {
        4 => Some((network_at, IpVersion::V4)),
        6 => Some((network_at, IpVersion::V6)),
        _ => None,
    }
}

/// How many of a frame's octets are headers.
pub(super) fn head_len(medium: Medium, octets: &[u8]) -> usize {
    let Some(layout) = Layout::of(medium, octets) else {
        return match medium {
            Medium::Ethernet => {
                EthernetHeader::parse(octets).map_or(ethernet::HEADER_LEN, |header| header.header_len())
            }
            Medium::Ip => 0,
        }
        .min(octets.len());
    };
    let transport = from(octets, layout.transport_at);
    let transport_len = match layout.protocol {
        _ if layout.is_later_fragment => 0,
        protocol::TCP => (usize::from(u8_at(transport, 12) >> 4) * 4).max(tcp::HEADER_LEN),
        protocol::UDP | protocol::UDP_LITE => udp::HEADER_LEN,
        _ => 0,
    };
    (layout.transport_at + transport_len).min(octets.len())
}
