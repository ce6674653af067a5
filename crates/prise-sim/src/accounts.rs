//! The accounts of a world that has come to rest: nothing is left over, and everything discarded has a reason.

use crate::world::World;
use prise_stack::Discard;

/// Nothing is left over, and every frame is accounted for.
pub(crate) fn conserved(world: &World) -> Result<(), String> {
    for node in world.nodes() {
        let (name, host) = (world.name(node), world.host(node));
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
    for lane in world.lanes() {
        let it = lane.counters();
        if !lane.is_empty() || it.sent + it.duplicated != it.received + it.lost + it.queue_full + it.line_full {
            return Err(format!("a wire does not add up: {it:?}, empty: {}", lane.is_empty()));
        }
    }
    Ok(())
}

/// Every frame that was discarded for being damaged was damaged, and nobody misbehaved.
pub(crate) fn explained(world: &World) -> Result<(), String> {
    let corrupted: u64 = world.lanes().map(|lane| lane.counters().corrupted).sum();
    let mut damaged = 0;
    for node in world.nodes() {
        for (reason, count) in world.host(node).stack().discards().iter() {
            match cause(reason) {
                Cause::Damage => damaged += count,
                Cause::Misconduct if corrupted == 0 => {
                    return Err(format!("{} discarded {count} as {reason:?}", world.name(node)));
                }
                Cause::Misconduct | Cause::Network => {}
            }
        }
    }
    if damaged > corrupted {
        return Err(format!("{damaged} frames were discarded as damaged, {corrupted} were"));
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
        | Discard::TcpNoSyn
        | Discard::TcpTextAfterFin
        | Discard::TcpTooManyHoles
        | Discard::TcpIcmpForged => Cause::Misconduct,
        _ => Cause::Network,
    }
}
