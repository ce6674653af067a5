//! A connection from SYN-SENT to LAST-ACK: one record, because the data has one shape in all these states.
//!
//! An idle established connection owns no queue: `sending` and `receiving` are boxes that exist only while they
//! hold something. Mechanisms live in their own files and take the parts that they need.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::answer_limit::AnswerLimit;
use super::config::{Linger, TcpConfig};
use super::congestion::Congestion;
use super::congestion::rate::{DeliveryRate, RateSampler};
use super::deadlines::{Deadlines, Slow};
use super::error::TcpError;
use super::flags::Flags;
use super::info::State;
use super::loss::rack::Rack;
use super::loss::recovery::Recovery;
use super::loss::rtt::RttEstimator;
use super::rare::Rare;
use super::receive::acks::AckSchedule;
use super::receive::reassembly::Reassembly;
use super::receive::window::{Bounds, ReceiveWindow};
use super::send::flight::Flight;
use super::send::pace::Pace;
use super::send::queue::SendQueue;
use super::trouble::Chronograph;
use super::tuning::{NEAR_SEND, bound};
use super::tuple::FourTuple;
use crate::event::Ready;
use crate::link::LinkId;
use crate::memory::{Charge, Memory};

/// A moment in milliseconds, wrapping after 49 days: half the size of an [`Instant`], for what is compared with seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) fn at(now: Instant) -> Self {
        Self(timestamp_clock(now))
    }

    pub(crate) fn age(self, now: Instant) -> Duration {
        Duration::from_millis(u64::from(timestamp_clock(now).wrapping_sub(self.0)))
    }
}

/// A moment in microseconds, wrapping after 71 minutes: half the size of an [`Instant`], for measuring round trips and
/// troubles of minutes. A wrap spoils one measurement, which the next one mends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u32);

impl Moment {
    pub(crate) fn at(now: Instant) -> Self {
        Self(now.as_micros() as u32)
    }

    pub(crate) fn age(self, now: Instant) -> Duration {
        Duration::from_micros(u64::from((now.as_micros() as u32).wrapping_sub(self.0)))
    }
}

/// RFC 9293's send sequence variables (§3.3.1), and two of Linux's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendVariables {
    pub(crate) una: SeqNum,
    pub(crate) nxt: SeqNum,
    pub(crate) iss: SeqNum,
    pub(crate) wl1: SeqNum,
    pub(crate) wl2: SeqNum,
    /// The peer's window, scaled.
    pub(crate) wnd: u32,
    /// The largest window the peer ever offered (§3.8.6.2.1).
    pub(crate) max_wnd: u32,
    /// End of the last segment smaller than the segment size: Minshall's refinement of Nagle's rule.
    pub(crate) small_end: SeqNum,
}

/// RFC 9293's receive sequence variables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveVariables {
    pub(crate) nxt: SeqNum,
    pub(crate) irs: SeqNum,
    pub(crate) window: ReceiveWindow,
    /// The sequence number of the peer's FIN, once seen.
    pub(crate) fin: Option<SeqNum>,
}

/// Timestamps, RFC 7323.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimestampState {
    /// `TS.Recent`.
    pub(crate) recent: u32,
    /// When that was, in milliseconds of [`timestamp_clock`].
    pub(crate) recent_at: u32,
    /// Added to our clock.
    pub(crate) offset: u32,
    /// `Last.ACK.sent`.
    pub(crate) last_ack_sent: SeqNum,
}

/// Counters for `TCP_INFO`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
    /// Time with data out or waiting, in units of 100 µs.
    pub(crate) busy: u32,
    /// Packets that were acknowledged, the SYN among them.
    pub(crate) delivered: u32,
    pub(crate) retransmissions: u32,
    pub(crate) segments_out: u32,
    pub(crate) segments_in: u32,
    pub(crate) data_segments_out: u32,
    pub(crate) data_segments_in: u32,
}

