//! What a line does to packets.

use super::random::Random;
use prise_wire::time::Duration;
use std::num::{NonZeroU32, NonZeroU64};

/// One direction of a line, as netem(8) names its faults. The default passes everything untouched and at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImpairmentConfig {
    /// How long every packet travels.
    pub delay: Duration,
    /// The way of each packet takes evenly between `delay - jitter` and `delay + jitter`.
    pub jitter: Duration,
    /// A packet vanishes.
    pub loss: Probability,
    /// Packets vanish in bursts.
    pub burst: BurstLoss,
    /// A packet arrives twice.
    pub duplicate: Probability,
    /// A packet arrives out of order: late by [`reorder_delay`](Self::reorder_delay) if that is given. Else it travels without
    /// delay, ahead of others; where there is no delay, it is held back for 1 ms.
    pub reorder: Probability,
    /// How much longer than others the packets that [`reorder`](Self::reorder) chooses are under way.
    pub reorder_delay: Option<Duration>,
    /// One bit of a packet is flipped.
    pub corrupt: Probability,
    /// Bits per second that the line carries, counted on IP packets; without limit if `None`.
    pub rate: Option<NonZeroU64>,
    /// Packets that may wait for the rate; one more is dropped. `None`: as many as leave within 200 ms.
    pub queue: Option<NonZeroU64>,
    /// What the queue for the rate does before it is full.
    pub early: Early,
    /// What all chance comes from.
    pub seed: u64,
}

/// Losses that come together (Gilbert 1960), beside the even ones of [`ImpairmentConfig::loss`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstLoss {
    /// How many of all packets are lost so.
    pub share: Probability,
    /// How many packets a burst takes on average, counted as they come, not in time.
    pub length: NonZeroU32,
}

/// The length of a burst, if nobody says otherwise.
const BURST_LENGTH: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

impl Default for BurstLoss {
    /// Never; ten packets if only a share is given.
    fn default() -> Self {
        Self {
            share: Probability::NEVER,
            length: BURST_LENGTH,
        }
    }
}

/// What a queue does before it is full (RFC 7567 §2.1): the further it is filled, the likelier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Early {
    /// Nothing; what does not fit is dropped.
    #[default]
    Never,
    /// It drops packets.
    Drop,
    /// It marks packets that allow it (RFC 3168), and drops others.
    Mark,
}

/// The time that packets wait in a full queue, if nobody says otherwise: a router's, not a modem's.
const QUEUE_MILLIS: u64 = 200;

/// The least queue, if nobody says otherwise: several initial windows (RFC 6928) on a slow line.
const QUEUE_MIN: u64 = 64;

/// The largest queue, if nobody says otherwise: as a device's ring.
const QUEUE_MAX: u64 = 10_000;

impl ImpairmentConfig {
    /// Whether packets pass untouched and at once: a seed, a queue or a delay of reordered packets alone changes nothing.
    pub fn is_none(&self) -> bool {
        let ideal = Self {
            seed: self.seed,
            reorder_delay: self.reorder_delay,
            queue: self.queue,
            early: self.early,
            ..Self::default()
        };
        *self == ideal
    }

    /// Whether single packets are struck or counted, so that trains have to be cut first.
    pub(super) fn needs_packets(&self) -> bool {
        let Self {
            delay: _,
            jitter: _,
            loss,
            burst,
            duplicate,
            reorder,
            reorder_delay: _,
            corrupt,
            rate,
            queue: _,
            early: _,
            seed: _,
        } = self;
        rate.is_some()
            || [loss, &burst.share, duplicate, reorder, corrupt]
                .into_iter()
                .any(|fault| *fault != Probability::NEVER)
    }

    /// How many packets may wait for the rate.
    pub(super) fn queue_packets(&self) -> usize {
        let packets = match (self.queue, self.rate) {
            (Some(packets), _) => packets.get(),
            (None, Some(rate)) => (rate.get() / 8 * QUEUE_MILLIS / 1000 / 1500).clamp(QUEUE_MIN, QUEUE_MAX),
            (None, None) => QUEUE_MAX,
        };
        usize::try_from(packets).unwrap_or(usize::MAX)
    }
}

/// A chance between never (0) and always (1).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// It does not happen.
    pub const NEVER: Self = Self(0.0);
    /// It always happens.
    pub const ALWAYS: Self = Self(1.0);

    /// `share` of all cases, from 0 to 1; `None` outside of that.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share of all cases, from 0 to 1.
    pub const fn share(self) -> f64 {
        self.0
    }

    /// Whether it happens this time. Draws one number whatever the share, so that others' draws stay the same.
    pub(super) fn happens(self, chance: &mut Random) -> bool {
        // 53 bits are what a double can tell apart.
        let drawn = (chance.next() >> 11) as f64 / (1u64 << 53) as f64;
        drawn < self.0
    }
}
