//! SYN cookies (RFC 4987 §3.6): when a listener holds as many half-open connections as it may, the SYN-ACK's sequence
//! number itself remembers the SYN, and its timestamp the options. A flood then costs nothing but the answers.

use prise_wire::{Instant, SeqNum};

use super::acc_ecn::{Ecn, EcnAgreement};
use super::birth::Agreement;
use super::half_open::HalfOpen;
use super::isn::Secrets;
use super::segment::Segment;
use super::tuple::FourTuple;

/// The cookie's clock ticks every 64 seconds; one tick back is still believed, so a cookie lives two minutes at most.
const TICK_SECONDS: u64 = 64;
const TICK_BITS: u32 = 5;
const MSS_BITS: u32 = 3;
const HASH_BITS: u32 = 24;
/// Segment sizes that are told apart: the common ones of Ethernet, tunnels and jumbo frames.
const SIZES: [u16; 1 << MSS_BITS] = [48, 536, 1220, 1360, 1440, 1460, 4312, 8940];
/// What the low bits of the timestamp carry: window shift, SACK, ECN.
const OPTION_BITS: u32 = 6;
const NO_SCALE: u8 = 15;

fn tick(now: Instant) -> u32 {
    (now.as_millis() / 1000 / TICK_SECONDS) as u32
}

fn hash(secrets: &Secrets, tuple: &FourTuple, irs: SeqNum, tick: u32, size: u32) -> u32 {
    let mut words = [0; 6];
    words[..5].copy_from_slice(&tuple.words());
    words[5] = u64::from(irs.0) << 32 | u64::from(tick) << 3 | u64::from(size);
    secrets.cookie(&words) as u32 & ((1 << HASH_BITS) - 1)
}

/// The sequence number of a SYN-ACK that nobody remembers.
pub(crate) fn bake(secrets: &Secrets, now: Instant, record: &HalfOpen) -> SeqNum {
    let tick = tick(now);
    let size = SIZES.iter().rposition(|&size| size <= record.mss).unwrap_or(0) as u32;
    let hash = hash(secrets, &record.tuple, record.irs, tick, size);
    SeqNum((tick & ((1 << TICK_BITS) - 1)) << (MSS_BITS + HASH_BITS) | size << HASH_BITS | hash)
}

/// Our timestamp with the options in its low bits, never ahead of the clock.
pub(crate) fn mark_timestamp(value: u32, record: &HalfOpen) -> u32 {
    let options = u32::from(record.peer_scale().unwrap_or(NO_SCALE))
        | u32::from(record.sack()) << 4
        | u32::from(record.ecn().kind == Ecn::Classic) << 5;
    let marked = value & !((1 << OPTION_BITS) - 1) | options;
    if value.wrapping_sub(marked).cast_signed() < 0 {
        marked.wrapping_sub(1 << OPTION_BITS)
    } else {
        marked
    }
}

/// What a handshake's last segment proves, if its acknowledgment is a cookie of ours.
pub(crate) fn taste(secrets: &Secrets, tuple: &FourTuple, seg: &Segment) -> Option<Agreement> {
    let iss = seg.ack? - 1;
    let irs = seg.seq - 1;
    let size = iss.0 >> HASH_BITS & ((1 << MSS_BITS) - 1);
    let now = tick(seg.at);
    let age = now.wrapping_sub(iss.0 >> (MSS_BITS + HASH_BITS)) & ((1 << TICK_BITS) - 1);
    if age > 1 || hash(secrets, tuple, irs, now.wrapping_sub(age), size) != iss.0 & ((1 << HASH_BITS) - 1) {
        return None;
    }
    // Without timestamps nothing but the segment size was remembered.
    let options = seg.options.timestamps.map(|timestamps| timestamps.echo);
    let scale = options.map_or(NO_SCALE, |options| options as u8 & 15);
    Some(Agreement {
        iss,
        irs,
        peer_mss: SIZES[size as usize],
        peer_scale: (scale != NO_SCALE).then_some(scale.min(14)),
        told_shift: None,
        told_window: None,
        sack: options.is_some_and(|options| options & 1 << 4 != 0),
        timestamps: options.is_some(),
        ts_recent: seg.options.timestamps.map_or(0, |timestamps| timestamps.value),
        window: seg.window,
        user_timeout: 0,
        ecn: EcnAgreement::unpack(options.is_some_and(|options| options & 1 << 5 != 0).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkId;
    use crate::tcp::half_open::Origin;
    use core::net::SocketAddr;
    use core::time::Duration;
    use prise_wire::{Body, TcpFlags, TcpHeader};

    fn tuple(port: u16) -> FourTuple {
        FourTuple::new(
            SocketAddr::from(([10, 0, 0, 1], 80)),
            SocketAddr::from(([10, 0, 0, 2], port)),
        )
    }

    fn segment(at: Instant, seq: SeqNum, ack: Option<SeqNum>, mss: Option<u16>) -> Segment {
        let mut header = TcpHeader {
            seq,
            ack,
            flags: if ack.is_some() { TcpFlags::ACK } else { TcpFlags::SYN },
            ..TcpHeader::default()
        };
        header.options.mss = mss;
        Segment::new(&header, Body::new(), at, 0)
    }

    #[test]
    fn a_cookie_counts_for_its_tuple_and_its_minutes_only() {
        let secrets = Secrets::new([[1, 2], [3, 4], [5, 6]]);
        let born = Instant::ZERO + Duration::from_secs(1000);
        let syn = segment(born, SeqNum(7000), None, Some(1460));
        let link = LinkId::new(0).expect("there is one");
        let record = HalfOpen::new(tuple(5000), SeqNum(0), &syn, Origin::Intercepted, link, Ecn::Classic);
        let iss = bake(&secrets, born, &record);
        let answer = |at, ack: SeqNum| segment(at, SeqNum(7001), Some(ack + 1), None);
        let agreed = taste(&secrets, &tuple(5000), &answer(born, iss)).expect("it is ours");
        assert_eq!((agreed.iss, agreed.irs, agreed.peer_mss), (iss, SeqNum(7000), 1460));
        let minute = Duration::from_secs(60);
        assert!(taste(&secrets, &tuple(5000), &answer(born + minute, iss)).is_some());
        assert!(
            taste(&secrets, &tuple(5000), &answer(born + minute * 3, iss)).is_none(),
            "too old"
        );
        assert!(taste(&secrets, &tuple(5001), &answer(born, iss)).is_none(), "another's");
        let guesses = (1..5000).filter(|n| taste(&secrets, &tuple(5000), &answer(born, iss + *n)).is_some());
        assert_eq!(
            guesses.count(),
            0,
            "a guess has one chance in sixteen million for each size and minute"
        );
    }
}
