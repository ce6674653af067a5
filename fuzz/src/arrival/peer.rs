//! What the other end of the one connection knows, and what it holds the stack to: each segment that the stack sends is
//! checked against all that was said before.

use prise_wire::{
    Checksum, FastOpenCookie, Frame, Ipv4Header, Ipv6Header, Medium, Payload, SeqNum, TcpFlags, TcpHeader, Timestamps,
    protocol,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const OWN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
pub(super) const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);
pub(super) const PEER_PORT: u16 = 1000;

/// The octet at that offset of the stream to the stack.
fn inward(offset: u32) -> u8 {
    (offset.wrapping_mul(31) >> 3) as u8
}

/// The octet at that offset of the stream from the stack.
pub(super) fn outward(offset: u32) -> u8 {
    (offset.wrapping_mul(29) >> 2) as u8 ^ 0x5a
}

/// Which options the peer speaks, and where its numbers start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) v6: bool,
    pub(super) timestamps: bool,
    pub(super) sack: bool,
    pub(super) scale: Option<u8>,
    pub(super) ecn: bool,
    pub(super) mss: u16,
    pub(super) isn: SeqNum,
    /// The flags AE, CWR and ECE of its SYN and of its SYN-ACK (RFC 9768 §3.1), if not those of RFC 3168.
    pub(super) ace: Option<(u8, u8)>,
}

/// What both ends make cookies of Fast Open with, where a test wants to know them.
pub(super) const COOKIE_KEY: [u8; 16] = [9; 16];

/// The other end.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) habits: Habits,
    /// The port of the stack's end.
    pub(super) port: u16,
    /// The end of what the peer ever sent.
    pub(super) sent: SeqNum,
    /// What the peer would send next if all went well.
    pub(super) nxt: SeqNum,
    /// Whether an urgent pointer was ever sent: octets are then cut out of the stream.
    pub(super) urgent: bool,
    /// The clock of the peer's timestamps.
    pub(super) clock: u32,
    /// What is known of the stack's end; none before its first SYN, or once it has begun anew.
    pub(super) stack: Option<Known>,
    /// The stack has begun anew on the four-tuple: what was known is of no use.
    pub(super) reborn: bool,
    /// Either end has reset the connection: a SYN begins another.
    pub(super) reset: bool,
    /// The listener keeps nothing: an old acknowledgment may bring a connection back that was reset.
    pub(super) by_cookie: bool,
    /// The last packet of the stack, to be quoted by ICMP.
    pub(super) last: Vec<u8>,
    /// Segments that the stack sent.
    pub(super) frames: u64,
    /// The ECN field of what the peer sends.
    pub(super) field: u8,
    /// The last cookie of Fast Open that the stack gave.
    pub(super) cookie: Option<FastOpenCookie>,
}

/// What the stack has said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) iss: SeqNum,
    /// The end of what it sent.
    pub(super) nxt: SeqNum,
    /// What the peer has acknowledged.
    pub(super) una: SeqNum,
    /// `rcv.nxt` as it said last.
    pub(super) ack: Option<SeqNum>,
    /// The right edge of its window.
    pub(super) edge: Option<SeqNum>,
    pub(super) scale: u8,
    pub(super) timestamp: u32,
    /// The furthest edge that the peer ever offered.
    pub(super) limit: SeqNum,
}

impl Peer {
    pub(super) fn new(habits: Habits, port: u16) -> Self {
        Self {
            habits,
            port,
            sent: habits.isn,
            nxt: habits.isn,
            urgent: false,
            clock: 1000,
            stack: None,
            reborn: false,
            reset: false,
            by_cookie: false,
            last: Vec::new(),
            frames: 0,
            field: 0,
            cookie: None,
        }
    }

    pub(super) fn own_addr(&self) -> SocketAddr {
        let ip = if self.habits.v6 {
            IpAddr::V6(OWN_V6)
        } else {
            IpAddr::V4(OWN_V4)
        };
        SocketAddr::new(ip, self.port)
    }

