//! The Address Resolution Protocol between Ethernet and IPv4 (RFC 826).

use crate::octets::{array, u16_at};
use crate::{Emit, EtherType, MacAddr};
use core::net::Ipv4Addr;

/// Octets of a message for Ethernet and IPv4.
pub const MESSAGE_LEN: usize = 28;

/// ar$hrd for Ethernet.
const HARDWARE_ETHERNET: u16 = 1;

/// ar$op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// Who has the target's protocol address?
    Request,
    /// The sender has it.
    Reply,
}

/// Why octets are not an ARP message between Ethernet and IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedArp {
    /// Fewer octets than a message.
    Truncated,
    /// Other address spaces than Ethernet and IPv4, or other address lengths.
    AddressSpace,
    /// Neither request nor reply.
    Operation,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArpMessage {
    /// What it is.
    pub operation: ArpOperation,
    /// ar$sha.
    pub sender_mac: MacAddr,
    /// ar$spa; unspecified in an address probe (RFC 5227 §1.1).
    pub sender_ip: Ipv4Addr,
    /// ar$tha; meaningless in requests.
    pub target_mac: MacAddr,
    /// ar$tpa.
    pub target_ip: Ipv4Addr,
}

impl ArpMessage {
    /// Reads the message at the front of `octets`; what follows is link padding.
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedArp> {
        let octets = octets.first_chunk::<MESSAGE_LEN>().ok_or(MalformedArp::Truncated)?;
        if octets[..6] != [0, HARDWARE_ETHERNET as u8, 0x08, 0x00, 6, 4] {
            return Err(MalformedArp::AddressSpace);
        }
        let operation = match u16_at(octets, 6) {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return Err(MalformedArp::Operation),
        };
        let mac = |at| array(octets, at).map_or(MacAddr::UNSPECIFIED, MacAddr);
        let ip = |at| crate::octets::ipv4_at(octets, at);
        Ok(Self {
            operation,
            sender_mac: mac(8),
            sender_ip: ip(14),
            target_mac: mac(18),
            target_ip: ip(24),
        })
    }

    /// The question who has `target`, asked by `sender`.
    pub const fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        let operation = ArpOperation::Request;
        Self {
            operation,
            sender_mac,
            sender_ip,
            target_mac: MacAddr::UNSPECIFIED,
            target_ip,
        }
    }

    /// The answer to this message that `mac` has its target address.
    #[must_use]
    pub const fn reply(&self, mac: MacAddr) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Whether the sender announces its own address (RFC 5227 §3).
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }
}

impl Emit for ArpMessage {
    fn emit_len(&self) -> usize {
        MESSAGE_LEN
    }

    fn emit(&self, out: &mut [u8]) {
        let Self {
            operation,
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        } = *self;
        let operation: u16 = match operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        out[0..2].copy_from_slice(&HARDWARE_ETHERNET.to_be_bytes());
        out[2..4].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        out[4..6].copy_from_slice(&[6, 4]);
        out[6..8].copy_from_slice(&operation.to_be_bytes());
        out[8..14].copy_from_slice(&sender_mac.octets());
        out[14..18].copy_from_slice(&sender_ip.octets());
        out[18..24].copy_from_slice(&target_mac.octets());
        out[24..28].copy_from_slice(&target_ip.octets());
    }
}
