//! Congestion control: one window, several laws.
//!
//! [`Congestion`] owns `cwnd` and `ssthresh` and dispatches to the algorithm; what an algorithm needs beyond them
//! lives in a box that is absent until the first congestion event. Sizes in octets.

mod bbr;
mod cubic;
mod hystart;
mod newreno;
pub(crate) mod rate;
mod validation;

use core::time::Duration;

use alloc::boxed::Box;
use prise_wire::{Instant, SeqNum};

use self::bbr::Bbr;
pub(crate) use self::bbr::BbrAck;
use self::cubic::Cubic;
use self::hystart::{Growth, HyStart};
use self::validation::Validation;
use super::config::CongestionAlgorithm;

/// RFC 6928: ten segments. Its bound of 14,600 octets for larger ones is left out, as Linux does (`TCP_INIT_CWND`): such segments are of links
/// that carry them, `lo` above all.
fn initial_window(mss: u32) -> u32 {
    10 * mss
}

/// An acknowledgment as congestion control sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    pub(crate) now: Instant,
    /// Octets newly acknowledged, cumulatively or selectively.
    pub(crate) acked: u32,
    pub(crate) srtt: Duration,
    /// The sender was held back by cwnd when these octets left (RFC 7661: grow only a window that is used).
    pub(crate) cwnd_limited: bool,
    pub(crate) mss: u32,
    /// The round trip that this acknowledgment measured.
    pub(crate) rtt: Option<Duration>,
    pub(crate) una: SeqNum,
    pub(crate) nxt: SeqNum,
}

/// The congestion state of one connection.
#[derive(Debug)]
pub(crate) struct Congestion {
    cwnd: u32,
    ssthresh: u32,
    law: Law,
}

#[derive(Debug)]
enum Law {
    NewReno {
        counted: u32,
        validation: Option<Box<Validation>>,
    },
    Cubic(Option<Box<Cubic>>),
    Bbr(Box<Bbr>),
}

/// cwnd never grows beyond this: the largest scaled window (RFC 7323 §2.3).
const CWND_MAX: u32 = 1 << 30;

impl Congestion {
    pub(crate) fn new(algorithm: CongestionAlgorithm, mss: u32) -> Self {
        Self {
            cwnd: initial_window(mss),
            ssthresh: u32::MAX,
            law: Law::new(algorithm),
        }
    }

    pub(crate) fn set_algorithm(&mut self, algorithm: CongestionAlgorithm) {
        self.law = Law::new(algorithm);
    }

    /// From now on a window that is not used is not believed (RFC 7661). A model does not need that.
    pub(crate) fn validate_window(&mut self) {
        if let Some(validation) = self.law.place_of_validation() {
            *validation = Some(Box::default());
        }
    }

    pub(crate) fn algorithm(&self) -> CongestionAlgorithm {
        match self.law {
            Law::NewReno { .. } => CongestionAlgorithm::NewReno,
            Law::Cubic(_) => CongestionAlgorithm::Cubic,
            Law::Bbr(_) => CongestionAlgorithm::Bbr,
        }
    }

    /// The handshake told the real segment size: start over from it (before data has flowed).
    pub(crate) fn set_initial(&mut self, mss: u32, handshake_lost: bool, srtt: Duration) {
        // RFC 5681 §3.1: lost SYNs mean one segment.
        self.cwnd = if handshake_lost { mss } else { initial_window(mss) };
        if let Law::Bbr(bbr) = &mut self.law {
            bbr.start(self.cwnd, srtt);
        }
    }

    pub(crate) fn cwnd(&self) -> u32 {
        self.cwnd
    }

    pub(crate) fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// New octets were acknowledged outside of recovery.
    pub(crate) fn on_ack(&mut self, sample: &AckSample) {
        if !sample.cwnd_limited {
            return;
        }
        let mut acked = sample.acked;
        if self.in_slow_start() {
            // RFC 5681 with the byte counting of RFC 3465, unlimited: acknowledgments of coalesced segments
            // stand for many.
            let divisor = self.slow_start_divisor(sample);
            let grown = self.cwnd.saturating_add(acked / divisor).min(self.ssthresh);
            let used = (grown - self.cwnd) * divisor;
            acked = if grown < self.ssthresh {
                0
            } else {
                acked.saturating_sub(used)
            };
            self.cwnd = grown.min(CWND_MAX);
            if acked == 0 {
                return;
            }
        }
        match &mut self.law {
            Law::NewReno { counted, .. } => newreno::avoid(&mut self.cwnd, counted, acked, sample.mss),
            Law::Bbr(_) => {}
            Law::Cubic(state) => {
                state.get_or_insert_default().avoid(&mut self.cwnd, acked, sample);
            }
        }
        self.cwnd = self.cwnd.min(CWND_MAX);
    }

