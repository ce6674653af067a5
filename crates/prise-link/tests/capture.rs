//! Captures as tshark reads them.

mod frames;

use frames::{CLIENT, CLIENT_6, SERVER, SERVER_6, datagram, train};
use prise_link::{Capture, Captured, Direction, Link, Loopback, Tap, WallClock};
use prise_wire::icmpv6::mld::{self, Record, RecordKind};
use prise_wire::icmpv6::ndp::{NameServer, NdpMessage, NeighborAdvertisement, PrefixInformation, RouterAdvertisement};
use prise_wire::ipv4::{self, Ipv4Options};
use prise_wire::ipv6::extension;
use prise_wire::time::{Duration, Instant};
use prise_wire::{
    ArpMessage, Body, Echo, Emit, Frame, Head, Icmpv4Header, Ipv4Header, Ipv6Header, checksum, icmpv6, igmp, protocol,
};
use prise_wire::{EtherType, EthernetHeader, MacAddr, Medium};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// A file that is gone when the test is over.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("prise-{}-{name}.pcapng", std::process::id())))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A test that failed before it wrote the file has nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn clock() -> WallClock {
    WallClock::new(Instant::ZERO, UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

/// The fields of each packet as tshark prints them; `None`, with the reason printed, where tshark is missing.
fn tshark(path: &Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
    command
        .args(["-o", "udp.check_checksum:TRUE", "-T", "fields", "-r"])
        .arg(path);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else {
        println!("skipped: tshark is not installed");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> = errors
        .lines()
        .filter(|line| !line.starts_with("Running as user"))
        .collect();
    assert!(
        output.status.success() && complaints.is_empty(),
        "tshark complains: {complaints:?}"
    );
    let lines = String::from_utf8(output.stdout).expect("text");
    Some(
        lines
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect(),
    )
}

#[test]
fn a_train_is_written_as_the_packets_of_a_wire_with_valid_checksums() {
    for v6 in [false, true] {
        let file = TemporaryFile::new(if v6 { "train6" } else { "train4" });
        let capture = Capture::create(&file.0, clock()).expect("a file");
        let interface = capture.interface("eth0", Medium::Ip);
        interface.passed(
            Instant::from_millis(1),
            Direction::Outbound,
            &train(1000, 1448 * 2 + 10, v6),
        );
        interface.passed(Instant::from_millis(2), Direction::Inbound, &datagram(7, 100));
        capture.flush().expect("written");
        let fields = [
            "tcp.seq_raw",
            "tcp.len",
            "tcp.flags.str",
            "tcp.checksum.status",
            "_ws.expert.severity",
        ];
        let Some(packets) = tshark(&file.0, &fields) else {
            return;
        };
        let good = "1";
        assert_eq!(packets.len(), 4);
        assert_eq!(
            packets[0][..4],
            ["1000", "1448", "····C··A····", good].map(String::from)
        );
        assert_eq!(
            packets[1][..4],
            ["2448", "1448", "·······A····", good].map(String::from)
        );
        assert_eq!(packets[2][..4], ["3896", "10", "·······AP···", good].map(String::from));
    }
}

/// A frame of Ethernet, IPv6 and an ICMPv6 message.
fn icmpv6_frame(message: &impl Emit, hop_by_hop: bool) -> Frame {
    let mut octets = vec![0; message.emit_len()];
    let destination = icmpv6::ndp::solicited_node(SERVER_6);
    icmpv6::emit_message(message, CLIENT_6, destination, &mut octets);
    let mut frame = Frame::new(Head::copy_from(&octets), Body::new());
    let mut next_header = protocol::ICMPV6;
    if hop_by_hop {
        frame.push_front(&extension::MLD_HOP_BY_HOP);
        next_header = protocol::HOP_BY_HOP;
    }
    let header = Ipv6Header::new(CLIENT_6, destination, next_header, frame.total_len());
    frame.push_header(&Ipv6Header {
        hop_limit: if hop_by_hop { 1 } else { 255 },
        ..header
    });
    let mac = MacAddr::from_ipv6_multicast(destination);
    frame.push_header(&EthernetHeader::new(MacAddr([2; 6]), mac, EtherType::IPV6));
    frame
}

/// A frame of Ethernet, IPv4 and what is in `upper`.
fn ipv4_frame(upper: &[u8], protocol: u8, options: &[u8], hop_limit: u8) -> Frame {
    let mut frame = Frame::new(Head::copy_from(upper), Body::new());
    let destination = Ipv4Addr::new(224, 0, 0, 22);
    let options = Ipv4Options::copy_from(options);
    let header = Ipv4Header::new(CLIENT, destination, protocol, upper.len() + options.len());
    frame.push_header(&Ipv4Header {
        hop_limit,
        options,
        ..header
    });
    let mac = MacAddr::from_ipv4_multicast(destination);
    frame.push_header(&EthernetHeader::new(MacAddr([2; 6]), mac, EtherType::IPV4));
    frame
}

fn emitted(message: &impl Emit) -> Vec<u8> {
    let mut octets = vec![0; message.emit_len()];
    message.emit(&mut octets);
    octets
}

/// One frame of every IPv6 message, and the summary by which tshark shows that it has understood it.
fn each_of_ipv6() -> Vec<(Frame, &'static str)> {
    let (mac, group) = (MacAddr([2; 6]), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2));
    let prefix = PrefixInformation {
        prefix: Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0),
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: 3600,
        preferred_lifetime: 1800,
    };
    let router = NdpMessage::RouterAdvertisement(RouterAdvertisement {
        hop_limit: 64,
        router_lifetime: 1800,
        source_link: Some(mac),
        mtu: Some(1400),
        prefixes: [Some(prefix), None, None, None],
        name_servers: [
            Some(NameServer {
                address: SERVER_6,
                lifetime: 600,
            }),
            None,
            None,
            None,
        ],
        ..RouterAdvertisement::default()
    });
    let neighbor = NdpMessage::NeighborAdvertisement(NeighborAdvertisement {
        router: true,
        solicited: true,
        override_known: true,
        target: CLIENT_6,
        target_link: Some(mac),
    });
    let redirected = emitted(&Ipv6Header::new(CLIENT_6, SERVER_6, protocol::IPV6_NO_NEXT, 0));
    let redirect = NdpMessage::Redirect {
        target: SERVER_6,
        destination: SERVER_6,
        target_link: Some(mac),
        redirected: &redirected,
    };
    let solicitation = NdpMessage::NeighborSolicitation {
        target: SERVER_6,
        source_link: Some(mac),
    };
    let router_solicitation = NdpMessage::RouterSolicitation { source_link: Some(mac) };
    vec![
        (
            icmpv6_frame(&router_solicitation, false),
            "Router Solicitation from 02:02:02:02:02:02",
        ),
        (
            icmpv6_frame(&router, false),
            "Router Advertisement from 02:02:02:02:02:02",
        ),
        (
            icmpv6_frame(&solicitation, false),
            "Neighbor Solicitation for fd00:2::2 from 02:02:02:02:02:02",
        ),
        (
            icmpv6_frame(&neighbor, false),
            "Neighbor Advertisement fd00:2::15 (rtr, sol, ovr) is at 02:02:02:02:02:02",
        ),
        (icmpv6_frame(&redirect, false), "Redirect is at 02:02:02:02:02:02"),
        (
            icmpv6_frame(&mld::ReportV2(&[Record::new(RecordKind::ToExclude, group)]), true),
            "Multicast Listener Report Message v2",
        ),
        (
            icmpv6_frame(&mld::MessageV1::Done(group), true),
            "Multicast Listener Done",
        ),
    ]
}

