//! What is emitted is parsed again as what it was.

use prise_wire::icmpv6::mld::{MessageV1, MldMessage, Record, RecordKind, ReportV2};
use prise_wire::icmpv6::ndp::{NameServer, NdpMessage, NeighborAdvertisement, PrefixInformation, RouterAdvertisement};
use prise_wire::ipv4::Ipv4Options;
use prise_wire::tcp::{AccEcn, AccEcnOrder, FastOpenCookie, UserTimeout};
use prise_wire::{
    ArpMessage, ArpOperation, Echo, Emit, EtherType, EthernetHeader, FragmentHeader, Icmpv4Header, Icmpv6Header,
    IgmpMessage, Ipv4Header, Ipv6Header, MacAddr, SackBlock, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps,
    UdpHeader, checksum, icmpv6, igmp, protocol,
};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn emit(header: &impl Emit) -> Vec<u8> {
    let mut out = vec![0xaa; header.emit_len() + 4];
    header.emit(&mut out);
    assert_eq!(
        out.split_off(header.emit_len()),
        [0xaa; 4],
        "nothing is written beyond emit_len"
    );
    out
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn ipv4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from_bits)
}

fn unicast_v6() -> impl Strategy<Value = Ipv6Addr> {
    ipv6().prop_filter("not multicast", |address| !address.is_multicast())
}

fn echo() -> impl Strategy<Value = Echo> {
    any::<(u16, u16)>().prop_map(|(identifier, sequence)| Echo { identifier, sequence })
}

fn cookie() -> impl Strategy<Value = FastOpenCookie> {
    (
        prop_oneof![Just(0usize), (2usize..=8).prop_map(|n| n * 2)],
        any::<[u8; 16]>(),
    )
        .prop_filter_map("a valid length", |(len, octets)| FastOpenCookie::new(&octets[..len]))
        .prop_flat_map(|cookie| any::<bool>().prop_map(move |old| cookie.in_experimental_shape(old)))
}

fn acc_ecn() -> impl Strategy<Value = AccEcn> {
    (any::<bool>(), prop::collection::vec(any::<u32>(), 0..=3)).prop_map(|(first, counters)| {
        AccEcn::new(
            if first {
                AccEcnOrder::Ect0First
            } else {
                AccEcnOrder::Ect1First
            },
            &counters,
        )
    })
}

prop_compose! {
    fn options()(
        mss: Option<u16>,
        window_scale: Option<u8>,
        sack_permitted: bool,
        sack in prop::collection::vec(any::<(u32, u32)>(), 0..=4),
        timestamps: Option<(u32, u32)>,
        fast_open in prop::option::of(cookie()),
        user_timeout in prop::option::of((0u16..0x8000, any::<bool>())),
        acc_ecn in prop::option::of(acc_ecn()),
    ) -> TcpOptions {
        TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            sack: sack.into_iter().map(|(l, r)| SackBlock { left: SeqNum(l), right: SeqNum(r) }).collect(),
            timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            fast_open,
            signature: None,
            user_timeout: user_timeout.map(|(value, minutes)| UserTimeout { value, minutes }),
            acc_ecn,
        }
    }
}

prop_compose! {
    fn tcp_header()(
        ports: (u16, u16),
        seq: u32,
        ack: Option<u32>,
        bits: u16,
        window: u16,
        checksum: u16,
        urgent: u16,
        options in options(),
    ) -> TcpHeader {
        let flags = TcpFlags::from_bits(bits).without(TcpFlags::ACK);
        TcpHeader {
            source_port: ports.0,
            destination_port: ports.1,
            seq: SeqNum(seq),
            ack: ack.map(SeqNum),
            flags: if ack.is_some() { flags | TcpFlags::ACK } else { flags },
            window,
            checksum,
            urgent,
            options,
        }
    }
}

