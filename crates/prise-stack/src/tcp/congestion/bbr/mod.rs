//! BBR version 3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and its round trip, instead of reactions to
//! loss.
//!
//! Deviations, argued. The draft takes more than 2 % of loss in a round for too much in flight. On a path that loses
//! at random that would starve the connection, which is what Linux's BBR (version 1) does not do. We believe in the loss
//! only if the round trip also says that there is a queue (`Model::sees_queue`), and not while the queue of a probe of ours
//! drains. As long as no queue stands, what is lost on the way is sent on top of the pace (`Model::toll`). More headroom
//! ([`HEADROOM`]) and a lower bound below what is delivered ([`YIELD`]) have flows that share a path come to like shares within
//! seconds; a path is left for `ProbeRTT` only as [`least`] says.

mod least;
mod model;
mod probe;
#[cfg(test)]
mod tests;

use core::time::Duration;

use prise_wire::Instant;

use self::least::Least;
use self::model::Model;
use self::probe::{Cycle, Phase};
use super::rate::RateSample;

/// §2.5 to §2.8 of the draft, as fractions of 100.
const STARTUP_PACING_GAIN: u64 = 277;
/// A window that doubles in a round trip leaves at no more than `2 ln 2` of itself in that time. The rate that is measured of the
/// first rounds is that of bursts with pauses between them, and 2.77 of it would hold back what the window allows.
const STARTUP_WINDOW_GAIN: u64 = 140;
const DRAIN_PACING_GAIN: u64 = 50;
const DEFAULT_CWND_GAIN: u64 = 200;
const PROBE_RTT_CWND_GAIN: u64 = 50;
const LOSS_THRESH: u64 = 2;
const BETA: u64 = 70;
/// The draft leaves 15 % of what a flow may have in flight to others. A flow that probes then finds the rest and what they leave, so
/// that shares approach each other by so little with each probe; twice as much is left here, but never so that the path is idle:
/// what it holds without a queue is always in flight, what is lost of it besides, and the segments that acknowledgments wait for.
const HEADROOM: u64 = 70;
/// Where losses beside a queue lower the bounds again before the next probe, they come to so much of what was delivered. The draft
/// keeps what was delivered, and with it every share as it is; so the larger one, which meets more of the losses, gives way. A flow
/// that is alone keeps what is delivered, and loses nothing more.
const YIELD: u64 = 90;
/// After so many rounds at nine tenths of the pace the queue of a probe of ours has drained: losses are others' again.
const DOWN_ROUNDS: u32 = 8;
const PACING_MARGIN: u64 = 99;
const MIN_PIPE_SEGMENTS: u32 = 4;
/// Segmentation and delayed acknowledgments hold so many segments back, which the path's product does not count
/// (`BBRQuantizationBudget`, §5.6.4.2).
const AGGREGATION_SEGMENTS: u32 = 3;
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// After so many rounds of cruising the queue of STARTUP would be seen to be gone.
const DOUBT_ROUNDS: u32 = 3;
const STARTUP_FULL_LOSS_COUNT: u32 = 6;

/// `BBR.state`; the four phases of ProbeBW live in [`Cycle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// One acknowledgment as BBR sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BbrAck {
    pub(crate) now: Instant,
    pub(crate) sample: Option<RateSample>,
    /// `C.delivered`.
    pub(crate) delivered: u64,
    pub(crate) acked: u32,
    pub(crate) newly_lost: u32,
    pub(crate) rtt: Option<Duration>,
    pub(crate) in_flight: u32,
    pub(crate) cwnd_limited: bool,
    pub(crate) mss: u32,
    /// A small number that differs between connections and rounds, to spread probes.
    pub(crate) dice: u32,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Bbr {
    state: State,
    model: Model,
    cycle: Cycle,
    pacing_rate: u64,
    /// `BBR.full_bw`, `full_bw_count`, `full_bw_now`, `full_bw_reached`.
    full_bw: u64,
    full_bw_count: u8,
    full_bw_now: bool,
    full_bw_reached: bool,
    loss_events_in_round: u32,
    /// ProbeRTT.
    least: Least,
    probe_rtt_done_at: Option<Instant>,
    probe_rtt_round_done: bool,
    prior_cwnd: u32,
    idle_restart: bool,
}

