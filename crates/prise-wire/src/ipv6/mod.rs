//! The Internet Protocol, version 6 (RFC 8200).

pub mod extension;

use crate::Emit;
use crate::octets::{from, ipv6_at, u8_at, u16_at, u32_at};
use core::net::Ipv6Addr;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;

/// The smallest MTU of a link that carries IPv6 (RFC 8200 §5).
pub const MTU_MIN: usize = 1280;

/// Why octets are not an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedIpv6 {
    /// Fewer octets than a header.
    Truncated,
    /// The version is not 6.
    Version,
    /// The payload length is more than there is.
    PayloadTruncated,
}

/// A whole IPv6 packet whose lengths have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Packet<'a> {
    octets: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// Checks the fixed header and cuts the packet to its payload length: what follows is link padding.
    pub fn parse(octets: &'a [u8]) -> Result<Self, MalformedIpv6> {
        let header = Ipv6Header::parse(octets)?;
        let total_len = HEADER_LEN + usize::from(header.payload_len);
        octets
            .get(..total_len)
            .map(|octets| Self { octets })
            .ok_or(MalformedIpv6::PayloadTruncated)
    }

    /// The fixed header's fields.
    pub fn header(&self) -> Ipv6Header {
        Ipv6Header::read(self.octets)
    }

    /// What follows the fixed header: extension headers and the upper layer.
    pub fn payload(&self) -> &'a [u8] {
        from(self.octets, HEADER_LEN)
    }
}

/// The fields of the fixed IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv6Header {
    /// The sender.
    pub source: Ipv6Addr,
    /// The receiver.
    pub destination: Ipv6Addr,
    /// What follows the fixed header: an extension header or the upper layer (see [`protocol`](crate::protocol)).
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Six bits of DSCP, two of ECN.
    pub traffic_class: u8,
    /// Twenty bits that tell flows apart (RFC 6437).
    pub flow_label: u32,
    /// Octets after the fixed header.
    pub payload_len: u16,
}

impl Ipv6Header {
    /// A header for `payload_len` octets (at most 65,535, else the length saturates).
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload_len: usize) -> Self {
        Self {
            source,
            destination,
            next_header,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            payload_len: u16::try_from(payload_len).unwrap_or(u16::MAX),
        }
    }

    /// Reads and checks the fixed header at the front of `octets`, which need not hold the payload: whether the
    /// payload length fits what arrived is the caller's to check.
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedIpv6> {
        if octets.len() < HEADER_LEN {
            return Err(MalformedIpv6::Truncated);
        }
        if octets[0] >> 4 != 6 {
            return Err(MalformedIpv6::Version);
        }
        Ok(Self::read(octets))
    }

    /// Reads a header that has been checked.
    fn read(octets: &[u8]) -> Self {
        let first = u32_at(octets, 0);
        Self {
            source: ipv6_at(octets, 8),
            destination: ipv6_at(octets, 24),
            next_header: u8_at(octets, 6),
            hop_limit: u8_at(octets, 7),
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0x000f_ffff,
            payload_len: u16_at(octets, 4),
        }
    }
}

impl Emit for Ipv6Header {
    fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit(&self, out: &mut [u8]) {
        let Self {
            source,
            destination,
            next_header,
            hop_limit,
            traffic_class,
            flow_label,
            payload_len,
        } = *self;
        let first = 0x6000_0000 | u32::from(traffic_class) << 20 | (flow_label & 0x000f_ffff);
        out[0..4].copy_from_slice(&first.to_be_bytes());
        out[4..6].copy_from_slice(&payload_len.to_be_bytes());
        out[6] = next_header;
        out[7] = hop_limit;
        out[8..24].copy_from_slice(&source.octets());
        out[24..40].copy_from_slice(&destination.octets());
    }
}
