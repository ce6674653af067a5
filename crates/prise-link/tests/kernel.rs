//! TUN devices and packet sockets against the kernel's own stack, in a network namespace of the test's own.
//!
//! A test starts itself again in a new namespace, where it is root and the host's network is out of reach. Where the
//! host does not allow that, it says so and passes.

mod frames;

use prise_link::{Link, PacketLink, TunLink};
use prise_wire::time::Instant;
use prise_wire::{
    Body, Checksum, Emit, EtherType, EthernetHeader, Frame, Gso, GsoKind, IpVersion, Ipv4Header, Ipv6Header, MacAddr,
    Medium, SeqNum, TcpFlags, TcpHeader, UdpHeader, checksum, protocol, tcp, udp,
};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

const KERNEL_4: &str = "10.99.0.1";
const KERNEL_6: &str = "fd99::1";
const OURS_4: &str = "10.99.0.2";
const OURS_6: &str = "fd99::2";
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x99]);
const PATIENCE: Duration = Duration::from_secs(100);

/// Whether this is the namespace; if not, the test has been run in one.
fn in_namespace(test: &str) -> bool {
    const INSIDE: &str = "PRISE_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |program: &std::path::Path| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]).arg(program);
        command
    };
    let possible = unshare("ip".as_ref())
        .args(["tuntap", "add", "probe", "mode", "tun"])
        .output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace with devices for this user");
        return false;
    }
    let this = std::env::current_exe().expect("a path");
    let status = unshare(&this)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(
        status.expect("unshare was there before").success(),
        "failed in the namespace"
    );
    false
}

fn ip(command: &str) {
    let status = Command::new("ip")
        .args(command.split(' '))
        .status()
        .expect("ip was there before");
    assert!(status.success(), "ip {command}");
}

/// Gives the kernel's side of the link its addresses.
fn configure(device: &str) {
    ip(&format!("address add {KERNEL_4}/24 dev {device}"));
    ip(&format!("address add {KERNEL_6}/64 dev {device} nodad"));
    ip(&format!("link set {device} up"));
    await_local_route();
}

