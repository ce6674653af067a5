//! The fifth check of RFC 9293 §3.10.7.4: the acknowledgment, and with it loss detection and congestion control.

use core::ops::ControlFlow;
use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::acc_ecn::Feedback;
use super::arrival::{Check, is_between};
use super::connection::Connection;
use super::deadlines::Retransmit;
use super::info::{LossState, State};
use super::loss::duplicate::{Duplicate, is_dsack};
use super::loss::rack::Surroundings;
use super::loss::respond::AckFacts;
use super::segment::Segment;
use super::send::flight::Delivery;
use super::trouble::Wait;
use crate::net::Discard;

impl Connection {
    pub(crate) fn check_ack(&mut self, seg: &mut Segment) -> Check {
        let Some(ack) = seg.ack else {
            return ControlFlow::Break(Discard::TcpNoAck);
        };
        let handshake = self.state == State::SynReceived;
        let newer = self.is_newer_by_timestamp(seg);
        if let Some(state) = self.acc_ecn_mut() {
            state.in_handshake = handshake;
            state.newer = newer;
        }
        if handshake {
            if !is_between(self.snd.una, ack, self.snd.nxt) {
                // The caller answers with a RST (§3.10.7.4).
                return ControlFlow::Break(Discard::TcpAckOfUnsent);
            }
            self.acknowledge_syn(seg, ack);
        }
        if self.snd.nxt.precedes(ack) {
            return match self.challenge(seg.at) {
                ControlFlow::Break(Discard::TcpChallenged) => ControlFlow::Break(Discard::TcpAckOfUnsent),
                limited => limited,
            };
        }
        // What MSG_MORE held back waits for no more than this (tcp_data_snd_check).
        self.flags.set_more(false);
        if ack.precedes(self.snd.una) {
            // RFC 5961 §5.2: older than anything the peer could still mean.
            // No older than our SYN, which Linux counts as acknowledged octets, too, as it does our FIN.
            let acked = self.statistics.bytes_acked.saturating_add(2).min(u64::from(u32::MAX)) as u32;
            if self.snd.una.distance_from(ack) > self.snd.max_wnd.min(acked) {
                return self.challenge(seg.at);
            }
            // It was overtaken, which is no reason not to echo it (RFC 7323 §4.3; Linux since 7.3).
            self.take_timestamp(seg);
            self.take_sack(seg, ack, false);
            return ControlFlow::Continue(());
        }
        self.take_user_timeout(seg);
        self.take_timestamp(seg);
        // Something works: what an ICMP error said before is over, and the peer has answered (tcp_ack).
        self.soft_error = None;
        self.probes_out = 0;
        let opened = self.update_send_window(seg, ack);
        if opened && self.unsent() > 0 {
            // A long wait for the window is a wait, too (tcp_ack_update_window).
            self.restart_after_idle(seg.at);
        }
        self.take_sack(seg, ack, opened);
        if self.flags.fin_sent() && self.snd.una == self.snd.nxt {
            let unwanted = self.state == State::FinWait1;
            self.fin_acknowledged(seg.at);
            if unwanted && self.state == State::Closed {
                // An orphan that does not wait for the peer's FIN (`TCP_LINGER2` below zero).
                return ControlFlow::Break(Discard::TcpNobodyReads);
            }
            if matches!(self.state, State::Closed | State::TimeWait) {
                // LAST-ACK and CLOSING end here.
                return ControlFlow::Break(Discard::TcpLastAck);
            }
        }
        ControlFlow::Continue(())
    }

    fn acknowledge_syn(&mut self, seg: &Segment, ack: SeqNum) {
        self.snd.una = self.snd.iss + 1;
        self.statistics.delivered = 1;
        let rtt = self.trouble_since.age(seg.at);
        if !self.flags.syn_retransmitted() && !rtt.is_zero() {
            self.rtt.sample(seg.at, rtt);
        }
        self.set_send_window(seg, u32::from(seg.window) << self.snd_scale);
        self.snd.wl2 = ack;
        let bare = seg.len() == 0 && seg.options.sack.is_empty();
        let fallback = self.config.ecn.fallback;
        if let Some(state) = self.acc_ecn_mut() {
            state.take_third_ack(seg.flags, bare, fallback);
            state.take_first_option(seg.options.acc_ecn);
        }
        self.establish(seg.at);
    }

    pub(crate) fn set_send_window(&mut self, seg: &Segment, window: u32) {
        self.snd.wnd = window;
        self.snd.max_wnd = self.snd.max_wnd.max(window);
        self.snd.wl1 = seg.seq;
        if let Some(ack) = seg.ack {
            self.snd.wl2 = ack;
        }
    }

