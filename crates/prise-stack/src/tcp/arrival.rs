//! A segment arrives at a connection: the checks of RFC 9293 §3.10.7.4, in their order.

use core::ops::ControlFlow;
use core::time::Duration;

use prise_wire::{Instant, SackBlock, SeqNum};

use super::connection::{Connection, Reader, Stamp, timestamp_clock};
use super::deadlines::{Retransmit, Slow};
use super::error::TcpError;
use super::info::State;
use super::rare::{Urgent, UrgentOctet};
use super::receive::reassembly::Arrived;
use super::segment::{ECN_CE, Segment};
use crate::event::Ready;
use crate::net::Discard;

/// Goes on to the next check, or ends with the reason why the rest of the segment is not processed.
pub(crate) type Check = ControlFlow<Discard>;
const PASSED: Check = ControlFlow::Continue(());

/// After an answer that belongs to an old connection, a SYN is sent again so soon, once.
const SYN_AGAIN: Duration = Duration::from_millis(10);
/// `TS.Recent` is not believed after this many milliseconds (RFC 7323 §5.5).
const TIMESTAMP_LIFETIME: u32 = 24 * 24 * 3600 * 1000;

impl Connection {
    /// Processes one segment; the caller settles the consequences.
    pub(crate) fn arrival(&mut self, seg: &mut Segment) -> Check {
        self.statistics.segments_in = self.statistics.segments_in.wrapping_add(1);
        if seg.data_len() > 0 {
            self.statistics.data_segments_in = self.statistics.data_segments_in.wrapping_add(1);
        }
        match self.state {
            State::SynSent => return self.arrival_in_syn_sent(seg),
            State::Closed | State::Listen | State::TimeWait => return ControlFlow::Break(Discard::TcpClosed),
            _ => {}
        }
        if self.is_syn_again(seg) {
            // It may be due for the first time, since the SYN of just before.
            let due = self.flags.syn_due() || self.may_challenge(seg.at);
            self.flags.set_syn_due(due);
            return ControlFlow::Break(Discard::TcpDuplicateSyn);
        }
        self.check_sequence(seg)?;
        self.last_received = Stamp::at(seg.at);
        self.touch_keepalive(seg.at);
        self.take_congestion_mark(seg);
        self.check_reset(seg)?;
        self.check_syn(seg)?;
        self.check_ack(seg)?;
        self.check_urgent(seg);
        self.check_text(seg)?;
        self.check_fin(seg);
        PASSED
    }

    /// SYN-SENT: §3.10.7.3.
    fn arrival_in_syn_sent(&mut self, seg: &mut Segment) -> Check {
        if self.echoes_another_syn(seg) {
            return ControlFlow::Break(Discard::TcpAckOfUnsent);
        }
        let acceptable = match seg.ack {
            Some(ack) if !self.acknowledges_syn(ack) => {
                if !self.flags.syn_retransmitted() && !self.flags.syn_deferred() {
                    // The peer speaks for an old connection, which the reset ends: the SYN need not wait for its
                    // timeout. Linux does the same. More such answers do not put it off.
                    let soon = self.deadlines.retransmit.min(seg.at + SYN_AGAIN);
                    self.deadlines.arm(Retransmit::Rto, soon);
                }
                // The caller answers a segment that it cannot place with a RST, unless it is one.
                return ControlFlow::Break(if seg.flags.rst() {
                    Discard::TcpReset
                } else {
                    Discard::TcpAckOfUnsent
                });
            }
            other => other.is_some(),
        };
        if seg.flags.rst() {
            if acceptable {
                self.end(Some(TcpError::Refused));
            }
            return ControlFlow::Break(Discard::TcpReset);
        }
        if !seg.flags.syn() {
            return ControlFlow::Break(Discard::TcpNoSyn);
        }
        self.adopt_syn(seg);
        self.take_user_timeout(seg);
        if acceptable {
            self.last_received = Stamp::at(seg.at);
            self.snd.una = self.snd.iss + 1;
            self.statistics.delivered = 1;
            self.note_progress(seg.at);
            if !self.flags.syn_retransmitted() {
                let rtt = self.trouble_since.age(seg.at);
                self.rtt.sample(seg.at, rtt);
            }
            // The window in a segment with SYN is never scaled (RFC 7323 §2.2).
            self.set_send_window(seg, u32::from(seg.window));
            self.establish(seg.at);
            self.acknowledge_syn_ack(seg.at);
            if let Some(ack) = seg.ack {
                self.conclude_fast_open(seg, ack);
            }
            self.check_urgent(seg);
            // RFC 9293 lets data and FIN come with the SYN.
            seg.seq += 1;
            seg.flags = seg.flags.without(prise_wire::TcpFlags::SYN);
            self.check_text(seg)?;
            self.check_fin(seg);
            return PASSED;
        }
        // Simultaneous open: §3.5, figure 8.
        self.state = State::SynReceived;
        self.flags.set_passive(true);
        self.snd.wnd = u32::from(seg.window);
        self.snd.wl1 = seg.seq;
        self.flags.set_syn_due(true);
        PASSED
    }