    /// How much slow start is slowed: HyStart++, in the first slow start only (RFC 9406 §4.3), and not for BBR or
    /// where the round trip is too short to tell a queue from the scheduler.
    fn slow_start_divisor(&mut self, sample: &AckSample) -> u32 {
        let Law::Cubic(state) = &mut self.law else { return 1 };
        let hystart = &mut state.get_or_insert_default().hystart;
        if self.ssthresh != u32::MAX {
            *hystart = None;
            return 1;
        }
        let hystart = hystart.get_or_insert_with(|| HyStart::new(sample.nxt));
        match hystart.on_ack(sample.una, sample.nxt, sample.rtt) {
            Growth::Divided(divisor) => divisor,
            Growth::Leave => {
                self.ssthresh = self.cwnd;
                1
            }
        }
    }

    /// Whether the window follows a model at each acknowledgment instead of reacting to losses.
    pub(crate) fn is_model_based(&self) -> bool {
        matches!(self.law, Law::Bbr(_))
    }

    /// An acknowledgment, for a model; also during recovery.
    pub(crate) fn on_model_ack(&mut self, ack: &BbrAck) {
        if let Law::Bbr(bbr) = &mut self.law {
            self.cwnd = bbr.on_ack(ack, self.cwnd).min(CWND_MAX);
        }
    }

    /// Octets per second at which segments are let go; `None` if they go as the window allows.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        match &self.law {
            Law::Bbr(bbr) => Some(bbr.pacing_rate()).filter(|rate| *rate > 0),
            law => law.validation()?.pacing_rate(self.cwnd),
        }
    }

    /// Loss or an ECN echo: sets ssthresh, and leaves cwnd to recovery (PRR) or to the caller.
    pub(crate) fn on_congestion(&mut self, now: Instant, in_flight: u32, mss: u32) {
        if let Some(in_use) = self
            .law
            .validation_mut()
            .and_then(|it| it.on_congestion(now, in_flight))
        {
            // RFC 7661 §4.4.1: half of what was used, whatever the algorithm reduces to; it only takes note.
            if let Law::Cubic(Some(state)) = &mut self.law {
                state.threshold(now, in_use, mss);
            }
            self.ssthresh = newreno::threshold(in_use, mss);
            return;
        }
        self.ssthresh = match &mut self.law {
            Law::NewReno { counted, .. } => {
                *counted = 0;
                newreno::threshold(self.cwnd.min(in_flight.max(mss)), mss)
            }
            Law::Bbr(_) => self.ssthresh,
            Law::Cubic(state) => state.get_or_insert_default().threshold(now, self.cwnd, mss),
        };
    }

    /// A retransmission timeout: one segment, RFC 5681 §3.1; `first` if it is not a repetition.
    pub(crate) fn on_timeout(&mut self, now: Instant, in_flight: u32, mss: u32, first: bool) {
        // RFC 7661 §4.4: a timeout ends the phase, and the standard rules hold.
        self.forget_use();
        if first {
            self.on_congestion(now, in_flight, mss);
        }
        if let Law::Cubic(Some(state)) = &mut self.law {
            state.restart();
        }
        // A model keeps its beliefs: the window opens again as soon as something arrives.
        self.cwnd = mss;
    }

    /// Recovery (PRR) steers the window.
    pub(crate) fn set_cwnd(&mut self, cwnd: u32) {
        self.cwnd = cwnd.min(CWND_MAX);
    }

    /// Takes back a reduction that proved wrong.
    pub(crate) fn undo(&mut self, cwnd: u32, ssthresh: u32) {
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = ssthresh;
        self.forget_use();
    }

    fn forget_use(&mut self) {
        if let Some(validation) = self.law.validation_mut() {
            validation.begin_again();
        }
    }

    /// Octets were acknowledged outside of recovery, whether they let the window grow or not.
    pub(crate) fn note_use(&mut self, sample: &AckSample) {
        let cwnd = self.cwnd;
        if let Some(validation) = self.law.validation_mut() {
            validation.on_ack(sample, cwnd);
        }
    }

    /// Whether the window is one that was used lately; always, where nobody asks.
    pub(crate) fn is_validated(&self) -> bool {
        self.law.validation().is_none_or(Validation::is_validated)
    }

    /// Octets were sent again for the first time.
    pub(crate) fn on_retransmitted(&mut self, octets: u32) {
        if let Some(validation) = self.law.validation_mut() {
            validation.on_retransmitted(octets);
        }
    }

    /// What recovery may have in flight at most, beside proportional rate reduction.
    pub(crate) fn recovery_limit(&self) -> u32 {
        let limit = self.law.validation().and_then(Validation::recovery_limit);
        limit.unwrap_or(u32::MAX)
    }

    /// The window goes to where the reduction aims; a model's is what the model says.
    pub(crate) fn reduce_at_once(&mut self) {
        if !self.is_model_based() {
            self.cwnd = self.ssthresh;
        }
    }

    /// Recovery, or the round trip after a congestion mark, is over; `in_proportion`: it was no timeout's, and the window goes to
    /// where the reduction aimed (RFC 9937 §6, and RFC 6582 §3.2 (3) in its second form).
    pub(crate) fn on_recovered(&mut self, mss: u32, in_proportion: bool) {
        if in_proportion {
            self.reduce_at_once();
        }
        if let Some(window) = self.law.validation_mut().and_then(Validation::begin_again) {
            self.cwnd = window.max(mss);
            self.ssthresh = self.cwnd.max(2 * mss);
        }
    }

    /// Before new octets leave: a window that was not validated for five minutes is halved (RFC 7661 §4.4.3). Answers false where
    /// nobody asks for that.
    pub(crate) fn expire_unused(&mut self, now: Instant, mss: u32) -> bool {
        let cwnd = self.cwnd;
        let Some(validation) = self.law.validation_mut() else {
            return false;
        };
        for _ in 0..validation.periods_passed(now, cwnd) {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            self.cwnd = self.cwnd.min((self.cwnd / 2).max(initial_window(mss)));
        }
        true
    }

    /// A pause does not count in what grows with time (RFC 9438 §5.8).
    pub(crate) fn note_pause(&mut self) {
        if let Law::Cubic(Some(state)) = &mut self.law {
            state.restart();
        }
    }

    /// Nothing was sent for `idle`: the window decays by half each RTO down to the initial one (RFC 2861, as
    /// `tcp_slow_start_after_idle` does it).
    pub(crate) fn after_idle(&mut self, idle: Duration, rto: Duration, mss: u32) {
        if let Law::Bbr(bbr) = &mut self.law {
            bbr.on_restart();
            return;
        }
        let restart = initial_window(mss).min(self.cwnd);
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let mut idle = idle;
        while idle > rto && self.cwnd > restart {
            self.cwnd /= 2;
            idle -= rto;
        }
        self.cwnd = self.cwnd.max(restart);
        if let Law::Cubic(Some(state)) = &mut self.law {
            state.restart();
        }
    }
}

