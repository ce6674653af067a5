//! Packets in octets: built to be injected, read after they were sniffed.

use std::net::{IpAddr, SocketAddr};

use super::packet::IpSpec;

/// IPv4 or IPv6 and what follows.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;

/// A TCP header's fields, as they stand on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) flags: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) options: Vec<u8>,
    pub(super) length: usize,
}

/// A sniffed packet.
#[derive(Clone, Debug)]
pub(super) struct Sniffed {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) tos: u8,
    pub(super) hop_limit: u8,
    pub(super) content: Content,
}

/// What it carries.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Tcp(Segment),
    Udp(usize),
    /// Type and code.
    Icmp((u8, u8)),
}

fn sum(octets: &[u8]) -> u64 {
    let pair = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    octets.chunks(2).map(pair).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn address_octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An IP packet around a transport's octets, whose checksum lies at `checksum_at`.
pub(super) fn ip_packet(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    spec: IpSpec,
    mut transport: Vec<u8>,
    checksum_at: usize,
) -> Vec<u8> {
    let (source, target) = (address_octets(from), address_octets(to));
    // ICMP for IPv4 is the one without a pseudo-header.
    let pseudo = match protocol {
        ICMP => 0,
        _ => sum(&source) + sum(&target) + u64::from(protocol) + transport.len() as u64,
    };
    let checksum = fold(pseudo + sum(&transport));
    transport[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());
    let tos = spec.tos.unwrap_or(spec.ecn.unwrap_or(0));
    let hop_limit = spec.hop_limit.unwrap_or(255);
    let mut packet = ip_header(&source, &target, protocol, tos, hop_limit, transport.len());
    packet.append(&mut transport);
    packet
}

fn ip_header(source: &[u8], target: &[u8], protocol: u8, tos: u8, hop_limit: u8, length: usize) -> Vec<u8> {
    let mut header = Vec::new();
    if source.len() == 4 {
        header.extend([0x45, tos]);
        header.extend((20 + length as u16).to_be_bytes());
        header.extend([0, 0, 0, 0, hop_limit, protocol, 0, 0]);
        header.extend(source);
        header.extend(target);
        let checksum = fold(sum(&header));
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        header.extend((0x6000_0000 | u32::from(tos) << 20).to_be_bytes());
        header.extend((length as u16).to_be_bytes());
        header.extend([protocol, hop_limit]);
        header.extend(source);
        header.extend(target);
    }
    header
}

/// The octets of a TCP segment, its checksum not yet filled in.
pub(super) fn tcp(from: u16, to: u16, segment: &Segment) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(from.to_be_bytes());
    octets.extend(to.to_be_bytes());
    octets.extend(segment.seq.to_be_bytes());
    octets.extend(segment.ack.to_be_bytes());
    let offset = (20 + segment.options.len()) as u16 / 4;
    octets.extend((offset << 12 | segment.flags).to_be_bytes());
    octets.extend(segment.window.to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(segment.urgent.to_be_bytes());
    octets.extend(&segment.options);
    octets.resize(octets.len() + segment.length, 0);
    octets
}

/// The octets of a UDP datagram.
pub(super) fn udp(from: u16, to: u16, length: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(from.to_be_bytes());
    octets.extend(to.to_be_bytes());
    octets.extend((8 + length as u16).to_be_bytes());
    octets.extend([0, 0]);
    octets.resize(8 + length, 0);
    octets
}

/// An ICMP error about a packet of ours: type, code, the word after the checksum, and what is quoted.
pub(super) fn icmp(kind: u8, code: u8, word: u32, quoted: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind, code, 0, 0];
    octets.extend(word.to_be_bytes());
    octets.extend(quoted);
    octets
}

/// The beginning of a packet that we are said to have sent: its IP header and the first octets of its transport.
pub(super) fn quote(from: IpAddr, to: IpAddr, protocol: u8, transport: &[u8], length: usize) -> Vec<u8> {
    let mut packet = ip_header(&address_octets(from), &address_octets(to), protocol, 0, 255, length);
    packet.extend(transport);
    packet
}

/// Reads a packet; none if it is broken.
pub(super) fn read(packet: &[u8]) -> Option<Sniffed> {
    let (from, to, protocol, tos, hop_limit, transport) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 15) * 4;
            let from = IpAddr::from(*packet.get(12..)?.first_chunk::<4>()?);
            let to = IpAddr::from(*packet.get(16..)?.first_chunk::<4>()?);
            if fold(sum(packet.get(..header)?)) != 0 {
                return None;
            }
            (from, to, packet[9], packet[1], packet[8], packet.get(header..)?)
        }
        6 => {
            let from = IpAddr::from(*packet.get(8..)?.first_chunk::<16>()?);
            let to = IpAddr::from(*packet.get(24..)?.first_chunk::<16>()?);
            let tos = packet[0] << 4 | packet[1] >> 4;
            (from, to, packet[6], tos, packet[7], packet.get(40..)?)
        }
        _ => return None,
    };
    // Like packetdrill, which refuses a packet whose checksum is wrong.
    let pseudo = match protocol {
        ICMP => 0,
        _ => sum(&address_octets(from)) + sum(&address_octets(to)) + u64::from(protocol) + transport.len() as u64,
    };
    if fold(pseudo + sum(transport)) != 0 {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(*transport.get(at..)?.first_chunk()?));
    let (ports, content) = match protocol {
        TCP => ((port(0)?, port(2)?), Content::Tcp(read_tcp(transport)?)),
        UDP => ((port(0)?, port(2)?), Content::Udp(transport.len().checked_sub(8)?)),
        ICMP | ICMPV6 => {
            let numbers = (*transport.first()?, *transport.get(1)?);
            ((0, 0), Content::Icmp(numbers))
        }
        _ => return None,
    };
    Some(Sniffed {
        from: SocketAddr::new(from, ports.0),
        to: SocketAddr::new(to, ports.1),
        tos,
        hop_limit,
        content,
    })
}

fn read_tcp(octets: &[u8]) -> Option<Segment> {
    let word = |at: usize| Some(u32::from_be_bytes(*octets.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?));
    let header = usize::from(half(12)? >> 12) * 4;
    Some(Segment {
        flags: half(12)? & 0x1ff,
        seq: word(4)?,
        ack: word(8)?,
        window: half(14)?,
        urgent: half(18)?,
        options: octets.get(20..header)?.to_vec(),
        length: octets.len().checked_sub(header)?,
    })
}