    /// Whether a SYN-ACK echoes a timestamp that none of our SYNs had: it belongs to an old connection, and is answered like one that
    /// acknowledges what was never sent. RFC 7323 is silent; Linux does so.
    fn echoes_another_syn(&self, seg: &Segment) -> bool {
        let (true, Some(timestamps)) = (self.flags.timestamps_on(), seg.options.timestamps) else {
            return false;
        };
        let now = self.timestamp(seg.at);
        // Rounded up: the SYN's clock is read in milliseconds.
        let age = self.trouble_since.age(seg.at).as_millis() as u32 + 1;
        let since_echo = now.wrapping_sub(timestamps.echo);
        seg.ack.is_some() && !seg.flags.rst() && timestamps.echo != 0 && since_echo > age
    }

    /// Takes over what the peer's SYN offers.
    pub(crate) fn adopt_syn(&mut self, seg: &Segment) {
        let promised = self.rcv.window.remaining(self.rcv.nxt);
        self.rcv.irs = seg.seq;
        self.rcv.nxt = seg.seq + 1;
        self.rcv.window.start_at(self.rcv.nxt, promised);
        self.kernel_window_begins();
        let offered = seg.options.mss.unwrap_or(if self.tuple.is_v4() { 536 } else { 1220 });
        self.mss = self.mss.min(offered.max(super::MSS_MIN));
        self.flags
            .set_window_scaling(self.flags.window_scaling() && seg.options.window_scale.is_some());
        if self.flags.window_scaling() {
            self.snd_scale = seg.options.window_scale.unwrap_or(0).min(14);
        } else {
            self.snd_scale = 0;
            self.rcv_scale = 0;
        }
        self.flags
            .set_sack_on(self.flags.sack_on() && seg.options.sack_permitted);
        self.adopt_ecn(seg);
        self.flags
            .set_timestamps_on(self.flags.timestamps_on() && seg.options.timestamps.is_some());
        if let Some(timestamps) = seg.options.timestamps {
            self.timestamps.recent = timestamps.value;
            self.timestamps.recent_at = timestamp_clock(seg.at);
        }
        self.timestamps.last_ack_sent = self.rcv.nxt;
        self.acks.expect_segments_of(self.mss);
    }

    /// Both SYNs are acknowledged.
    pub(crate) fn establish(&mut self, now: Instant) {
        self.state = if self.flags.fin_queued() {
            State::FinWait1
        } else {
            State::Established
        };
        self.backoff = 0;
        if self.flags.syn_retransmitted() {
            self.rtt.distrust();
        }
        self.flags.set_syn_due(false);
        self.deadlines.disarm();
        self.begin_window();
        self.begin_search();
        self.tell_user_timeout_soon();
        self.last_sent = Stamp::at(now);
        if self.statistics.data_segments_in == 0 {
            self.last_data = Stamp::at(now);
        }
        self.touch_keepalive(now);
        self.raise(Ready::CONNECTED | Ready::WRITABLE);
    }

    /// RFC 6928 §2: the initial window; one repetition of the handshake may only mean a long round trip.
    pub(crate) fn begin_window(&mut self) {
        let (size, lost) = (self.segment_size(), self.statistics.retransmissions > 1);
        let srtt = self.rtt.srtt();
        self.congestion.set_initial(size, lost, srtt);
    }