    /// `SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK)`. Answers whether the window changed.
    fn update_send_window(&mut self, seg: &Segment, ack: SeqNum) -> bool {
        let newer = self.snd.wl1.precedes(seg.seq)
            || (self.snd.wl1 == seg.seq && self.snd.wl2.precedes_or_equals(ack))
            || self.snd.una.precedes(ack);
        if !newer {
            return false;
        }
        let window = u32::from(seg.window) << self.snd_scale;
        let changed = window != self.snd.wnd;
        self.set_send_window(seg, window);
        if window > 0 && self.deadlines.armed(Retransmit::Persist) {
            self.deadlines.disarm();
            self.backoff = 0;
        }
        changed
    }

    /// The acknowledgment proper: cumulative, selective, duplicate.
    pub(crate) fn take_sack(&mut self, seg: &Segment, ack: SeqNum, window_changed: bool) {
        if self.deadlines.armed(Retransmit::Persist) && self.config.user_timeout.is_none() {
            // The peer lives: its window stays shut, but it answers (RFC 9293 §3.8.6.1). A user timeout counts on: it bounds
            // also how long octets wait for a window (tcp(7)).
            self.begin_trouble(seg.at);
        }
        let advanced = self.snd.una.precedes(ack);
        let (min_rtt, size) = (self.min_rtt(), self.segment_size());
        let repeats = ack == self.snd.una && seg.len() == 0 && !window_changed;
        let packet = self.config.tuning().recovery_by_packets.then_some(size);
        let reported = self.reported_duplicate(seg, ack);
        let echo = self.believed_echo(seg);
        let Some(sending) = self.sending.as_deref_mut().filter(|sending| !sending.flight.is_empty()) else {
            self.take_late_duplicate(reported);
            if advanced && self.sending.is_none() {
                self.snd.una = ack;
            }
            return;
        };
        let mut delivery = Delivery::new(seg.at, min_rtt, echo, size);
        if advanced {
            sending.flight.acknowledge(ack, &mut delivery);
            let data = delivery.acked.min(sending.queue.len());
            sending.queue.advance(data);
            self.snd.una = ack;
            self.statistics.bytes_acked += u64::from(data);
        }
        delivery.answers_duplicate = reported.is_some_and(|reported| reported.is_believed);
        if self.flags.sack_on() {
            let (una, nxt) = (self.snd.una, self.snd.nxt);
            let blocks = seg.options.sack.iter().skip(usize::from(reported.is_some()));
            let plausible = blocks.filter(|&&block| Segment::plausible(block, una, nxt));
            sending.flight.take_blocks(plausible, packet, &mut delivery);
        }
        let rtt = self.measure_round_trip(seg.at, &delivery);
        let facts = self.ack_facts(seg, delivery, rtt, repeats, reported.unwrap_or_default());
        self.note_feedback(
            delivery.packets,
            facts.reported.segments,
            delivery.reordered,
            facts.ece && facts.classic,
        );
        if let Some(sending) = self.sending.as_deref_mut() {
            let sample = sending.respond(&facts, &mut self.congestion);
            if let Some(sample) = sample {
                self.delivery_rate.take(&sample);
            }
            if advanced {
                sending.recovery.timeouts = 0;
            }
        }
        self.note_delivered_size(delivery.largest);
        self.settle_mtu_probe(seg.at);
        if advanced {
            self.on_advance(seg.at);
        }
        self.rearm_retransmit(seg.at, advanced || self.was_older_than_front(&delivery));
        self.raise_writable_if_room();
        self.release_memory();
    }

    /// The clock of ours that a segment echoes.
    fn believed_echo(&self, seg: &Segment) -> Option<u32> {
        let echo = seg.options.timestamps.map(|timestamps| timestamps.echo);
        // An echo of 0 is that of who has seen no timestamp (RFC 7323 §3.2; Linux believes none).
        let echo = echo.filter(|&echo| echo != 0 && self.flags.timestamps_on());
        echo.map(|echo| echo.wrapping_sub(self.timestamps.offset))
    }

    /// Answers the latest round trip.
    fn measure_round_trip(&mut self, now: Instant, delivery: &Delivery) -> Option<Duration> {
        let round_trips = delivery.round_trips()?;
        self.rtt.take(now, round_trips);
        // Karn's algorithm, its second half: the back-off stays until a round trip was measured (RFC 6298 §5).
        self.backoff = 0;
        Some(round_trips.last)
    }

