//! What an acknowledgment means to loss recovery and to the window, step by step: was the last reduction wrong, is
//! recovery over, is something lost, how much may be in flight now (RFC 6675, 6582, 8985, 9937; 3522, 5682, 2883 for
//! the undoing; 3168 for the echo of a congestion mark).

use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::duplicate::Duplicate;
use super::rack::Surroundings;
use super::recovery::Frto;
use crate::tcp::congestion::rate::RateSample;
use crate::tcp::congestion::{AckSample, BbrAck, Congestion};
use crate::tcp::connection::Sending;
use crate::tcp::info::LossState;
use crate::tcp::send::flight::Delivery;

/// RFC 5681's duplicate acknowledgment threshold.
const DUP_THRESH: u8 = 3;

/// One acknowledgment, after the flight has taken it in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckFacts {
    pub(crate) una: SeqNum,
    pub(crate) nxt: SeqNum,
    pub(crate) delivery: Delivery,
    /// What that measures of the path's round trip.
    pub(crate) rtt: Option<Duration>,
    /// A duplicate acknowledgment in the sense of RFC 5681 §2.
    pub(crate) duplicate: bool,
    /// What the first SACK block reported to have come twice (RFC 2883).
    pub(crate) reported: Duplicate,
    /// ECN-Echo on a connection that negotiated ECN, or marks that Accurate ECN tells of.
    pub(crate) ece: bool,
    /// The echo is to be confirmed by CWR.
    pub(crate) classic: bool,
    pub(crate) sack_on: bool,
    /// Packets count in recovery, not octets (`Tuning::recovery_by_packets`).
    pub(crate) by_packets: bool,
    /// New octets wait and the peer's window takes them.
    pub(crate) new_data: bool,
    pub(crate) around: Surroundings,
}

impl AckFacts {
    /// RFC 5682 §3.1 step 3b, and §2.1 step 3b: something arrived that was sent before the timeout, below `point`, and not again.
    fn shows_original(&self, point: SeqNum) -> bool {
        let arrived = self.delivery.original.is_some_and(|end| end.precedes_or_equals(point));
        // Without reports it may have arrived before the repetition that is acknowledged with it, which was all that was missing.
        arrived && (self.sack_on || !self.delivery.repeated)
    }

    /// What F-RTO waits for after this acknowledgment, which has not shown that the timeout was wrong.
    fn next_frto(&self, frto: Frto) -> Frto {
        let delivery = &self.delivery;
        match frto {
            // §2.1 step 2: the first acknowledgment moved the edge; new data tells more than old.
            Frto::Armed if delivery.acked > 0 && self.new_data => Frto::Probing,
            Frto::Armed if delivery.acked == 0 && self.sack_on => Frto::Armed,
            // What says nothing new decides nothing.
            _ if delivery.octets == 0 && !self.duplicate && !self.reported.is_believed => frto,
            _ => Frto::Off,
        }
    }
}

impl Sending {
    /// Answers what was measured of the rate of delivery.
    pub(crate) fn respond(&mut self, facts: &AckFacts, congestion: &mut Congestion) -> Option<RateSample> {
        let facts = &mut facts.clone();
        // What acknowledged all has forgotten how far reports went: then up to there.
        let fack = self.flight.fack().or(Some(facts.una));
        self.undo_if_spurious(facts, congestion);
        self.settle_probe(facts, congestion);
        self.leave_if_recovered(facts, congestion);
        self.rack.update(&facts.delivery, fack);
        let lost_before = self.flight.lost();
        let newly_lost = if facts.sack_on {
            let around = Surroundings {
                in_recovery: self.recovery.in_recovery(),
                ..facts.around
            };
            self.rack.detect(&mut self.flight, &around, facts.delivery.now).0
        } else {
            self.count_without_sack(facts);
            self.detect_without_sack(facts)
        };
        self.enter_if_lost(
            facts.delivery.now,
            facts.nxt,
            facts.delivery.octets,
            facts.around.mss,
            congestion,
        );
        self.reduce_if_marked(facts, congestion);
        let lost = self.flight.lost().saturating_sub(lost_before);
        self.rate.lost = self.rate.lost.wrapping_add(lost);
        let lost = self.rate.take_lost();
        let delivery = &facts.delivery;
        let sample = self.rate.on_delivered(
            facts.delivery.now,
            delivery.octets,
            delivery.measured,
            facts.around.min_rtt,
        );
        if congestion.is_model_based() {
            self.follow_model(facts, sample, lost, congestion);
        } else {
            self.steer(facts, newly_lost, congestion);
        }
        sample
    }

    /// BBR sets the window at each acknowledgment, recovery or not.
    fn follow_model(
        &mut self,
        facts: &AckFacts,
        sample: Option<RateSample>,
        newly_lost: u32,
        congestion: &mut Congestion,
    ) {
        let Self { rate, flight, .. } = self;
        let delivery = &facts.delivery;
        congestion.on_model_ack(&BbrAck {
            now: facts.delivery.now,
            sample,
            delivered: rate.delivered,
            acked: delivery.octets,
            newly_lost,
            rtt: facts.rtt,
            in_flight: flight.in_flight(),
            cwnd_limited: self.cwnd_limited,
            mss: facts.around.mss,
            dice: facts.una.0 >> 4,
        });
    }