    /// First: PAWS (RFC 7323 §5.3), then whether the segment lies in the window.
    fn check_sequence(&mut self, seg: &Segment) -> Check {
        // After so long nobody can tell which timestamp is older (RFC 7323 §5.5).
        let outdated = timestamp_clock(seg.at).wrapping_sub(self.timestamps.recent_at) >= TIMESTAMP_LIFETIME;
        // RFC 7323 §3.2 would have a segment without the option dropped; Linux takes it, for there are boxes that strip options, and
        // then only the window protects the connection, as it does without timestamps.
        if let Some(timestamps) = seg.options.timestamps
            && self.flags.timestamps_on()
            && !seg.flags.rst()
        {
            let old = (timestamps.value.wrapping_sub(self.timestamps.recent)).cast_signed() < 0;
            if old && !outdated && !self.was_overtaken(seg, timestamps.value, timestamp_clock(seg.at)) {
                self.answer_unacceptable(seg);
                return ControlFlow::Break(Discard::TcpStaleTimestamp);
            }
        }
        if !self.is_in_window(seg) {
            if !seg.flags.rst() {
                self.answer_unacceptable(seg);
            }
            return ControlFlow::Break(Discard::TcpOutOfWindow);
        }
        PASSED
    }

    /// Whether the segment's timestamp is later than those before.
    pub(crate) fn is_newer_by_timestamp(&self, seg: &Segment) -> bool {
        let recent = self.timestamps.recent;
        let newer = |value: u32| value.wrapping_sub(recent).cast_signed() > 0;
        self.flags.timestamps_on() && seg.options.timestamps.is_some_and(|it| newer(it.value))
    }

    /// RFC 7323 §4.3 (2), but, as Linux, only once the acknowledgment is known to be possible: a guess must not make the clock jump.
    pub(crate) fn take_timestamp(&mut self, seg: &Segment) {
        let outdated = timestamp_clock(seg.at).wrapping_sub(self.timestamps.recent_at) >= TIMESTAMP_LIFETIME;
        if let Some(timestamps) = seg.options.timestamps
            && self.flags.timestamps_on()
            && seg.seq.precedes_or_equals(self.timestamps.last_ack_sent)
            && ((timestamps.value.wrapping_sub(self.timestamps.recent)).cast_signed() >= 0 || outdated)
        {
            self.set_ts_recent(timestamps.value, timestamp_clock(seg.at));
        }
    }

    /// Table 6 of RFC 9293 §3.4, and one liberty: what starts at `rcv.nxt` is looked at even when the window is
    /// zero, since its ACK, URG and RST count.
    fn is_in_window(&self, seg: &Segment) -> bool {
        let wnd = self.rcv.window.remaining(self.rcv.nxt);
        if self.overfills(seg) {
            return false;
        }
        if seg.seq == self.rcv.nxt {
            return true;
        }
        let start_in = seg.seq.is_within(self.rcv.nxt, wnd);
        // A bare ACK on the right edge: the peer has filled the window exactly.
        let on_edge = seg.len() == 0 && seg.seq == self.rcv.nxt + wnd;
        let end_in = seg.len() > 0 && (seg.end() - 1).is_within(self.rcv.nxt, wnd.max(1));
        let spans = seg.len() > 0 && seg.seq.precedes(self.rcv.nxt) && self.rcv.nxt.precedes(seg.end());
        start_in || on_edge || end_in || spans
    }

    /// What arrived twice is reported in the next SACK option (RFC 2883).
    fn note_duplicate(&mut self, seg: &Segment) {
        if self.flags.sack_on() && seg.len() > 0 && !seg.flags.syn() && seg.seq.precedes(self.rcv.nxt) {
            let right = seg.end().earlier(self.rcv.nxt);
            self.report_duplicate(SackBlock { left: seg.seq, right });
        }
    }

    /// RFC 3168 §6.1.3: a mark is echoed in every acknowledgment until the sender says CWR.
    fn take_congestion_mark(&mut self, seg: &Segment) {
        if !self.flags.ecn_on() && !self.flags.acc_ecn() {
            return;
        }
        if seg.ecn != 0 {
            self.flags.set_ecn_seen(true);
        }
        if self.flags.acc_ecn() {
            return self.count_ecn(seg);
        }
        if seg.flags.cwr() {
            self.flags.set_ece_due(false);
        }
        if seg.ecn == ECN_CE {
            self.flags.set_ece_due(true);
            self.acks.now = true;
        }
    }