/// What exists only while octets are queued or in flight.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) queue: SendQueue,
    pub(crate) flight: Flight,
    pub(crate) recovery: Recovery,
    pub(crate) rack: Rack,
    /// The most octets in flight since `max_flight_end` was sent: whether cwnd is used (RFC 7661).
    pub(crate) max_in_flight: u32,
    pub(crate) max_flight_end: SeqNum,
    pub(crate) cwnd_limited: bool,
    /// Reductions that were taken back.
    pub(crate) spurious: u16,
    /// The next new segment tells the peer that its congestion mark was heard (CWR).
    pub(crate) reduction_to_tell: bool,
    pub(crate) rate: RateSampler,
    pub(crate) chronograph: Chronograph,
    pub(crate) pace: Pace,
    /// `snd.up`: the octet after the urgent one, until that is acknowledged.
    pub(crate) up: Option<SeqNum>,
    /// `TLP.end_seq`: a probe is out.
    pub(crate) probe_end: Option<SeqNum>,
    /// Where records (`MSG_EOR`) end that have not been sent: a segment holds octets of one only.
    pub(crate) record_ends: VecDeque<SeqNum>,
    /// `TLP.is_retrans`: it repeated octets.
    pub(crate) probe_retransmitted: bool,
    /// A probe of the path's MTU is out.
    pub(crate) mtu_probe: Option<super::plpmtud::Probe>,
    /// What queue and flight hold of the stack's memory.
    pub(crate) charge: Charge,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tuple: FourTuple,
    pub(crate) token: u32,
    pub(crate) config: Arc<TcpConfig>,
    pub(crate) snd: SendVariables,
    pub(crate) rcv: ReceiveVariables,
    pub(crate) timestamps: TimestampState,
    pub(crate) acks: AckSchedule,
    pub(crate) rtt: RttEstimator,
    pub(crate) congestion: Congestion,
    pub(crate) deadlines: Deadlines,
    pub(crate) sending: Option<Box<Sending>>,
    pub(crate) receiving: Option<Box<Reassembly>>,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) statistics: Statistics,
    /// When data was last sent, and when anything last arrived.
    pub(crate) last_sent: Stamp,
    pub(crate) last_received: Stamp,
    /// When data last arrived.
    pub(crate) last_data: Stamp,
    /// When the oldest unacknowledged octet, probe or SYN was first sent: the user timeout counts from here ([`trouble`](Self::trouble)).
    pub(crate) trouble_since: Moment,
    pub(crate) limit: AnswerLimit,
    /// Traffic class and flow label of the segment that completed the handshake of who came to a listener by IPv6.
    pub(crate) came_with: u32,
    /// The segment size for sending, options not subtracted.
    pub(crate) mss: u16,
    /// The size that our SYN offered.
    pub(crate) advertised_mss: u16,
    pub(crate) link: LinkId,
    pub(crate) device: Option<LinkId>,
    pub(crate) state: State,
    pub(crate) snd_scale: u8,
    pub(crate) rcv_scale: u8,
    /// Consecutive expirations of the retransmission or probe timer.
    pub(crate) backoff: u8,
    /// Probes without an answer, of a shut window or of keepalive, which exclude each other (`icsk_probes_out`).
    pub(crate) probes_out: u8,
    /// The delivery rate that was measured last.
    pub(crate) delivery_rate: DeliveryRate,
    /// Why it ended; taken by the program.
    pub(crate) error: Option<TcpError>,
    /// A soft ICMP error, shown if the connection times out.
    pub(crate) soft_error: Option<TcpError>,
    /// What the program has not been told.
    pub(crate) raised: Ready,
    /// Who reads what arrives.
    pub(crate) reader: Reader,
    /// What is either so or not.
    pub(crate) flags: Flags,
}

// The bound that the memory target stands on: an idle connection owns no heap beyond this record.
const _: () = assert!(size_of::<Connection>() <= 344);

/// Who reads what arrives for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The program.
    Program,
    /// The program has said that it reads no more (`SHUT_RD`).
    Over,
    /// The program has let go, or has not accepted yet.
    Nobody,
}

impl Connection {
    /// Whether no program has hold of it.
    pub(crate) const fn is_orphan(&self) -> bool {
        matches!(self.reader, Reader::Nobody)
    }
}

