//! A bad line: delay, jitter, loss, duplication, reordering, corruption and a limited rate, decided by a seed.
//!
//! Theory of operation. A frame that is [sent](Impairment::send) is first cut into the packets that a wire would carry,
//! if a fault or the rate is to strike single packets. Each packet is then, in this order, lost or not; doubled or not;
//! and each copy is corrupted or not, waits for the packets before it to leave at the line's rate (or is dropped if too
//! many wait already), and travels for `delay ± jitter`. What has arrived is [received](Impairment::receive).
//!
//! Packets never overtake one another because of jitter: on real paths jitter is queueing, and queues keep the order.
//! Overtaking is a fault of its own, [`ImpairmentConfig::reorder`]: single packets come early, or late by a fixed time. (netem(8) reorders when jitter exceeds the gap
//! between packets, which makes its jitter a test of reordering.)
//!
//! Each fault draws from its own stream of the seed, once for every packet, so that switching one on leaves the others'
//! decisions as they were. No clock, no I/O, no global: the simulator runs this under virtual time.

mod burst;
mod config;
mod early;
mod random;

use burst::Burst;
pub use config::{BurstLoss, Early, ImpairmentConfig, Probability};
use early::Fate;
use prise_wire::time::{Duration, Instant};
use prise_wire::{Body, Checksum, Frame, Medium};
use random::Random;
use std::collections::VecDeque;

/// How long a reordered packet is held back on a line without delay if nobody says, for others to overtake it.
const HOLD_BACK: Duration = Duration::from_millis(1);

/// Octets that may be under way at once: enough for 1 Gbit/s over 2 s; a flood over a long line is cut off here.
const UNDER_WAY_MAX: usize = 256 << 20;

/// One direction of a bad line.
#[derive(Debug)]
pub struct Impairment {
    config: ImpairmentConfig,
    medium: Medium,
    chance: Chance,
    burst: Burst,
    /// Under way, in the order of arrival; frames that overtake are in a line of their own.
    in_order: VecDeque<UnderWay>,
    out_of_order: VecDeque<UnderWay>,
    octets_under_way: usize,
    /// When each packet that waits for the rate, or is being sent, will have left.
    departures: VecDeque<Instant>,
    counters: ImpairmentCounters,
}

#[derive(Debug)]
struct UnderWay {
    arrives: Instant,
    frame: Frame,
}

/// One stream of chance for each decision.
#[derive(Debug)]
struct Chance {
    loss: Random,
    burst: Random,
    early: Random,
    duplicate: Random,
    reorder: Random,
    corrupt: Random,
    corrupt_bit: Random,
    jitter: Random,
}

impl Chance {
    fn new(seed: u64) -> Self {
        Self {
            loss: Random::new(seed, 1),
            duplicate: Random::new(seed, 2),
            reorder: Random::new(seed, 3),
            corrupt: Random::new(seed, 4),
            corrupt_bit: Random::new(seed, 5),
            jitter: Random::new(seed, 6),
            burst: Random::new(seed, 7),
            early: Random::new(seed, 8),
        }
    }
}

/// What happened to packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImpairmentCounters {
    /// Packets (or whole trains, where none are cut) that were sent.
    pub sent: u64,
    /// Arrived, copies included.
    pub received: u64,
    /// Dropped by [`ImpairmentConfig::loss`] or [`ImpairmentConfig::burst`].
    pub lost: u64,
    /// Copies made by [`ImpairmentConfig::duplicate`].
    pub duplicated: u64,
    /// Sent ahead, or held back, by [`ImpairmentConfig::reorder`].
    pub reordered: u64,
    /// Damaged by [`ImpairmentConfig::corrupt`].
    pub corrupted: u64,
    /// Dropped because too many waited for the rate, or so many that [`Early`] struck.
    pub queue_full: u64,
    /// Marked as having met congestion, by [`Early::Mark`].
    pub marked: u64,
    /// Dropped because too much was under way.
    pub line_full: u64,
}

impl Impairment {
    /// One direction of a line for frames of `medium`.
    pub fn new(config: ImpairmentConfig, medium: Medium) -> Self {
        Self {
            chance: Chance::new(config.seed),
            config,
            medium,
            burst: Burst::default(),
            in_order: VecDeque::new(),
            out_of_order: VecDeque::new(),
            octets_under_way: 0,
            departures: VecDeque::new(),
            counters: ImpairmentCounters::default(),
        }
    }

    /// Changes the line under way. What has been sent keeps its fate; the seed's streams go on where they are.
    pub fn reconfigure(&mut self, config: ImpairmentConfig) {
        self.config = config;
    }

    /// What the line is like.
    pub const fn config(&self) -> &ImpairmentConfig {
        &self.config
    }

    /// What happened so far.
    pub const fn counters(&self) -> ImpairmentCounters {
        self.counters
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.out_of_order.is_empty()
    }

    /// Puts a frame on the line.
    pub fn send(&mut self, now: Instant, frame: Frame) {
        if frame.offload.gso.is_some() && self.config.needs_packets() {
            for packet in frame.segments_partial(self.medium) {
                self.send_packet(now, packet);
            }
        } else {
            self.send_packet(now, frame);
        }
    }

    fn send_packet(&mut self, now: Instant, packet: Frame) {
        self.counters.sent += 1;
        let lost = self.config.loss.happens(&mut self.chance.loss)
            | self.burst.strikes(self.config.burst, now, &mut self.chance.burst);
        let duplicated = self.config.duplicate.happens(&mut self.chance.duplicate);
        if lost {
            self.counters.lost += 1;
            return;
        }
        if duplicated {
            self.counters.duplicated += 1;
            self.send_copy(now, packet.clone());
        }
        self.send_copy(now, packet);
    }