    /// What loss recovery and congestion control hear of an acknowledgment; `repeats` if the segment says nothing that was not said
    /// before, its blocks aside.
    fn ack_facts(
        &mut self,
        seg: &Segment,
        delivery: Delivery,
        rtt: Option<Duration>,
        repeats: bool,
        reported: Duplicate,
    ) -> AckFacts {
        let marked = self.take_marks(seg, &delivery);
        AckFacts {
            una: self.snd.una,
            nxt: self.snd.nxt,
            delivery,
            rtt,
            duplicate: repeats && delivery.sacked == 0 && !delivery.answers_duplicate,
            reported,
            ece: (seg.flags.ece() && self.flags.ecn_on()) || marked > 0,
            classic: self.flags.ecn_on(),
            sack_on: self.flags.sack_on(),
            by_packets: self.config.tuning().recovery_by_packets,
            new_data: self.unsent() > 0 && self.snd.nxt.distance_from(self.snd.una) < self.snd.wnd,
            around: self.surroundings(),
        }
    }

    /// `SND.UNA` has moved.
    fn on_advance(&mut self, now: Instant) {
        self.stamp_acknowledged(now);
        self.reconcile_send_buffer();
        self.begin_trouble(now);
        self.note_progress(now);
        if self.queued() == 0 {
            self.wait_for(now, Wait::Idle);
        }
    }

    /// What the first block reports to have come twice, if it does.
    fn reported_duplicate(&self, seg: &Segment, ack: SeqNum) -> Option<Duplicate> {
        let blocks = &seg.options.sack;
        let block = blocks.first().filter(|_| self.flags.sack_on())?;
        if !is_dsack(*block, ack, blocks.get(1)) {
            return None;
        }
        let probe_end = self.sending.as_ref().and_then(|sending| sending.probe_end);
        let reported = self.rare.as_deref().map_or(0, |rare| rare.troubles.dsack_dups);
        let duplicate = Duplicate::of(*block, self.segment_size(), self.snd.max_wnd, probe_end);
        Some(duplicate.believed(reported, self.statistics.retransmissions))
    }

    /// Something is reported to have come twice when everything was acknowledged.
    fn take_late_duplicate(&mut self, reported: Option<Duplicate>) {
        let Some(reported) = reported else { return };
        let nxt = self.snd.nxt;
        if let Some(sending) = self.sending.as_deref_mut() {
            sending.on_late_duplicate(reported, nxt, &mut self.congestion);
        }
        self.note_feedback(0, reported.segments, false, false);
        self.release_memory();
    }

    /// How many packets Accurate ECN tells to have been marked.
    fn take_marks(&mut self, seg: &Segment, delivery: &Delivery) -> u32 {
        let (mss, packets) = (delivery.mss, delivery.packets);
        let Some(state) = self.acc_ecn_mut() else { return 0 };
        // Without progress it may be older than the one before, unless its timestamp tells otherwise.
        if state.in_handshake || packets == 0 && !state.newer {
            return 0;
        }
        state.take_feedback(&Feedback {
            flags: seg.flags,
            option: seg.options.acc_ecn,
            packets,
            mss,
        })
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            in_recovery: self
                .sending
                .as_ref()
                .is_some_and(|sending| sending.recovery.in_recovery()),
            min_rtt: self.min_rtt(),
            srtt: self.rtt.srtt(),
            mss: self.segment_size(),
        }
    }

    /// Whether something was reported that had left before the oldest segment out did, for the last time: then the time since that says
    /// nothing yet of its fate (`tcp_clean_rtx_queue`, FLAG_SET_XMIT_TIMER).
    fn was_older_than_front(&self, delivery: &Delivery) -> bool {
        let oldest = self.oldest_sent_at();
        oldest.is_some_and(|sent_at| delivery.reports_what_left_before(sent_at))
    }

    /// How long the oldest segment out may stay so, which the timer has not counted while another wait was shorter (`tcp_rearm_rto`).
    fn rest_of_timeout(&self, now: Instant) -> Duration {
        let rest = self.rto().saturating_sub(self.age_of_oldest(now));
        rest.max(TIMEOUT_LEAST)
    }

    /// After an acknowledgment: RACK's timer if something may be lost soon, else a tail loss probe, else the RTO
    /// (RFC 8985 §7.2, RFC 6298 §5).
    pub(crate) fn rearm_retransmit(&mut self, now: Instant, progress: bool) {
        let around = self.surroundings();
        let rto = self.rto();
        let srtt = self.rtt.srtt();
        let size = self.segment_size();
        let Some(sending) = self.sending.as_deref_mut().filter(|sending| !sending.flight.is_empty()) else {
            if !self.deadlines.armed(Retransmit::Persist) && self.snd.una == self.snd.nxt {
                self.deadlines.disarm();
            }
            return;
        };
        if self.flags.sack_on() && sending.flight.sacked() > 0 {
            let (_, wait) = sending.rack.detect(&mut sending.flight, &around, now);
            if let Some(wait) = wait {
                self.deadlines.arm(Retransmit::Reordering, now + wait);
                return;
            }
        }
        if !progress && (self.deadlines.armed(Retransmit::Rto) || self.deadlines.armed(Retransmit::Probe)) {
            return;
        }
        // Also while marks reduce the window: nothing is lost then.
        let in_open = matches!(sending.recovery.state, LossState::Open | LossState::WindowReduced);
        let measured = !srtt.is_zero();
        if self.flags.sack_on()
            && in_open
            && sending.probe_end.is_none()
            && (measured || self.flags.syn_retransmitted())
        {
            let mut timeout = 2 * srtt;
            if !measured {
                timeout = UNMEASURED_PROBE;
            } else if sending.flight.outstanding() <= size {
                // A lone segment's acknowledgment may be delayed (RFC 8985 §7.2, WCDelAckT).
                timeout += self.config.rto_min;
            } else {
                timeout += Duration::from_millis(2);
            }
            self.deadlines.arm(Retransmit::Probe, now + timeout.min(rto));
            return;
        }
        let was_shorter = matches!(
            self.deadlines.retransmit_kind,
            Retransmit::Probe | Retransmit::Reordering
        );
        let wait = if was_shorter { self.rest_of_timeout(now) } else { rto };
        self.arm_timeout(Retransmit::Rto, now, wait);
    }
}

