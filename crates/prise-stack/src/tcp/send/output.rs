//! What goes out next: a pure decision (`next_segment`), then one place that carries it out (`emit`).

use core::net::IpAddr;
use core::time::Duration;

use prise_wire::{Body, Checksum, Frame, Gso, GsoKind, Instant, SackBlocks, SeqNum, TcpFlags, TcpHeader, Timestamps};
use prise_wire::{checksum, protocol, tcp};

use crate::net::RouteInfo;
use crate::tcp::acc_ecn::AccEcnState;
use crate::tcp::connection::{Connection, Stamp};
use crate::tcp::deadlines::Retransmit;
use crate::tcp::info::{LossState, State};
use crate::tcp::loss::recovery::Frto;
use crate::tcp::segment::ECN_ECT0;
use crate::tcp::send::queue;
use crate::tcp::signature::{self, SignatureKeys};
use crate::tcp::trouble::Wait;

/// One transmission at most: what an IP packet can say, less the largest headers.
pub(crate) const UNIT_MAX: u32 = 65_535 - 60 - 60;

/// What a connection would send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextSegment {
    Nothing,
    /// A SYN, or a SYN-ACK in SYN-RECEIVED.
    Syn,
    /// `[start, start + len)` again; a FIN that lies in it goes along.
    Retransmit {
        start: SeqNum,
        len: u32,
    },
    /// New octets, and the FIN after them if `fin`.
    Data {
        len: u32,
        fin: bool,
    },
    /// New octets in a segment larger than usual, to learn whether the path takes it (RFC 4821).
    MtuProbe {
        len: u32,
    },
    /// An octet-less segment just below the window: keepalive or window probe (RFC 9293 §3.8.4, as Linux).
    Probe,
    /// A bare acknowledgment.
    Ack,
}

/// Why new data is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing waits.
    Empty,
    /// The congestion window is full.
    Cwnd,
    /// The peer's window is full.
    Window,
    /// Nagle, cork, or silly-window avoidance.
    Small,
}

/// As many whole segments as a unit of that size holds; one, where even that is too much for it (a link whose MTU is
/// larger than its units).
fn whole_segments(unit_max: u32, size: u32) -> u32 {
    (unit_max / size * size).max(size)
}

impl Connection {
    /// Decides; changes nothing. `unit_max` is the largest payload the link takes at once.
    pub(crate) fn next_segment(&self, now: Instant, unit_max: u32) -> NextSegment {
        if self.flags.syn_due() && matches!(self.state, State::SynSent | State::SynReceived) {
            return NextSegment::Syn;
        }
        // What a receiver has to say of holes does not fit beside a full segment's data: it goes first, alone.
        if self.acks.now && self.has_blocks_to_tell() && self.is_synchronized() {
            return NextSegment::Ack;
        }
        if self.is_synchronized() {
            if !self.is_paced_out(now) {
                let unit_max = unit_max.min(self.unit_worth());
                if let Some(retransmit) = self.next_retransmission(unit_max) {
                    return retransmit;
                }
                if let Some(len) = self.next_mtu_probe(now) {
                    return NextSegment::MtuProbe { len };
                }
                if let Ok(data) = self.next_data(unit_max)
                    && !self.waits_for_more(now, data, unit_max)
                {
                    return data;
                }
            }
            if self.flags.tail_probe_due()
                && let Some(probe) = self.tail_probe()
            {
                return probe;
            }
            if self.flags.probe_due() {
                return self.next_probe();
            }
        }
        if self.is_early()
            && let Ok(data) = self.next_data(unit_max)
        {
            return data;
        }
        if self.acks.now && !matches!(self.state, State::SynSent | State::Closed) {
            return NextSegment::Ack;
        }
        NextSegment::Nothing
    }