    /// The last reduction answered a loss that was none: the original arrived after all.
    fn undo_if_spurious(&mut self, facts: &AckFacts, congestion: &mut Congestion) {
        self.take_report(facts.reported, facts.una, facts.nxt);
        let recovery = &mut self.recovery;
        let original_in_loss =
            recovery.state == LossState::Loss && recovery.frto != Frto::Off && facts.shows_original(recovery.point);
        if recovery.state == LossState::Loss {
            recovery.frto = facts.next_frto(recovery.frto);
        }
        let echo = facts.delivery.echo.filter(|_| facts.delivery.acked > 0);
        if original_in_loss || recovery.is_spurious(echo) {
            self.take_back(congestion);
            self.flight.forgive_lost();
            self.recovery.leave();
            self.rack.forget_latest();
        }
    }

    /// What came twice because we sent it twice: were we too quick?
    fn take_report(&mut self, reported: Duplicate, una: SeqNum, nxt: SeqNum) {
        if !reported.is_believed {
            return;
        }
        self.recovery.on_dsack(&reported);
        if !reported.is_probe {
            self.rack.on_dsack(una, nxt);
        }
    }

    /// The last reduction was wrong.
    fn take_back(&mut self, congestion: &mut Congestion) {
        if self.recovery.state != LossState::Loss {
            self.rack.on_spurious();
        }
        if let Some(undo) = self.recovery.undo.take() {
            congestion.undo(undo.cwnd, undo.ssthresh);
            self.spurious = self.spurious.saturating_add(1);
        }
    }

    /// RFC 8985 §7.4.2: whether a tail loss probe repaired a loss that nothing else has told of.
    fn settle_probe(&mut self, facts: &AckFacts, congestion: &mut Congestion) {
        let Some(end) = self.probe_end else { return };
        if facts.una.precedes(end) {
            return;
        }
        let needless = facts.reported.is_probe || facts.duplicate;
        let repaired = self.probe_retransmitted && !facts.reported.is_probe && end.precedes(facts.una);
        if !self.probe_retransmitted || needless || repaired {
            self.probe_end = None;
        }
        if repaired && !self.recovery.holds_point() {
            let (cwnd, ssthresh) = (congestion.cwnd(), congestion.ssthresh());
            self.recovery.remember(cwnd, ssthresh, &self.flight, facts.around.mss);
            let size = facts.around.mss;
            congestion.on_congestion(facts.delivery.now, self.flight.outstanding(), size);
            congestion.on_retransmitted(size);
            congestion.on_recovered(size, true);
        }
    }

    /// A duplicate report after everything was acknowledged: the last reduction may still be taken back.
    pub(crate) fn on_late_duplicate(&mut self, reported: Duplicate, nxt: SeqNum, congestion: &mut Congestion) {
        self.take_report(reported, nxt, nxt);
        self.probe_end = None;
        if self.recovery.is_spurious(None) {
            self.take_back(congestion);
        }
    }

