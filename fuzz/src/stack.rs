//! What prise-stack promises, for any frames in any order at any time: no panic, and all comes to rest.
//!
//! An input is a script: each step is an octet that says what happens and an octet that says how many of the following
//! are its material. Peers that answer properly (sequence numbers, checksums) are played where the step says so, since
//! random octets would never get past the first check.

use crate::target::Target;
use prise_stack::bpf::{Packet, Program};
use prise_stack::{
    Event, Family, LinkConfig, LinkId, ListenConfig, Local, RawConfig, Stack, StackConfig, TcpConfig, UdpConfig,
};
use prise_wire::time::Duration;
use prise_wire::{
    Checksum, Emit, EtherType, EthernetHeader, Frame, Icmpv4Header, Instant, IpVersion, Ipv4Header, Ipv6Header,
    MacAddr, Medium, Payload, SeqNum, TcpFlags, TcpHeader, UdpHeader, checksum, protocol,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Every target by its name.
pub(crate) const TARGETS: &[Target] = &[("stack", stack), ("bpf", bpf)];

const OWN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OWN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);

/// A program of classic BPF, behind the packet on which it is run if it is found good: it ends.
fn bpf(input: &[u8]) {
    let [len, rest @ ..] = input else { return };
    let (octets, program) = rest.split_at(usize::from(*len).min(rest.len()));
    let Ok(program) = Program::new(program) else { return };
    let _ = program.run(&Packet {
        octets,
        network: octets.len() / 4,
        data: octets.len() / 2,
        payload: octets.len(),
        protocol: 0x0800,
        interface: 1,
        hash: 7,
    });
}

struct World {
    stack: Stack,
    link: LinkId,
    now: Instant,
    /// The last TCP segment and the last packet that the stack sent.
    seen: Option<TcpHeader>,
    last: Vec<u8>,
    connections: Vec<prise_stack::ConnId>,
    listener: Option<prise_stack::ListenerId>,
}

impl World {
    fn new(transparent: bool) -> Self {
        let mut stack = Stack::new(&StackConfig::new([1, 2], [3; 32]));
        let config = LinkConfig {
            name: "eth0",
            medium: Medium::Ethernet,
            mac: Some(OWN_MAC),
            mtu: 1500,
            gso_max: 0,
            checksum_offload: false,
            loopback: false,
            transparent,
        };
        let link = stack.add_link(&config).expect("the first link");
        for address in ["10.0.2.2/24", "fd00:2::2/64"] {
            stack.add_address(Instant::ZERO, link, address.parse().expect("an address"));
        }
        stack.udp_bind(&UdpConfig::new(Local::wildcard(Family::Dual, 9), 0));
        stack.udp_intercept(true);
        stack.echo_intercept(true);
        stack.raw_bind(&RawConfig {
            version: IpVersion::V4,
            protocol: 200,
            receive_limit: 5000,
            token: 0,
        });
        let listen = ListenConfig {
            local: Local {
                addr: None,
                family: Family::Dual,
                port: 80,
                device: None,
            },
            backlog: 4,
            reuse_port: false,
            config: TcpConfig::default(),
            token: 0,
        };
        let listener = stack.tcp_listen(listen).ok();
        Self {
            stack,
            link,
            now: Instant::ZERO,
            seen: None,
            last: Vec::new(),
            connections: Vec::new(),
            listener,
        }
    }

    fn receive(&mut self, mut packet: Frame, ether_type: EtherType) {
        packet.push_header(&EthernetHeader::new(PEER_MAC, OWN_MAC, ether_type));
        self.stack.receive(self.now, self.link, [packet]);
    }

    fn drain(&mut self) {
        while let Some(frame) = self.stack.transmit(self.now, self.link) {
            let octets = frame.to_vec();
            self.last = octets[14.min(octets.len())..].to_vec();
            let segment = frame
                .layout(Medium::Ethernet)
                .filter(|layout| layout.protocol == protocol::TCP);
            if let Some(Ok((header, _))) = segment.map(|layout| TcpHeader::parse(&octets[layout.transport_at..])) {
                self.seen = Some(header);
            }
        }
        while let Some(event) = self.stack.event() {
            if let (Event::Listener { .. }, Some(listener)) = (event, self.listener) {
                self.connections.extend(self.stack.tcp_accept(listener, 1));
            }
        }
        while self.stack.udp_take_intercepted().is_some() {}
        while self.stack.echo_take_intercepted().is_some() {}
    }

    /// A segment that fits what the stack said last, with the flags, window and port that the material names.
    fn segment(&mut self, material: &[u8], ipv6: bool) {
        let [flags, window, port, payload @ ..] = material else {
            return;
        };
        let header = TcpHeader {
            source_port: 1000 + u16::from(port & 3),
            destination_port: 80,
            seq: self.seen.and_then(|seen| seen.ack).unwrap_or(SeqNum(1)),
            ack: self.seen.map(|seen| seen.seq + u32::from(seen.flags.syn())),
            flags: TcpFlags::from_bits(u16::from(flags & 0x2f)),
            window: u16::from(*window) << 6,
            ..TcpHeader::default()
        };
        self.transport(&header, payload, protocol::TCP, ipv6);
    }