    pub(super) fn peer_addr(&self) -> SocketAddr {
        let ip = if self.habits.v6 {
            IpAddr::V6(PEER_V6)
        } else {
            IpAddr::V4(PEER_V4)
        };
        SocketAddr::new(ip, PEER_PORT)
    }

    /// A header that fits what is known: in order, everything acknowledged, a window of 64 units.
    pub(super) fn header(&self, flags: TcpFlags) -> TcpHeader {
        let mut header = TcpHeader {
            source_port: PEER_PORT,
            destination_port: self.port,
            seq: self.nxt,
            ack: self.stack.map(|stack| stack.nxt),
            flags,
            window: 0xff00,
            ..TcpHeader::default()
        };
        if self.habits.timestamps {
            header.options.timestamps = Some(Timestamps {
                value: self.clock,
                echo: self.stack.map_or(0, |stack| stack.timestamp),
            });
        }
        if flags.syn() {
            header.options.mss = Some(self.habits.mss);
            header.options.sack_permitted = self.habits.sack;
            header.options.window_scale = self.habits.scale;
            if let Some((syn, answer)) = self.habits.ace {
                let bits = u16::from(if header.ack.is_some() { answer } else { syn });
                let ace = TcpFlags::from_bits((bits & 1) << 6 | (bits & 2) << 6 | (bits & 4) << 6);
                header.flags = header.flags.without(TcpFlags::ECE | TcpFlags::CWR) | ace;
            }
        }
        header
    }

    /// The packet, with `len` octets of the stream where the header says; remembers what it promises.
    pub(super) fn packet(&mut self, header: &TcpHeader, len: u32) -> Frame {
        let from = (header.seq + u32::from(header.flags.syn())).distance_from(self.habits.isn + 1);
        let body: Vec<u8> = (0..len).map(|at| inward(from.wrapping_add(at))).collect();
        let end = header.seq + len + u32::from(header.flags.syn()) + u32::from(header.flags.fin());
        // A SYN from elsewhere may begin another connection, whose octets nobody here knows.
        self.reborn |= header.flags.syn() && (header.seq != self.habits.isn || self.reset);
        self.reset |= header.flags.rst();
        // What is far off no window ever takes.
        if end.distance_from(self.habits.isn) < 1 << 30 {
            self.sent = self.sent.later(end);
        }
        self.urgent |= header.flags.urg();
        let scale = if header.flags.syn() {
            0
        } else {
            self.habits.scale.unwrap_or(0)
        };
        if let Some(stack) = &mut self.stack {
            let ack = header.ack.unwrap_or(stack.iss + 1);
            let edge = ack + (u32::from(header.window) << scale);
            if ack.distance_from(stack.iss) <= stack.nxt.distance_from(stack.iss) {
                stack.limit = stack.limit.later(edge);
                if header.ack.is_some() {
                    stack.una = stack.una.later(ack);
                }
            }
        }
        self.wrap(Frame::with_header(header, Payload::from(body).into()), protocol::TCP)
    }

    /// Puts the IP header before it.
    pub(super) fn wrap(&self, mut frame: Frame, protocol: u8) -> Frame {
        let len = frame.total_len();
        frame.offload.checksum = Checksum::Verified;
        if self.habits.v6 {
            frame.push_header(&Ipv6Header {
                traffic_class: self.field,
                ..Ipv6Header::new(PEER_V6, OWN_V6, protocol, len)
            });
        } else {
            frame.push_header(&Ipv4Header {
                tos: self.field,
                ..Ipv4Header::new(PEER_V4, OWN_V4, protocol, len)
            });
        }
        frame
    }