    /// Whether nothing that was learnt of the path would be lost with this record.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.queue.is_empty()
            && self.flight.is_empty()
            && self.rack.is_blank()
            && self.recovery.undo.is_none()
            && self.spurious == 0
            && self.probe_end.is_none()
            && !self.reduction_to_tell
    }

    fn leave_if_recovered(&mut self, facts: &AckFacts, congestion: &mut Congestion) {
        let Self { recovery, rack, .. } = self;
        if !recovery.holds_point() || facts.una.precedes(recovery.point) {
            return;
        }
        congestion.on_recovered(facts.around.mss, recovery.state != LossState::Loss);
        if recovery.state == LossState::Recovery {
            rack.on_recovered();
        }
        if !facts.sack_on {
            recovery.hold();
        }
        recovery.leave();
    }

    /// Each duplicate acknowledgment tells that a segment was delivered; the cumulative one that includes it does not tell so again
    /// (RFC 9937 §6, DeliveredData without SACK; `tcp_add_reno_sack`).
    fn count_without_sack(&mut self, facts: &mut AckFacts) {
        let size = facts.around.mss;
        let delivery = &mut facts.delivery;
        if delivery.acked > 0 {
            let told = self.flight.uncount_duplicates(delivery.acked, size);
            delivery.octets = delivery.octets.saturating_sub(told);
        }
        if facts.duplicate {
            self.recovery.duplicates = self.recovery.duplicates.saturating_add(1);
            delivery.octets += self.flight.count_duplicate(size);
        }
    }

    /// RFC 6582: three duplicate acknowledgments, then each partial one, say that the front is lost.
    fn detect_without_sack(&mut self, facts: &AckFacts) -> u32 {
        let Self { recovery, flight, .. } = self;
        let size = facts.around.mss;
        let acked = facts.delivery.acked;
        let partial = recovery.state == LossState::Recovery && acked > 0;
        let believed = recovery.believes_duplicates_of(facts.una);
        let third = recovery.duplicates >= DUP_THRESH && !recovery.in_recovery() && believed;
        let lost = (partial || third) && flight.lose_front(size);
        if acked > 0 && !recovery.in_recovery() {
            recovery.duplicates = 0;
        }
        if lost { size } else { 0 }
    }

    /// Something is taken for lost: fast recovery, and one reduction for each window of data.
    pub(crate) fn enter_if_lost(
        &mut self,
        now: Instant,
        nxt: SeqNum,
        delivered: u32,
        size: u32,
        congestion: &mut Congestion,
    ) {
        self.excuse_mtu_probe(nxt);
        let Self { recovery, flight, .. } = self;
        if flight.lost() == 0 || recovery.in_recovery() {
            if !recovery.holds_point() {
                recovery.state = if flight.sacked() > 0 {
                    LossState::Disorder
                } else {
                    LossState::Open
                };
            }
            return;
        }
        let flight_size = flight.outstanding().saturating_sub(flight.sacked());
        if recovery.state != LossState::WindowReduced {
            recovery.remember(congestion.cwnd(), congestion.ssthresh(), flight, size);
            // RFC 5681 §3.2: what lies between snd.una and snd.nxt, reported octets included; RecoverFS leaves them out.
            congestion.on_congestion(now, flight.outstanding(), size);
        }
        recovery.enter_fast(nxt, flight_size + delivered);
    }

    /// RFC 3168 §6.1.2, RFC 9768 §3: an echoed mark reduces as a loss does, once a window, and nothing is retransmitted.
    fn reduce_if_marked(&mut self, facts: &AckFacts, congestion: &mut Congestion) {
        if !facts.ece || self.recovery.holds_point() {
            return;
        }
        let flight_size = self.flight.outstanding();
        congestion.on_congestion(facts.delivery.now, flight_size, facts.around.mss);
        // In proportion, as after a loss (RFC 9937 §6; tcp_enter_cwr).
        let in_flight = flight_size.saturating_sub(self.flight.sacked());
        self.recovery
            .enter_reduced(facts.nxt, in_flight.saturating_add(facts.delivery.octets));
        self.reduction_to_tell = facts.classic;
    }

    fn steer(&mut self, facts: &AckFacts, newly_lost: u32, congestion: &mut Congestion) {
        let (size, delivery) = (facts.around.mss, &facts.delivery);
        let in_loss = self.recovery.state == LossState::Loss;
        let mut sample = AckSample {
            now: facts.delivery.now,
            acked: if in_loss { delivery.acked } else { delivery.octets },
            srtt: facts.around.srtt,
            cwnd_limited: true,
            mss: size,
            rtt: facts.rtt,
            una: facts.una,
            nxt: facts.nxt,
        };
        match self.recovery.state {
            LossState::Recovery | LossState::WindowReduced => {
                let safe = delivery.acked > 0 && newly_lost == 0;
                let delivered = if facts.by_packets {
                    delivery.packets * size
                } else {
                    delivery.octets
                };
                self.reduce_in_proportion(delivered, safe, size, congestion);
            }
            // Octets that arrived behind a hole let the window grow only where reordering is usual: RFC 5681 §3.1 speaks
            // of new acknowledgments, RFC 3042 has duplicate ones change nothing.
            _ if delivery.acked > 0 || (delivery.octets > 0 && self.rack.reordering_seen()) => {
                let used = if congestion.in_slow_start() && congestion.is_validated() {
                    congestion.cwnd() < 2 * self.max_in_flight.max(1)
                } else {
                    self.cwnd_limited
                };
                sample.cwnd_limited = used || in_loss;
                congestion.on_ack(&sample);
            }
            _ => {}
        }
        if delivery.octets > 0 && !self.recovery.holds_point() {
            congestion.note_use(&sample);
        }
    }

    /// RFC 9937: the window of fast recovery after an acknowledgment, or a timer, that told of `delivered` octets. All may have left
    /// the network without an octet being reported (no SACK): one segment always may go.
    pub(crate) fn reduce_in_proportion(&mut self, delivered: u32, safe: bool, size: u32, congestion: &mut Congestion) {
        let Self { recovery, flight, .. } = self;
        let (in_flight, ssthresh) = (flight.in_flight(), congestion.ssthresh());
        let window = recovery.prr_window(delivered, safe, in_flight, ssthresh, size);
        // Where the window was not validated recovery has less, but the first retransmission (RFC 7661 §4.4.1, RFC 6675 §5).
        let first = if recovery.has_sent() {
            0
        } else {
            in_flight.saturating_add(size)
        };
        let limit = congestion.recovery_limit().max(first);
        congestion.set_cwnd(window.min(limit).max(size));
    }
}
