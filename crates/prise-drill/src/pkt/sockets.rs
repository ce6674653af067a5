//! How the script's sequence numbers, ports and timestamps correspond to the live ones.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::options;
use super::packet::{Body, PacketSpec, Range, SegmentSpec, TcpOption};
use super::wire::{self, Content, Segment, Sniffed};

const SYN: u16 = 2;
const ACK: u16 = 16;

/// One connection (or UDP flow) as the script sees it.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Ours, once it is known.
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: SocketAddr,
    /// Our initial sequence number: the script's and the live one.
    isn: Option<(u32, u32)>,
    /// The peer's: SYNs have it in the script, everything after counts from it.
    peer_isn: u32,
    /// Timestamps of ours, by what the script calls them.
    timestamps: HashMap<u32, u32>,
    /// What was injected last, for the RST at the end.
    next_injected: Option<u32>,
    /// The next octet that we sent, live.
    next_sent: u32,
}

impl Flow {
    pub(super) fn new(local: Option<SocketAddr>, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            isn: None,
            peer_isn: 0,
            timestamps: HashMap::new(),
            next_injected: None,
            next_sent: 0,
        }
    }

    /// Whether its local side is known.
    pub(super) fn is_known(&self) -> bool {
        self.local.is_some()
    }

    /// Whether a packet that left belongs here.
    pub(super) fn has(&self, packet: &Sniffed) -> bool {
        let ported = !matches!(packet.content, Content::Icmp(_));
        if packet.to.ip() != self.remote.ip() || ported && packet.to.port() != self.remote.port() {
            return false;
        }
        self.local.map_or(ported, |local| {
            packet.from.ip() == local.ip() && (!ported || packet.from.port() == local.port())
        })
    }

    /// Whether a packet that left is the SYN of another connection between the same ends.
    pub(super) fn is_followed_by(&self, packet: &Sniffed) -> bool {
        match &packet.content {
            Content::Tcp(segment) if segment.flags & (SYN | ACK) == SYN => {
                self.isn.is_some_and(|(_, live)| live != segment.seq)
            }
            _ => false,
        }
    }

    /// Whether a packet that left belongs here; a flow that is just connecting learns its local side.
    pub(super) fn claims(&mut self, packet: &Sniffed) -> bool {
        let claims = self.has(packet);
        if claims && self.local.is_none() {
            self.local = Some(packet.from);
        }
        claims
    }

    /// Beside a SYN the script has absolute numbers, everywhere else they count from our SYN's.
    fn live_ack(&self, script: u32, beside_syn: bool) -> u32 {
        let (from, to) = self.isn.unwrap_or((0, 0));
        script.wrapping_sub(if beside_syn { from } else { 0 }).wrapping_add(to)
    }

    fn script_seq(&self, live: u32, beside_syn: bool) -> u32 {
        let (to, from) = self.isn.unwrap_or((0, 0));
        live.wrapping_sub(from).wrapping_add(if beside_syn { to } else { 0 })
    }

    /// Options of a segment to be injected, with our numbers in them made live.
    fn live_options(&self, script: &[TcpOption], acknowledges: bool) -> Result<Vec<TcpOption>, String> {
        let live = |option: &TcpOption| {
            Ok(match option {
                TcpOption::Sack(blocks) => {
                    let block =
                        |(left, right): &(u32, u32)| (self.live_ack(*left, false), self.live_ack(*right, false));
                    TcpOption::Sack(blocks.iter().map(block).collect())
                }
                TcpOption::Timestamps { value, echo } => TcpOption::Timestamps {
                    value: *value,
                    // What acknowledges nothing echoes nothing: it stays as the script has it.
                    echo: if acknowledges {
                        self.live_timestamp(*echo)?
                    } else {
                        *echo
                    },
                },
                other => other.clone(),
            })
        };
        script.iter().map(live).collect()
    }

    fn live_timestamp(&self, script: u32) -> Result<u32, String> {
        if script == 0 {
            return Ok(0);
        }
        let known = self.timestamps.get(&script).copied();
        // What never left is echoed as wrong as the script has it, counted from what did.
        known
            .or_else(|| {
                let (from, live) = self.timestamps.iter().min()?;
                Some(live.wrapping_add(script.wrapping_sub(*from)))
            })
            .ok_or_else(|| format!("no segment with TS val {script} has left that could be echoed"))
    }

    /// The octets of a packet of the script's that is to come in.
    pub(super) fn inbound(&mut self, spec: &PacketSpec, local_ip: IpAddr, local_port: u16) -> Result<Vec<u8>, String> {
        let local = self.local.unwrap_or(SocketAddr::new(local_ip, local_port));
        let (from, to) = (self.remote, local);
        Ok(match &spec.body {
            Body::Tcp(segment) => {
                let (from_port, to_port) = segment.ports.unwrap_or((from.port(), to.port()));
                let live = self.live_segment(segment)?;
                let length = live.length as u32 + u32::from(live.flags & SYN != 0) + u32::from(live.flags & 1);
                if segment.ports.is_none() {
                    self.next_injected = Some(live.seq.wrapping_add(length));
                }
                let octets = wire::tcp(from_port, to_port, &live);
                wire::ip_packet(from.ip(), to.ip(), wire::TCP, spec.ip, octets, 16)
            }
            Body::Udp(length) => {
                let octets = wire::udp(from.port(), to.port(), *length);
                wire::ip_packet(from.ip(), to.ip(), wire::UDP, spec.ip, octets, 6)
            }
            Body::Icmp {
                kind,
                code,
                mtu,
                quoted,
            } => {
                let (kind, code) = icmp_numbers(kind, code.as_deref(), to.is_ipv6())?;
                let quoted = self.quote(to, quoted.unwrap_or_default());
                let octets = wire::icmp(kind, code, mtu.unwrap_or(0), &quoted);
                let protocol = if to.is_ipv6() { wire::ICMPV6 } else { wire::ICMP };
                wire::ip_packet(from.ip(), to.ip(), protocol, spec.ip, octets, 2)
            }
        })
    }

    fn live_segment(&mut self, spec: &SegmentSpec) -> Result<Segment, String> {
        let seq = if spec.flags & SYN != 0 {
            self.peer_isn = spec.range.start;
            spec.range.start
        } else {
            spec.range.start.wrapping_add(self.peer_isn)
        };
        Ok(Segment {
            flags: spec.flags,
            seq,
            ack: match spec.ack {
                Some(ack) => self.live_ack(ack, spec.flags & SYN != 0),
                None => 0,
            },
            window: spec.window.unwrap_or(0),
            urgent: spec.urgent.unwrap_or(0),
            options: options::emit(
                &self.live_options(spec.options.as_deref().unwrap_or_default(), spec.flags & ACK != 0)?,
            )?,
            length: spec.range.length,
        })
    }

    /// The beginning of a segment of ours, as an ICMP error quotes it.
    fn quote(&self, local: SocketAddr, range: Range) -> Vec<u8> {
        let segment = Segment {
            seq: self.live_ack(range.start, false),
            ..Segment::default()
        };
        let transport = wire::tcp(local.port(), self.remote.port(), &segment);
        // RFC 792: eight octets are enough for the ports and the sequence number.
        let length = transport.len() + range.length;
        wire::quote(local.ip(), self.remote.ip(), wire::TCP, &transport[..8], length)
    }

    /// Compares a segment that left with what the script expects; `script` is for the whole, `live` its octets in one piece.
    pub(super) fn compare(&mut self, spec: &SegmentSpec, live: &Segment) -> Result<(), String> {
        let live = &self.relative(live);
        if self.isn.is_none() && live.flags & SYN != 0 {
            self.isn = Some((spec.range.start, live.seq));
        }
        let length = live.length as u32 + u32::from(live.flags & SYN != 0) + u32::from(live.flags & 1);
        self.next_sent = live.seq.wrapping_add(length);
        let same = |what: &str, expected: u64, actual: u64| {
            if expected == actual {
                Ok(())
            } else {
                Err(format!("{what}: expected {expected}, was {actual}"))
            }
        };
        let seen = self.describe(live);
        let checks = || {
            if spec.flags != live.flags {
                return Err(format!("flags: expected {:#05x}, were {:#05x}", spec.flags, live.flags));
            }
            same(
                "sequence number",
                spec.range.start.into(),
                self.script_seq(live.seq, live.flags & SYN != 0).into(),
            )?;
            same("payload", spec.range.length as u64, live.length as u64)?;
            match spec.ack {
                Some(ack) => same("ack", ack.into(), live.ack.into())?,
                None => same("ACK flag", 0, u64::from(live.flags & ACK != 0 && spec.flags & ACK == 0))?,
            }
            if let Some(window) = spec.window {
                same("window", window.into(), live.window.into())?;
            }
            same("urgent pointer", spec.urgent.unwrap_or(0).into(), live.urgent.into())
        };
        checks().map_err(|error| format!("{error}; the segment was {seen}"))?;
        self.compare_options(spec, live)
            .map_err(|error| format!("{error}; the segment was {seen}"))
    }

    /// The segment with what it says of the peer's octets counted from their beginning, except beside a SYN.
    fn relative(&self, live: &Segment) -> Segment {
        let mut live = live.clone();
        if live.flags & SYN != 0 || self.peer_isn == 0 {
            return live;
        }
        live.ack = live.ack.wrapping_sub(self.peer_isn);
        let mut list = options::read(&live.options);
        for option in &mut list {
            if let TcpOption::Sack(blocks) = option {
                for (left, right) in blocks {
                    *left = left.wrapping_sub(self.peer_isn);
                    *right = right.wrapping_sub(self.peer_isn);
                }
            }
        }
        live.options = options::emit(&list).unwrap_or_default();
        live
    }

    fn compare_options(&mut self, spec: &SegmentSpec, live: &Segment) -> Result<(), String> {
        let actual = options::read(&live.options);
        let Some(expected) = &spec.options else {
            return Ok(());
        };
        let mine = |list: &[TcpOption]| {
            list.iter().find_map(|option| match option {
                TcpOption::Timestamps { value, echo } => Some((*value, *echo)),
                _ => None,
            })
        };
        if let (Some((script, _)), Some((live, _))) = (mine(expected), mine(&actual)) {
            self.timestamps.insert(script, live);
        }
        // Our own clock is not compared, only that the order and everything else is the same.
        let blank = |list: &[TcpOption]| -> Vec<TcpOption> {
            let of = |option: &TcpOption| match option {
                TcpOption::Timestamps { echo, .. } => TcpOption::Timestamps { value: 0, echo: *echo },
                other => other.clone(),
            };
            list.iter().map(of).collect()
        };
        if blank(expected) == blank(&actual) {
            Ok(())
        } else {
            Err(format!("options: expected {expected:?}, were {actual:?}"))
        }
    }

    /// A segment in the script's numbers.
    fn describe(&self, live: &Segment) -> String {
        let letters = "FSRP.UEWA";
        let flags: String = letters
            .char_indices()
            .filter(|(bit, _)| live.flags & 1 << bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        let start = self.script_seq(live.seq, live.flags & SYN != 0);
        format!(
            "{flags} {start}:{}({}) ack {} win {} {:?}",
            start.wrapping_add(live.length as u32),
            live.length,
            live.ack,
            live.window,
            options::read(&live.options)
        )
    }

    /// The RST that ends the connection after the script.
    pub(super) fn reset(&self) -> Option<Vec<u8>> {
        let (local, seq) = (self.local?, self.next_injected?);
        let segment = Segment {
            flags: 4 | ACK,
            seq,
            ack: self.next_sent,
            ..Segment::default()
        };
        let octets = wire::tcp(self.remote.port(), local.port(), &segment);
        Some(wire::ip_packet(
            self.remote.ip(),
            local.ip(),
            wire::TCP,
            super::packet::IpSpec::default(),
            octets,
            16,
        ))
    }
}

