//! What BBR believes of the path: bandwidth, round trip, and the bounds that loss has taught (§5.5 of the draft).

use core::time::Duration;

use prise_wire::Instant;

use super::{AGGREGATION_SEGMENTS, BETA, BbrAck, LOSS_THRESH, YIELD, scale};
use crate::tcp::congestion::rate::RateSample;

/// The extra acknowledged octets of aggregation are remembered for so many rounds (§5.5.9).
const EXTRA_ACKED_ROUNDS: u32 = 10;
/// A sixteenth, of 65,536: a path that loses more loses more than chance does.
const TOLL_MAX: u64 = 4096;
/// A round trip that exceeds the least by no more than this part of it shows no queue.
const FREE: u32 = 8;

#[derive(Debug)]
pub(super) struct Model {
    /// `MaxBwFilter`: the greatest rate of this cycle and of the one before.
    max_bw: [u64; 2],
    pub(super) min_rtt: Duration,
    pub(super) min_rtt_at: Instant,
    /// `min_rtt` may be that of a queue which others keep.
    pub(super) least_in_doubt: bool,
    bw_lo: u64,
    pub(super) inflight_lo: u32,
    pub(super) inflight_hi: u32,
    bw_latest: u64,
    pub(super) inflight_latest: u32,
    next_round_delivered: u64,
    pub(super) round_start: bool,
    pub(super) rounds_since_probe: u32,
    loss_round_delivered: u64,
    loss_round_start: bool,
    loss_in_round: bool,
    /// What is lost counts if it is told by what left after so much was delivered.
    losses_from: u64,
    /// ACK aggregation.
    epoch_at: Instant,
    epoch_acked: u64,
    extra: [u32; 2],
    extra_rounds: u32,
    /// Octets delivered and lost in this round.
    round: [u64; 2],
    /// Of 65,536 octets so many are lost, over the last rounds.
    loss_share: u64,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            max_bw: [0; 2],
            min_rtt: Duration::MAX,
            min_rtt_at: Instant::ZERO,
            least_in_doubt: false,
            bw_lo: u64::MAX,
            inflight_lo: u32::MAX,
            inflight_hi: u32::MAX,
            bw_latest: 0,
            inflight_latest: 0,
            next_round_delivered: 0,
            round_start: false,
            rounds_since_probe: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            loss_in_round: false,
            losses_from: 0,
            epoch_at: Instant::ZERO,
            epoch_acked: 0,
            extra: [0; 2],
            extra_rounds: 0,
            round: [0; 2],
            loss_share: 0,
        }
    }

    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// The bandwidth to use.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_lo)
    }

    /// `gain` hundredths of the bandwidth-delay product, and [`AGGREGATION_SEGMENTS`].
    pub(super) fn inflight(&self, gain: u64, mss: u32) -> u32 {
        if self.min_rtt == Duration::MAX || self.max_bw() == 0 {
            return 10 * mss;
        }
        let target = scale(self.bdp().into(), gain) + u64::from(AGGREGATION_SEGMENTS * mss);
        u32::try_from(target).unwrap_or(u32::MAX >> 1).max(4 * mss)
    }

    /// The bandwidth-delay product: what the path holds without a queue.
    pub(super) fn bdp(&self) -> u32 {
        let octets = u128::from(self.bw()) * self.min_rtt.as_nanos() / 1_000_000_000;
        u32::try_from(octets).unwrap_or(u32::MAX >> 2)
    }

    /// The same with what is lost of it on the way, which counts as in flight until it is known to be, and again as it is sent again.
    pub(super) fn bdp_with_losses(&self) -> u32 {
        let bdp = self.bdp();
        let lost = (u64::from(bdp) * self.loss_share.min(TOLL_MAX)) >> 16;
        bdp.saturating_add(2 * lost as u32)
    }

    pub(super) fn extra_acked(&self) -> u32 {
        self.extra[0].max(self.extra[1])
    }

    /// §5.5.3 to §5.5.10, at each sample; `may_lower`: losses beside a queue lower the bounds.
    pub(super) fn on_sample(&mut self, ack: &BbrAck, sample: &RateSample, cwnd: u32, may_lower: bool) {
        self.round[0] += u64::from(ack.acked);
        self.round[1] += u64::from(ack.newly_lost);
        self.update_round(ack, sample);
        self.bw_latest = self.bw_latest.max(sample.rate);
        self.inflight_latest = self
            .inflight_latest
            .max(sample.delivered.min(u64::from(u32::MAX)) as u32);
        self.loss_round_start = sample.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = ack.delivered;
        }
        if sample.rate > 0 && (sample.rate >= self.max_bw() || !sample.app_limited) {
            self.max_bw[1] = self.max_bw[1].max(sample.rate);
        }
        self.update_aggregation(ack, cwnd);
        self.loss_in_round |= ack.newly_lost > 0 && sample.prior_delivered >= self.losses_from;
        if self.loss_round_start {
            if may_lower && self.loss_in_round && self.sees_queue(ack) {
                self.lower_bounds(ack);
            }
            self.loss_in_round = false;
        }
    }

    /// A queue of ours has drained: what is still told of its losses, and of those of the retransmissions that met it, says nothing
    /// of what leaves from now on.
    pub(super) fn count_losses_from_here(&mut self, ack: &BbrAck) {
        self.losses_from = ack.delivered;
        self.loss_in_round = false;
    }

    /// This round trip shows no queue.
    pub(super) fn is_free(&self, ack: &BbrAck) -> bool {
        ack.rtt
            .is_some_and(|rtt| rtt <= self.min_rtt.saturating_add(self.min_rtt / FREE))
    }

    /// A standing queue, by the latest round trip against the smallest; where that may not be the path's, what is lost says so.
    fn sees_queue(&self, ack: &BbrAck) -> bool {
        let base = self.min_rtt;
        let seen = ack
            .rtt
            .is_some_and(|rtt| base != Duration::MAX && rtt > base + base / 5 + Duration::from_micros(500));
        seen || self.least_in_doubt
    }

    /// More is lost than the draft bears, and there is a queue that may have lost it.
    pub(super) fn is_inflight_too_high(&self, ack: &BbrAck, sample: &RateSample) -> bool {
        u64::from(sample.lost) * 100 > u64::from(sample.tx_in_flight) * LOSS_THRESH && self.sees_queue(ack)
    }

    /// A round is over: how much of it was lost counts for an eighth.
    fn note_losses(&mut self) {
        let [delivered, lost] = core::mem::take(&mut self.round);
        let share = (lost << 16) / (delivered + lost).max(1);
        self.loss_share += share / 8;
        self.loss_share -= self.loss_share / 8;
    }

    /// What is lost on the way of octets that leave at `rate`, up to [`TOLL_MAX`]. Where it is this that is lost (a policer keeps no
    /// queue), it dwindles: of a rate that exceeds what passes by a part, less than that part is lost.
    pub(super) fn toll(&self, rate: u64) -> u64 {
        (rate >> 16) * self.loss_share.min(TOLL_MAX)
    }

    fn update_round(&mut self, ack: &BbrAck, sample: &RateSample) {
        self.round_start = sample.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round(ack.delivered);
            self.note_losses();
            self.rounds_since_probe += 1;
            self.extra_rounds += 1;
            if self.extra_rounds >= EXTRA_ACKED_ROUNDS {
                self.extra_rounds = 0;
                self.extra = [self.extra[1], 0];
            }
        }
    }

    pub(super) fn start_round(&mut self, delivered: u64) {
        self.next_round_delivered = delivered;
    }

    /// A probe has ended: its rate becomes the elder of the two that count.
    pub(super) fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0 {
            self.max_bw = [self.max_bw[1], 0];
        }
    }

    fn lower_bounds(&mut self, ack: &BbrAck) {
        let first = self.bw_lo == u64::MAX;
        if self.bw_lo == u64::MAX {
            self.bw_lo = self.max_bw();
        }
        if self.inflight_lo == u32::MAX {
            self.inflight_lo = ack.in_flight + ack.acked;
        }
        let kept = if first { 100 } else { YIELD };
        self.bw_lo = scale(self.bw_latest, kept).max(scale(self.bw_lo, BETA));
        let (latest, bound) = (u64::from(self.inflight_latest), u64::from(self.inflight_lo));
        self.inflight_lo = scale(latest, kept).max(scale(bound, BETA)) as u32;
    }

    pub(super) fn reset_lower_bounds(&mut self) {
        self.bw_lo = u64::MAX;
        self.inflight_lo = u32::MAX;
    }

    pub(super) fn reset_congestion_signals(&mut self) {
        self.loss_in_round = false;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// After everything has used them, the latest signals make room for those of the next round.
    pub(super) fn advance_latest(&mut self, ack: &BbrAck) {
        if self.loss_round_start
            && let Some(sample) = ack.sample
        {
            self.bw_latest = sample.rate;
            self.inflight_latest = sample.delivered.min(u64::from(u32::MAX)) as u32;
        }
    }

    /// §5.5.9: octets acknowledged beyond what the bandwidth explains, so that bursts of acknowledgments do not leave
    /// the path idle. The window bounds them, not the path's product: that is next to nothing where packets which come early make the least
    /// round trip, and this is what such a path is filled by. Linux's two further bounds are absent: what 100 ms carry, and a new epoch after 2^20
    /// packets (`bbr_update_ack_aggregation`).
    fn update_aggregation(&mut self, ack: &BbrAck, cwnd: u32) {
        let interval = ack.now.saturating_since(self.epoch_at);
        let expected = (u128::from(self.bw()) * interval.as_nanos() / 1_000_000_000) as u64;
        if self.epoch_acked <= expected {
            self.epoch_acked = 0;
            self.epoch_at = ack.now;
        }
        self.epoch_acked += u64::from(ack.acked);
        let interval = ack.now.saturating_since(self.epoch_at);
        let expected = (u128::from(self.bw()) * interval.as_nanos() / 1_000_000_000) as u64;
        let extra = (self.epoch_acked.saturating_sub(expected)).min(u64::from(cwnd)) as u32;
        self.extra[1] = self.extra[1].max(extra);
    }
}