prop_compose! {
    fn router_advertisement()(
        (hop_limit, managed, other) in any::<(u8, bool, bool)>(),
        (router_lifetime, reachable_time, retransmit_time) in any::<(u16, u32, u32)>(),
        source_link in prop::option::of(mac()),
        mtu in any::<Option<u32>>(),
        prefixes in prop::collection::vec((ipv6(), 0u8..=128, any::<(bool, bool, u32, u32)>()), 0..=4),
        servers in prop::collection::vec((ipv6(), any::<u32>()), 0..=4),
    ) -> RouterAdvertisement {
        let mut advertisement = RouterAdvertisement {
            hop_limit, managed, other, router_lifetime, reachable_time, retransmit_time, source_link, mtu,
            ..RouterAdvertisement::default()
        };
        for (slot, (prefix, prefix_len, (on_link, autonomous, valid_lifetime, preferred_lifetime))) in
            advertisement.prefixes.iter_mut().zip(prefixes)
        {
            let information =
                PrefixInformation { prefix, prefix_len, on_link, autonomous, valid_lifetime, preferred_lifetime };
            *slot = Some(information);
        }
        for (slot, (address, lifetime)) in advertisement.name_servers.iter_mut().zip(servers) {
            *slot = Some(NameServer { address, lifetime });
        }
        advertisement
    }
}

/// Options that did not fit when they were emitted, taken away from what was to be emitted.
fn as_emitted(mut options: TcpOptions, parsed: &TcpOptions) -> TcpOptions {
    if parsed.sack.len() < options.sack.len() {
        options.sack = options.sack.iter().copied().take(parsed.sack.len()).collect();
    }
    options.user_timeout = options.user_timeout.filter(|_| parsed.user_timeout.is_some());
    options.fast_open = options.fast_open.filter(|_| parsed.fast_open.is_some());
    options.acc_ecn = match (options.acc_ecn, parsed.acc_ecn) {
        (Some(whole), Some(cut)) => Some(AccEcn::new(whole.order, &whole.counters()[..cut.counters().len()])),
        _ => None,
    };
    options
}