/// Type and code of an ICMP error by packetdrill's names.
#[allow(
    clippy::match_same_arms,
    reason = "a table of two protocols, whose numbers sometimes agree"
)]
pub(super) fn icmp_numbers(kind: &str, code: Option<&str>, v6: bool) -> Result<(u8, u8), String> {
    let found = match (v6, kind, code.unwrap_or("")) {
        (false, "unreachable", "" | "net_unreachable") => (3, 0),
        (false, "unreachable", "host_unreachable") => (3, 1),
        (false, "unreachable", "protocol_unreachable") => (3, 2),
        (false, "unreachable", "port_unreachable") => (3, 3),
        (false, "unreachable", "frag_needed") => (3, 4),
        (false, "unreachable", "source_route_failed") => (3, 5),
        (false, "unreachable", "net_unreachable_for_tos") => (3, 11),
        (false, "unreachable", "host_unreachable_for_tos") => (3, 12),
        (false, "unreachable", "packet_filtered") => (3, 13),
        (false, "time_exceeded", _) => (11, 0),
        (false, "source_quench", _) => (4, 0),
        (false, "parameter_problem", _) => (12, 0),
        (true, "unreachable", "" | "no_route" | "net_unreachable") => (1, 0),
        (true, "unreachable", "admin_prohibited") => (1, 1),
        (true, "unreachable", "not_neighbour") => (1, 2),
        (true, "unreachable", "address_unreachable" | "host_unreachable") => (1, 3),
        (true, "unreachable", "port_unreachable") => (1, 4),
        (true, "packet_too_big", _) | (true, "unreachable", "frag_needed") => (2, 0),
        (true, "time_exceeded", _) => (3, 0),
        (true, "parameter_problem", _) => (4, 0),
        _ => return Err(format!("unknown ICMP message {kind} {}", code.unwrap_or(""))),
    };
    Ok(found)
}
