//! Frames: building, trimming, cutting and completing.

use prise_wire::{
    Body, Checksum, EtherType, EthernetHeader, Frame, Gso, GsoKind, HEAD_MAX, Head, Ipv4Header, Ipv6Header, MacAddr,
    Medium, Payload, SeqNum, TcpFlags, TcpHeader, TcpSegment, Timestamps, UdpHeader, checksum, ipv4, protocol, tcp,
    udp,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const A4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// A payload of `len` octets cut at `cuts`.
fn body(len: usize, cuts: &[usize]) -> Body {
    let mut whole = Payload::from((0..len).map(|i| (i * 7 + i / 251) as u8).collect::<Vec<_>>());
    let mut body = Body::new();
    for cut in cuts {
        body.push_back(whole.split_to(*cut));
    }
    body.push_back(whole);
    body
}

fn tcp_header() -> TcpHeader {
    let mut header = TcpHeader {
        source_port: 1,
        destination_port: 2,
        seq: SeqNum(u32::MAX - 1000),
        ack: Some(SeqNum(77)),
        flags: TcpFlags::FIN | TcpFlags::PSH | TcpFlags::CWR | TcpFlags::ACK,
        window: 1000,
        ..TcpHeader::default()
    };
    header.options.timestamps = Some(Timestamps { value: 5, echo: 6 });
    header
}

/// A train of segments as a stack sends it.
fn train(kind: GsoKind, medium: Medium, body: Body, size: u16) -> Frame {
    let (source, destination): (IpAddr, IpAddr) = if kind.is_ipv4() {
        (A4.into(), B4.into())
    } else {
        (A6.into(), B6.into())
    };
    let (protocol, header_len, offset) = if kind.is_tcp() {
        (protocol::TCP, tcp_header().header_len(), tcp::CHECKSUM_OFFSET)
    } else {
        (protocol::UDP, udp::HEADER_LEN, udp::CHECKSUM_OFFSET)
    };
    let len = header_len + body.len();
    let checksum = checksum::pseudo_header(source, destination, protocol, len);
    let mut frame = if kind.is_tcp() {
        Frame::with_header(
            &TcpHeader {
                checksum,
                ..tcp_header()
            },
            body,
        )
    } else {
        let len = len as u16;
        Frame::with_header(
            &UdpHeader {
                source_port: 1,
                destination_port: 2,
                len,
                checksum,
            },
            body,
        )
    };
    frame.offload.checksum = Checksum::Partial { start: 0, offset };
    frame.offload.gso = Some(Gso { kind, size });
    if kind.is_ipv4() {
        frame.push_header(&Ipv4Header {
            identification: 0xffff,
            ..Ipv4Header::new(A4, B4, protocol, len)
        });
    } else {
        frame.push_header(&Ipv6Header::new(A6, B6, protocol, len));
    }
    if medium == Medium::Ethernet {
        let ether_type = if kind.is_ipv4() {
            EtherType::IPV4
        } else {
            EtherType::IPV6
        };
        frame.push_header(&EthernetHeader::new(MacAddr([2; 6]), MacAddr([4; 6]), ether_type));
    }
    frame
}

/// Verifies a finished packet from first to last octet and returns its transport octets.
fn check_packet(frame: &Frame, medium: Medium, kind: GsoKind) -> Vec<u8> {
    assert_eq!(frame.offload.gso, None);
    assert_eq!(frame.offload.checksum, Checksum::Unverified);
    let octets = frame.to_vec();
    let layout = frame.layout(medium).expect("headers hold together");
    let packet = &octets[layout.network_at..];
    let transport = octets[layout.transport_at..].to_vec();
    let (source, destination): (IpAddr, IpAddr) = if kind.is_ipv4() {
        let header = Ipv4Header::parse(packet).expect("well-formed");
        assert!(ipv4::is_checksum_valid(packet));
        assert_eq!(usize::from(header.total_len), packet.len());
        (header.source.into(), header.destination.into())
    } else {
        let header = Ipv6Header::parse(packet).expect("well-formed");
        assert_eq!(usize::from(header.payload_len), packet.len() - 40);
        (header.source.into(), header.destination.into())
    };
    let pseudo_header = checksum::pseudo_header(source, destination, layout.protocol, transport.len());
    assert!(frame.is_checksum_valid(layout.transport_at, pseudo_header));
    assert!(checksum::is_valid(checksum::combine(
        pseudo_header,
        checksum::sum(&transport)
    )));
    transport
}

fn kinds() -> impl Strategy<Value = GsoKind> {
    prop_oneof![
        Just(GsoKind::Tcp4),
        Just(GsoKind::Tcp6),
        Just(GsoKind::Udp4),
        Just(GsoKind::Udp6)
    ]
}

fn media() -> impl Strategy<Value = Medium> {
    prop_oneof![Just(Medium::Ip), Just(Medium::Ethernet)]
}

/// A sum of nothing: TCP's checksum is zero then, and UDP's the other zero, as zero says there that it has none.
#[test]
fn a_checksum_of_zero_stands_for_itself_but_in_udp() {
    for (kind, expected) in [
        (GsoKind::Tcp4, 0),
        (GsoKind::Tcp6, 0),
        (GsoKind::Udp4, 0xffff),
        (GsoKind::Udp6, 0xffff),
    ] {
        let completed = |word: u16| {
            let mut body = Body::new();
            body.push_back(Payload::from(word.to_be_bytes().to_vec()));
            let mut frame = train(kind, Medium::Ip, body, 1);
            frame.offload.gso = None;
            let Checksum::Partial { start, offset } = frame.offload.checksum else {
                panic!("nobody has computed it");
            };
            let at = usize::from(start + offset);
            frame.complete_checksum();
            u16::from_be_bytes([frame.head()[at], frame.head()[at + 1]])
        };
        // The word that makes up for all others.
        let missing = completed(0);
        assert_eq!(completed(missing), expected, "{kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_train_is_cut_into_packets_that_carry_its_payload_in_order(
        kind in kinds(), medium in media(), len in 1usize..20_000, size in 1u16..3000,
        cuts in prop::collection::vec(0usize..5000, 0..5)
    ) {
        let payload = body(len, &cuts);
        let packets: Vec<_> = train(kind, medium, payload.clone(), size).segments(medium).collect();
        prop_assert_eq!(packets.len(), len.div_ceil(usize::from(size)));
        let mut whole = Vec::new();
        for (i, packet) in packets.iter().enumerate() {
            let (first, last) = (i == 0, i + 1 == packets.len());
            let transport = check_packet(packet, medium, kind);
            let payload = if kind.is_tcp() {
                let segment = TcpSegment::parse(&transport).expect("well-formed");
                prop_assert_eq!(segment.seq(), tcp_header().seq + whole.len() as u32);
                prop_assert_eq!(segment.flags().intersects(TcpFlags::FIN | TcpFlags::PSH), last);
                prop_assert_eq!(segment.flags().cwr(), first);
                prop_assert_eq!(segment.header().options, tcp_header().options);
                segment.payload()
            } else {
                prop_assert_eq!(usize::from(UdpHeader::parse(&transport).expect("well-formed").len), transport.len());
                &transport[udp::HEADER_LEN..]
            };
            prop_assert!(last || payload.len() == usize::from(size));
            if kind.is_ipv4() {
                let layout = packet.layout(medium).expect("well-formed");
                let header = Ipv4Header::parse(&packet.head()[layout.network_at..]).expect("well-formed");
                prop_assert_eq!(header.identification, 0xffff_u16.wrapping_add(i as u16));
            }
            whole.extend_from_slice(payload);
        }
        prop_assert_eq!(whole, payload.to_vec());
    }

    #[test]
    fn a_partial_checksum_is_completed_wherever_the_pieces_are_cut(
        kind in kinds(), medium in media(), len in 0usize..3000, cuts in prop::collection::vec(0usize..1000, 0..5)
    ) {
        let mut frame = train(kind, medium, body(len, &cuts), 1);
        frame.offload.gso = None;
        frame.complete_checksum();
        check_packet(&frame, medium, kind);
    }

    #[test]
    fn a_frame_from_a_device_is_the_octets_it_was_made_of(
        kind in kinds(), medium in media(), len in 0usize..3000
    ) {
        let mut sent = train(kind, medium, body(len, &[]), 1);
        sent.offload.gso = None;
        let octets = sent.to_vec();
        let received = Frame::from_contiguous(medium, octets.clone().into());
        prop_assert_eq!(received.to_vec(), octets);
        prop_assert_eq!(received.head(), sent.head());
        prop_assert_eq!(received.body(), sent.body());
    }

    #[test]
    fn a_body_cut_anyhow_keeps_its_octets(
        len in 0usize..300, cuts in prop::collection::vec(0usize..100, 0..6), front in 0usize..320, keep in 0usize..320
    ) {
        let original = body(len, &cuts);
        let octets = original.to_vec();
        prop_assert_eq!(original.len(), len);
        prop_assert!(original.pieces().all(|piece| !piece.is_empty()));

        let mut rest = original.clone();
        let taken = rest.split_to(front);
        let at = front.min(len);
        prop_assert_eq!(&taken.to_vec()[..], &octets[..at]);
        prop_assert_eq!(&rest.to_vec()[..], &octets[at..]);
        let mut joined = taken;
        joined.append(rest);
        prop_assert_eq!(&joined, &original);

        let mut trimmed = original.clone();
        trimmed.trim_front(front);
        trimmed.truncate(keep);
        let expected = &octets[at..(at + keep).min(len)];
        prop_assert_eq!(&trimmed.to_vec()[..], expected);
        prop_assert_eq!(&original.slice(front, keep).to_vec()[..], expected);
        prop_assert_eq!(&original.slice(front, keep).to_payload()[..], expected);
        prop_assert_eq!(trimmed.into_iter().map(|piece| piece.len()).sum::<usize>(), expected.len());
    }

    #[test]
    fn a_frame_is_its_octets_whatever_is_done_to_its_ends(
        head in prop::collection::vec(any::<u8>(), 0..=HEAD_MAX), len in 0usize..300, pull in 0usize..250,
        push in prop::collection::vec(any::<u8>(), 0..=HEAD_MAX), trim in 0usize..400, keep in 0usize..700
    ) {
        let mut frame = Frame::new(Head::copy_from(&head), body(len, &[10, 20]));
        let mut expected = [&head[..], &body(len, &[]).to_vec()].concat();
        let could = frame.pull(pull);
        prop_assert_eq!(could, pull <= head.len() || (pull <= expected.len() && pull <= HEAD_MAX));
        prop_assert!(!could || frame.head().len() >= pull);
        prop_assert_eq!(&frame.to_vec(), &expected);
        frame.push_front(&push);
        expected.splice(0..0, push);
        prop_assert_eq!(&frame.to_vec(), &expected);
        let payload = frame.clone().into_payload(trim);
        frame.trim_front(trim);
        expected.drain(..trim.min(expected.len()));
        prop_assert_eq!(&frame.to_vec(), &expected);
        prop_assert_eq!(&payload.to_vec(), &expected);
        frame.truncate(keep);
        expected.truncate(keep);
        prop_assert_eq!(&frame.to_vec(), &expected);
        prop_assert_eq!(frame.total_len(), expected.len());
        let mut out = vec![0; expected.len() / 2];
        prop_assert_eq!(frame.copy_to(&mut out), out.len());
        prop_assert_eq!(&out[..], &expected[..out.len()]);
    }
}

#[test]
fn a_partial_checksum_moves_along_with_its_header() {
    let mut frame = Frame::with_header(&tcp_header(), Body::new());
    frame.offload.checksum = Checksum::Partial {
        start: 0,
        offset: tcp::CHECKSUM_OFFSET,
    };
    frame.push_front(&[0; 20]);
    assert_eq!(
        frame.offload.checksum,
        Checksum::Partial {
            start: 20,
            offset: tcp::CHECKSUM_OFFSET
        }
    );
    frame.trim_front(14);
    assert_eq!(
        frame.offload.checksum,
        Checksum::Partial {
            start: 6,
            offset: tcp::CHECKSUM_OFFSET
        }
    );
}

#[test]
fn headers_that_do_not_fit_spill_into_the_body() {
    let mut frame = Frame::new(Head::copy_from(&[1; HEAD_MAX]), Body::from(vec![2; 10]));
    frame.push_front(&[0; 20]);
    assert_eq!(frame.to_vec(), [&[0; 20][..], &[1; HEAD_MAX], &[2; 10]].concat());
}

#[test]
fn a_train_that_does_not_match_its_headers_is_passed_on_as_one() {
    for (claimed, made) in [
        (GsoKind::Tcp6, GsoKind::Tcp4),
        (GsoKind::Udp4, GsoKind::Tcp4),
        (GsoKind::Tcp4, GsoKind::Udp6),
    ] {
        let mut frame = train(made, Medium::Ip, body(5000, &[]), 1000);
        frame.offload.gso = Some(Gso {
            kind: claimed,
            size: 1000,
        });
        let packets: Vec<_> = frame.segments(Medium::Ip).collect();
        assert_eq!(packets.len(), 1);
        check_packet(&packets[0], Medium::Ip, made);
    }
}

#[test]
fn a_train_of_segments_of_no_size_is_passed_on_as_one() {
    let frame = train(GsoKind::Tcp4, Medium::Ip, body(5000, &[]), 0);
    assert_eq!(frame.segments(Medium::Ip).count(), 1);
}

#[test]
fn an_udp_train_without_checksums_stays_without() {
    let mut frame = train(GsoKind::Udp4, Medium::Ip, body(3000, &[]), 1000);
    frame.offload.checksum = Checksum::Verified;
    let at = frame.layout(Medium::Ip).expect("well-formed").transport_at + usize::from(udp::CHECKSUM_OFFSET);
    frame.head_mut()[at..at + 2].fill(0);
    for packet in frame.segments(Medium::Ip) {
        assert_eq!(packet.head()[at..at + 2], [0, 0]);
    }
}

#[test]
fn padding_of_short_frames_is_not_payload() {
    let frame = train(GsoKind::Udp4, Medium::Ethernet, body(1, &[]), 1);
    let mut octets = frame.to_vec();
    octets.resize(60, 0);
    let mut received = Frame::from_contiguous(Medium::Ethernet, octets.into());
    let header = Ipv4Header::parse(&received.head()[14..]).expect("well-formed");
    received.truncate(14 + usize::from(header.total_len));
    assert_eq!(received.body(), frame.body());
}