impl Bbr {
    pub(super) fn new() -> Self {
        Self {
            state: State::Startup,
            model: Model::new(),
            cycle: Cycle::new(),
            pacing_rate: 0,
            full_bw: 0,
            full_bw_count: 0,
            full_bw_now: false,
            full_bw_reached: false,
            loss_events_in_round: 0,
            least: Least::new(),
            probe_rtt_done_at: None,
            probe_rtt_round_done: false,
            prior_cwnd: 0,
            idle_restart: false,
        }
    }

    /// Octets per second; zero while nothing is known.
    pub(super) fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }

    /// The round trip of the handshake gives the first pace.
    pub(super) fn start(&mut self, cwnd: u32, srtt: Duration) {
        let rtt = if srtt.is_zero() { Duration::from_millis(1) } else { srtt };
        self.pacing_rate = scale(per_second(cwnd, rtt), STARTUP_PACING_GAIN);
    }

    /// The window after an acknowledgment.
    pub(super) fn on_ack(&mut self, ack: &BbrAck, mut cwnd: u32) -> u32 {
        if let Some(sample) = ack.sample {
            self.model.on_sample(ack, &sample, cwnd, self.believes_losses());
        }
        if self.model.round_start {
            self.loss_events_in_round = 0;
        }
        self.loss_events_in_round += u32::from(ack.newly_lost > 0);
        self.check_full_bw(ack);
        self.check_startup_done(ack);
        if self.state == State::Drain && ack.in_flight <= self.model.inflight(100, ack.mss) {
            self.enter_probe_bw(ack);
        }
        if self.state == State::ProbeBw {
            self.update_cycle(ack);
        }
        self.update_min_rtt(ack);
        cwnd = self.check_probe_rtt(ack, cwnd);
        self.model.advance_latest(ack);
        let cwnd = self.bounded_cwnd(ack, cwnd);
        self.set_pacing_rate(ack, cwnd);
        cwnd
    }

    /// Whether a loss beside a queue is one that others make us share. It is not while a probe of ours or STARTUP fills the queue,
    /// nor while that queue drains: what is delivered then is no more than the pace of the draining, and a single loss would keep
    /// us there until the next probe. (The draft excepts the filling only.) Where several flows believe in more than their shares,
    /// draining does not end by itself: after some rounds losses count again.
    fn believes_losses(&self) -> bool {
        match self.state {
            State::Startup | State::Drain => false,
            State::ProbeBw => match self.cycle.phase {
                Phase::Cruise => true,
                Phase::Down => self.model.rounds_since_probe >= DOWN_ROUNDS,
                Phase::Refill | Phase::Up => false,
            },
            State::ProbeRtt => true,
        }
    }

    /// §5.3.1.2: the pipe is full when three rounds brought less than a quarter more.
    fn check_full_bw(&mut self, ack: &BbrAck) {
        let Some(sample) = ack.sample else { return };
        if self.full_bw_now || sample.app_limited {
            return;
        }
        if sample.rate >= scale(self.full_bw, 125) && sample.rate > 0 {
            self.restart_full_bw(sample.rate);
            return;
        }
        if !self.model.round_start {
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= 3;
        self.full_bw_reached |= self.full_bw_now;
    }

    fn restart_full_bw(&mut self, rate: u64) {
        self.full_bw = rate;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    fn check_startup_done(&mut self, ack: &BbrAck) {
        if self.state != State::Startup {
            return;
        }
        if let Some(sample) = ack.sample
            && self.loss_events_in_round >= STARTUP_FULL_LOSS_COUNT
            && self.model.is_inflight_too_high(ack, &sample)
        {
            self.full_bw_reached = true;
            self.model.inflight_hi = self.model.inflight(100, ack.mss).max(self.model.inflight_latest);
        }
        if self.full_bw_reached {
            self.state = State::Drain;
        }
    }

    fn enter_probe_bw(&mut self, ack: &BbrAck) {
        self.state = State::ProbeBw;
        self.start_down(ack);
    }

    fn start_down(&mut self, ack: &BbrAck) {
        self.model.reset_congestion_signals();
        self.cycle.start_down(ack.now, ack.dice);
        // BBRPickProbeWait: rounds count from here, or the next probe would follow at once.
        self.model.rounds_since_probe = (ack.dice >> 10) & 1;
        self.model.start_round(ack.delivered);
    }

    fn update_cycle(&mut self, ack: &BbrAck) {
        self.adapt_upper_bounds(ack);
        let mss = ack.mss;
        match self.cycle.phase {
            Phase::Down => {
                if self.time_to_probe(ack) {
                    self.start_refill(ack);
                } else if ack.in_flight <= self.inflight_with_headroom(mss)
                    && ack.in_flight <= self.model.inflight(100, mss)
                {
                    self.cycle.phase = Phase::Cruise;
                    self.model.count_losses_from_here(ack);
                }
            }
            Phase::Cruise => {
                if self.model.rounds_since_probe >= DOUBT_ROUNDS {
                    self.least.doubt();
                }
                if self.time_to_probe(ack) {
                    self.start_refill(ack);
                }
            }
            Phase::Refill => {
                if self.model.round_start {
                    self.cycle.start_up();
                    self.model.start_round(ack.delivered);
                    let rate = ack.sample.map_or(0, |sample| sample.rate);
                    self.restart_full_bw(rate);
                    self.cycle.raise_slope(ack.mss, self.model.inflight_hi);
                }
            }
            Phase::Up => {
                if self.time_to_go_down(ack) {
                    self.start_down(ack);
                }
            }
        }
    }

    fn start_refill(&mut self, ack: &BbrAck) {
        self.model.reset_lower_bounds();
        self.cycle.start_refill();
        self.model.start_round(ack.delivered);
    }

    fn time_to_probe(&self, ack: &BbrAck) -> bool {
        let target = self.model.inflight(100, ack.mss) / ack.mss.max(1);
        self.cycle.has_waited(ack.now) || self.model.rounds_since_probe >= target.min(63)
    }

    fn time_to_go_down(&mut self, ack: &BbrAck) -> bool {
        let rate = ack.sample.map_or(0, |sample| sample.rate);
        if ack.cwnd_limited && ack.in_flight + ack.mss >= self.model.inflight_hi {
            self.restart_full_bw(rate);
            return false;
        }
        self.full_bw_now
    }

    /// §5.3.3.6: what was in flight without too much loss is allowed; what lost too much is not.
    fn adapt_upper_bounds(&mut self, ack: &BbrAck) {
        if self.model.round_start && self.cycle.on_round() {
            self.model.advance_max_bw();
        }
        let Some(sample) = ack.sample else { return };
        if self.model.is_inflight_too_high(ack, &sample) {
            if self.cycle.samples_count {
                self.cycle.samples_count = false;
                if !sample.app_limited {
                    let floor = scale(u64::from(self.model.inflight(100, ack.mss)), BETA) as u32;
                    self.model.inflight_hi = sample.tx_in_flight.max(floor);
                }
                if self.cycle.phase == Phase::Up {
                    self.start_down(ack);
                }
            }
            return;
        }
        if self.model.inflight_hi == u32::MAX {
            return;
        }
        self.model.inflight_hi = self.model.inflight_hi.max(sample.tx_in_flight);
        if self.cycle.phase == Phase::Up && ack.cwnd_limited {
            let grown = self
                .cycle
                .grow(ack.acked, ack.mss, self.model.round_start, self.model.inflight_hi);
            self.model.inflight_hi = grown;
        }
    }

    /// §5.3.4: the smallest round trip, looked for anew now and then with a nearly empty pipe.
    fn update_min_rtt(&mut self, ack: &BbrAck) {
        let unit = Duration::from_nanos(u64::from(2 * ack.mss) * 1_000_000_000 / self.model.bw().max(1));
        let filling = self.is_filling();
        let round_start = self.model.round_start;
        if let Some(rtt) = ack.rtt
            && self.least.on_rtt(ack.now, rtt, unit, filling, round_start)
            && self.state != State::ProbeRtt
            && !self.idle_restart
            && self.full_bw_reached
        {
            self.state = State::ProbeRtt;
            self.probe_rtt_done_at = None;
            self.least.start_draining();
        }
        self.model.least_in_doubt = self.least.known == Some(false);
        self.idle_restart = false;
        let stale = ack.now.saturating_since(self.model.min_rtt_at) > MIN_RTT_FILTER;
        if self.least.rtt < self.model.min_rtt || stale {
            self.model.min_rtt = self.least.rtt;
            self.model.min_rtt_at = self.least.at;
        }
    }

    /// What is in flight fills a queue to see how much the path takes, or drains after that.
    fn is_filling(&self) -> bool {
        match self.state {
            State::Startup | State::Drain => true,
            State::ProbeBw => matches!(self.cycle.phase, Phase::Up | Phase::Down),
            State::ProbeRtt => false,
        }
    }

    fn check_probe_rtt(&mut self, ack: &BbrAck, cwnd: u32) -> u32 {
        if self.state != State::ProbeRtt {
            self.prior_cwnd = cwnd;
            return cwnd;
        }
        match self.probe_rtt_done_at {
            None if ack.in_flight <= self.probe_rtt_cwnd(ack.mss) => {
                self.probe_rtt_done_at = Some(ack.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.model.start_round(ack.delivered);
            }
            Some(done_at) => {
                self.probe_rtt_round_done |= self.model.round_start;
                if self.probe_rtt_round_done && ack.now >= done_at {
                    self.least.drained(ack.now);
                    self.model.reset_lower_bounds();
                    self.state = State::ProbeBw;
                    self.start_down(ack);
                    self.cycle.phase = Phase::Cruise;
                    return cwnd.max(self.prior_cwnd);
                }
            }
            None => {}
        }
        cwnd
    }

    fn probe_rtt_cwnd(&self, mss: u32) -> u32 {
        self.model
            .inflight(PROBE_RTT_CWND_GAIN, mss)
            .max(MIN_PIPE_SEGMENTS * mss)
    }

    fn inflight_with_headroom(&self, mss: u32) -> u32 {
        match self.model.inflight_hi {
            u32::MAX => u32::MAX,
            hi => (scale(u64::from(hi), HEADROOM) as u32)
                .max(hi.min(self.model.bdp_with_losses().saturating_add(AGGREGATION_SEGMENTS * mss)))
                .max(MIN_PIPE_SEGMENTS * mss),
        }
    }

    fn pacing_gain(&self) -> u64 {
        match self.state {
            State::Startup => STARTUP_PACING_GAIN,
            State::Drain => DRAIN_PACING_GAIN,
            State::ProbeRtt => 100,
            State::ProbeBw => self.cycle.phase.pacing_gain(),
        }
    }

    fn cwnd_gain(&self) -> u64 {
        match self.state {
            State::ProbeRtt => PROBE_RTT_CWND_GAIN,
            State::ProbeBw => self.cycle.phase.cwnd_gain(),
            _ => DEFAULT_CWND_GAIN,
        }
    }

    fn set_pacing_rate(&mut self, ack: &BbrAck, cwnd: u32) {
        let mut rate = scale(self.model.bw(), self.pacing_gain());
        if self.state == State::Startup && self.model.is_free(ack) {
            rate = rate.max(scale(per_second(cwnd, self.model.min_rtt), STARTUP_WINDOW_GAIN));
        }
        if self.least.keeps_queue() {
            // The margin lets a queue drain (§5.6.2 has it hold on average): where none stands it would only leave the path idle.
            rate = scale(rate, PACING_MARGIN);
        } else if self.state == State::ProbeBw && matches!(self.cycle.phase, Phase::Cruise | Phase::Refill) {
            rate += self.model.toll(rate);
        }
        if rate > 0 && (self.full_bw_reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// §5.6.4.
    fn bounded_cwnd(&self, ack: &BbrAck, cwnd: u32) -> u32 {
        let mss = ack.mss;
        let floor = MIN_PIPE_SEGMENTS * mss;
        let target = self
            .model
            .inflight(self.cwnd_gain(), mss)
            .saturating_add(self.model.extra_acked());
        let mut cwnd = if self.full_bw_reached {
            cwnd.saturating_add(ack.acked).min(target)
        } else if cwnd < target || self.model.max_bw() == 0 {
            cwnd.saturating_add(ack.acked)
        } else {
            cwnd
        };
        if self.state == State::ProbeRtt {
            cwnd = cwnd.min(self.probe_rtt_cwnd(mss));
        }
        let cap = match self.state {
            State::ProbeBw if self.cycle.phase != Phase::Cruise => self.model.inflight_hi,
            State::ProbeBw | State::ProbeRtt => self.inflight_with_headroom(mss),
            _ => u32::MAX,
        };
        cwnd.max(floor).min(cap.min(self.model.inflight_lo).max(floor))
    }

    /// Data follows a pause: the pace is that of the model, and the pause is no measurement.
    pub(super) fn on_restart(&mut self) {
        self.idle_restart = true;
    }
}

/// `value × gain / 100`.
fn scale(value: u64, gain: u64) -> u64 {
    (u128::from(value) * u128::from(gain) / 100) as u64
}

fn per_second(octets: u32, time: Duration) -> u64 {
    (u128::from(octets) * 1_000_000_000 / time.as_nanos().max(1)) as u64
}
