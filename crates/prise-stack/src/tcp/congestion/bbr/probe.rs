//! The cycle of ProbeBW: down, cruise, refill, up (§5.3.3 of the draft).

use core::time::Duration;

use prise_wire::Instant;

/// Where in the cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Down,
    Cruise,
    Refill,
    Up,
}

impl Phase {
    pub(super) fn pacing_gain(self) -> u64 {
        match self {
            Self::Down => 90,
            Self::Cruise | Self::Refill => 100,
            Self::Up => 125,
        }
    }

    pub(super) fn cwnd_gain(self) -> u64 {
        match self {
            Self::Up => 225,
            _ => 200,
        }
    }
}

/// `BBR.ack_phase`: which probe the acknowledgments of this round tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) phase: Phase,
    ack_phase: AckPhase,
    since: Instant,
    wait: Duration,
    /// `BBR.bw_probe_samples`: losses of these rounds may lower `inflight_hi`.
    pub(super) samples_count: bool,
    up_rounds: u32,
    up_acked: u32,
    /// Segments to be acknowledged for one more of `inflight_hi`.
    up_count: u32,
}

impl Cycle {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Down,
            ack_phase: AckPhase::Init,
            since: Instant::ZERO,
            wait: Duration::from_secs(2),
            samples_count: false,
            up_rounds: 0,
            up_acked: 0,
            up_count: u32::MAX,
        }
    }

    /// Two to three seconds until the next probe, so that flows do not probe together.
    pub(super) fn start_down(&mut self, now: Instant, dice: u32) {
        self.phase = Phase::Down;
        self.ack_phase = AckPhase::ProbeStopping;
        self.since = now;
        self.wait = Duration::from_millis(2000 + u64::from(dice % 1000));
        self.up_count = u32::MAX;
    }

    pub(super) fn start_refill(&mut self) {
        self.phase = Phase::Refill;
        self.ack_phase = AckPhase::Refilling;
        self.up_rounds = 0;
        self.up_acked = 0;
    }

    pub(super) fn start_up(&mut self) {
        self.phase = Phase::Up;
        self.ack_phase = AckPhase::ProbeStarting;
        self.samples_count = true;
    }

    pub(super) fn has_waited(&self, now: Instant) -> bool {
        now.saturating_since(self.since) > self.wait
    }

    /// A round has started; answers whether a whole probe has been heard of.
    pub(super) fn on_round(&mut self) -> bool {
        match self.ack_phase {
            AckPhase::ProbeStarting => {
                self.ack_phase = AckPhase::ProbeFeedback;
                false
            }
            AckPhase::ProbeStopping => {
                self.ack_phase = AckPhase::Init;
                self.samples_count = false;
                true
            }
            _ => false,
        }
    }

    /// `BBRRaiseInflightHiSlope`: twice as fast each round.
    pub(super) fn raise_slope(&mut self, mss: u32, inflight_hi: u32) {
        let growth = u64::from(mss.max(1)) << self.up_rounds;
        self.up_rounds = (self.up_rounds + 1).min(30);
        self.up_count = (u64::from(inflight_hi) / growth).max(1) as u32;
    }

    /// `BBRProbeInflightHiUpward`: the bound after `acked` octets more.
    pub(super) fn grow(&mut self, acked: u32, mss: u32, round_start: bool, inflight_hi: u32) -> u32 {
        self.up_acked = self.up_acked.saturating_add(acked);
        let unit = self.up_count.saturating_mul(mss).max(1);
        let segments = self.up_acked / unit;
        self.up_acked -= segments * unit;
        let grown = inflight_hi.saturating_add(segments.saturating_mul(mss));
        if round_start {
            self.raise_slope(mss, grown);
        }
        grown
    }
}