/// No timeout comes sooner (`TCP_TIMEOUT_MIN`).
const TIMEOUT_LEAST: Duration = Duration::from_millis(1);

/// When a tail is probed where no round trip has been measured (RFC 8985 §7.2).
const UNMEASURED_PROBE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use prise_wire::{Payload, SackBlock};

    use super::*;
    use crate::tcp::ConnId;
    use crate::tcp::tests::World;

    /// A sender in recovery a tenth of a second after it has sent ten segments into silence.
    fn in_recovery(seed: u8) -> (World, ConnId) {
        let mut world = World::new(seed);
        let (client, _) = world.connect();
        world.filter = Some(|_, _, _| false);
        let mut data = Payload::from(alloc::vec![1; 14_480]);
        let sent = world.stacks[0].tcp_send(world.now, client, &mut data, false, false);
        assert_eq!(sent, Ok(14_480));
        world.run_for(Duration::from_millis(30));
        let connection = connection(&mut world, client);
        let nxt = connection.snd.nxt;
        connection.sending().recovery.enter_fast(nxt, 14_480);
        (world, client)
    }

    fn connection(world: &mut World, id: ConnId) -> &mut Connection {
        let tcp = &mut world.stacks[0].tcp;
        tcp.connections.find_mut(id.key()).expect("it lives")
    }

    #[test]
    fn the_timeout_counts_from_when_the_oldest_segment_left_where_another_wait_was_shorter() {
        let (mut world, client) = in_recovery(31);
        let now = world.now;
        let connection = connection(&mut world, client);
        let left_at = connection.sending().flight.front().expect("all are out").sent_at;
        let rto = connection.rto();
        assert_eq!(connection.deadlines.retransmit_kind, Retransmit::Probe);
        connection.rearm_retransmit(now, true);
        assert!(connection.deadlines.armed(Retransmit::Rto));
        assert_eq!(connection.deadlines.retransmit, left_at + rto);
        // An acknowledgment that moves the edge has that timer begin anew.
        connection.rearm_retransmit(now, true);
        assert_eq!(connection.deadlines.retransmit, now + rto);
        connection.rearm_retransmit(now + Duration::from_millis(10), false);
        assert_eq!(connection.deadlines.retransmit, now + rto, "one that does not has not");
    }

    #[test]
    fn what_is_lost_and_cannot_leave_does_not_keep_the_rest_from_being_found_lost() {
        let (mut world, client) = in_recovery(32);
        let now = world.now;
        let connection = connection(&mut world, client);
        let (una, min_rtt) = (connection.snd.una, connection.min_rtt());
        let around = connection.surroundings();
        let sending = connection.sending();
        assert!(sending.flight.lose_front(1448));
        let mut delivery = Delivery::new(now, min_rtt, None, 1448);
        let left = una + 9 * 1448;
        let right = left + 1448;
        sending.flight.sack(SackBlock { left, right }, &mut delivery);
        sending.rack.on_spurious();
        sending.rack.update(&delivery, sending.flight.fack());
        let (_, wait) = sending.rack.detect(&mut sending.flight, &around, now);
        assert!(wait.is_some(), "reordering has been seen: the others have time yet");
        connection.rearm_retransmit(now, true);
        assert!(connection.deadlines.armed(Retransmit::Reordering));
    }
}