    /// RFC 8985 §7.3: a segment of new octets, which the congestion window need not allow, else the last one again; if
    /// the peer's window takes it.
    pub(crate) fn tail_probe(&self) -> Option<NextSegment> {
        let room = self.snd.wnd.saturating_sub(self.snd.nxt.distance_from(self.snd.una));
        let unsent = self.unsent();
        let len = unsent.min(self.segment_size());
        if len > 0 && len <= room {
            let fin = self.flags.fin_queued() && len == unsent && len < room;
            return Some(NextSegment::Data { len, fin });
        }
        let back = self.sending.as_ref().and_then(|sending| sending.flight.back())?;
        let len = back.len.min(self.segment_size());
        let start = back.end() - len;
        let fits = start == self.snd.una || back.end().precedes_or_equals(self.snd.una + self.snd.wnd);
        fits.then_some(NextSegment::Retransmit { start, len })
    }

    fn next_retransmission(&self, unit_max: u32) -> Option<NextSegment> {
        let sending = self.sending.as_ref()?;
        let lost = sending.flight.first_lost()?;
        if sending.recovery.frto == Frto::Probing && self.next_data(unit_max).is_ok() {
            return None;
        }
        let size = self.segment_size();
        let in_flight = sending.flight.in_flight();
        let room = self.congestion.cwnd().saturating_sub(in_flight);
        // Less than a segment of room is room for one only when nothing is in flight (RFC 6675 §5 asks for a
        // whole SMSS).
        if room < size && in_flight > 0 {
            return None;
        }
        // The front is sent again even into a closed window, where it serves as the probe.
        let beyond = (self.snd.una + self.snd.wnd).precedes_or_equals(lost.start) && lost.start != self.snd.una;
        if beyond {
            return None;
        }
        let whole = room.max(size) / size * size;
        Some(NextSegment::Retransmit {
            start: lost.start,
            len: lost.len.min(whole).min(whole_segments(unit_max, size)),
        })
    }

    /// New octets: congestion window, peer's window, Nagle (RFC 9293 §3.7.4) and silly-window avoidance
    /// (§3.8.6.2.1).
    pub(crate) fn next_data(&self, unit_max: u32) -> Result<NextSegment, Held> {
        let whole = self.unsent();
        // One record (MSG_EOR) at a time, and what follows does not wait for more.
        let unsent = whole.min(self.rest_of_record()).min(self.rest_of_unit());
        let more_follows = unsent < whole;
        let fin = self.flags.fin_queued() && !self.flags.fin_sent() && !more_follows;
        let outstanding = self.outstanding();
        let window_room = self.snd.wnd.saturating_sub(outstanding);
        if unsent == 0 {
            // The FIN occupies a number of the window like any octet.
            return match (fin, window_room) {
                (false, _) => Err(Held::Empty),
                (true, 0) => Err(Held::Window),
                (true, _) => Ok(NextSegment::Data { len: 0, fin }),
            };
        }
        let size = self.segment_size();
        let in_flight = self.in_flight();
        // Segments may have grown since the window was set (a larger MTU was found, TCP_MAXSEG): it is one segment at least,
        // or nothing would ever leave again.
        let cwnd_room = self.congestion.cwnd().max(size).saturating_sub(in_flight);
        let unit = whole_segments(unit_max, size).min(self.half_window());
        let room = window_room.min(cwnd_room).min(unit);
        if unsent <= room {
            let ends = fin && unsent < window_room;
            if unsent >= size {
                // Whole segments now; a small rest only if it may go too.
                if unsent.is_multiple_of(size) || more_follows || self.may_send_small(fin) {
                    return Ok(NextSegment::Data { len: unsent, fin: ends });
                }
                return Ok(NextSegment::Data {
                    len: unsent - unsent % size,
                    fin: false,
                });
            }
            if more_follows || self.may_send_small(fin) {
                return Ok(NextSegment::Data { len: unsent, fin: ends });
            }
            return Err(Held::Small);
        }
        if room >= size {
            return Ok(NextSegment::Data {
                len: room / size * size,
                fin: false,
            });
        }
        if window_room < size.min(unsent) {
            // Half the largest window is worth a segment even if it is less than a full one.
            if room > 0 && room == window_room && room >= self.snd.max_wnd / 2 {
                return Ok(NextSegment::Data { len: room, fin: false });
            }
            return Err(Held::Window);
        }
        Err(Held::Cwnd)
    }

