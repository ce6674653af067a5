//! IP packets with TCP segments and ICMP errors, octet by octet; independent of `prise-wire` but for its checksum.

use std::net::IpAddr;

use prise_stack::segment_signature;
use prise_wire::checksum;

use crate::option::{self, Opt};

/// Where packets go and come from.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The subject.
    pub subject: IpAddr,
    /// The peer that the script plays.
    pub peer: IpAddr,
}

impl Addresses {
    /// Those of every script: one family or the other.
    pub fn new(ipv6: bool) -> Self {
        let parse = |text: &str| text.parse().expect("a constant address");
        if ipv6 {
            Self {
                subject: parse("fd00:5::1"),
                peer: parse("fd00:5::2"),
            }
        } else {
            Self {
                subject: parse("10.5.0.1"),
                peer: parse("10.5.0.2"),
            }
        }
    }
}

/// A TCP segment to be put into a packet.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; present or not is the flags' affair.
    pub ack: u32,
    /// Flags.
    pub flags: u16,
    /// Window field.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Vec<Opt>,
    /// Data.
    pub data: Vec<u8>,
    /// The ECN field.
    pub ecn: u8,
    /// Put options into the IPv4 header.
    pub ip_options: bool,
    /// Make the checksum wrong.
    pub bad_checksum: bool,
    /// Claim this data offset.
    pub data_offset: Option<u8>,
    /// The reserved bits.
    pub reserved: u8,
}

impl Outgoing {
    /// The packet from the peer to the subject.
    pub fn to_packet(&self, addresses: Addresses) -> Vec<u8> {
        let options = option::emit(&self.options);
        let words = self.data_offset.unwrap_or((20 + options.len()) as u8 / 4);
        let mut segment = Vec::with_capacity(20 + options.len() + self.data.len());
        segment.extend(self.source_port.to_be_bytes());
        segment.extend(self.destination_port.to_be_bytes());
        segment.extend(self.seq.to_be_bytes());
        segment.extend(self.ack.to_be_bytes());
        segment.push(words << 4 | self.reserved << 1 | (self.flags >> 8) as u8);
        segment.push(self.flags as u8);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(self.urgent.to_be_bytes());
        segment.extend(options);
        segment.extend(&self.data);
        if let Some((key, at)) = option::signature(&self.options)
            && let Some(digest) = segment_signature(key.as_bytes(), (addresses.peer, addresses.subject), &segment)
        {
            segment[20 + at..20 + at + digest.len()].copy_from_slice(&digest);
        }
        let pseudo = checksum::pseudo_header(addresses.peer, addresses.subject, 6, segment.len());
        let mut sum = checksum::finish(checksum::combine(pseudo, checksum::sum(&segment)));
        if self.bad_checksum {
            sum ^= 0x5555;
        }
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = ip_packet(addresses.peer, addresses.subject, 6, self.ecn, &segment);
        if self.ip_options && addresses.peer.is_ipv4() {
            insert_ip_options(&mut packet);
        }
        packet
    }
}

/// Three no-operations and an unknown option that is to be ignored, RFC 791 §3.1.
fn insert_ip_options(packet: &mut Vec<u8>) {
    let options = [1, 1, 1, 0x1e, 4, 0, 0, 0];
    packet.splice(20..20, options);
    packet[0] = 0x47;
    let len = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&len);
    packet[10..12].fill(0);
    let sum = checksum::finish(checksum::sum(&packet[..28]));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Puts an IP header in front.
fn ip_packet(source: IpAddr, destination: IpAddr, protocol: u8, tos: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + payload.len());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, tos]);
            packet.extend((20 + payload.len() as u16).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let sum = checksum::finish(checksum::sum(&packet));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend([0x60 | tos >> 4, tos << 4, 0, 0]);
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        _ => unreachable!("both addresses are of one family"),
    }
    packet.extend(payload);
    packet
}

/// An ICMP error from the peer about a segment that the subject sent.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError {
    /// Type and code, for IPv4 and for IPv6.
    pub v4: (u8, u8),
    /// The same for IPv6.
    pub v6: (u8, u8),
    /// The MTU, where there is one.
    pub mtu: u32,
    /// The ports of the quoted segment, the subject's first.
    pub ports: (u16, u16),
    /// Its sequence number.
    pub seq: u32,
}