    /// Second: RST, with RFC 5961 §3.2.
    fn check_reset(&mut self, seg: &Segment) -> Check {
        if !seg.flags.rst() {
            return PASSED;
        }
        if seg.seq != self.rcv.nxt {
            return self.challenge(seg.at);
        }
        self.note_shot();
        let error = match self.state {
            State::SynReceived if self.flags.early() => Some(TcpError::Reset),
            // An active open that met a simultaneous one (RFC 9293 §3.10.7.4).
            State::SynReceived => Some(TcpError::Refused),
            // What the program has queued is lost, so it must hear of it; after LAST-ACK or CLOSING nothing is.
            State::CloseWait => Some(TcpError::BrokenPipe),
            State::Closing | State::LastAck => None,
            _ => Some(TcpError::Reset),
        };
        self.end(error);
        ControlFlow::Break(Discard::TcpReset)
    }

    /// Fourth: SYN, with RFC 5961 §4.2.
    fn check_syn(&mut self, seg: &mut Segment) -> Check {
        if !seg.flags.syn() {
            return PASSED;
        }
        if self.state == State::SynReceived && seg.seq == self.rcv.irs {
            // The peer's SYN-ACK of a simultaneous open, or its SYN again.
            if seg.ack.is_none() {
                self.flags.set_syn_due(true);
                return ControlFlow::Break(Discard::TcpDuplicateSyn);
            }
            // It was counted when it came first; text may follow it.
            seg.seq += 1;
            seg.flags = seg.flags.without(prise_wire::TcpFlags::SYN);
            return PASSED;
        }
        if let Some(state) = self.acc_ecn_mut() {
            state.meet_syn(seg);
        }
        self.challenge(seg.at)
    }

    /// Answers with an acknowledgment, so that a genuine peer can correct itself and a blind one learns nothing.
    pub(crate) fn challenge(&mut self, now: Instant) -> Check {
        if self.may_challenge(now) {
            self.acks.now = true;
            return ControlFlow::Break(Discard::TcpChallenged);
        }
        ControlFlow::Break(Discard::TcpChallengeLimited)
    }

    fn may_challenge(&mut self, now: Instant) -> bool {
        let interval = self.config.tuning().challenge_interval;
        self.limit.allows_challenge(now, interval)
    }

    /// What is not acceptable is answered with what is expected; but what carries no data only now and then.
    fn answer_unacceptable(&mut self, seg: &Segment) {
        let interval = self.config.tuning().challenge_interval;
        if self.limit.allows(seg, interval) {
            if seg.flags.syn()
                && let Some(state) = self.acc_ecn_mut()
            {
                state.meet_syn(seg);
            }
            self.acks.now = true;
            if seg.len() > 0 && seg.seq.precedes(self.rcv.nxt) {
                // It was sent again: the acknowledgment was lost, or too late (`tcp_send_dupack`).
                self.acknowledge_quickly();
            }
            if self.config.tuning().ecn_everywhere && self.flags.acc_ecn() {
                // RFC 9768 §3.2.3 counts octets of acceptable segments; Linux counts those that come twice, too.
                self.take_congestion_mark(seg);
            }
            self.note_duplicate(seg);
        }
    }

    /// Sixth: the urgent pointer. RFC 6093: it points to the octet after the urgent one, whatever the RFCs said.
    fn check_urgent(&mut self, seg: &Segment) {
        if !seg.flags.urg() || seg.urgent == 0 || !(self.may_receive()) {
            return;
        }
        let at = seg.seq + u32::from(seg.urgent) - 1;
        if at.precedes(self.rcv.nxt) && self.urgent().is_none_or(|urgent| urgent.at != at) {
            return;
        }
        if self.urgent().is_some_and(|urgent| at.precedes_or_equals(urgent.at)) {
            return;
        }
        self.return_urgent();
        self.rare().urgent = Some(Urgent {
            at,
            octet: UrgentOctet::Awaited,
        });
        self.raise(Ready::URGENT);
    }

