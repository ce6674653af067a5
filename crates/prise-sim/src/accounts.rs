//! The accounts of a world that has come to rest: nothing is left over, and everything discarded has a reason.

use crate::node::Port;
use crate::world::{Place, World};
use prise_stack::Discard;
use prise_stack::IpCounters;
use prise_wire::{IpVersion, Medium};

/// Nothing is left over, and every frame is accounted for.
pub(crate) fn conserved(world: &World) -> Result<(), String> {
    for node in world.nodes.iter().filter(|node| !node.is_off) {
        let (name, host) = (&node.name, &node.host);
        if let Some(socket) = host.sockets().next() {
            return Err(format!("{name} is left with {socket:?}: {:?}", host.info(socket)));
        }
        let records @ [connections, listeners, half_open, time_wait] = host.stack().tcp_records();
        if records != [0; 4] {
            return Err(format!(
                "{name} is left with {connections} connections, {listeners} listeners, {half_open} half-open, \
                 {time_wait} in TIME-WAIT"
            ));
        }
    }
    for node in world.nodes.iter().filter(|node| !node.is_off) {
        let memory = node.host.stack().memory();
        if memory.used != 0 || memory.pressure {
            return Err(format!("{} is left with memory: {memory:?}", node.name));
        }
        let ports = node.host.ports_held();
        if ports != [0; 2] {
            return Err(format!("{} is left with {ports:?} ports", node.name));
        }
    }
    for lane in world.lanes() {
        let it = lane.counters();
        if !lane.is_empty() || it.sent + it.duplicated != it.received + it.lost + it.queue_full + it.line_full {
            return Err(format!("a wire does not add up: {it:?}, empty: {}", lane.is_empty()));
        }
    }
    for it in world.routers() {
        let ended = it.damaged + it.unroutable + it.expired + it.too_big;
        if it.received != it.forwarded + ended || it.errors > it.expired + it.too_big {
            return Err(format!("a router does not add up: {it:?}"));
        }
    }
    counted(world)
}

/// What wires have carried is what hosts have counted, and each packet was delivered or discarded with a reason.
fn counted(world: &World) -> Result<(), String> {
    for (index, node) in world.nodes.iter().enumerate() {
        let (mut arrived, mut left) = (0, 0);
        for wire in &world.wires {
            for end in 0..2 {
                if matches!(wire.ends[end], Place::Host(host, _) if host == index) {
                    arrived += wire.lanes[1 - end].counters().received;
                    left += wire.lanes[end].counters().sent;
                }
            }
        }
        if node.is_off {
            continue;
        }
        let outside = || node.host.stack().links().iter().filter(|link| !link.is_loopback());
        let received: u64 = outside().map(|link| link.counters().received_frames).sum();
        let sent: u64 = outside().map(|link| link.counters().transmitted_frames).sum();
        let known = received + node.earlier_received + node.missed;
        if known != arrived + node.injected {
            return Err(format!(
                "{} has counted {known} frames; {arrived} arrived and {} were forged",
                node.name, node.injected
            ));
        }
        // A train is one frame to the host and many to the wire.
        let sent = sent + node.earlier_sent;
        let cuts = node
            .ports
            .iter()
            .any(|port| port.cuts && !matches!(port.port, Port::Loopback));
        if sent > left || (!cuts && sent != left) {
            return Err(format!("{} has counted {sent} frames sent, wires {left}", node.name));
        }
        let both = [IpVersion::V4, IpVersion::V6].map(|version| node.host.stack().ip_counters(version));
        let of = |count: fn(&IpCounters) -> u64| both.into_iter().map(count).sum::<u64>();
        let (delivered, fragments) = (of(|ip| ip.delivered), of(|ip| ip.fragments_received));
        let is_bare = node.ports.iter().all(|port| port.medium == Medium::Ip);
        if is_bare && fragments == 0 {
            let all = node.host.stack().links();
            let received: u64 = all.iter().map(|link| link.counters().received_frames).sum();
            let discarded: u64 = all.iter().map(|link| link.counters().received_discards).sum();
            if received != delivered + discarded {
                return Err(format!(
                    "{}: {received} packets came in, {delivered} were delivered and {discarded} discarded",
                    node.name
                ));
            }
        }
    }
    Ok(())
}

/// Every frame that was discarded for being damaged was damaged, or forged, and nobody misbehaved.
pub(crate) fn explained(world: &World) -> Result<(), String> {
    let corrupted: u64 = world.lanes().map(|lane| lane.counters().corrupted).sum();
    // What was damaged on one wire may be doubled on the next.
    let doubled: u64 = world.lanes().map(|lane| lane.counters().duplicated).sum();
    let injected: u64 = world.nodes.iter().map(|node| node.injected).sum();
    let forged = injected + world.foes.iter().map(|foe| foe.sent).sum::<u64>();
    let mut damaged = 0;
    for node in &world.nodes {
        for (reason, count) in node.host.stack().discards().iter() {
            match cause(reason) {
                Cause::Damage => damaged += count,
                Cause::Misconduct if corrupted + forged == 0 => {
                    return Err(format!("{} discarded {count} as {reason:?}", node.name));
                }
                Cause::Misconduct | Cause::Network => {}
            }
        }
    }
    if damaged > 0 && damaged > corrupted + forged + if corrupted > 0 { doubled } else { 0 } {
        return Err(format!(
            "{damaged} frames were discarded as damaged; {corrupted} were, and {forged} were forged"
        ));
    }
    Ok(())
}

enum Cause {
    /// Loss, delay, reordering, duplication and full queues are enough to explain it.
    Network,
    /// Only a flipped bit explains it.
    Damage,
    /// Nothing that hosts of this kind send explains it, unless a bit was flipped.
    Misconduct,
}

/// Why a host may have discarded something for this reason in a world where all hosts are prise's.
fn cause(reason: Discard) -> Cause {
    match reason {
        Discard::LinkMalformed
        | Discard::ArpMalformed
        | Discard::ArpMartian
        | Discard::IpMalformed
        | Discard::IpChecksum
        | Discard::IpMartianSource
        | Discard::IpMartianDestination
        | Discard::IpOptionsMalformed
        | Discard::IpSourceRoute
        | Discard::IpExtensionMalformed
        | Discard::IpExtensionUnknown
        | Discard::IpHeaderChainTooLong
        | Discard::IpRoutingHeader
        | Discard::IpProtocolUnknown
        | Discard::FragmentMalformed
        | Discard::IcmpMalformed
        | Discard::IcmpChecksum
        | Discard::UdpMalformed
        | Discard::UdpChecksum
        | Discard::TcpMalformed
        | Discard::TcpChecksum => Cause::Damage,
        Discard::UnknownLink
        | Discard::LinkProtocolUnknown
        | Discard::AddressConflict
        | Discard::FragmentOverlap
        | Discard::FragmentEcnMixed
        | Discard::IcmpTypeUnknown
        | Discard::IgmpMalformed
        | Discard::MldInvalid
        | Discard::TcpNotUnicast
        | Discard::TcpTextAfterFin
        | Discard::TcpTooManyHoles => Cause::Misconduct,
        // What a server sends behind its answer to a SYN with data may overtake it (TcpNoSyn).
        _ => Cause::Network,
    }
}