/// One frame of ARP and every IPv4 message, and tshark's summary.
fn each_of_ipv4() -> Vec<(Frame, &'static str)> {
    let (mac, group) = (MacAddr([2; 6]), Ipv4Addr::new(239, 1, 2, 3));
    let mut arp = Frame::with_header(&ArpMessage::request(mac, CLIENT, SERVER), Body::new());
    arp.push_header(&EthernetHeader::new(mac, MacAddr::BROADCAST, EtherType::ARP));
    let icmp = |header: Icmpv4Header, payload: &[u8]| {
        let mut octets = emitted(&header);
        header.emit_with(checksum::sum(payload), &mut octets);
        octets.extend_from_slice(payload);
        ipv4_frame(&octets, protocol::ICMPV4, &[], 64)
    };
    let igmp = |octets: &[u8]| ipv4_frame(octets, protocol::IGMP, &ipv4::ROUTER_ALERT, 1);
    let leave = emitted(&igmp::ReportV3(&[Record::new(RecordKind::ToInclude, group)]));
    let report = emitted(&igmp::MessageV2::Report(group));
    let echo = Icmpv4Header::EchoRequest(Echo {
        identifier: 1,
        sequence: 2,
    });
    let unreachable = Icmpv4Header::DestinationUnreachable {
        code: 4,
        next_hop_mtu: 1400,
    };
    vec![
        (arp, "Who has 10.0.2.2? Tell 10.0.2.15"),
        (igmp(&leave), "Membership Report / Leave group 239.1.2.3"),
        (igmp(&report), "Membership Report group 239.1.2.3"),
        (icmp(echo, &[]), "Echo (ping) request  id=0x0001, seq=2/512, ttl=64"),
        (
            icmp(unreachable, &datagram(1, 4).to_vec()),
            "Destination unreachable (Fragmentation needed)",
        ),
    ]
}

