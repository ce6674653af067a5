//! Ethernet II frames (RFC 894, RFC 2464) and the IEEE 802.1Q tag.

use crate::octets::{array, u16_at};
use crate::{Emit, MacAddr};
use core::fmt;

/// Octets of a header without a tag.
pub const HEADER_LEN: usize = 14;

/// Octets that an IEEE 802.1Q tag adds.
pub const TAG_LEN: usize = 4;

/// The shortest frame, without its check sequence; shorter ones are padded.
pub const FRAME_MIN: usize = 60;

/// What an Ethernet frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self(0x0800);
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// A customer VLAN tag follows (IEEE 802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// A service VLAN tag follows (IEEE 802.1ad).
    pub const SERVICE_VLAN: Self = Self(0x88a8);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self(0x86dd);
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// An Ethernet header, with the tag if there is one. Frames with an IEEE 802.3 length instead of a type parse too: their
/// type is less than 1536 and matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EthernetHeader {
    /// The receiver.
    pub destination: MacAddr,
    /// The sender.
    pub source: MacAddr,
    /// The tag control information: priority, drop eligibility and VLAN identifier.
    pub tag: Option<u16>,
    /// What follows.
    pub ether_type: EtherType,
}

impl EthernetHeader {
    /// A header without a tag.
    pub const fn new(source: MacAddr, destination: MacAddr, ether_type: EtherType) -> Self {
        Self {
            destination,
            source,
            tag: None,
            ether_type,
        }
    }

    /// Reads the header at the front of `octets` and one tag; `None` if they are not all there.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let (destination, source) = (MacAddr(array(octets, 0)?), MacAddr(array(octets, 6)?));
        match EtherType(u16::from_be_bytes(array(octets, 12)?)) {
            EtherType::VLAN | EtherType::SERVICE_VLAN => {
                let ether_type = EtherType(u16::from_be_bytes(array(octets, 16)?));
                Some(Self {
                    destination,
                    source,
                    tag: Some(u16_at(octets, 14)),
                    ether_type,
                })
            }
            ether_type => Some(Self {
                destination,
                source,
                tag: None,
                ether_type,
            }),
        }
    }

    /// Octets of the header and its tag.
    pub const fn header_len(&self) -> usize {
        if self.tag.is_some() {
            HEADER_LEN + TAG_LEN
        } else {
            HEADER_LEN
        }
    }
}

impl Emit for EthernetHeader {
    fn emit_len(&self) -> usize {
        self.header_len()
    }

    fn emit(&self, out: &mut [u8]) {
        let Self {
            destination,
            source,
            tag,
            ether_type,
        } = *self;
        out[0..6].copy_from_slice(&destination.octets());
        out[6..12].copy_from_slice(&source.octets());
        let mut at = 12;
        if let Some(tag) = tag {
            out[12..14].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
            out[14..16].copy_from_slice(&tag.to_be_bytes());
            at = 16;
        }
        out[at..at + 2].copy_from_slice(&ether_type.0.to_be_bytes());
    }
}