impl IcmpError {
    /// The packet that reports the error.
    pub fn to_packet(self, addresses: Addresses) -> Vec<u8> {
        // The quoted segment: enough of it for every reader, RFC 1812 §4.3.2.3.
        let mut quoted = Vec::new();
        quoted.extend(self.ports.0.to_be_bytes());
        quoted.extend(self.ports.1.to_be_bytes());
        quoted.extend(self.seq.to_be_bytes());
        quoted.extend([0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        let quote = ip_packet(addresses.subject, addresses.peer, 6, 0, &quoted);
        let v4 = addresses.peer.is_ipv4();
        let (kind, code) = if v4 { self.v4 } else { self.v6 };
        let mut message = vec![kind, code, 0, 0];
        if v4 {
            message.extend([0, 0]);
            message.extend((self.mtu as u16).to_be_bytes());
        } else {
            message.extend((self.mtu + if self.mtu > 0 { 20 } else { 0 }).to_be_bytes());
        }
        message.extend(quote);
        let pseudo = if v4 {
            0
        } else {
            checksum::pseudo_header(addresses.peer, addresses.subject, 58, message.len())
        };
        let sum = checksum::finish(checksum::combine(pseudo, checksum::sum(&message)));
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let protocol = if v4 { 1 } else { 58 };
        ip_packet(addresses.peer, addresses.subject, protocol, 0, &message)
    }
}

/// A TCP segment that the subject sent.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The subject's port.
    pub source_port: u16,
    /// The peer's.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags.
    pub flags: u16,
    /// Window field.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Vec<Opt>,
    /// Octets of header beyond 20.
    pub options_len: u32,
    /// Data.
    pub data: Vec<u8>,
    /// The ECN field.
    pub ecn: u8,
    /// The differentiated-services field and ECN, as one octet.
    pub tos: u8,
    /// The time to live or hop limit.
    pub ttl: u8,
    /// The segment as it came, with its two addresses.
    pub whole: (Vec<u8>, IpAddr, IpAddr),
    /// The packet must not be fragmented (IPv6: never is).
    pub dont_fragment: bool,
}

impl Seen {
    /// Reads a packet. `Ok(None)` if it is not TCP; what is wrong with it otherwise.
    pub fn parse(packet: &[u8], addresses: Addresses) -> Result<Option<Self>, String> {
        let Some((ecn, source, destination, segment)) = tcp_of(packet)? else {
            return Ok(None);
        };
        if (source, destination) != (addresses.subject, addresses.peer) {
            return Err(format!("a segment from {source} to {destination}"));
        }
        let pseudo = checksum::pseudo_header(source, destination, 6, segment.len());
        if !checksum::is_valid(checksum::combine(pseudo, checksum::sum(segment))) {
            return Err("the TCP checksum is wrong".into());
        }
        let header = segment.get(..20).ok_or("a segment of less than 20 octets")?;
        let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let word = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
        let offset = usize::from(header[12] >> 4) * 4;
        let options = segment
            .get(20..offset)
            .ok_or("the data offset points outside the segment")?;
        if header[12] & 0x0e != 0 {
            return Err("reserved bits are set".into());
        }
        Ok(Some(Self {
            source_port: short(0),
            destination_port: short(2),
            seq: word(4),
            ack: word(8),
            flags: short(12) & 0x1ff,
            window: short(14),
            urgent: short(18),
            options: option::parse(options)?,
            options_len: options.len() as u32,
            data: segment[offset..].to_vec(),
            whole: (segment.to_vec(), source, destination),
            ecn,
            tos: match packet[0] >> 4 {
                4 => packet[1],
                _ => packet[0] << 4 | packet[1] >> 4,
            },
            ttl: packet[if packet[0] >> 4 == 4 { 8 } else { 7 }],
            dont_fragment: packet[0] >> 4 == 6 || packet[6] & 0x40 != 0,
        }))
    }

    /// The option that the segment would have if this key had signed it.
    pub fn signature_by(&self, key: &str) -> Opt {
        let (segment, source, destination) = &self.whole;
        let digest = segment_signature(key.as_bytes(), (*source, *destination), segment);
        Opt::Other(option::SIGNATURE, digest.unwrap_or_default().to_vec())
    }

    /// The timestamps option.
    pub fn timestamps(&self) -> Option<(u32, u32)> {
        self.options.iter().find_map(|option| match option {
            Opt::Timestamps {
                value: Some(value),
                echo: Some(echo),
            } => Some((*value, *echo)),
            _ => None,
        })
    }

    /// The blocks of the SACK option.
    pub fn sack(&self) -> &[(u32, u32)] {
        self.options
            .iter()
            .find_map(|option| match option {
                Opt::Sack(blocks) => Some(&blocks[..]),
                _ => None,
            })
            .unwrap_or_default()
    }
}

type TcpOf<'a> = (u8, IpAddr, IpAddr, &'a [u8]);

/// The ECN field, the addresses and the segment of a packet that carries TCP.
fn tcp_of(packet: &[u8]) -> Result<Option<TcpOf<'_>>, String> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let header = packet.get(..20).ok_or("a short packet")?;
            let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let at = usize::from(header[0] & 15) * 4;
            if header[9] != 6 {
                return Ok(None);
            }
            if len != packet.len() || at < 20 || at > len {
                return Err("the IP header's lengths are wrong".into());
            }
            if !checksum::is_valid(checksum::sum(&packet[..at])) {
                return Err("the IP checksum is wrong".into());
            }
            let address = |at: usize| IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            Ok(Some((header[1] & 3, address(12), address(16), &packet[at..])))
        }
        Some(6) => {
            let header = packet.get(..40).ok_or("a short packet")?;
            if header[6] != 6 {
                return Ok(None);
            }
            if usize::from(u16::from_be_bytes([header[4], header[5]])) + 40 != packet.len() {
                return Err("the IPv6 length is wrong".into());
            }
            let address = |at: usize| {
                let octets: [u8; 16] = header[at..at + 16].try_into().expect("16 octets");
                IpAddr::from(octets)
            };
            Ok(Some((header[1] >> 4 & 3, address(8), address(24), &packet[40..])))
        }
        _ => Ok(None),
    }
}