/// The kernel makes the route by which packets to an IPv6 address are its own some time after the address: what came before would be dropped.
fn await_local_route() {
    let deadline = std::time::Instant::now() + PATIENCE;
    let routes = || Command::new("ip").args("-6 route show table local".split(' ')).output();
    let is_there = || {
        let shown = routes().expect("ip was there before").stdout;
        String::from_utf8_lossy(&shown).contains(KERNEL_6)
    };
    while !is_there() {
        assert!(std::time::Instant::now() < deadline, "no route to {KERNEL_6}");
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Our end: as much of a stack as these tests need.
struct Station<L> {
    link: L,
    kernel_mac: MacAddr,
    ours: SocketAddr,
    kernel: SocketAddr,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
}

impl<L: Link> Station<L> {
    fn new(link: L, kernel_mac: MacAddr) -> Self {
        let nobody = SocketAddr::new(address(OURS_4), 0);
        Self {
            link,
            kernel_mac,
            ours: nobody,
            kernel: nobody,
            snd_nxt: SeqNum(1000),
            rcv_nxt: SeqNum(0),
        }
    }

    /// The next packet of `protocol` to `port`, with the place of its transport header.
    fn receive(&mut self, protocol: u8, port: u16) -> (Frame, usize) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = self.link.receive(Instant::ZERO) {
                let Some(layout) = frame.layout(self.link.medium()) else {
                    continue;
                };
                let head = &frame.head()[layout.transport_at..];
                if layout.protocol != protocol || head[2..4] != port.to_be_bytes() {
                    continue;
                }
                let kernel_port = u16::from_be_bytes([head[0], head[1]]);
                let (source, ours) = match layout.version {
                    IpVersion::V4 => (KERNEL_4, OURS_4),
                    IpVersion::V6 => (KERNEL_6, OURS_6),
                };
                self.kernel = SocketAddr::new(address(source), kernel_port);
                self.ours = SocketAddr::new(address(ours), port);
                self.check(&frame, layout.transport_at, protocol);
                return (frame, layout.transport_at);
            }
            assert!(std::time::Instant::now() < deadline, "nothing came");
            let fd = self.link.poll_fd().expect("a descriptor");
            let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            let timeout = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            rustix::event::poll(&mut fds, Some(&timeout)).expect("poll");
        }
    }

    /// What the kernel hands over is whole, or is said to be incomplete.
    fn check(&self, frame: &Frame, transport_at: usize, protocol: u8) {
        let len = frame.total_len() - transport_at;
        let pseudo_header = checksum::pseudo_header(self.kernel.ip(), self.ours.ip(), protocol, len);
        assert!(frame.is_checksum_valid(transport_at, pseudo_header));
        let mut completed = frame.clone();
        completed.complete_checksum();
        assert!(
            completed.is_checksum_valid(transport_at, pseudo_header),
            "completing makes it whole"
        );
    }

    /// Sends a transport header and payload to the kernel's end, as a train if `size` is given.
    fn send(&mut self, header: &impl Emit, body: Body, protocol: u8, size: Option<u16>) {
        let offset = if protocol == protocol::TCP {
            tcp::CHECKSUM_OFFSET
        } else {
            udp::CHECKSUM_OFFSET
        };
        let mut frame = Frame::with_header(header, body);
        let len = frame.total_len();
        let pseudo_header = checksum::pseudo_header(self.ours.ip(), self.kernel.ip(), protocol, len);
        let field = usize::from(offset);
        frame.head_mut()[field..field + 2].copy_from_slice(&pseudo_header.to_be_bytes());
        frame.offload.checksum = Checksum::Partial { start: 0, offset };
        let (kinds, ether_type) = match (self.ours.ip(), self.kernel.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.push_header(&Ipv4Header::new(source, destination, protocol, len));
                ([GsoKind::Tcp4, GsoKind::Udp4], EtherType::IPV4)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.push_header(&Ipv6Header::new(source, destination, protocol, len));
                ([GsoKind::Tcp6, GsoKind::Udp6], EtherType::IPV6)
            }
            _ => panic!("one version at a time"),
        };
        if self.link.medium() == Medium::Ethernet {
            frame.push_header(&EthernetHeader::new(OUR_MAC, self.kernel_mac, ether_type));
        }
        let kind = if protocol == protocol::TCP { kinds[0] } else { kinds[1] };
        frame.offload.gso = size.map(|size| Gso { kind, size });
        self.link.send(Instant::ZERO, frame).expect("room");
        self.link.flush(Instant::ZERO);
    }

    fn send_datagrams(&mut self, payload: &[u8], size: Option<u16>) {
        let len = (payload.len() + udp::HEADER_LEN) as u16;
        let (source_port, destination_port) = (self.ours.port(), self.kernel.port());
        let header = UdpHeader {
            source_port,
            destination_port,
            len,
            checksum: 0,
        };
        // In several pieces, as a stack has it.
        let (front, back) = payload.split_at(payload.len() / 3);
        self.send(
            &header,
            [front.into(), back.into()].into_iter().collect(),
            protocol::UDP,
            size,
        );
    }

    fn send_segments(&mut self, flags: TcpFlags, payload: &[u8], size: Option<u16>) {
        let mut header = TcpHeader {
            source_port: self.ours.port(),
            destination_port: self.kernel.port(),
            seq: self.snd_nxt,
            ack: Some(self.rcv_nxt),
            flags,
            window: u16::MAX,
            ..TcpHeader::default()
        };
        if flags.syn() {
            header.options.mss = Some(1400);
            header.options.window_scale = Some(7);
        }
        self.snd_nxt += payload.len() as u32 + u32::from(flags.syn()) + u32::from(flags.fin());
        self.send(&header, Body::from(payload.to_vec()), protocol::TCP, size);
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

fn datagrams_cross_in_both_directions<L: Link>(station: &mut Station<L>, kernel: &str, ours: &str) {
    let socket = UdpSocket::bind((kernel, 0)).expect("an address of the link");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.send_to(b"hello", (ours, 7)).expect("a route");
    let (frame, transport_at) = station.receive(protocol::UDP, 7);
    assert_eq!(frame.into_payload(transport_at + udp::HEADER_LEN).to_vec(), b"hello");
    station.send_datagrams(b"hello yourself", None);
    let mut received = [0; 2000];
    let (len, from) = socket.recv_from(&mut received).expect("the answer");
    assert_eq!(
        (&received[..len], from),
        (&b"hello yourself"[..], SocketAddr::new(address(ours), 7))
    );
    let sent = pattern(5500);
    station.send_datagrams(&sent, Some(1000));
    for expected in sent.chunks(1000) {
        let len = socket.recv(&mut received).expect("a datagram of the train");
        assert_eq!(&received[..len], expected);
    }
}

fn segments_cross_in_both_directions<L: Link>(station: &mut Station<L>, ours: &str) {
    const LEN: usize = 1 << 20;
    let remote = SocketAddr::new(address(ours), 80);
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect_timeout(&remote, PATIENCE).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(&pattern(LEN)).expect("sent");
        let mut received = vec![0; LEN];
        stream.read_exact(&mut received).expect("received");
        assert!(received == pattern(LEN), "what arrives is what was sent");
    });
    // What is left of an earlier connection comes first.
    let header = loop {
        let (frame, at) = station.receive(protocol::TCP, 80);
        let (header, _) = TcpHeader::parse(&frame.head()[at..]).expect("well-formed");
        if header.flags.syn() {
            break header;
        }
    };
    assert!(header.options.window_scale.is_some());
    station.rcv_nxt = header.seq + 1;
    station.send_segments(TcpFlags::SYN, &[], None);
    let mut received = Vec::new();
    let mut trains = 0;
    while received.len() < LEN {
        let (frame, at) = station.receive(protocol::TCP, 80);
        let (header, len) = TcpHeader::parse(&frame.head()[at..]).expect("well-formed");
        trains += usize::from(frame.offload.gso.is_some_and(|gso| gso.kind.is_tcp()));
        let payload = frame.into_payload(at + len);
        if header.seq == station.rcv_nxt && !payload.is_empty() {
            station.rcv_nxt += payload.len() as u32;
            received.extend(payload.to_vec());
            station.send_segments(TcpFlags::NONE, &[], None);
        }
    }
    assert!(received == pattern(LEN), "what arrives is what was sent");
    assert!(trains > 0, "the kernel hands over trains");
    // The kernel's receive buffer takes one train at a time without a window to be watched.
    for train in pattern(LEN).chunks(28_000) {
        station.send_segments(TcpFlags::PSH, train, Some(1400));
        let expected = station.snd_nxt;
        loop {
            let (frame, at) = station.receive(protocol::TCP, 80);
            let (header, _) = TcpHeader::parse(&frame.head()[at..]).expect("well-formed");
            if header.ack == Some(expected) {
                break;
            }
        }
    }
    client.join().expect("the client is content");
    station.send_segments(TcpFlags::RST, &[], None);
}