    /// Seventh: the text.
    fn check_text(&mut self, seg: &mut Segment) -> Check {
        if seg.data_len() == 0 {
            return PASSED;
        }
        if !self.may_receive() {
            // The peer has said FIN before: what follows it is nonsense.
            return ControlFlow::Break(Discard::TcpTextAfterFin);
        }
        match self.check_text_by_truesize(seg) {
            Some(check) => check?,
            None => self.cut_to_window(seg)?,
        }
        let is_new = self.rcv.nxt.precedes(seg.seq + seg.data_len());
        if is_new && self.reader != Reader::Program && self.state != State::Established {
            // Nobody will read it: RFC 9293 §3.6.1 lets us reset, and the peer must not believe it delivered. What was read before may come
            // again with the FIN.
            self.end((!self.is_orphan()).then_some(TcpError::Reset));
            return ControlFlow::Break(Discard::TcpNobodyReads);
        }
        self.take_text(seg)
    }

    /// What lies beyond the window, or beyond our share of memory, is not taken.
    fn cut_to_window(&mut self, seg: &mut Segment) -> Check {
        let wnd = self.rcv.window.remaining(self.rcv.nxt);
        let window_end = self.rcv.nxt + wnd;
        if window_end.precedes(seg.seq + seg.data_len()) {
            let fits = if seg.seq.precedes(window_end) {
                window_end.distance_from(seg.seq)
            } else {
                0
            };
            seg.body.truncate(fits as usize);
            // The FIN beyond the window is not received yet.
            seg.flags = seg.flags.without(prise_wire::TcpFlags::FIN);
            self.acks.now = true;
            if fits == 0 {
                return ControlFlow::Break(Discard::TcpOutOfWindow);
            }
        }
        if self.is_beyond_share(seg.data_len()) {
            self.acks.now = true;
            return ControlFlow::Break(Discard::TcpMemory);
        }
        PASSED
    }

    /// The octets go into the queue, and are acknowledged as the order in which they came asks for.
    fn take_text(&mut self, seg: &mut Segment) -> Check {
        let before = self.rcv.nxt;
        let window = self.rcv.window.remaining(before);
        let (len, unit, segments) = (seg.data_len(), seg.unit_len(), seg.count());
        let body = core::mem::take(&mut seg.body);
        let arrived = self.receiving.get_or_insert_default().insert(before, seg.seq, body);
        seg_restore_len(seg, len);
        match arrived {
            Arrived::InOrder {
                octets,
                filled,
                duplicate,
            } => {
                self.rcv.nxt += octets;
                self.measure_text(seg, unit);
                self.note_text(seg.at, window);
                self.statistics.bytes_received += u64::from(octets);
                self.count_truesize(seg.seq, len, unit, octets);
                self.rcv.window.on_data(self.rcv.nxt, seg.at);
                self.extract_urgent();
                self.schedule_ack(filled, seg.at);
                if let Some(duplicate) = duplicate {
                    // Some of it was here already (RFC 2883 §4.1).
                    self.acks.now = true;
                    self.report_duplicate(duplicate);
                }
                if self.readable() > 0 {
                    self.raise(Ready::READABLE);
                }
                PASSED
            }
            Arrived::OutOfOrder { duplicate } => {
                self.measure_text(seg, unit);
                self.rare().troubles.out_of_order += segments;
                self.acks.now = true;
                // Behind the body, which was moved.
                let end = seg.seq;
                self.count_truesize(end - len, len, unit, 0);
                if self.rcv.nxt.precedes(end) && self.tunes_receive_buffer() {
                    self.make_room_behind_hole(end.distance_from(self.rcv.nxt));
                }
                if let Some(duplicate) = duplicate {
                    self.report_duplicate(duplicate);
                }
                PASSED
            }
            Arrived::Duplicate(block) => {
                self.acknowledge_quickly();
                self.report_duplicate(block);
                // The FIN behind old octets may be new.
                if seg.flags.fin() {
                    PASSED
                } else {
                    ControlFlow::Break(Discard::TcpDuplicate)
                }
            }
            Arrived::Refused => {
                self.acks.now = true;
                ControlFlow::Break(Discard::TcpTooManyHoles)
            }
        }
    }

    fn make_room_behind_hole(&mut self, span: u32) {
        if !self.grow_kernel_buffer_behind(span) {
            let max = self.receive_buffer_max();
            self.rcv.window.on_hole(span, max);
        }
    }

