//! What prise-wire promises, for any octets: no panic, and what a parser has accepted survives being emitted.
//!
//! The fuzzer runs these, and so does `cargo test` over the corpora (`crates/prise-wire/tests/corpora.rs`).

use crate::target::Target;
use prise_wire::icmpv6::mld::MldMessage;
use prise_wire::icmpv6::ndp::NdpMessage;
use prise_wire::ipv6::extension;
use prise_wire::{
    ArpMessage, Checksum, Emit, EthernetHeader, FragmentHeader, Frame, Gso, GsoKind, Icmpv4Header, Icmpv6Header,
    IgmpMessage, IpCidr, IpVersion, Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, Layout, Medium, QuotedIpv4,
    QuotedIpv6, TcpHeader, TcpSegment, UdpDatagram, UdpHeader, checksum, ipv4, protocol,
};
use std::net::IpAddr;

/// Every target by its name.
pub(crate) const TARGETS: &[Target] = &[
    ("arp", arp),
    ("cidr", cidr),
    ("ethernet", ethernet),
    ("frame", frame),
    ("icmpv4", icmpv4),
    ("icmpv6", icmpv6),
    ("igmp", igmp),
    ("ipv4", ipv4),
    ("ipv6", ipv6),
    ("mld", mld),
    ("ndp", ndp),
    ("segments", segments),
    ("tcp", tcp),
    ("udp", udp),
];

fn emitted(header: &impl Emit) -> Vec<u8> {
    let mut octets = vec![0; header.emit_len()];
    header.emit(&mut octets);
    octets
}

fn arp(input: &[u8]) {
    if let Ok(message) = ArpMessage::parse(input) {
        assert_eq!(ArpMessage::parse(&emitted(&message)), Ok(message));
    }
}

fn cidr(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(cidr) = text.parse::<IpCidr>() {
        assert_eq!(cidr.to_string().parse(), Ok(cidr));
        assert!(cidr.contains(cidr.address()) && cidr.contains(cidr.network().address()));
        assert!(cidr.broadcast().is_none_or(|broadcast| cidr.contains(broadcast.into())));
    }
}

fn ethernet(input: &[u8]) {
    if let Some(header) = EthernetHeader::parse(input) {
        assert_eq!(EthernetHeader::parse(&emitted(&header)), Some(header));
    }
}

fn icmpv4(input: &[u8]) {
    if let Ok(header) = Icmpv4Header::parse(input) {
        assert_eq!(Icmpv4Header::parse(&emitted(&header)), Ok(header));
        let mut octets = input.to_vec();
        header.emit_with(checksum::sum(&input[8..]), &mut octets);
        assert!(checksum::is_valid(checksum::sum(&octets)));
    }
    let quote = input.get(8..).unwrap_or(&[]);
    if let Some(quoted) = QuotedIpv4::parse(quote) {
        assert!(quoted.transport_at <= quote.len());
    }
}

fn icmpv6(input: &[u8]) {
    if let Ok(header) = Icmpv6Header::parse(input) {
        assert_eq!(Icmpv6Header::parse(&emitted(&header)), Ok(header));
    }
    let quote = input.get(8..).unwrap_or(&[]);
    if let Some(quoted) = QuotedIpv6::parse(quote) {
        assert!(quoted.transport_at <= quote.len().max(40));
    }
}