fn exercise<L: Link>(mut station: Station<L>) {
    datagrams_cross_in_both_directions(&mut station, KERNEL_4, OURS_4);
    datagrams_cross_in_both_directions(&mut station, KERNEL_6, OURS_6);
    segments_cross_in_both_directions(&mut station, OURS_4);
    segments_cross_in_both_directions(&mut station, OURS_6);
}

#[test]
fn a_tun_device_exchanges_packets_and_trains_with_the_kernel() {
    if !in_namespace("a_tun_device_exchanges_packets_and_trains_with_the_kernel") {
        return;
    }
    let link = TunLink::open("prise0").expect("root in this namespace");
    configure("prise0");
    assert_eq!((link.mtu(), link.checksum_offload()), (1500, true));
    exercise(Station::new(link, MacAddr::UNSPECIFIED));
}

#[test]
fn a_packet_socket_exchanges_packets_and_trains_with_the_kernel() {
    if !in_namespace("a_packet_socket_exchanges_packets_and_trains_with_the_kernel") {
        return;
    }
    ip("link add far address 02:00:00:00:00:01 type veth peer name near");
    ip("link set near up");
    configure("far");
    for ours in [OURS_4, OURS_6] {
        ip(&format!("neighbor add {ours} lladdr {OUR_MAC} dev far"));
    }
    let link = PacketLink::open("near").expect("root in this namespace");
    assert_eq!((link.mtu(), link.medium()), (1500, Medium::Ethernet));
    assert!(link.interface_mac().is_unicast());
    exercise(Station::new(link, MacAddr([2, 0, 0, 0, 0, 1])));
}

#[test]
fn a_name_that_no_interface_can_have_is_refused() {
    for name in ["", "a-name-of-more-than-fifteen-octets", "a\0b"] {
        let error = TunLink::open(name).expect_err("not a name");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(PacketLink::open(name).is_err());
    }
}