proptest! {
    #[test]
    fn tcp(header in tcp_header()) {
        let octets = emit(&header);
        prop_assert!(octets.len() <= 60 && octets.len().is_multiple_of(4));
        let (parsed, len) = TcpHeader::parse(&octets).expect("well-formed");
        prop_assert_eq!(len, octets.len());
        let expected = TcpHeader { options: as_emitted(header.options, &parsed.options), ..header };
        prop_assert_eq!(parsed, expected);
    }

    #[test]
    fn tcp_options_that_fit_are_all_emitted(mut header in tcp_header()) {
        header.options.user_timeout = None;
        header.options.fast_open = None;
        header.options.acc_ecn = None;
        header.options.mss = None;
        header.options.window_scale = None;
        header.options.sack_permitted = false;
        header.options.sack = header.options.sack.iter().copied().take(3).collect();
        let (parsed, _) = TcpHeader::parse(&emit(&header)).expect("well-formed");
        prop_assert_eq!(parsed, header);
    }

    #[test]
    fn udp(source_port: u16, destination_port: u16, len in 8u16.., checksum: u16) {
        let header = UdpHeader { source_port, destination_port, len, checksum };
        prop_assert_eq!(UdpHeader::parse(&emit(&header)), Ok(header));
    }

    #[test]
    fn ipv4_header(
        source in ipv4(), destination in ipv4(), fields: (u8, u8, u8, u16, bool, bool), fragment in 0u16..0x2000,
        payload in 0usize..60_000, options in prop::collection::vec(any::<u8>(), 0..=10)
    ) {
        let options: Vec<u8> = options.iter().flat_map(|octet| [*octet; 4]).collect();
        let (protocol, hop_limit, tos, identification, dont_fragment, more_fragments) = fields;
        let header = Ipv4Header {
            hop_limit, tos, identification, dont_fragment, more_fragments,
            fragment_offset: fragment * 8,
            total_len: (20 + options.len() + payload) as u16,
            options: Ipv4Options::copy_from(&options),
            ..Ipv4Header::new(source, destination, protocol, 0)
        };
        let octets = emit(&header);
        prop_assert!(prise_wire::ipv4::is_checksum_valid(&octets));
        prop_assert_eq!(header.payload_len(), payload);
        prop_assert_eq!(Ipv4Header::parse(&octets), Ok(header));
    }

    #[test]
    fn ipv6_header(source in ipv6(), destination in ipv6(), fields: (u8, u8, u8, u16), flow_label in 0u32..0x10_0000) {
        let (next_header, hop_limit, traffic_class, payload_len) = fields;
        let header = Ipv6Header { source, destination, next_header, hop_limit, traffic_class, flow_label, payload_len };
        prop_assert_eq!(Ipv6Header::parse(&emit(&header)), Ok(header));
    }

    #[test]
    fn fragment_header(next_header: u8, offset: u16, more_fragments: bool, identification: u32) {
        let header = FragmentHeader { next_header, offset: offset & !7, more_fragments, identification };
        prop_assert_eq!(FragmentHeader::parse(&emit(&header)), Some(header));
    }

    #[test]
    fn ethernet(destination in mac(), source in mac(), tag: Option<u16>, ether_type: u16) {
        let ether_type = EtherType(ether_type);
        prop_assume!(!matches!(ether_type, EtherType::VLAN | EtherType::SERVICE_VLAN));
        let header = EthernetHeader { destination, source, tag, ether_type };
        prop_assert_eq!(EthernetHeader::parse(&emit(&header)), Some(header));
    }

    #[test]
    fn arp(reply: bool, sender_mac in mac(), target_mac in mac(), sender_ip in ipv4(), target_ip in ipv4()) {
        let operation = if reply { ArpOperation::Reply } else { ArpOperation::Request };
        let message = ArpMessage { operation, sender_mac, sender_ip, target_mac, target_ip };
        prop_assert_eq!(ArpMessage::parse(&emit(&message)), Ok(message));
    }

    #[test]
    fn icmpv4(
        header in prop_oneof![
            echo().prop_map(Icmpv4Header::EchoRequest),
            echo().prop_map(Icmpv4Header::EchoReply),
            any::<(u8, u16)>().prop_map(|(code, mtu)| Icmpv4Header::DestinationUnreachable { code, next_hop_mtu: mtu }),
            (any::<u8>(), ipv4()).prop_map(|(code, gateway)| Icmpv4Header::Redirect { code, gateway }),
            any::<u8>().prop_map(|code| Icmpv4Header::TimeExceeded { code }),
            any::<(u8, u8)>().prop_map(|(code, pointer)| Icmpv4Header::ParameterProblem { code, pointer }),
            (13u8.., any::<(u8, u32)>()).prop_map(|(kind, (code, rest))| Icmpv4Header::Other { kind, code, rest }),
        ],
        payload in prop::collection::vec(any::<u8>(), 0..64)
    ) {
        let mut octets = emit(&header);
        header.emit_with(checksum::sum(&payload), &mut octets);
        prop_assert_eq!(Icmpv4Header::parse(&octets), Ok(header));
        octets.extend(payload);
        prop_assert!(checksum::is_valid(checksum::sum(&octets)));
    }

    #[test]
    fn icmpv6_header(
        header in prop_oneof![
            echo().prop_map(Icmpv6Header::EchoRequest),
            echo().prop_map(Icmpv6Header::EchoReply),
            any::<u8>().prop_map(|code| Icmpv6Header::DestinationUnreachable { code }),
            any::<u32>().prop_map(|mtu| Icmpv6Header::PacketTooBig { mtu }),
            any::<u8>().prop_map(|code| Icmpv6Header::TimeExceeded { code }),
            any::<(u8, u32)>().prop_map(|(code, pointer)| Icmpv6Header::ParameterProblem { code, pointer }),
            (130u8.., any::<(u8, u32)>()).prop_map(|(kind, (code, rest))| Icmpv6Header::Other { kind, code, rest }),
        ],
        payload in prop::collection::vec(any::<u8>(), 0..64), source in ipv6(), destination in ipv6()
    ) {
        let mut octets = emit(&header);
        let len = octets.len() + payload.len();
        let pseudo_header = checksum::pseudo_header_v6(source, destination, protocol::ICMPV6, len);
        header.emit_with(pseudo_header, checksum::sum(&payload), &mut octets);
        prop_assert_eq!(Icmpv6Header::parse(&octets), Ok(header));
        octets.extend(payload);
        prop_assert!(checksum::is_valid(checksum::combine(pseudo_header, checksum::sum(&octets))));
    }

    #[test]
    fn ndp(
        message in prop_oneof![
            prop::option::of(mac()).prop_map(|source_link| NdpMessage::RouterSolicitation { source_link }),
            router_advertisement().prop_map(NdpMessage::RouterAdvertisement),
            (unicast_v6(), prop::option::of(mac()))
                .prop_map(|(target, source_link)| NdpMessage::NeighborSolicitation { target, source_link }),
            (any::<(bool, bool, bool)>(), unicast_v6(), prop::option::of(mac())).prop_map(
                |((router, solicited, override_known), target, target_link)| NdpMessage::NeighborAdvertisement(
                    NeighborAdvertisement { router, solicited, override_known, target, target_link }
                )
            ),
            (unicast_v6(), ipv6(), prop::option::of(mac())).prop_map(|(target, destination, target_link)| {
                NdpMessage::Redirect { target, destination, target_link, redirected: &[0x60; 48] }
            }),
        ],
        source in ipv6(), destination in ipv6()
    ) {
        let mut octets = emit(&message);
        prop_assert_eq!(icmpv6::emit_message(&message, source, destination, &mut octets), octets.len());
        prop_assert_eq!(NdpMessage::parse(&octets), Ok(message));
        let pseudo_header = checksum::pseudo_header_v6(source, destination, protocol::ICMPV6, octets.len());
        prop_assert!(checksum::is_valid(checksum::combine(pseudo_header, checksum::sum(&octets))));
    }

    #[test]
    fn multicast_listener_reports(groups in prop::collection::vec((1u8..=6, ipv6(), prop::collection::vec(ipv6(), 0..4)), 0..20)) {
        let records: Vec<_> = groups
            .iter()
            .map(|(kind, group, sources)| Record { kind: RecordKind::from_number(*kind), group: *group, sources })
            .collect();
        let octets = emit(&ReportV2(&records));
        let Ok(MldMessage::ReportV2(parsed)) = MldMessage::parse(&octets) else { panic!("not a report") };
        prop_assert_eq!(parsed.iter().collect::<Vec<_>>(), records.iter().map(|record| (record.kind, record.group)).collect::<Vec<_>>());
    }

    #[test]
    fn multicast_listener_version_1(group in ipv6()) {
        let (report, done) = (emit(&MessageV1::Report(group)), emit(&MessageV1::Done(group)));
        prop_assert_eq!(MldMessage::parse(&report), Ok(MldMessage::ReportV1(group)));
        prop_assert_eq!(MldMessage::parse(&done), Ok(MldMessage::DoneV1(group)));
    }

    #[test]
    fn group_membership(group in ipv4(), sources in prop::collection::vec(ipv4(), 0..4), kind in 1u8..=6) {
        let message = igmp::MessageV2::Report(group);
        prop_assert_eq!(IgmpMessage::parse(&emit(&message)), Ok(IgmpMessage::Report(group)));
        let message = igmp::MessageV2::Leave(group);
        prop_assert_eq!(IgmpMessage::parse(&emit(&message)), Ok(IgmpMessage::Leave(group)));
        let records = [Record { kind: RecordKind::from_number(kind), group, sources: &sources }];
        prop_assert_eq!(emit(&igmp::ReportV3(&records)).len(), 16 + 4 * sources.len());
        prop_assert_eq!(IgmpMessage::parse(&emit(&igmp::ReportV3(&records))), Ok(IgmpMessage::ReportV3));
    }
}
