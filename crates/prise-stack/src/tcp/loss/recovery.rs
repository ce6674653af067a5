//! Where a sender stands after losses: fast recovery with proportional rate reduction (RFC 6675, RFC 9937), recovery
//! after a timeout (RFC 5681 §3.1), and what would take a wrong reduction back (RFC 3522, RFC 5682, RFC 3708).

use prise_wire::{Instant, SeqNum};

use super::duplicate::Duplicate;
use crate::tcp::connection::timestamp_clock;
use crate::tcp::info::LossState;
use crate::tcp::send::flight::Flight;

/// F-RTO, RFC 5682: whether the timeout was spurious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frto {
    /// Not asked, or answered.
    Off,
    /// The timeout has just fired: the next acknowledgment decides.
    Armed,
    /// New data is sent instead of retransmissions, to see what is acknowledged.
    Probing,
}

/// What a reduction replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undo {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    /// The clock at the first retransmission: an echo from before it acknowledges the original (RFC 3522).
    first_retransmission: Option<u32>,
    /// Retransmissions that no D-SACK has proved needless (RFC 3708).
    unproved: u32,
    proved: u32,
    /// `snd.una` when it was made (`undo_marker`).
    marker: SeqNum,
}

/// The state of loss recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    pub(crate) state: LossState,
    /// `RecoveryPoint`, RFC 6675: `snd.nxt` when it began; recovery ends when this is acknowledged.
    pub(crate) point: SeqNum,
    /// Consecutive duplicate acknowledgments, for peers without SACK.
    pub(crate) duplicates: u8,
    pub(crate) frto: Frto,
    pub(crate) undo: Option<Undo>,
    /// Timeouts since the last new acknowledgment.
    pub(crate) timeouts: u8,
    /// Without SACK: `recover` of the last recovery. Duplicate acknowledgments of what it covered mean nothing (RFC 6582
    /// §3.2, step 2).
    hold: Option<SeqNum>,
    prr_delivered: u32,
    prr_out: u32,
    /// `RecoverFS`: octets in flight when recovery began.
    recover_fs: u32,
}

impl Recovery {
    pub(crate) fn new(at: SeqNum) -> Self {
        Self {
            state: LossState::Open,
            point: at,
            duplicates: 0,
            frto: Frto::Off,
            undo: None,
            timeouts: 0,
            hold: None,
            prr_delivered: 0,
            prr_out: 0,
            recover_fs: 1,
        }
    }

    /// Whether the window is steered by recovery rather than by congestion control.
    pub(crate) fn in_recovery(&self) -> bool {
        matches!(self.state, LossState::Recovery | LossState::Loss)
    }

    /// Whether the state ends at the recovery point.
    pub(crate) fn holds_point(&self) -> bool {
        matches!(
            self.state,
            LossState::Recovery | LossState::Loss | LossState::WindowReduced
        )
    }

    /// Before a reduction: what to return to if it proves wrong. Retransmissions of an earlier recovery that are still out
    /// will be acknowledged as this one's are: they count, or an answer to them would look like an original's.
    pub(crate) fn remember(&mut self, cwnd: u32, ssthresh: u32, flight: &Flight, size: u32) {
        let (octets, first) = flight.retransmissions_out();
        self.undo = Some(Undo {
            cwnd,
            ssthresh,
            first_retransmission: first.map(timestamp_clock),
            unproved: octets.div_ceil(size.max(1)),
            proved: 0,
            marker: flight.front().map_or(self.point, |front| front.start),
        });
    }

    pub(crate) fn enter_fast(&mut self, point: SeqNum, flight_size: u32) {
        self.state = LossState::Recovery;
        self.point = point;
        self.prr_delivered = 0;
        self.prr_out = 0;
        self.recover_fs = flight_size.max(1);
    }

    pub(crate) fn enter_loss(&mut self, point: SeqNum, first: bool) {
        self.timeouts = self.timeouts.saturating_add(1);
        // RFC 5682 §2.1 step 1: neither a second timeout in a row is suspected, nor one in a recovery, whose losses were told of.
        // Linux suspects those in a row, too, where the same octets time out again (`icsk_retransmits` in `tcp_enter_loss`).
        self.frto = if first && !self.in_recovery() {
            Frto::Armed
        } else {
            Frto::Off
        };
        self.state = LossState::Loss;
        self.point = point;
        self.duplicates = 0;
    }

    /// Segments were too large for the path: they are sent again, and nothing is to be undone.
    pub(crate) fn enter_repacking(&mut self, point: SeqNum) {
        self.state = LossState::Loss;
        self.point = point;
        self.frto = Frto::Off;
        self.undo = None;
    }

    /// Marks ask for a reduction, and nothing is lost.
    pub(crate) fn enter_reduced(&mut self, point: SeqNum, flight_size: u32) {
        self.enter_fast(point, flight_size);
        self.state = LossState::WindowReduced;
    }

    /// Remembers where a recovery without SACK ended.
    pub(crate) fn hold(&mut self) {
        self.hold = Some(self.point);
    }

    /// Whether duplicate acknowledgments of `una` tell of a loss.
    pub(crate) fn believes_duplicates_of(&self, una: SeqNum) -> bool {
        self.hold.is_none_or(|recover| recover.precedes(una))
    }

    pub(crate) fn leave(&mut self) {
        self.state = LossState::Open;
        self.duplicates = 0;
        self.frto = Frto::Off;
    }

    pub(crate) fn on_sent(&mut self, octets: u32) {
        if matches!(self.state, LossState::Recovery | LossState::WindowReduced) {
            self.prr_out = self.prr_out.saturating_add(octets);
        }
    }

