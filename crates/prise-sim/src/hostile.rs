//! Segments and errors that an attacker sends to a live connection. All of them must be harmless: the attacker knows the
//! four-tuple, and may know more, but none of what is made here is what the peer could have sent.
//!
//! The stream must arrive as if nothing had happened; what the host answers is watched like everything that it sends.

use crate::icmp::{self, Report};
use crate::node::Port;
use crate::random::Random;
use crate::watch::Standing;
use crate::world::{NodeId, Place, World};
use prise_socket::{SocketInfo, State};
use prise_wire::{
    Body, Frame, Ipv4Header, Ipv6Header, Medium, Payload, SackBlock, SeqNum, TcpFlags, TcpHeader, Timestamps, checksum,
    protocol,
};
use std::net::{IpAddr, SocketAddr};

/// A connection under attack.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// The attacked host's end.
    local: SocketAddr,
    remote: SocketAddr,
    standing: Standing,
}

/// Sends `count` harmless things to connections of a host.
pub(crate) fn attack(world: &mut World, node: NodeId, count: u32) {
    let now = world.now();
    let mut random = world.random.fork(now.as_nanos());
    for _ in 0..count {
        let index = node.0;
        if !world.nodes[index].is_awake(now) {
            return;
        }
        let Some(target) = choose(world, index, &mut random) else {
            return;
        };
        let Some((link, medium)) = way_in(world, index) else {
            return;
        };
        let Some(packet) = draw(&target, &mut random) else {
            continue;
        };
        let frame = match medium {
            Medium::Ip => packet,
            // A neighbor's: nobody looks at the hardware addresses of what is for them.
            Medium::Ethernet => continue,
        };
        let node = &mut world.nodes[index];
        world.trace.arrival(now, "attacker", medium, &frame);
        node.injected += 1;
        node.stirred = true;
        let time = node.time(now);
        node.heard = Some(time);
        node.host.receive(time, link, [frame]);
    }
}

/// The first link of a host that leads anywhere.
fn way_in(world: &World, index: usize) -> Option<(prise_stack::LinkId, Medium)> {
    let ports = &world.nodes[index].ports;
    ports.iter().find_map(|port| match port.port {
        Port::Loopback => None,
        Port::Wire { wire, end } => match world.wires[wire].ends[end] {
            Place::Host(_, link) => Some((link, port.medium)),
            Place::Router(_) | Place::Foe(_) => None,
        },
    })
}

/// An established connection of the host.
fn choose(world: &World, index: usize, random: &mut Random) -> Option<Target> {
    let host = &world.nodes[index].host;
    let open = |info: &SocketInfo| {
        matches!(
            info.state,
            State::Established | State::CloseWait | State::FinWait1 | State::FinWait2
        )
    };
    let live: Vec<Target> = host
        .sockets()
        .filter_map(|socket| host.info(socket))
        .filter(open)
        .filter_map(|info| {
            let (local, remote) = (info.local, info.remote?);
            let standing = world.watch.standing(local, remote)?;
            Some(Target {
                local,
                remote,
                standing,
            })
        })
        .collect();
    // Sockets are listed in no particular order; a seed must choose the same one again.
    let mut live = live;
    live.sort_unstable_by_key(|target| (target.local, target.remote));
    live.get(random.below(live.len() as u64) as usize).copied()
}