    /// What asks a peer whose window has been too small for a while: as much as fits, the override of RFC 9293
    /// §3.8.6.2.1, or nothing at all. (A receiver with a small buffer may never offer more.)
    fn next_probe(&self) -> NextSegment {
        let room = self.snd.wnd.saturating_sub(self.snd.nxt.distance_from(self.snd.una));
        let unsent = self.unsent();
        let len = room.min(unsent).min(self.segment_size());
        if len == 0 || !self.flight_is_empty() {
            return NextSegment::Probe;
        }
        let fin = self.flags.fin_queued() && len == unsent && len < room;
        NextSegment::Data { len, fin }
    }

    /// Whether the peer has not acknowledged all up to an urgent octet of ours.
    pub(crate) fn sends_urgent(&self) -> bool {
        let up = self.sending.as_ref().and_then(|sending| sending.up);
        up.is_some_and(|up| self.snd.una.precedes(up))
    }

    /// Whether less than a full segment may go now.
    fn may_send_small(&self, fin: bool) -> bool {
        // Nothing waits while the peer has not heard of an urgent octet (`tcp_nagle_test`).
        if fin || self.flags.push_due() || self.sends_urgent() {
            return true;
        }
        if self.config.cork || self.flags.more() {
            return false;
        }
        if self.config.nodelay {
            return true;
        }
        // Minshall: only an unacknowledged small segment holds the next one back.
        let small_out =
            self.snd.una.precedes(self.snd.small_end) && self.snd.small_end.precedes_or_equals(self.snd.nxt);
        !small_out
    }

    /// Carries the decision out: builds the segment and moves the variables.
    pub(crate) fn emit(&mut self, now: Instant, next: NextSegment, route: &RouteInfo) -> Option<Frame> {
        match next {
            NextSegment::Nothing => None,
            NextSegment::Syn => Some(self.emit_syn(now, route)),
            NextSegment::Retransmit { start, len } => self.emit_retransmission(now, start, len, route),
            NextSegment::Data { len, fin } => Some(self.emit_data(now, len, fin, route)),
            NextSegment::MtuProbe { len } => {
                let (start, usual) = (self.snd.nxt, self.mss);
                self.mss = self.note_mtu_probe(start, len);
                let frame = self.emit_data(now, len, false, route);
                self.mss = usual;
                Some(frame)
            }
            NextSegment::Probe => {
                self.flags.set_probe_due(false);
                let seq = self.snd.una - 1;
                Some(self.segment(now, seq, TcpFlags::NONE, Body::new(), route))
            }
            NextSegment::Ack => {
                let seq = self.snd.nxt;
                Some(self.segment(now, seq, TcpFlags::NONE, Body::new(), route))
            }
        }
    }

    /// Only new data is ECN-capable: a mark on a retransmission or a bare ACK could not be answered (RFC 3168 §6.1.4,
    /// §6.1.5).
    pub(crate) fn ecn_codepoint(&self, sent: NextSegment) -> u8 {
        match sent {
            NextSegment::Data { len, .. } if len > 0 && self.may_be_marked() => ECN_ECT0,
            NextSegment::Syn | NextSegment::Nothing => 0,
            _ if self.config.tuning().ecn_everywhere && self.flags.acc_ecn() && self.may_be_marked() => ECN_ECT0,
            _ => 0,
        }
    }

    fn may_be_marked(&self) -> bool {
        self.flags.ecn_on() || self.acc_ecn().is_some_and(|state| !state.is_mute())
    }