#[test]
fn every_protocol_is_understood_by_another_implementation() {
    let file = TemporaryFile::new("protocols");
    let capture = Capture::create(&file.0, clock()).expect("a file");
    let interface = capture.interface("eth0", Medium::Ethernet);
    let frames = [each_of_ipv6(), each_of_ipv4()].concat();
    for (frame, _) in &frames {
        interface.passed(Instant::ZERO, Direction::Outbound, frame);
    }
    capture.flush().expect("written");
    let fields = [
        "_ws.col.Info",
        "_ws.malformed",
        "icmp.checksum.status",
        "icmpv6.checksum.status",
    ];
    let fields = [
        &fields[..],
        &["igmp.checksum.status", "ip.checksum.status", "_ws.expert.message"],
    ]
    .concat();
    let Some(packets) = tshark(&file.0, &fields) else {
        return;
    };
    assert_eq!(packets.len(), frames.len());
    for (packet, (_, summary)) in packets.iter().zip(&frames) {
        assert!(packet[0].starts_with(summary), "{packet:?} is not {summary}");
        assert_eq!(packet[1], "", "{packet:?}");
        let statuses = packet[2..6]
            .iter()
            .flat_map(|status| status.split(','))
            .filter(|status| !status.is_empty());
        // 1 is good; 2 is not checked, which is what a quoted header is.
        assert!(
            statuses.clone().all(|status| status == "1" || status == "2"),
            "{packet:?}"
        );
        assert!(statuses.count() > 0 || summary.starts_with("Who has"), "{packet:?}");
    }
}

#[test]
fn interfaces_times_directions_and_link_types_are_told_apart() {
    let file = TemporaryFile::new("interfaces");
    let capture = Capture::create(&file.0, clock()).expect("a file");
    let lo = capture.interface("lo", Medium::Ip);
    let eth0 = capture.interface("eth0", Medium::Ethernet);
    lo.passed(Instant::from_nanos(1), Direction::Inbound, &datagram(1, 60_000));
    let mut tagged = datagram(2, 64);
    let source = MacAddr([2, 0, 0, 0, 0, 1]);
    let header = EthernetHeader::new(source, MacAddr([2, 0, 0, 0, 0, 2]), EtherType::IPV4);
    tagged.push_header(&EthernetHeader { tag: Some(5), ..header });
    eth0.passed(Instant::from_nanos(2), Direction::Outbound, &tagged);
    drop((capture, lo, eth0));
    let fields = [
        "frame.interface_name",
        "frame.time_epoch",
        "frame.packet_flags_direction",
        "frame.len",
        "vlan.id",
    ];
    let fields = [&fields[..], &["ip.checksum.status", "udp.checksum.status"]].concat();
    let Some(packets) = tshark(&file.0, &fields) else {
        return;
    };
    let good = "1";
    assert_eq!(packets[0][..2], ["lo", "1700000000.000000001"].map(String::from));
    assert_eq!(
        packets[0][2..],
        ["0x00000001", "60028", "", good, good].map(String::from)
    );
    assert_eq!(packets[1][..2], ["eth0", "1700000000.000000002"].map(String::from));
    assert_eq!(
        packets[1][2..],
        ["0x00000002", "110", "5", good, good].map(String::from)
    );
}

#[test]
fn a_captured_link_records_both_ways_and_writes_within_its_deadline() {
    let file = TemporaryFile::new("link");
    let capture = Capture::create(&file.0, clock()).expect("a file");
    let mut link = Captured::new(Loopback::new(), &capture, "lo");
    let len = || std::fs::metadata(&file.0).expect("it exists").len();
    let empty = len();
    link.send(Instant::ZERO, datagram(1, 64)).expect("room");
    assert!(link.receive(Instant::ZERO).is_some());
    link.flush(Instant::ZERO);
    assert_eq!(len(), empty, "packets are collected first");
    let due = link.next_deadline().expect("they are to be written");
    link.flush(due);
    let Some(packets) = tshark(&file.0, &["frame.packet_flags_direction"]) else {
        return;
    };
    assert_eq!(packets, [["0x00000002"], ["0x00000001"]]);
    assert_eq!(link.next_deadline(), None);
}

/// Takes the file's first two blocks, then nothing.
struct Small(usize);

impl std::io::Write for Small {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(octets.len())
            .ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(octets.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_the_capture_and_not_the_link() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: no /dev/full");
        return;
    };
    assert!(Capture::new(full, clock()).is_err(), "the header does not fit");

    let capture = Capture::new(Small(200), clock()).expect("the header fits");
    let mut link = Captured::new(Loopback::new(), &capture, "lo");
    link.send(Instant::ZERO, datagram(1, 1000)).expect("room");
    link.flush(Instant::from_secs(1));
    assert!(link.receive(Instant::from_secs(1)).is_some());
    let failure = capture.flush().expect_err("it did not fit");
    assert_eq!(failure.kind(), std::io::ErrorKind::StorageFull);
    link.send(Instant::from_secs(1), datagram(2, 64)).expect("room");
    link.flush(Instant::from_secs(2));
    assert_eq!(link.next_deadline(), None, "nothing more is recorded");
}