    /// Whether this recovery has sent anything.
    pub(crate) fn has_sent(&self) -> bool {
        self.prr_out > 0
    }

    pub(crate) fn on_retransmitted(&mut self, now: Instant, segments: u32) {
        if let Some(undo) = &mut self.undo {
            undo.first_retransmission.get_or_insert(timestamp_clock(now));
            undo.unproved = undo.unproved.saturating_add(segments);
        }
    }

    /// What was repeated before the reduction has nothing to do with it (`tcp_check_dsack`).
    pub(crate) fn on_dsack(&mut self, reported: &Duplicate) {
        if let Some(undo) = self.undo.as_mut().filter(|undo| undo.marker.precedes(reported.end)) {
            undo.unproved = undo.unproved.saturating_sub(reported.segments);
            undo.proved = undo.proved.saturating_add(reported.segments);
        }
    }

    /// Whether every retransmission was needless, or the peer acknowledges an original (`echo`, RFC 3522 §3.2).
    pub(crate) fn is_spurious(&self, echo: Option<u32>) -> bool {
        let Some(undo) = &self.undo else { return false };
        let all_duplicates = undo.proved > 0 && undo.unproved == 0;
        let echoed_original = match (echo, undo.first_retransmission) {
            (Some(echo), Some(first)) if self.in_recovery() => echo.wrapping_sub(first).cast_signed() < 0,
            _ => false,
        };
        all_duplicates || echoed_original
    }

    /// RFC 9937 §6.2: the window after an acknowledgment in fast recovery.
    pub(crate) fn prr_window(&mut self, delivered: u32, safe: bool, in_flight: u32, ssthresh: u32, mss: u32) -> u32 {
        self.prr_delivered = self.prr_delivered.saturating_add(delivered);
        let count = if in_flight > ssthresh {
            let share = u64::from(self.prr_delivered) * u64::from(ssthresh);
            (share.div_ceil(u64::from(self.recover_fs)) as u32).saturating_sub(self.prr_out)
        } else {
            let mut limit = self.prr_delivered.saturating_sub(self.prr_out).max(delivered);
            if safe {
                limit = limit.saturating_add(mss);
            }
            limit.min(ssthresh - in_flight)
        };
        // The fast retransmit itself goes out at once.
        let count = if self.prr_out == 0 { count.max(mss) } else { count };
        in_flight.saturating_add(count)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::tcp::congestion::rate::RateSampler;

    const MSS: u32 = 1000;

    /// A recovery with twenty segments out and ssthresh ten: one segment is delivered at a time, and what the window
    /// allows is sent. Answers what was sent after each.
    fn sent_per_ack(acks: usize, mut in_flight: u32, safe: bool) -> alloc::vec::Vec<u32> {
        let mut recovery = Recovery::new(SeqNum(0));
        recovery.enter_fast(SeqNum(20_000), 20 * MSS);
        (0..acks)
            .map(|_| {
                in_flight -= MSS;
                let window = recovery.prr_window(MSS, safe, in_flight, 10 * MSS, MSS);
                let sent = (window - in_flight) / MSS * MSS;
                recovery.on_sent(sent);
                in_flight += sent;
                sent
            })
            .collect()
    }

    #[test]
    fn prr_sends_in_proportion_to_what_arrives() {
        // More than ssthresh is out: every second delivery lets one go, and the first at once.
        let sent = sent_per_ack(10, 20 * MSS, true);
        assert_eq!(sent[0], MSS, "the fast retransmit is never held back");
        assert_eq!(sent.iter().sum::<u32>(), 5 * MSS, "{sent:?}");
        assert!(
            sent.windows(2).all(|pair| pair[0] + pair[1] <= 2 * MSS),
            "no bursts: {sent:?}"
        );
        // Less is out: slow start brings it back to ssthresh while acknowledgments advance …
        let sent = sent_per_ack(4, 6 * MSS, true);
        assert!(sent.iter().all(|sent| *sent == 2 * MSS), "{sent:?}");
        // … and what was delivered is replaced while they do not.
        let sent = sent_per_ack(4, 6 * MSS, false);
        assert!(sent.iter().all(|sent| *sent == MSS), "{sent:?}");
    }

    #[test]
    fn retransmissions_of_an_earlier_recovery_do_not_prove_the_next_one_spurious() {
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let mut flight = Flight::default();
        for number in 0..4 {
            flight.push(
                SeqNum(number * MSS),
                MSS,
                at(0),
                RateSampler::default().on_send(at(0), true, 0),
            );
        }
        flight.lose_front(MSS);
        flight.retransmitted(SeqNum(0), MSS, at(50), RateSampler::default().on_send(at(50), false, 0));
        let mut recovery = Recovery::new(SeqNum(0));
        recovery.remember(20 * MSS, u32::MAX, &flight, MSS);
        recovery.enter_fast(SeqNum(4 * MSS), 4 * MSS);
        recovery.on_retransmitted(at(100), 1);
        assert!(
            !recovery.is_spurious(Some(50)),
            "the earlier retransmission is answered"
        );
        assert!(recovery.is_spurious(Some(49)), "the original is answered");
        let reported = |end| Duplicate {
            segments: 1,
            end,
            ..Duplicate::default()
        };
        recovery.on_dsack(&reported(SeqNum(MSS)));
        recovery.on_dsack(&reported(SeqNum(0)));
        assert!(
            !recovery.is_spurious(None),
            "one of two was needless, and one before them"
        );
        recovery.on_dsack(&reported(SeqNum(2 * MSS)));
        assert!(recovery.is_spurious(None), "both were");
    }
}
