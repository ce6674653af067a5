//! What a queue does before it is full: random early detection (Floyd and Jacobson 1993; RFC 7567 §2), which tells
//! senders of congestion while there is still room.
//!
//! The chance rises evenly from nothing at a quarter of the queue to [`CHANCE_FULL`] where it is full. The length is the
//! momentary one: there is no average to be tuned, and a run can be had again.

use super::config::Early;
use super::random::Random;
use prise_wire::{Frame, IpVersion, Medium, checksum};

/// How likely a packet is struck by a queue that is all but full.
const CHANCE_FULL: f64 = 0.2;

/// What becomes of a packet that comes to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    /// It gets the mark "congestion experienced" (RFC 3168 §5) and waits.
    Marked,
    Dropped,
}

/// Decides for a packet that finds `waiting` of at most `room` packets. Draws one number whatever comes of it.
pub(super) fn decide(early: Early, waiting: usize, room: usize, capable: bool, chance: &mut Random) -> Fate {
    let drawn = (chance.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let quarter = room as f64 / 4.0;
    let over = waiting as f64 - quarter;
    let struck = over > 0.0 && drawn < CHANCE_FULL * over / (room as f64 - quarter).max(1.0);
    match early {
        _ if !struck => Fate::Waits,
        Early::Never => Fate::Waits,
        Early::Mark if capable => Fate::Marked,
        Early::Mark | Early::Drop => Fate::Dropped,
    }
}

const ECN: u8 = 0b11;

/// The octet of the IP header that holds the ECN field, and how far left in it.
fn field(packet: &Frame, medium: Medium) -> Option<(usize, u32, IpVersion)> {
    let layout = packet.layout(medium)?;
    let shift = match layout.version {
        IpVersion::V4 => 0,
        IpVersion::V6 => 4,
    };
    Some((layout.network_at + 1, shift, layout.version))
}

/// Whether the packet may be marked instead of dropped (RFC 3168 §5).
pub(super) fn is_capable(packet: &Frame, medium: Medium) -> bool {
    field(packet, medium)
        .and_then(|(at, shift, _)| packet.head().get(at).map(|octet| octet >> shift & ECN))
        .is_some_and(|codepoint| codepoint != 0)
}

/// Sets "congestion experienced".
pub(super) fn mark(packet: &mut Frame, medium: Medium) {
    let Some((at, shift, version)) = field(packet, medium) else {
        return;
    };
    let head = packet.head_mut();
    if let Some(octet) = head.get_mut(at) {
        *octet |= ECN << shift;
    }
    if version == IpVersion::V4 {
        let from = at - 1;
        let len = head.get(from).map_or(0, |first| usize::from(first & 0xf) * 4);
        if let Some(header) = head.get_mut(from..from + len)
            && header.len() >= 20
        {
            header[10..12].fill(0);
            let sum = !checksum::sum(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
}