    /// A frame of the stack: it must not contradict anything said before. `lives` if a connection has sent it, rather than
    /// a half-open or TIME-WAIT record, whose window is a memory.
    pub(super) fn take(&mut self, frame: &Frame, lives: bool) {
        let Some(layout) = frame
            .layout(Medium::Ip)
            .filter(|layout| layout.protocol == protocol::TCP)
        else {
            return;
        };
        let octets = frame.to_vec();
        let (header, header_len) =
            TcpHeader::parse(&octets[layout.transport_at..]).expect("the stack sends well-formed segments");
        if header.source_port != self.port || header.destination_port != PEER_PORT {
            return;
        }
        self.frames += 1;
        let body = &octets[layout.transport_at + header_len..];
        self.last = octets[..octets.len().min(layout.transport_at + 20)].to_vec();
        if header.flags.rst() {
            self.reset = true;
            return;
        }
        if header.flags.syn() {
            self.take_syn(&header);
            self.cookie = header
                .options
                .fast_open
                .filter(|cookie| !cookie.is_request())
                .or(self.cookie);
        }
        self.reborn |= self.reset && self.by_cookie;
        let Some(stack) = &mut self.stack else { return };
        if let Some(timestamps) = header.options.timestamps {
            stack.timestamp = timestamps.value;
        }
        let end = header.seq + body.len() as u32 + u32::from(header.flags.fin()) + u32::from(header.flags.syn());
        stack.nxt = stack.nxt.later(end);
        if self.reborn {
            return;
        }
        if !body.is_empty() || header.flags.fin() {
            assert!(
                end.precedes_or_equals(stack.limit),
                "{end:?} lies beyond the window, which ends at {:?}",
                stack.limit
            );
            let from = (header.seq + u32::from(header.flags.syn())).distance_from(stack.iss + 1);
            for (at, &octet) in body.iter().enumerate() {
                assert_eq!(
                    octet,
                    outward(from.wrapping_add(at as u32)),
                    "a wrong octet at {}",
                    from + at as u32
                );
            }
        }
        self.take_acknowledgment(&header, lives);
    }

    fn take_syn(&mut self, header: &TcpHeader) {
        match self.stack {
            Some(stack) if stack.iss == header.seq => {}
            known => {
                self.reborn |= known.is_some();
                self.stack = Some(Known {
                    iss: header.seq,
                    nxt: header.seq + 1,
                    una: header.seq,
                    ack: None,
                    edge: None,
                    scale: header.options.window_scale.unwrap_or(0),
                    timestamp: 0,
                    // What the SYN of the peer may have offered.
                    limit: header.seq + 1 + 0xffff,
                });
            }
        }
    }

    fn take_acknowledgment(&mut self, header: &TcpHeader, lives: bool) {
        let Some(stack) = &mut self.stack else { return };
        let Some(ack) = header.ack else { return };
        assert!(
            ack.precedes_or_equals(self.sent),
            "{ack:?} acknowledges what was never sent: that ends at {:?}",
            self.sent
        );
        if !lives {
            return;
        }
        if let Some(before) = stack.ack {
            assert!(
                before.precedes_or_equals(ack),
                "the acknowledgment went back from {before:?} to {ack:?}"
            );
        }
        stack.ack = Some(ack);
        let scaled = self.habits.scale.is_some();
        let scale = if header.flags.syn() || !scaled { 0 } else { stack.scale };
        let edge = ack + (u32::from(header.window) << scale);
        // A window of 16 bits, which is all that a SYN-ACK sent again can say, takes nothing back.
        if let Some(before) = stack.edge.filter(|_| !header.flags.syn()) {
            let unit = if scaled { 1 << stack.scale } else { 1 };
            assert!(
                before.precedes_or_equals(edge + (unit - 1)),
                "the right edge retreated from {before:?} to {edge:?}"
            );
        }
        stack.edge = Some(stack.edge.map_or(edge, |before| before.later(edge)));
    }

    /// What the program read must be the stream from `offset` on.
    pub(super) fn check_read(&self, offset: u32, octets: &[u8]) {
        if self.urgent || self.reborn {
            return;
        }
        for (at, &octet) in octets.iter().enumerate() {
            assert_eq!(
                octet,
                inward(offset + at as u32),
                "a wrong octet was read at {}",
                offset + at as u32
            );
        }
    }
}