    fn emit_syn(&mut self, now: Instant, route: &RouteInfo) -> Frame {
        self.flags.set_syn_due(false);
        let mut body = Body::new();
        if self.snd.nxt == self.snd.iss {
            self.snd.nxt = self.snd.iss + 1;
            self.begin_trouble(now);
            body = self.syn_data(now);
        }
        let linear = match self.state {
            State::SynSent => self.config.tuning().syn_linear_timeouts,
            _ => 0,
        };
        let rto = self
            .rtt
            .rto_backed_off(self.backoff.saturating_sub(linear), self.config.rto_min)
            .min(self.config.rto_limit());
        self.arm_timeout(Retransmit::Rto, now, rto);
        let seq = self.snd.iss;
        let mut flags = TcpFlags::SYN;
        if self.flags.passive() {
            if self.flags.ecn_on() {
                flags |= TcpFlags::ECE;
            }
        } else {
            flags |= self.ecn_request();
        }
        self.segment(now, seq, flags, body, route)
    }

    fn emit_retransmission(&mut self, now: Instant, start: SeqNum, mut len: u32, route: &RouteInfo) -> Option<Frame> {
        let (queue_start, queue_end) = (self.queue_start(), self.queue_end());
        let rto = self.rto();
        let size = self.segment_size();
        let due = self.flags.take_tail_probe_due();
        let nxt = self.snd.nxt;
        let sending = self.sending.as_deref_mut()?;
        let tail_probe = due && sending.flight.lost() == 0;
        if tail_probe {
            sending.flight.isolate_tail(len)?;
            sending.probe_end = Some(nxt);
            sending.probe_retransmitted = true;
        } else if len < size {
            let gathered = sending.flight.gather_lost(start, size, self.snd.una + self.snd.wnd);
            len = gathered.map_or(len, |gathered| gathered.max(len));
        }
        let in_flight = sending.flight.in_flight() + len;
        let snapshot = sending.rate.on_send(now, false, in_flight);
        if !sending.flight.was_retransmitted(start) {
            self.congestion.on_retransmitted(len);
        }
        let pushed = sending.flight.retransmitted(start, len, now, snapshot);
        sending.recovery.on_sent(len);
        sending.recovery.on_retransmitted(now, len.div_ceil(size));
        let end = start + len;
        let fin = queue_end.precedes(end);
        let data = len - u32::from(fin);
        let body = if data > 0 {
            sending.queue.range(queue::offset(queue_start, start), data)
        } else {
            Body::new()
        };
        self.note_retransmission(data, len.div_ceil(size));
        // The oldest segment's time begins anew, unless a shorter wait is to show what else is lost (`tcp_xmit_retransmit_queue`).
        let oldest = start == self.snd.una || !self.deadlines.armed(Retransmit::Rto);
        if tail_probe || oldest && !self.deadlines.armed(Retransmit::Reordering) {
            self.arm_timeout(Retransmit::Rto, now, rto);
        }
        self.note_paced(now, len);
        let mut flags = if data > size || pushed && data > 0 {
            TcpFlags::PSH
        } else {
            TcpFlags::NONE
        };
        if fin {
            flags |= TcpFlags::FIN;
        }
        Some(self.segment(now, start, flags, body, route))
    }