    /// Whether the stack's memory is too short for so many octets more. The peer sends them again.
    fn is_beyond_share(&self, octets: u32) -> bool {
        self.receiving.as_ref().is_some_and(|receiving| {
            let held = receiving.held();
            held > 0 && held.saturating_add(octets) > receiving.charge.share()
        })
    }

    /// Takes the urgent octet out of the stream once it has arrived, unless `SO_OOBINLINE` leaves it.
    fn extract_urgent(&mut self) {
        let (next, inline) = (self.rcv.nxt, self.config.oob_inline);
        let Some(urgent) = self.rare.as_mut().and_then(|rare| rare.urgent.as_mut()) else {
            return;
        };
        if urgent.octet != UrgentOctet::Awaited || !urgent.at.precedes(next) {
            return;
        }
        if inline {
            urgent.octet = UrgentOctet::Read;
            return;
        }
        let Some(receiving) = &mut self.receiving else { return };
        let behind = next.distance_from(urgent.at);
        let Some(offset) = receiving.readable().checked_sub(behind) else {
            return;
        };
        if let Some(octet) = receiving.cut_octet(offset) {
            urgent.octet = UrgentOctet::Here(octet);
            self.raise(Ready::URGENT);
        }
    }

    /// An urgent octet that nobody has read becomes an ordinary one when another is announced, as on Linux; one whose
    /// mark the program has reached is lost.
    fn return_urgent(&mut self) {
        let Some(Urgent {
            at,
            octet: UrgentOctet::Here(octet),
        }) = self.urgent().copied()
        else {
            return;
        };
        let Some(receiving) = &mut self.receiving else { return };
        let behind = self.rcv.nxt.distance_from(at) - 1;
        if let Some(offset) = receiving.readable().checked_sub(behind).filter(|offset| *offset > 0) {
            receiving.put_octet(offset, octet);
        }
    }

    /// Eighth: FIN.
    fn check_fin(&mut self, seg: &Segment) {
        if seg.flags.fin() && self.rcv.fin.is_none() {
            self.rcv.fin = Some(seg.end() - 1);
        }
        if self.rcv.fin != Some(self.rcv.nxt) {
            // Ahead of its octets, it is out of order like any.
            self.acks.now |= seg.flags.fin();
            return;
        }
        self.rcv.nxt += 1;
        self.meet_fin_when_full();
        self.acknowledge_fin(seg);
        // Nothing is out of order or twice any more (tcp_fin resets what it had to report).
        if let Some(rare) = &mut self.rare {
            rare.duplicate = None;
        }
        self.raise(Ready::READ_CLOSED | Ready::READABLE);
        match self.state {
            State::SynReceived | State::Established => self.state = State::CloseWait,
            // Our FIN's acknowledgment was looked at in the fifth check: it is still out.
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(),
            _ => {}
        }
    }

    pub(crate) fn enter_time_wait(&mut self) {
        self.judge_path();
        self.state = State::TimeWait;
        self.deadlines.disarm();
        self.deadlines.slow = Instant::FAR_FUTURE;
        self.raise(Ready::CLOSED);
    }

    /// How long an orphan stays in FIN-WAIT-2, if at all: not less than three and a half timeouts (`tcp_fin_time`).
    pub(crate) fn orphan_wait(&self) -> Option<Duration> {
        let limit = self.config.fin_wait_2?;
        Some(limit.max(self.rto() * 7 / 2))
    }

    /// Our FIN was acknowledged: the rest of the fifth check.
    pub(crate) fn fin_acknowledged(&mut self, now: Instant) {
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.is_orphan() {
                    match self.orphan_wait() {
                        Some(limit) => self.deadlines.arm_slow(Slow::FinWait2, now + limit),
                        None => self.end(None),
                    }
                }
            }
            State::Closing => self.enter_time_wait(),
            State::LastAck => self.end(None),
            _ => {}
        }
    }
}

/// The body was moved into the queue; the FIN behind it is still to be placed.
fn seg_restore_len(seg: &mut Segment, len: u32) {
    seg.seq += len;
}

/// Whether a sequence number lies in the half-open interval.
pub(crate) fn is_between(low: SeqNum, value: SeqNum, high: SeqNum) -> bool {
    low.precedes(value) && value.precedes_or_equals(high)
}