impl Law {
    fn new(algorithm: CongestionAlgorithm) -> Self {
        match algorithm {
            CongestionAlgorithm::NewReno => Self::NewReno {
                counted: 0,
                validation: None,
            },
            CongestionAlgorithm::Cubic => Self::Cubic(None),
            CongestionAlgorithm::Bbr => Self::Bbr(Box::new(Bbr::new())),
        }
    }

    fn validation(&self) -> Option<&Validation> {
        match self {
            Self::NewReno { validation, .. } => validation.as_deref(),
            Self::Cubic(state) => state.as_ref()?.validation.as_deref(),
            Self::Bbr(_) => None,
        }
    }

    fn validation_mut(&mut self) -> Option<&mut Validation> {
        match self {
            Self::NewReno { validation, .. } => validation.as_deref_mut(),
            Self::Cubic(state) => state.as_mut()?.validation.as_deref_mut(),
            Self::Bbr(_) => None,
        }
    }

    fn place_of_validation(&mut self) -> Option<&mut Option<Box<Validation>>> {
        match self {
            Self::NewReno { validation, .. } => Some(validation),
            Self::Cubic(state) => Some(&mut state.get_or_insert_default().validation),
            Self::Bbr(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    /// A round trip's acknowledgments, one for each segment of the window.
    fn round(congestion: &mut Congestion, number: u32, rtt: Duration) {
        let window = congestion.cwnd();
        for _ in 0..window / MSS {
            congestion.on_ack(&AckSample {
                now: Instant::ZERO + rtt * number,
                acked: MSS,
                srtt: rtt,
                cwnd_limited: true,
                mss: MSS,
                rtt: Some(rtt),
                una: SeqNum(number * 1_000_000),
                nxt: SeqNum((number + 1) * 1_000_000),
            });
        }
    }

    #[test]
    fn hystart_guards_the_first_slow_start_only() {
        let ms = Duration::from_millis;
        let mut congestion = Congestion::new(CongestionAlgorithm::Cubic, MSS);
        round(&mut congestion, 0, ms(40));
        assert_eq!(congestion.cwnd(), 20 * MSS, "slow start doubles");
        round(&mut congestion, 1, ms(40));
        // The queue grows: the round trip does too, and slow start is slowed, then left.
        for number in 2..9 {
            round(&mut congestion, number, ms(80));
        }
        let left = congestion.cwnd();
        assert_eq!(
            congestion.ssthresh(),
            left.min(congestion.ssthresh()),
            "slow start was left"
        );
        assert!(!congestion.in_slow_start());
        // After a timeout there is a threshold to stop at: slow start doubles whatever the round trip does.
        congestion.on_timeout(Instant::ZERO + ms(5000), left, MSS, true);
        let mut before = congestion.cwnd();
        for number in 100..103 {
            round(&mut congestion, number, ms(80 * u64::from(number - 99)));
            assert_eq!(congestion.cwnd(), 2 * before);
            before = congestion.cwnd();
        }
    }
}