    fn emit_data(&mut self, now: Instant, len: u32, fin: bool, route: &RouteInfo) -> Frame {
        let seq = self.snd.nxt;
        let unsent = self.unsent();
        let queue_start = self.queue_start();
        let size = self.segment_size();
        let was_empty = self.flight_is_empty();
        let cwnd = self.congestion.cwnd();
        let (wnd, outstanding) = (self.snd.wnd, self.snd.nxt.distance_from(self.snd.una));
        let tail_probe = self.flags.take_tail_probe_due();
        self.flags.set_probe_due(false);
        let sending = self.sending();
        let body = if len > 0 {
            sending.queue.range(queue::offset(queue_start, seq), len)
        } else {
            Body::new()
        };
        let total = len + u32::from(fin);
        if tail_probe {
            sending.probe_end = Some(seq + total);
            sending.probe_retransmitted = false;
        }
        let in_flight = sending.flight.in_flight() + total;
        let snapshot = sending.rate.on_send(now, was_empty, in_flight);
        sending.flight.push(seq, total, now, snapshot);
        // A peer's window that is too small says as little of the path as a program that has nothing to send.
        if (len == unsent || wnd < outstanding + total + size) && in_flight < cwnd {
            sending.rate.mark_app_limited(in_flight);
        }
        sending.recovery.on_sent(total);
        let wait = if len < unsent && wnd < outstanding + total + size && in_flight < cwnd {
            Wait::Window
        } else if len == unsent && self.flags.write_blocked() {
            // Everything is out, and the program waits for room to say more.
            Wait::Buffer
        } else {
            Wait::Network
        };
        self.wait_for(now, wait);
        self.snd.nxt += total;
        let forced = self.split_send_buffer(seq + len);
        if self.config.unsent_low_water.is_some() {
            // What has left is not unsent any more, which a program may wait for (tcp_event_new_data_sent).
            self.raise_writable_if_room();
        }
        if fin {
            self.flags.set_fin_sent(true);
        }
        if len > 0 && !len.is_multiple_of(size) {
            self.snd.small_end = seq + len;
        }
        self.stamp_sent(now);
        let last = len == unsent;
        // MSG_MORE pushes nothing; the end of a record is pushed like that of a write.
        let ends_record = self.end_record_at(seq + len);
        let ends_push = ends_record || forced || last && !self.flags.unpushed();
        if last {
            self.flags.set_push_due(false);
            self.flags.set_more(false);
        }
        self.note_window_use(len < unsent);
        self.note_paced(now, total);
        // Before the handshake's end the timer, and the time, are the SYN-ACK's.
        let synchronized = self.is_synchronized();
        if was_empty && synchronized {
            self.begin_trouble(now);
        }
        if len > 0 {
            // A FIN alone is no answer: the exchange is over (`tcp_event_data_sent`, which text alone calls).
            self.note_answer(now);
        }
        self.last_sent = Stamp::at(now);
        if synchronized && (was_empty || !self.deadlines.armed(Retransmit::Rto)) {
            self.rearm_retransmit(now, true);
        }
        let mut flags = TcpFlags::NONE;
        if self.flags.ecn_on() && len > 0 && core::mem::take(&mut self.sending().reduction_to_tell) {
            flags |= TcpFlags::CWR;
        }
        // A unit of several segments is pushed, as on Linux: the receiver's coalescing need not wait for more.
        if len > 0 && (ends_push || len > size) {
            flags |= TcpFlags::PSH;
        }
        if ends_push && len > 0 {
            self.sending().flight.mark_pushed();
        }
        if fin {
            flags |= TcpFlags::FIN;
        }
        self.statistics.data_segments_out = self.statistics.data_segments_out.wrapping_add(1);
        self.segment(now, seq, flags, body, route)
    }

    /// RFC 2861, RFC 9293 §3.8.2, or RFC 7661: a window that was not used for a while is not believed.
    pub(crate) fn restart_after_idle(&mut self, now: Instant) {
        let size = self.segment_size();
        let validates = self.congestion.expire_unused(now, size);
        if self.flight_is_empty() {
            let idle = self.last_sent.age(now);
            let rto = self.rtt.rto(self.config.rto_min);
            if idle > rto && validates {
                self.congestion.note_pause();
            } else if idle > rto && self.config.tuning().slow_start_after_idle {
                self.congestion.after_idle(idle, rto, size);
            }
        }
    }

