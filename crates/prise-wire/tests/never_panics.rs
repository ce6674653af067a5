//! No octets make a parser panic; and what a parser accepts is what it says.

use prise_wire::icmpv6::mld::MldMessage;
use prise_wire::icmpv6::ndp::NdpMessage;
use prise_wire::ipv6::extension;
use prise_wire::{
    ArpMessage, Checksum, EthernetHeader, Frame, Gso, GsoKind, Icmpv4Header, Icmpv6Header, IgmpMessage, Ipv4Packet,
    Ipv6Packet, Layout, Medium, QuotedIpv4, QuotedIpv6, TcpSegment, UdpDatagram,
};
use proptest::prelude::*;

/// Random octets whose first one makes them look like a packet now and then.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![any::<u8>(), Just(0x45), Just(0x46), Just(0x60), 128u8..150];
    (
        first,
        prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff)], 0..300),
    )
        .prop_map(|(first, mut octets)| {
            octets.insert(0, first);
            octets
        })
}

/// IPv6 packets with chains of extension headers that nearly make sense.
fn chains() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just(0u8), Just(43), Just(44), Just(60), Just(6), Just(17), any::<u8>()];
    (
        kind.clone(),
        prop::collection::vec((kind, 0u8..3, prop::array::uniform6(any::<u8>())), 0..12),
    )
        .prop_map(|(first, headers)| {
            let mut packet = vec![0; 40];
            packet[0] = 0x60;
            packet[6] = first;
            for (next, units, data) in headers {
                packet.extend([next, units]);
                packet.extend(data);
                packet.resize(packet.len() + 8 * usize::from(units), 1);
            }
            packet
        })
}

fn read_everything(octets: &[u8]) {
    if let Ok(packet) = Ipv4Packet::parse(octets) {
        let header = packet.header();
        assert_eq!(header.header_len(), packet.header_len());
        assert_eq!(header.payload_len(), packet.payload().len());
        assert!(header.options.iter().count() <= 20);
    }
    if let Ok(packet) = Ipv6Packet::parse(octets) {
        assert_eq!(usize::from(packet.header().payload_len), packet.payload().len());
    }
    if let Ok(chain) = extension::walk(octets) {
        assert!(chain.upper_at <= octets.len().max(40));
    }
    if let Ok(segment) = TcpSegment::parse(octets) {
        assert_eq!(segment.header_len() + segment.payload().len(), octets.len());
        let header = segment.header();
        assert_eq!(header.flags.ack(), header.ack.is_some());
    }
    if let Ok(datagram) = UdpDatagram::parse(octets) {
        assert!(datagram.payload().len() + 8 <= octets.len());
        let _ = datagram.is_checksum_valid(0);
    }
    if let Ok(MldMessage::ReportV2(records)) = MldMessage::parse(octets) {
        assert!(records.iter().count() <= octets.len() / 20);
    }
    let _ = (
        ArpMessage::parse(octets),
        EthernetHeader::parse(octets),
        IgmpMessage::parse(octets),
    );
    let _ = (
        Icmpv4Header::parse(octets),
        Icmpv6Header::parse(octets),
        NdpMessage::parse(octets),
    );
    let _ = (QuotedIpv4::parse(octets), QuotedIpv6::parse(octets));
}

fn handle_as_frame(octets: &[u8], medium: Medium, start: u16, offset: u16, size: u16) {
    for kind in [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp4, GsoKind::Udp6] {
        let mut frame = Frame::from_contiguous(medium, octets.into());
        assert_eq!(frame.to_vec(), octets);
        frame.offload.checksum = Checksum::Partial { start, offset };
        frame.offload.gso = Some(Gso { kind, size });
        let total: usize = frame.segments(medium).map(|packet| packet.total_len()).sum();
        assert!(total >= octets.len());
    }
    let _ = Layout::of(medium, octets);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn on_random_octets(octets in octets()) {
        read_everything(&octets);
    }

    #[test]
    fn on_chains_of_extension_headers(packet in chains()) {
        read_everything(&packet);
        handle_as_frame(&packet, Medium::Ip, 40, 6, 100);
    }

    #[test]
    fn on_random_frames_with_random_offload(octets in octets(), ethernet: bool, start: u16, offset: u16, size: u16) {
        let medium = if ethernet { Medium::Ethernet } else { Medium::Ip };
        handle_as_frame(&octets, medium, start, offset, size);
        handle_as_frame(&octets, medium, start % 64, offset % 32, size % 64);
    }
}