/// The checksum is set right first, or no input would get beyond it.
fn igmp(input: &[u8]) {
    let mut octets = input.to_vec();
    if octets.len() >= 4 {
        octets[2..4].fill(0);
        let checksum = checksum::finish(checksum::sum(&octets));
        octets[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    let _ = IgmpMessage::parse(&octets);
}

fn ipv4(input: &[u8]) {
    if let Ok(header) = Ipv4Header::parse(input) {
        let octets = emitted(&header);
        assert_eq!(Ipv4Header::parse(&octets), Ok(header));
        assert!(ipv4::is_checksum_valid(&octets));
        assert!(header.options.iter().all(|option| option.data.len() <= 38));
        let _ = header.options.has_source_route();
    }
    if let Ok(packet) = Ipv4Packet::parse(input) {
        assert_eq!(packet.header().payload_len(), packet.payload().len());
    }
}

fn ipv6(input: &[u8]) {
    let Ok(header) = Ipv6Header::parse(input) else { return };
    assert_eq!(Ipv6Header::parse(&emitted(&header)), Ok(header));
    if let Ok(packet) = Ipv6Packet::parse(input) {
        assert_eq!(packet.payload().len(), usize::from(header.payload_len));
    }
    let Ok(chain) = extension::walk(input) else { return };
    assert!(chain.upper_at <= input.len() && chain.next_header_at < chain.upper_at);
    assert_eq!(input[chain.next_header_at], chain.upper);
    if let Some((at, fragment)) = chain.fragment {
        assert!(at < chain.upper_at);
        assert_eq!(FragmentHeader::parse(&emitted(&fragment)), Some(fragment));
    }
}

fn mld(input: &[u8]) {
    if let Ok(MldMessage::ReportV2(records)) = MldMessage::parse(input) {
        assert!(records.iter().count() <= input.len() / 20);
    }
}

/// A quoted packet that is too long is cut when it is emitted, so the first parse may say more than the second.
fn ndp(input: &[u8]) {
    let Ok(message) = NdpMessage::parse(input) else { return };
    let octets = emitted(&message);
    let again = NdpMessage::parse(&octets).expect("what is emitted is valid");
    let octets = emitted(&again);
    assert_eq!(NdpMessage::parse(&octets), Ok(again));
}

/// Options that came without alignment may not all fit with it, so the first parse may say more than the second.
fn tcp(input: &[u8]) {
    let Ok((header, len)) = TcpHeader::parse(input) else {
        return;
    };
    assert!(len <= input.len());
    let octets = emitted(&header);
    let (again, len) = TcpHeader::parse(&octets).expect("what is emitted is valid");
    assert_eq!(len, octets.len());
    assert_eq!(
        TcpHeader {
            options: header.options,
            ..again
        },
        header
    );
    assert_eq!(TcpHeader::parse(&emitted(&again)), Ok((again, len)));
    let segment = TcpSegment::parse(input).expect("the header was valid");
    let _ = segment.is_checksum_valid(0);
}

fn udp(input: &[u8]) {
    if let Ok(header) = UdpHeader::parse(input) {
        assert_eq!(UdpHeader::parse(&emitted(&header)), Ok(header));
    }
    if let Ok(datagram) = UdpDatagram::parse(input) {
        assert!(datagram.payload().len() + 8 <= input.len());
        let _ = datagram.is_checksum_valid(0);
    }
}

/// The first octet says which medium, the next four what is done to the frame, the rest is the frame.
fn frame(input: &[u8]) {
    let Some((&[medium, pull, trim, keep, keep_more], octets)) = input.split_first_chunk() else {
        return;
    };
    let medium = if medium & 1 == 0 { Medium::Ip } else { Medium::Ethernet };
    let mut frame = Frame::from_contiguous(medium, octets.into());
    assert_eq!(frame.to_vec(), octets);
    if let Some(layout) = frame.layout(medium) {
        assert_eq!(Layout::of(medium, octets), Some(layout));
        assert!(layout.network_at < layout.transport_at && layout.transport_at <= frame.head().len());
    }
    let pulled = frame.pull(pull.into());
    assert!(!pulled || frame.head().len() >= pull.into());
    assert_eq!(frame.to_vec(), octets);
    let trim = usize::from(trim);
    let rest = octets.get(trim..).unwrap_or(&[]);
    assert_eq!(frame.clone().into_payload(trim).to_vec(), rest);
    assert_eq!(frame.sum_from(trim), checksum::sum_pieces([rest]));
    frame.trim_front(trim);
    assert_eq!(frame.to_vec(), rest);
    let keep = usize::from(u16::from_be_bytes([keep, keep_more]));
    frame.truncate(keep);
    assert_eq!(frame.to_vec(), rest[..rest.len().min(keep)]);
}

/// The first eight octets are the offload state, the rest is the frame.
fn segments(input: &[u8]) {
    let Some((&[choice, kind, numbers @ ..], octets)) = input.split_first_chunk::<8>() else {
        return;
    };
    let medium = if choice & 1 == 0 { Medium::Ip } else { Medium::Ethernet };
    let kind = [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp4, GsoKind::Udp6][usize::from(kind % 4)];
    let number = |at: usize| u16::from_be_bytes([numbers[at], numbers[at + 1]]);
    let (start, offset, size) = (number(0), number(2), number(4));
    let mut frame = Frame::from_contiguous(medium, octets.into());
    frame.offload.checksum = match choice >> 1 & 3 {
        0 => Checksum::Unverified,
        1 => Checksum::Verified,
        _ => Checksum::Partial { start, offset },
    };
    frame.offload.gso = Some(Gso { kind, size });
    // Thousands of packets from one input only make the fuzzer slow.
    if frame.body().len() > 64 * usize::from(size) {
        return;
    }
    let head_len = frame.head().len();
    let packets: Vec<_> = frame.clone().segments(medium).collect();
    assert_eq!(frame.clone().segments(medium).len(), packets.len());
    assert!(packets.iter().all(|packet| packet.offload.gso.is_none()));
    if packets.len() == 1 {
        return;
    }
    // Really cut: every packet stands on its own, and together they are the train.
    assert_eq!(packets.len(), frame.body().len().div_ceil(size.into()));
    let mut payload = Vec::new();
    for packet in &packets {
        check_packet(packet, medium);
        payload.extend_from_slice(&packet.to_vec()[head_len..]);
    }
    assert_eq!(payload, frame.body().to_vec());
    assert_eq!(frame.segments_partial(medium).count(), packets.len());
}

fn check_packet(packet: &Frame, medium: Medium) {
    let layout = packet.layout(medium).expect("it was cut");
    let octets = packet.to_vec();
    let network = &octets[layout.network_at..];
    // A train of more than 64 KiB has no packet that is as long, but a segment size near 64 KiB may make one.
    if network.len() > u16::MAX.into() {
        return;
    }
    let (source, destination): (IpAddr, IpAddr) = match layout.version {
        IpVersion::V4 => {
            let header = Ipv4Header::parse(network).expect("it was cut");
            assert!(ipv4::is_checksum_valid(network));
            assert_eq!(usize::from(header.total_len), network.len());
            (header.source.into(), header.destination.into())
        }
        IpVersion::V6 => {
            let header = Ipv6Header::parse(network).expect("it was cut");
            assert_eq!(usize::from(header.payload_len) + 40, network.len());
            (header.source.into(), header.destination.into())
        }
    };
    let transport = &octets[layout.transport_at..];
    let pseudo_header = checksum::pseudo_header(source, destination, layout.protocol, transport.len());
    let has_none = layout.protocol == protocol::UDP && transport[6..8] == [0, 0];
    assert!(has_none || checksum::is_valid(checksum::combine(pseudo_header, checksum::sum(transport))));
}