    /// Whether cwnd is what limits us: only such a window may grow (RFC 7661, as Linux approximates it).
    fn note_window_use(&mut self, more_waits: bool) {
        let (una, nxt, wnd) = (self.snd.una, self.snd.nxt, self.snd.wnd);
        let cwnd = self.congestion.cwnd();
        let size = self.segment_size();
        let sending = self.sending();
        let in_flight = sending.flight.in_flight();
        let limited = more_waits && in_flight + size > cwnd && nxt.distance_from(una) < wnd;
        if sending.max_flight_end.precedes_or_equals(una) || in_flight >= sending.max_in_flight {
            if sending.max_flight_end.precedes_or_equals(una) {
                sending.cwnd_limited = limited;
            }
            sending.max_in_flight = in_flight;
            sending.max_flight_end = nxt;
        }
        sending.cwnd_limited |= limited || in_flight + size > cwnd;
    }

    /// Builds one segment with the acknowledgment, window and options of the moment.
    fn segment(&mut self, now: Instant, seq: SeqNum, flags: TcpFlags, body: Body, route: &RouteInfo) -> Frame {
        let syn = flags.syn();
        let mut header = TcpHeader {
            source_port: self.tuple.local_port,
            destination_port: self.tuple.remote_port,
            seq,
            flags,
            ..TcpHeader::default()
        };
        if !syn || self.flags.passive() {
            header.ack = Some(self.rcv.nxt);
            self.acknowledged();
        }
        if self.flags.ece_due() && !syn {
            header.flags |= TcpFlags::ECE;
        }
        header.window = self.window_field(syn);
        if self.flags.timestamps_on() {
            // In a SYN it is zero (RFC 7323 §3.2) but where it follows on TIME-WAIT, as in Linux (`tcp_twsk_unique`).
            header.options.timestamps = Some(Timestamps {
                value: self.timestamp(now),
                echo: self.timestamps.recent,
            });
        }
        if syn {
            header.options.mss = Some(self.advertised_mss);
            header.options.sack_permitted = self.flags.sack_on();
            header.options.window_scale = self.flags.window_scaling().then_some(self.rcv_scale);
            header.options.fast_open = self.rare.as_mut().and_then(|rare| rare.fast_open.option.take());
        } else if self.flags.sack_on() {
            let free = self.segment_size().saturating_sub(body.len() as u32);
            header.options.sack = self.sack_blocks(free);
        }
        if self.flags.acc_ecn() {
            self.tell_marks(&mut header, body.is_empty());
        }
        let room = self.segment_size().saturating_sub(body.len() as u32);
        self.tell_user_timeout(&mut header, room);
        self.mark_urgent(&mut header);
        self.statistics.segments_out = self.statistics.segments_out.wrapping_add(1);
        let size = self.segment_size();
        let (src, dst) = (self.tuple.local_ip(), self.tuple.remote_ip());
        let keys = self.config.signature_keys.as_deref();
        build(&header, body, size, (src, dst), route, keys)
    }

    fn window_field(&mut self, syn: bool) -> u16 {
        if let Some(field) = self.kernel_window_field(syn) {
            return field;
        }
        let scale = if syn { 0 } else { self.rcv_scale };
        let (next, queued, bounds) = (self.rcv.nxt, self.receive_queued(), self.window_bounds(scale));
        let mss = self.acks.peer_mss();
        self.rcv.window.advertise(next, queued, mss, scale, bounds)
    }

    fn has_blocks_to_tell(&self) -> bool {
        self.flags.sack_on()
            && (self.has_duplicate_to_report()
                || self.receiving.as_ref().is_some_and(|receiving| receiving.has_holes()))
    }

    /// As many blocks as fit beside the other options, three with timestamps, else four (RFC 2018 §3), fewer beside a signature, and
    /// beside the data, which leaves `free` octets.
    fn sack_blocks(&mut self, free: u32) -> SackBlocks {
        let others = self.signature_room() + if self.flags.timestamps_on() { 12 } else { 0 };
        let free = free.min(tcp::OPTIONS_MAX as u32 - others);
        let room = free.saturating_sub(4) as usize / 8;
        if room == 0 {
            return SackBlocks::new();
        }
        let duplicate = self.rare.as_mut().and_then(|rare| rare.duplicate.take());
        let ranges = self.receiving.iter().flat_map(|receiving| receiving.sack_ranges());
        duplicate.into_iter().chain(ranges).take(room).collect()
    }