/// What an RST's or FIN's owner should know when it acts on a connection from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// A FIN follows what is queued.
    Graceful,
    /// What is queued is lost, the peer is told by a RST.
    Reset,
}

impl Connection {
    pub(crate) fn local(&self) -> SocketAddr {
        self.tuple.local()
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.tuple.remote()
    }

    /// Whether both SYNs were acknowledged and the connection has not ended.
    pub(crate) fn is_synchronized(&self) -> bool {
        !matches!(
            self.state,
            State::SynSent | State::SynReceived | State::Closed | State::TimeWait | State::Listen
        )
    }

    /// Whether data may still arrive.
    pub(crate) fn may_receive(&self) -> bool {
        matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// `snd.una` as a place in the send queue: where its first octet is.
    pub(crate) fn queue_start(&self) -> SeqNum {
        if self.snd.una == self.snd.iss {
            self.snd.iss + 1
        } else {
            self.snd.una
        }
    }

    /// The sequence number after the last queued octet: where the FIN goes.
    pub(crate) fn queue_end(&self) -> SeqNum {
        self.queue_start() + self.queued()
    }

    /// Octets in the send queue.
    pub(crate) fn queued(&self) -> u32 {
        self.sending.as_ref().map_or(0, |sending| sending.queue.len())
    }

    /// Octets in the send queue that were never sent.
    pub(crate) fn unsent(&self) -> u32 {
        let end = self.queue_end();
        let nxt = if self.snd.nxt == self.snd.iss {
            self.snd.iss + 1
        } else {
            self.snd.nxt
        };
        if nxt.precedes(end) { end.distance_from(nxt) } else { 0 }
    }

    /// Whether octets or the FIN were never sent.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent() > 0 || (self.flags.fin_queued() && !self.flags.fin_sent())
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.sending.as_ref().map_or(0, |sending| sending.flight.in_flight())
    }

    pub(crate) fn flight_is_empty(&self) -> bool {
        self.sending.as_ref().is_none_or(|sending| sending.flight.is_empty())
    }

    /// When the oldest segment that is out was sent last.
    pub(crate) fn oldest_sent_at(&self) -> Option<Instant> {
        let oldest = self.sending.as_ref()?.flight.front()?;
        Some(oldest.sent_at)
    }

    /// How long it has been out since; nothing where none is.
    pub(crate) fn age_of_oldest(&self, now: Instant) -> Duration {
        self.oldest_sent_at()
            .map_or(Duration::ZERO, |sent_at| now.saturating_since(sent_at))
    }

    pub(crate) fn sending(&mut self) -> &mut Sending {
        let nxt = self.snd.nxt;
        self.sending.get_or_insert_with(|| {
            Box::new(Sending {
                queue: SendQueue::default(),
                flight: Flight::default(),
                recovery: Recovery::new(nxt),
                rack: Rack::default(),
                max_in_flight: 0,
                max_flight_end: nxt,
                cwnd_limited: false,
                spurious: 0,
                reduction_to_tell: false,
                rate: RateSampler::default(),
                chronograph: Chronograph::default(),
                pace: Pace::OPEN,
                up: None,
                probe_end: None,
                record_ends: VecDeque::new(),
                probe_retransmitted: false,
                mtu_probe: None,
                charge: Charge::default(),
            })
        })
    }

    /// Octets the program can read, the urgent octet excluded.
    pub(crate) fn readable(&self) -> u32 {
        self.receiving.as_ref().map_or(0, |receiving| receiving.readable())
    }

    /// Octets that count against the receive buffer.
    pub(crate) fn receive_queued(&self) -> u32 {
        self.readable()
    }

    /// The data octets that fit into one segment beside our options.
    pub(crate) fn segment_size(&self) -> u32 {
        let mut options = if self.flags.timestamps_on() { 12 } else { 0 } + self.signature_room();
        if self.flags.acc_ecn() {
            options += self.acc_ecn_room();
        }
        let mss = u32::from(self.mss);
        // A peer's choice of a small segment and of long options of IPv4 does not make segments of an octet
        // (`__tcp_mtu_to_mss` of Linux).
        let least = mss.min(super::MSS_MIN.into());
        let beside_ip = mss.saturating_sub(self.ip_options_room()).max(least);
        beside_ip.saturating_sub(options).max(1)
    }

