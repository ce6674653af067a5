//! UDP (RFC 768).

use crate::octets::{from, u16_at};
use crate::{Emit, checksum};

/// Octets of a UDP header.
pub const HEADER_LEN: usize = 8;

/// Where the checksum field stands in the header.
pub const CHECKSUM_OFFSET: u16 = 6;

/// Why octets are not a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedUdp {
    /// Fewer octets than a header.
    Truncated,
    /// The length field says less than a header.
    LengthTooSmall,
    /// The length field says more than there is.
    LengthTooLarge,
}

/// A whole UDP datagram whose length has been checked.
#[derive(Clone, Copy, Debug)]
pub struct UdpDatagram<'a> {
    octets: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// Checks the length field and cuts the datagram to it.
    ///
    /// A length of zero stands for "all there is" (jumbograms, RFC 2675 §4, and the headers of a GSO train).
    pub fn parse(octets: &'a [u8]) -> Result<Self, MalformedUdp> {
        match usize::from(UdpHeader::parse(octets)?.len) {
            0 => Ok(Self { octets }),
            len => octets
                .get(..len)
                .map(|octets| Self { octets })
                .ok_or(MalformedUdp::LengthTooLarge),
        }
    }

    /// The header's fields.
    pub fn header(&self) -> UdpHeader {
        UdpHeader {
            source_port: u16_at(self.octets, 0),
            destination_port: u16_at(self.octets, 2),
            len: u16_at(self.octets, 4),
            checksum: u16_at(self.octets, 6),
        }
    }

    /// The datagram's payload.
    pub fn payload(&self) -> &'a [u8] {
        from(self.octets, HEADER_LEN)
    }

    /// Whether the checksum holds, given the sum of the pseudo-header. None (zero) holds; over IPv6 the caller
    /// discards such datagrams first (RFC 8200 §8.1).
    pub fn is_checksum_valid(&self, pseudo_header: u16) -> bool {
        u16_at(self.octets, 6) == 0 || checksum::is_valid(checksum::combine(pseudo_header, checksum::sum(self.octets)))
    }
}

/// The fields of a UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct UdpHeader {
    /// Zero if unused.
    pub source_port: u16,
    /// Never zero in a datagram that can be delivered.
    pub destination_port: u16,
    /// Octets of header and payload; of UDP-Lite, what the checksum covers (see [`udp_lite`](crate::udp_lite)).
    pub len: u16,
    /// As on the wire; zero means none.
    pub checksum: u16,
}

impl UdpHeader {
    /// Reads the header at the front of `octets`, which need not hold the payload. A length less than a header (other
    /// than zero) is malformed; whether the length fits what arrived is the caller's to check.
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedUdp> {
        let header = octets.get(..HEADER_LEN).ok_or(MalformedUdp::Truncated)?;
        let len = u16_at(header, 4);
        if len != 0 && usize::from(len) < HEADER_LEN {
            return Err(MalformedUdp::LengthTooSmall);
        }
        Ok(Self {
            source_port: u16_at(header, 0),
            destination_port: u16_at(header, 2),
            len,
            checksum: u16_at(header, 6),
        })
    }
}

impl Emit for UdpHeader {
    fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit(&self, out: &mut [u8]) {
        let Self {
            source_port,
            destination_port,
            len,
            checksum,
        } = *self;
        out[0..2].copy_from_slice(&source_port.to_be_bytes());
        out[2..4].copy_from_slice(&destination_port.to_be_bytes());
        out[4..6].copy_from_slice(&len.to_be_bytes());
        out[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}