    /// RFC 6093 §6: the pointer is put where every receiver looks for it, after the urgent octet.
    fn mark_urgent(&mut self, header: &mut TcpHeader) {
        let una = self.snd.una;
        let Some(sending) = self.sending.as_deref_mut() else {
            return;
        };
        let Some(up) = sending.up else { return };
        if up.precedes_or_equals(una) {
            sending.up = None;
            return;
        }
        if header.seq.precedes(up) {
            header.flags |= TcpFlags::URG;
            header.urgent = up.distance_from(header.seq).min(0xffff) as u16;
        }
    }

    /// After a transmission opportunity: a peer whose window is shut must be asked (RFC 9293 §3.8.6.1).
    pub(crate) fn arm_persist(&mut self, now: Instant, unit_max: u32) {
        if !self.is_synchronized() || !self.flight_is_empty() || !self.has_unsent() {
            return;
        }
        let idle = self.deadlines.retransmit == Instant::FAR_FUTURE;
        match self.next_data(unit_max) {
            Err(Held::Window) if idle => {
                if !self.waits_for_window() {
                    self.begin_trouble(now);
                }
                self.wait_for(now, Wait::Window);
                let wait = self.rto();
                self.arm_timeout(Retransmit::Persist, now, wait);
            }
            // Corked or held back with nothing in flight: 200 ms at most (tcp(7), TCP_CORK).
            Err(Held::Small | Held::Cwnd) if idle => {
                self.deadlines
                    .arm(Retransmit::Persist, now + Duration::from_millis(200));
            }
            _ => {}
        }
    }

    /// The largest payload of one transmission on this route.
    pub(crate) fn unit_max(&self, route: &RouteInfo) -> u32 {
        let bars_trains = self.acc_ecn().is_some_and(AccEcnState::bars_trains);
        // Each segment has a signature of its own.
        let timed_out = self.in_timeout_recovery() && !self.config.tuning().recovery_by_packets;
        if route.gso_max == 0 || bars_trains || timed_out || self.is_signed() || self.ip_options_room() > 0 {
            return self.segment_size();
        }
        route.gso_max.min(UNIT_MAX)
    }

    fn in_timeout_recovery(&self) -> bool {
        self.sending
            .as_ref()
            .is_some_and(|sending| sending.recovery.state == LossState::Loss)
    }
}

/// Puts a segment into a frame: checksum as the link wants it, segmentation left to the link if it is large.
pub(crate) fn build(
    header: &TcpHeader,
    body: Body,
    size: u32,
    (src, dst): (IpAddr, IpAddr),
    route: &RouteInfo,
    keys: Option<&SignatureKeys>,
) -> Frame {
    let len = body.len();
    let mut header = *header;
    header.options.signature = signature::placeholder(keys, dst);
    let mut frame = Frame::with_header(&header, body);
    if header.options.signature.is_some() {
        signature::sign(&mut frame, header.header_len(), (src, dst), keys);
    }
    if len > size as usize {
        let kind = if src.is_ipv4() { GsoKind::Tcp4 } else { GsoKind::Tcp6 };
        frame.offload.gso = Some(Gso {
            kind,
            size: size as u16,
        });
    }
    let pseudo = checksum::pseudo_header(src, dst, protocol::TCP, frame.total_len());
    let at = usize::from(tcp::CHECKSUM_OFFSET);
    let field = if route.checksum_offload {
        frame.offload.checksum = Checksum::Partial {
            start: 0,
            offset: tcp::CHECKSUM_OFFSET,
        };
        pseudo
    } else {
        checksum::finish(checksum::combine(pseudo, frame.sum_from(0)))
    };
    if let Some(octets) = frame.head_mut().get_mut(at..at + 2) {
        octets.copy_from_slice(&field.to_be_bytes());
    }
    frame
}
