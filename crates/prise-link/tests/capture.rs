//! Captures as tshark reads them.

mod frames;

use frames::{datagram, train};
use prise_link::{Capture, Captured, Direction, Link, Loopback, WallClock};
use prise_wire::time::{Duration, Instant};
use prise_wire::{EtherType, EthernetHeader, MacAddr, Medium};
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
        interface.record(
            Instant::from_millis(1),
            Direction::Outbound,
            &train(1000, 1448 * 2 + 10, v6),
        );
        interface.record(Instant::from_millis(2), Direction::Inbound, &datagram(7, 100));
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

#[test]
fn interfaces_times_directions_and_link_types_are_told_apart() {
    let file = TemporaryFile::new("interfaces");
    let capture = Capture::create(&file.0, clock()).expect("a file");
    let lo = capture.interface("lo", Medium::Ip);
    let eth0 = capture.interface("eth0", Medium::Ethernet);
    lo.record(Instant::from_nanos(1), Direction::Inbound, &datagram(1, 60_000));
    let mut tagged = datagram(2, 64);
    let source = MacAddr([2, 0, 0, 0, 0, 1]);
    let header = EthernetHeader::new(source, MacAddr([2, 0, 0, 0, 0, 2]), EtherType::IPV4);
    tagged.push_header(&EthernetHeader { tag: Some(5), ..header });
    eth0.record(Instant::from_nanos(2), Direction::Outbound, &tagged);
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