    fn send_copy(&mut self, now: Instant, mut packet: Frame) {
        let corrupted = self.config.corrupt.happens(&mut self.chance.corrupt);
        let reordered = self.config.reorder.happens(&mut self.chance.reorder);
        let way = self.way();
        let Some(departure) = self.departure(now, &mut packet) else {
            self.counters.queue_full += 1;
            return;
        };
        if self.octets_under_way + packet.total_len() > UNDER_WAY_MAX {
            self.counters.line_full += 1;
            return;
        }
        if corrupted {
            self.counters.corrupted += 1;
            packet = corrupt(packet, self.medium, &mut self.chance.corrupt_bit);
        }
        self.octets_under_way += packet.total_len();
        if reordered {
            self.counters.reordered += 1;
            let arrives = match self.config.reorder_delay {
                Some(late) => departure + way + late,
                None if way.is_zero() => departure + HOLD_BACK,
                None => departure,
            };
            insert(&mut self.out_of_order, UnderWay { arrives, frame: packet });
        } else {
            let after_last = self.in_order.back().map_or(Instant::ZERO, |last| last.arrives);
            let arrives = (departure + way).max(after_last);
            self.in_order.push_back(UnderWay { arrives, frame: packet });
        }
    }

    /// How long this packet travels.
    fn way(&mut self) -> Duration {
        let ImpairmentConfig { delay, jitter, .. } = self.config;
        let spread = nanos(jitter).saturating_mul(2).saturating_add(1);
        let drawn = self.chance.jitter.below(spread);
        (delay + Duration::from_nanos(drawn)).saturating_sub(jitter)
    }

    /// When the packet will have left at the line's rate; `None` if too many wait already.
    fn departure(&mut self, now: Instant, packet: &mut Frame) -> Option<Instant> {
        let Some(rate) = self.config.rate else { return Some(now) };
        while self.departures.front().is_some_and(|left| *left <= now) {
            self.departures.pop_front();
        }
        // The first of them is not waiting but being sent.
        let room = self.config.queue_packets();
        if self.departures.len() > room {
            return None;
        }
        if self.config.early != Early::Never {
            self.strike_early(room, packet)?;
        }
        let begins = self.departures.back().map_or(now, |last| (*last).max(now));
        let departure = begins + serialization(self.packet_len(packet), rate.get());
        self.departures.push_back(departure);
        Some(departure)
    }

    /// What the queue does to a packet before it is full; `None` if it drops it.
    fn strike_early(&mut self, room: usize, packet: &mut Frame) -> Option<()> {
        let capable = early::is_capable(packet, self.medium);
        let waiting = self.departures.len();
        match early::decide(self.config.early, waiting, room, capable, &mut self.chance.early) {
            Fate::Waits => {}
            Fate::Marked => {
                self.counters.marked += 1;
                early::mark(packet, self.medium);
            }
            Fate::Dropped => return None,
        }
        Some(())
    }

    /// Octets of the IP packet: the rate does not count link headers.
    fn packet_len(&self, packet: &Frame) -> usize {
        packet.total_len() - packet.layout(self.medium).map_or(0, |layout| layout.network_at)
    }

    /// The next frame that has arrived by now.
    pub fn receive(&mut self, now: Instant) -> Option<Frame> {
        let arrives = |line: &VecDeque<UnderWay>| line.front().map(|first| first.arrives);
        let line = match (arrives(&self.in_order), arrives(&self.out_of_order)) {
            (Some(first), Some(other)) if other < first => &mut self.out_of_order,
            (None, Some(_)) => &mut self.out_of_order,
            _ => &mut self.in_order,
        };
        let arrived = line.pop_front_if(|first| first.arrives <= now)?;
        self.octets_under_way -= arrived.frame.total_len();
        self.counters.received += 1;
        Some(arrived.frame)
    }

    /// When the next frame arrives.
    pub fn next_deadline(&self) -> Option<Instant> {
        let fronts = [self.in_order.front(), self.out_of_order.front()];
        fronts.into_iter().flatten().map(|first| first.arrives).min()
    }
}

/// Puts a frame into a line that is in order of arrival. It nearly always belongs at the end.
fn insert(line: &mut VecDeque<UnderWay>, new: UnderWay) {
    let at = line
        .iter()
        .rposition(|other| other.arrives <= new.arrives)
        .map_or(0, |before| before + 1);
    line.insert(at, new);
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long `octets` take at `rate` bits per second.
fn serialization(octets: usize, rate: u64) -> Duration {
    let nanos = (octets as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Flips one bit of the IP packet. The link header is spared: what would strike it, the link's own check discards.
fn corrupt(mut frame: Frame, medium: Medium, chance: &mut Random) -> Frame {
    frame.complete_checksum();
    frame.offload.checksum = Checksum::Unverified;
    let network_at = frame.layout(medium).map_or(0, |layout| layout.network_at);
    let bits = (frame.total_len() - network_at) as u64 * 8;
    let bit = chance.below(bits) as usize;
    let (at, mask) = (network_at + bit / 8, 1u8 << (bit % 8));
    if bits == 0 {
        return frame;
    }
    let head_len = frame.head().len();
    if let Some(octet) = frame.head_mut().get_mut(at) {
        *octet ^= mask;
        return frame;
    }
    let (head, body, offload) = frame.into_parts();
    // Others may refer to the same payload: the damage is done to a copy.
    let mut octets = body.to_vec();
    octets[at - head_len] ^= mask;
    let mut frame = Frame::new(head, Body::from(octets));
    frame.offload = offload;
    frame
}