    /// What bounds the window that is offered with a field of this scale, besides the buffer.
    pub(crate) fn window_bounds(&self, scale: u8) -> Bounds {
        // When memory is short, who holds much is offered little.
        let left = self.receiving.as_ref().map_or(u32::MAX, |receiving| {
            receiving.charge.share().saturating_sub(receiving.held())
        });
        Bounds {
            clamp: self.config.window_clamp.unwrap_or(u32::MAX),
            room: left.min(0xffff << scale),
        }
    }

    /// The retransmission timeout as it stands, backed off.
    pub(crate) fn rto(&self) -> Duration {
        let rto = self.rtt.rto_backed_off(self.backoff, self.config.rto_min);
        rto.min(self.config.rto_limit())
    }

    /// Our timestamp clock: milliseconds, as Linux (RFC 7323 §5.4 asks for 1 ms to 1 s).
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        timestamp_clock(now).wrapping_add(self.timestamps.offset)
    }

    /// `SO_RCVBUF` or auto-tuning's bound.
    pub(crate) fn receive_buffer_max(&self) -> u32 {
        self.config.receive_buffer.unwrap_or(self.config.tuning().receive_max)
    }

    /// Octets the send queue may hold: `SO_SNDBUF`, or twice what the path takes, as Linux tunes it.
    pub(crate) fn send_buffer(&self) -> u32 {
        const MIN: u32 = 128 << 10;
        self.config.send_buffer.unwrap_or_else(|| {
            let max = bound(self.config.tuning().send_max, NEAR_SEND, self.rtt.srtt());
            self.congestion
                .cwnd()
                .saturating_mul(2)
                .clamp(MIN, max.max(MIN))
                .saturating_add(self.behind_hole())
        })
    }

    /// What the peer has selectively acknowledged waits for a hole to be filled and must not hold new data back.
    fn behind_hole(&self) -> u32 {
        self.sending.as_ref().map_or(0, |sending| sending.flight.sacked())
    }

    /// Tells the stack's account what the queues hold now.
    pub(crate) fn account(&mut self, memory: &Memory) {
        if let Some(sending) = self.sending.as_deref_mut() {
            let held = sending.queue.held() + sending.flight.held();
            sending.charge.hold(memory, u32::try_from(held).unwrap_or(u32::MAX));
        }
        if let Some(receiving) = self.receiving.as_deref_mut() {
            let held = receiving.held();
            receiving.charge.hold(memory, held);
        }
    }

    /// Octets the send queue may hold now: less than [`send_buffer`](Self::send_buffer) when the stack's memory is short.
    pub(crate) fn send_limit(&self) -> u32 {
        let share = self.sending.as_ref().map_or(u32::MAX, |sending| sending.charge.share());
        self.send_buffer().min(share)
    }

    /// Octets that `tcp_send` would take now.
    pub(crate) fn send_space(&self) -> u32 {
        let open = match self.state {
            State::Established | State::CloseWait => true,
            State::SynReceived => self.flags.early(),
            _ => false,
        };
        if self.flags.fin_queued() || !open {
            return 0;
        }
        if let Some((room, _)) = self.kernel_send_room() {
            return room;
        }
        let space = self.send_limit().saturating_sub(self.queued());
        match self.config.unsent_low_water {
            Some(low) if self.unsent() >= low => 0,
            _ => space,
        }
    }

    /// Octets that one write may add: with `TCP_NOTSENT_LOWAT` what can leave at once, and so much beyond it.
    pub(crate) fn write_room(&self) -> u32 {
        let space = self.send_space();
        // By Linux's account the low water is looked at buffer by buffer.
        let Some(low) = self
            .config
            .unsent_low_water
            .filter(|_| !self.keeps_kernel_send_buffer())
        else {
            return space;
        };
        let by_window = self.snd.wnd.saturating_sub(self.snd.nxt.distance_from(self.snd.una));
        let by_cwnd = self.congestion.cwnd().saturating_sub(self.in_flight());
        let size = self.segment_size();
        let sendable = by_window.min(by_cwnd) / size * size;
        space.min(sendable.saturating_add(low).saturating_sub(self.unsent()))
    }

    /// Whether there is room enough to tell a program that waits: a third of the buffer, and of what is unsent no more than half the low
    /// water (`__sk_stream_memory_free`).
    pub(crate) fn is_worth_waking(&self) -> bool {
        let low = self.config.unsent_low_water;
        let much_unsent = low.is_some_and(|low| self.unsent().saturating_mul(2) >= low);
        let wakes = match self.kernel_send_room() {
            Some((_, wakes)) => wakes && self.send_space() > 0,
            // What waits behind a hole is no room that could come free: counted, it kept the program asleep while all had left.
            None => self.send_space() >= self.send_limit().saturating_sub(self.behind_hole()) / 3,
        };
        !much_unsent && wakes
    }

    pub(crate) fn raise(&mut self, ready: Ready) {
        self.raised |= ready;
    }

    /// Room for the program's writes, once it is worth a wake-up: a third of the buffer (Linux's
    /// `sk_stream_is_writeable`).
    pub(crate) fn raise_writable_if_room(&mut self) {
        if self.flags.write_blocked() {
            self.grow_kernel_send_buffer();
        }
        if self.flags.write_blocked() && self.is_worth_waking() {
            self.flags.set_write_blocked(false);
            self.raise(Ready::WRITABLE);
        }
    }

    /// Ends the connection at once; nothing more is sent.
    pub(crate) fn end(&mut self, error: Option<TcpError>) {
        self.judge_path();
        self.state = State::Closed;
        if self.error.is_none() {
            self.error = error;
        }
        self.sending = None;
        if let Some(receiving) = &mut self.receiving {
            receiving.forget_out_of_order();
        }
        self.acks.now = false;
        self.flags.set_probe_due(false);
        self.flags.set_syn_due(false);
        self.flags.set_tail_probe_due(false);
        self.deadlines.disarm();
        self.deadlines.delayed_ack = Instant::FAR_FUTURE;
        self.deadlines.slow = Instant::FAR_FUTURE;
        let mut ready = Ready::CLOSED | Ready::READ_CLOSED;
        if self.error.is_some() {
            ready |= Ready::ERROR;
        }
        self.raise(ready);
    }

    /// What a close by the program means now (RFC 9293 §3.10.4; RFC 2525 §2.17 for unread data).
    pub(crate) fn closing(&self) -> Closing {
        let unread = self.readable() > 0 || self.urgent_mark().is_some() && self.urgent_is_cut_out();
        if unread || self.config.linger == Linger::Reset {
            Closing::Reset
        } else {
            Closing::Graceful
        }
    }

    /// Octets that can be read before the urgent one; `None` without one, or once it was passed.
    pub(crate) fn urgent_mark(&self) -> Option<u32> {
        let urgent = self.urgent()?;
        // The FIN has a sequence number too, but nothing to read.
        let fin = self.rcv.fin.is_some_and(|fin| fin.precedes(self.rcv.nxt));
        let behind = self.rcv.nxt.distance_from(urgent.at).saturating_sub(u32::from(fin));
        (self.readable() + u32::from(self.urgent_is_cut_out())).checked_sub(behind)
    }

    /// Whether the urgent octet has arrived and lies apart from the stream.
    pub(crate) fn urgent_is_cut_out(&self) -> bool {
        let arrived = self.urgent().is_some_and(|urgent| urgent.at.precedes(self.rcv.nxt));
        arrived && !self.config.oob_inline
    }

    /// Sends our FIN after the queue: the user's CLOSE.
    pub(crate) fn queue_fin(&mut self) {
        match self.state {
            State::Established | State::SynReceived => {
                self.flags.set_fin_queued(true);
                if self.state == State::Established {
                    self.state = State::FinWait1;
                }
            }
            State::CloseWait => {
                self.flags.set_fin_queued(true);
                self.state = State::LastAck;
            }
            _ => {}
        }
    }

    /// Restarts the keepalive clock after something arrived. A program that has finished sending may wait for its peer as
    /// long as any other; one that has closed waits for nothing but the peer's FIN, which has a timer of its own.
    pub(crate) fn touch_keepalive(&mut self, now: Instant) {
        let half_closed = matches!(self.state, State::FinWait1 | State::FinWait2) && !self.flags.released();
        if let Some(keepalive) = self.config.keepalive
            && (half_closed || matches!(self.state, State::Established | State::CloseWait))
        {
            self.probes_out = 0;
            self.deadlines.arm_slow(Slow::Keepalive, now + keepalive.idle);
        }
    }

    /// Whether the link should ask for a segment. May err on the side of yes.
    pub(crate) fn has_output(&self, now: Instant) -> bool {
        let unit_max = if self.flags.link_splits() {
            super::send::output::UNIT_MAX
        } else {
            self.segment_size()
        };
        !matches!(
            self.next_segment(now, unit_max),
            super::send::output::NextSegment::Nothing
        ) || (self.is_synchronized()
            && self.has_unsent()
            && self.flight_is_empty()
            && !self.is_paced_out(now)
            && self.deadlines.retransmit == Instant::FAR_FUTURE)
    }

    /// No route: what was due is treated as sent and lost, so that the timer goes on.
    pub(crate) fn forget_output(&mut self, now: Instant) {
        self.acks.now = false;
        self.flags.set_probe_due(false);
        self.flags.set_tail_probe_due(false);
        let rto = self.rto();
        if self.flags.syn_due() || self.has_unsent() || !self.flight_is_empty() {
            self.flags.set_syn_due(false);
            self.arm_timeout(super::deadlines::Retransmit::Rto, now, rto);
        }
        self.soft_error = Some(TcpError::NetworkUnreachable);
    }

    /// The path takes packets of `mtu` octets at most: the segment size follows (RFC 1191, RFC 8201).
    pub(crate) fn follow_path_mtu(&mut self, mtu: u32) {
        let fits = super::birth::mss_for_mtu(mtu, self.tuple.is_v4());
        if let Some(search) = self.search_mut() {
            search.cap(fits);
        }
        if fits < self.mss {
            self.set_segment_size(fits);
        }
    }

    /// The path has told that it takes packets of `mtu` octets at most: what was larger is lost and sent again in
    /// smaller segments, without a reduction, since nothing was congested (RFC 1191 §6.5).
    pub(crate) fn obey_path_mtu(&mut self, now: Instant, mtu: u32) {
        let before = self.mss;
        self.follow_path_mtu(mtu);
        if self.mss == before {
            return;
        }
        let (size, nxt) = (self.segment_size(), self.snd.nxt);
        if let Some(sending) = self.sending.as_deref_mut()
            && sending.flight.lose_larger(size)
        {
            sending.recovery.enter_repacking(nxt);
            self.rearm_retransmit(now, true);
        }
    }

    /// Arms a timeout. With a user timeout it is over at the latest when that has passed (RFC 5482 §3; Linux clamps it
    /// too, so that programs get their error in time).
    pub(crate) fn arm_timeout(&mut self, kind: super::deadlines::Retransmit, now: Instant, wait: Duration) {
        let trouble = self.trouble(now);
        let left = self.user_timeout().map(|limit| limit.saturating_sub(trouble));
        self.deadlines.arm(kind, now + left.map_or(wait, |left| left.min(wait)));
    }

    pub(crate) fn min_rtt(&self) -> Duration {
        self.rtt.min_rtt().unwrap_or(Duration::ZERO)
    }

    /// Gives back the memory of empty queues.
    pub(crate) fn release_memory(&mut self) {
        if self.receiving.as_ref().is_some_and(|receiving| receiving.is_empty()) {
            self.receiving = None;
        }
        if self.sending.as_ref().is_some_and(|sending| sending.is_forgettable()) {
            self.sending = None;
        }
    }
}

/// Milliseconds, wrapping: RFC 7323 §5.4.
pub(crate) fn timestamp_clock(now: Instant) -> u32 {
    now.as_millis() as u32
}