    fn datagram(&mut self, material: &[u8], ipv6: bool) {
        let [port, payload @ ..] = material else { return };
        let len = 8 + payload.len() as u16;
        let header = UdpHeader {
            source_port: 7,
            destination_port: u16::from(*port),
            len,
            checksum: 0,
        };
        // The length of one is the coverage of the other.
        let protocol = if port & 0x40 == 0 {
            protocol::UDP
        } else {
            protocol::UDP_LITE
        };
        self.transport(&header, payload, protocol, ipv6);
    }

    fn transport(&mut self, header: &impl Emit, payload: &[u8], protocol: u8, ipv6: bool) {
        let mut frame = Frame::with_header(header, Payload::copy_from(payload).into());
        let len = frame.total_len();
        frame.offload.checksum = Checksum::Verified;
        if ipv6 {
            frame.push_header(&Ipv6Header::new(PEER_V6, OWN_V6, protocol, len));
            self.receive(frame, EtherType::IPV6);
        } else {
            frame.push_header(&Ipv4Header::new(PEER_V4, OWN_V4, protocol, len));
            self.receive(frame, EtherType::IPV4);
        }
    }

    /// An ICMP error about what the stack sent last.
    fn error(&mut self, material: &[u8]) {
        let [kind, code, rest, ..] = *material else { return };
        let quote = self.last[..self.last.len().min(60)].to_vec();
        let header = Icmpv4Header::Other {
            kind,
            code,
            rest: u32::from(rest) << 4,
        };
        self.transport(&header, &quote, protocol::ICMPV4, false);
    }

    /// Octets as they are, behind a header that is right as far as the material wants it.
    fn raw(&mut self, material: &[u8], mend: bool) {
        let mut octets = material.to_vec();
        let ether_type = match octets.first().map(|first| first >> 4) {
            Some(4) => EtherType::IPV4,
            Some(6) => EtherType::IPV6,
            _ => EtherType::ARP,
        };
        if mend && ether_type == EtherType::IPV4 && octets.len() >= 20 {
            octets[10..12].fill(0);
            let end = (usize::from(octets[0] & 0x0f) * 4).min(octets.len());
            let sum = checksum::finish(checksum::sum(&octets[..end]));
            octets[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let mut frame = vec![0; 14];
        EthernetHeader::new(PEER_MAC, OWN_MAC, ether_type).emit(&mut frame);
        frame.extend_from_slice(&octets);
        let mut frame = Frame::from_contiguous(Medium::Ethernet, frame.into());
        if mend {
            frame.offload.checksum = Checksum::Verified;
        }
        self.stack.receive(self.now, self.link, [frame]);
    }

    /// What a program does with the connection that the material names.
    fn verb(&mut self, material: &[u8]) {
        let [verb, which, rest @ ..] = material else { return };
        let Some(&id) = self
            .connections
            .get(usize::from(*which) % self.connections.len().max(1))
        else {
            return;
        };
        match verb % 6 {
            0 => {
                let mut payload = Payload::copy_from(rest);
                let _ = self.stack.tcp_send(self.now, id, &mut payload, false, which & 8 != 0);
            }
            1 => {
                let _ = self.stack.tcp_receive(self.now, id, 100);
            }
            2 => self.stack.tcp_shutdown_write(self.now, id),
            3 => self.stack.tcp_close(self.now, id),
            4 => self.stack.tcp_abort(self.now, id),
            _ => {
                let _ = self.stack.tcp_info(self.now, id);
            }
        }
    }

    /// Lets time pass, stopping at each deadline as a driver would.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(deadline) = self.stack.next_deadline().filter(|&deadline| deadline <= until) {
            self.now = self.now.max(deadline);
            self.stack.expire(self.now);
            self.drain();
        }
        self.now = until;
    }
}

fn stack(input: &[u8]) {
    let Some((&first, mut rest)) = input.split_first() else {
        return;
    };
    let mut world = World::new(first & 1 != 0);
    while let [step, len, after @ ..] = rest {
        let (material, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        match step % 8 {
            0 => world.raw(material, false),
            1 => world.raw(material, true),
            2 => world.segment(material, false),
            3 => world.segment(material, true),
            4 => world.datagram(material, step & 8 != 0),
            5 => world.error(material),
            6 => world.verb(material),
            _ => world.pass(Duration::from_millis(u64::from(*len) << (step >> 4))),
        }
        world.drain();
    }
    // The program goes away; whatever the peers did, nothing is to go on for ever.
    for id in std::mem::take(&mut world.connections) {
        world.stack.tcp_abort(world.now, id);
    }
    if let Some(listener) = world.listener.take() {
        world.stack.tcp_unlisten(world.now, listener);
    }
    world.pass(Duration::from_secs(86_400));
    assert_eq!(world.stack.next_deadline(), None, "something still waits after a day");
}