/// One thing that must not matter.
fn draw(target: &Target, random: &mut Random) -> Option<Frame> {
    let Standing {
        peer_sent,
        edge,
        sent,
        peer_stamp,
        timestamps,
    } = target.standing;
    let room = u32::try_from(edge - peer_sent).unwrap_or(0);
    // Within the window, but not where the next octet is expected.
    let beside = (room > 2).then(|| peer_sent + 1 + random.below(u64::from(room) - 1) as u32);
    let outside = edge + 1 + random.below(1 << 30) as u32;
    let below = peer_sent + 0x8000_0000 + random.below(1 << 30) as u32;
    let far = random.pick(&[outside, below]);
    let stamps = peer_stamp.filter(|_| timestamps).map(|value| Timestamps {
        value,
        echo: random.next() as u32,
    });
    let garbage = vec![0x5a; random.pick(&[0, 1, 100, 1000])];
    let mut header = TcpHeader {
        source_port: target.remote.port(),
        destination_port: target.local.port(),
        seq: far,
        ack: Some(sent),
        window: random.next() as u16,
        urgent: random.next() as u16,
        ..TcpHeader::default()
    };
    header.options.timestamps = stamps;
    match random.below(11) {
        // A reset that does not hit (RFC 5961 §3.2).
        0 => {
            header.seq = beside.unwrap_or(far);
            header.flags = TcpFlags::RST;
        }
        1 => {
            header.flags = TcpFlags::RST;
            header.ack = None;
        }
        // A SYN in the middle of a connection (RFC 5961 §4.2).
        2 => {
            header.seq = random.pick(&[far, beside.unwrap_or(far), peer_sent]);
            header.flags = TcpFlags::SYN;
            header.ack = random.pick(&[None, Some(sent)]);
        }
        // Data with an acknowledgment of what was never sent, or of what is long past (RFC 5961 §5.2).
        3 => {
            header.seq = peer_sent;
            header.ack = Some(sent + 1 + random.below(1 << 30) as u32);
        }
        4 => {
            header.seq = peer_sent;
            header.ack = Some(sent + 0x8000_0000 + random.below(1 << 29) as u32);
        }
        // Data without acknowledgment.
        5 => {
            header.seq = peer_sent;
            header.ack = None;
            header.flags = TcpFlags::PSH;
        }
        // All is right but the timestamp, which is old (RFC 7323 §5.3).
        6 => {
            header.seq = peer_sent;
            let old = stamps?.value.wrapping_sub(100_000 + random.below(1 << 30) as u32);
            header.options.timestamps = Some(Timestamps {
                value: old,
                echo: random.next() as u32,
            });
        }
        // Any flags, far outside.
        7 => header.flags = TcpFlags::from_bits(random.next() as u16 & 0x1ff),
        // Selective acknowledgments of everything, far outside.
        8 => {
            for _ in 0..3 {
                let left = SeqNum(random.next() as u32);
                header.options.sack.push(SackBlock {
                    left,
                    right: left + random.next() as u32,
                });
            }
        }
        9 => return lie(target, random),
        // All is right but the checksum.
        _ => {
            header.seq = peer_sent;
            let mut frame = packet(target, &header, &garbage);
            let at = frame.layout(Medium::Ip)?.transport_at;
            frame.head_mut()[at + 16] ^= 0x10;
            return Some(frame);
        }
    }
    Some(packet(target, &header, &garbage))
}

/// An IP packet from the target's peer to the target.
fn packet(target: &Target, header: &TcpHeader, data: &[u8]) -> Frame {
    let mut header = *header;
    header.checksum = 0;
    let (from, to) = (target.remote.ip(), target.local.ip());
    let build = |header: &TcpHeader| Frame::with_header(header, Body::from(Payload::from(data.to_vec())));
    let len = build(&header).total_len();
    let pseudo = checksum::pseudo_header(from, to, protocol::TCP, len);
    header.checksum = checksum::finish(checksum::combine(pseudo, build(&header).sum_from(0)));
    let mut frame = build(&header);
    push_ip(&mut frame, from, to, len);
    frame
}

fn push_ip(frame: &mut Frame, from: IpAddr, to: IpAddr, len: usize) {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => frame.push_header(&Ipv4Header::new(from, to, protocol::TCP, len)),
        (IpAddr::V6(from), IpAddr::V6(to)) => frame.push_header(&Ipv6Header::new(from, to, protocol::TCP, len)),
        _ => {}
    }
}

/// An ICMP error about the target's connection: about a segment that was never sent, or one that was (which an attacker
/// on the path could send, and which must still not end an established connection: RFC 5927 §4, RFC 1122 §4.2.3.9).
fn lie(target: &Target, random: &mut Random) -> Option<Frame> {
    let anywhere = SeqNum(random.next() as u32);
    let seq = random.pick(&[anywhere, target.standing.sent]);
    let quoted = TcpHeader {
        source_port: target.local.port(),
        destination_port: target.remote.port(),
        seq,
        ack: Some(target.standing.peer_sent),
        ..TcpHeader::default()
    };
    let back = Target {
        local: target.remote,
        remote: target.local,
        ..*target
    };
    let octets = packet(&back, &quoted, &[0; 100]).to_vec();
    let router = match target.local.ip() {
        IpAddr::V4(_) => IpAddr::from([10, 254, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0xfd00, 0xfffe, 0, 0, 0, 0, 0, 1]),
    };
    let report = match random.below(6) {
        0 => Report::TooBig {
            mtu: random.below(1600) as u32,
        },
        1 => Report::TimeExceeded,
        2 => Report::ParameterProblem,
        3 => Report::SourceQuench,
        _ => Report::Unreachable {
            code: random.pick(&[0, 1, 2, 3, 5]),
        },
    };
    icmp::about(&octets, report, router)
}
