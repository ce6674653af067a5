//! Linux's account of a receive buffer, where [`BufferAccounting`] asks for it: what counts against `SO_RCVBUF` is the memory
//! that packets take up (`truesize`), what is offered is a part of the rest that is learned from them (`scaling_ratio`), and
//! the window opens by and by (`rcv_ssthresh`). tcp(7), `tcp_adv_win_scale` and `tcp_rmem`, say it in outline; the numbers are
//! those of packets that come from a TUN device. Called by `arrival`, `output` and the program's reads; without the rule a
//! buffer counts octets ([`window`](super::window)).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use prise_wire::{Instant, SackBlock, SeqNum};

use crate::net::Discard;
use crate::tcp::arrival::Check;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::Connection;
use crate::tcp::receive::acks::PEER_SEGMENT;
use crate::tcp::segment::Segment;
use crate::tcp::tuning::BufferAccounting;

/// Ratios are parts of so much (`TCP_RMEM_TO_WIN_SCALE`).
const WHOLE: u64 = 256;
/// Before anything has come, half of the buffer is for bookkeeping (`TCP_DEFAULT_SCALING_RATIO`).
const RATIO: u32 = 128;
/// Segments with less than this do not open the window.
const WORTH_GROWING: u32 = 128;
const PAGE: u32 = 4096;

/// `NET_SKB_PAD`, `sizeof(struct sk_buff)` and `sizeof(struct skb_shared_info)`, as the allocator rounds them.
const PAD: u32 = 64;
const BUFFER: u32 = 256;
const SHARED: u32 = 320;

/// What a packet takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truesize {
    /// Octets of memory (`skb->truesize`).
    pub(crate) cost: u32,
    /// Octets of the next packet that find room behind its own (`skb_tailroom`).
    pub(crate) room: u32,
}

/// What a packet with so many octets of headers and payload takes up in Linux.
pub(crate) fn truesize(headers: u32, payload: u32) -> Truesize {
    /// Of what is larger than a page, so much lies in the first.
    const LINEAR: u32 = PAGE - PAD - SHARED;
    let octets = headers + payload;
    if PAD + octets < PAGE {
        let block = ((PAD + octets).next_multiple_of(64) + SHARED).next_power_of_two();
        return Truesize {
            cost: block + BUFFER,
            room: block - SHARED - PAD - octets,
        };
    }
    Truesize {
        cost: PAGE + BUFFER + (octets - LINEAR).next_multiple_of(PAGE),
        room: 0,
    }
}

/// The part of `space` octets of memory that can be offered.
fn window_of(space: u32, ratio: u32) -> u32 {
    (u64::from(space) * u64::from(ratio) / WHOLE) as u32
}

/// The memory that is needed to offer `window`.
fn space_of(window: u32, ratio: u32) -> u32 {
    (u64::from(window) * WHOLE / u64::from(ratio))
        .try_into()
        .unwrap_or(u32::MAX)
}

fn size_of_buffer(config: &TcpConfig) -> u32 {
    config
        .receive_buffer
        .unwrap_or(config.tuning().receive_initial)
        .saturating_mul(2)
}

/// The window that our SYN or SYN-ACK offers (`tcp_select_initial_window`): segments of `mss` octets less the timestamps' room.
pub(crate) fn initial_window(config: &TcpConfig, mss: u16, timestamps: bool) -> u16 {
    let segment = u32::from(mss) - if timestamps { 12 } else { 0 };
    let space = window_of(size_of_buffer(config), RATIO).min(config.window_clamp.unwrap_or(u32::MAX));
    let whole = if space > segment {
        space / segment * segment
    } else {
        space
    };
    whole.min(0xffff) as u16
}

/// Octets in order that the program has not read.
#[derive(Debug)]
struct Ready {
    octets: u32,
    cost: u32,
    room: u32,
}

/// A packet behind a hole.
#[derive(Debug)]
struct Waiting {
    start: SeqNum,
    octets: u32,
    cost: u32,
}

/// What would be offered now.
#[derive(Clone, Copy, Debug)]
struct Offer {
    window: u32,
    /// Less than half of the buffer is free: nothing is acknowledged for quickness' sake.
    scarce: bool,
}

/// The receive buffer of one connection.
#[derive(Debug)]
pub(crate) struct KernelBuffer {
    /// `sk_rcvbuf`, and how far it may grow (`tcp_rmem`'s third number).
    size: u32,
    max: u32,
    /// `scaling_ratio`.
    ratio: u32,
    /// `window_clamp`.
    clamp: u32,
    /// `rcv_ssthresh`: how far the window has been opened.
    threshold: u32,
    /// `rcv_wnd` and `rcv_wup`: what was told last, and from where it counts.
    told: u32,
    told_at: SeqNum,
    /// Our own segment size, and the peer's as seen (`rcv_mss`).
    segment: u32,
    peer_segment: u32,
    /// A packet found no room: the next window is none (`ICSK_ACK_NOMEM`).
    refused: bool,
    /// `tcp_shrink_window`.
    may_retreat: bool,
    /// `sk_rmem_alloc`.
    held: u32,
    ready: VecDeque<Ready>,
    waiting: Vec<Waiting>,
}

impl KernelBuffer {
    fn new(config: &TcpConfig, mss: u16) -> Self {
        let size = size_of_buffer(config);
        // A SYN of ours does not leave room for the timestamps that it offers (`tcp_connect_init`).
        let told = u32::from(initial_window(config, mss, false));
        Self {
            size,
            max: config.tuning().receive_max.max(size),
            ratio: RATIO,
            clamp: window_of(size, RATIO),
            threshold: told,
            told,
            told_at: SeqNum(0),
            segment: mss.into(),
            peer_segment: PEER_SEGMENT.into(),
            refused: false,
            may_retreat: config.tuning().buffers == BufferAccounting::KernelRetreating,
            held: 0,
            ready: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    fn free(&self) -> u32 {
        window_of(self.size.saturating_sub(self.held), self.ratio)
    }

    /// What is left of the window that was told last (`tcp_receive_window`).
    fn current(&self, next: SeqNum) -> u32 {
        self.told.saturating_sub(next.distance_from(self.told_at))
    }

    /// `__tcp_select_window`.
    fn offer(&self, scale: u8) -> Offer {
        let unit = 1 << scale;
        let allowed = window_of(self.size, self.ratio);
        let full = self.clamp.min(allowed);
        let segment = self.peer_segment.min(full);
        let mut free = self.free();
        let none = Offer {
            window: 0,
            scarce: true,
        };
        if full == 0 {
            return none;
        }
        let retreating = self.may_retreat && scale > 0;
        let scarce = free < full / 2;
        if retreating || scarce {
            free = free >> scale << scale;
        }
        if scarce && (free < allowed >> 4 || free < segment || retreating && free < unit) {
            return none;
        }
        let free = free.min(self.threshold);
        let window = if scale > 0 {
            free.next_multiple_of(unit)
        } else if self.told > free || self.told + segment <= free {
            free / segment * segment
        } else if segment == full && free > self.told + full / 2 {
            free
        } else {
            self.told
        };
        Offer { window, scarce }
    }

    /// The window field of a segment that acknowledges `next` (`tcp_select_window`).
    fn tell(&mut self, next: SeqNum, scale: u8) -> u16 {
        let current = self.current(next);
        let unit = 1 << scale;
        let chosen = if core::mem::take(&mut self.refused) {
            0
        } else {
            let window = self.offer(scale).window;
            if window < current && !(self.may_retreat && scale > 0) {
                current.next_multiple_of(unit)
            } else {
                window
            }
        };
        self.told = chosen;
        self.told_at = next;
        (chosen.min(0xffff << scale) >> scale) as u16
    }

    /// What packets hold beside their octets is learned from those that are larger than any before (`tcp_measure_rcv_mss`).
    fn measure(&mut self, unit: u32, payload: u32, cost: u32, peer_segment: u32) {
        if unit > self.peer_segment {
            let ratio = (u64::from(payload) * WHOLE / u64::from(cost)) as u32;
            self.ratio = ratio.clamp(1, 255);
            self.clamp = window_of(self.size, self.ratio);
        }
        self.peer_segment = peer_segment;
    }

    /// A packet that uses its memory well opens the window (`tcp_grow_window`).
    fn open(&mut self, payload: u32, cost: u32) {
        let room = self.clamp.min(self.free()).saturating_sub(self.threshold);
        if payload < WORTH_GROWING || room == 0 {
            return;
        }
        let more = if window_of(cost, self.ratio) <= payload {
            2 * self.segment
        } else {
            self.little_by_little(payload, cost)
        };
        if more > 0 {
            self.threshold += room.min(more.max(2 * payload));
        }
    }

    /// `__tcp_grow_window`: while the window is small, packets may be wasteful.
    fn little_by_little(&self, payload: u32, cost: u32) -> u32 {
        let mut cost = window_of(cost, self.ratio) / 2;
        let mut window = window_of(self.max, self.ratio) / 2;
        while self.threshold <= window && window > 0 {
            if cost <= payload {
                return 2 * self.peer_segment;
            }
            cost /= 2;
            window /= 2;
        }
        0
    }

    /// `octets` came in order, some of them perhaps from behind a hole that is filled: all before `next`.
    fn queue(&mut self, octets: u32, size: Truesize, next: SeqNum) {
        let Truesize { cost, room } = size;
        // What is small is copied behind the one before (`tcp_try_coalesce`).
        if let Some(last) = self.ready.back_mut().filter(|last| last.room >= octets)
            && self.waiting.is_empty()
        {
            last.room -= octets;
            last.octets += octets;
            return;
        }
        let mut moved = 0;
        self.waiting.retain(|packet| {
            let passed = packet.start.precedes(next);
            moved += if passed { packet.cost } else { 0 };
            !passed
        });
        self.held += cost;
        self.ready.push_back(Ready {
            octets,
            cost: cost + moved,
            room: if moved == 0 { room } else { 0 },
        });
    }

    fn queue_behind_hole(&mut self, start: SeqNum, octets: u32, cost: u32) {
        self.held += cost;
        self.waiting.push(Waiting { start, octets, cost });
    }

    /// The program has read `count` octets; `rest` are left. A packet goes when all of it is read.
    fn release(&mut self, count: u32, rest: u32) {
        let mut left = count;
        while let Some(front) = self.ready.front_mut() {
            let whole = rest == 0 || front.octets <= left;
            if !whole {
                front.octets -= left;
                break;
            }
            left = left.saturating_sub(front.octets);
            self.held -= front.cost;
            self.ready.pop_front();
        }
    }

    /// Octets are copied together, a page at a time (`tcp_collapse`).
    fn collapse(&mut self) {
        let tight = |octets: u32| (PAGE + BUFFER) * octets.div_ceil(PAGE - SHARED);
        for packet in &mut self.ready {
            packet.cost = packet.cost.min(tight(packet.octets));
        }
        for packet in &mut self.waiting {
            packet.cost = packet.cost.min(tight(packet.octets));
        }
        self.held = self.ready.iter().map(|packet| packet.cost).sum::<u32>()
            + self.waiting.iter().map(|packet| packet.cost).sum::<u32>();
    }

    /// What begins at `start` and behind it was thrown away.
    fn forget_from(&mut self, start: SeqNum) {
        let held = &mut self.held;
        self.waiting.retain(|packet| {
            let stays = packet.start.precedes(start);
            *held -= if stays { 0 } else { packet.cost };
            stays
        });
    }

    /// A buffer that the program has not fixed grows over what it holds; the window does not open further (`tcp_clamp_window`).
    fn stretch(&mut self, fixed: bool) {
        if !fixed && self.size < self.max {
            self.size = self.held.min(self.max).max(self.size);
        }
        if self.held > self.size {
            self.threshold = self.clamp.min(2 * self.segment);
        }
    }

    fn grow_to(&mut self, window: u32) {
        let size = space_of(window, self.ratio).min(self.max);
        if size > self.size {
            self.size = size;
            self.clamp = window_of(size, self.ratio);
        }
    }
}

impl Connection {
    /// Makes the buffer of a new connection where the host's rule asks for it.
    pub(crate) fn begin_kernel_buffer(&mut self) {
        if self.config.tuning().buffers != BufferAccounting::Payload {
            let buffer = KernelBuffer::new(&self.config, self.advertised_mss);
            self.rcv.window.set_limit(buffer.clamp);
            self.rare().kernel = Some(Box::new(buffer));
        }
    }

    /// The SYN-ACK that made this connection offered `told`, or what is left by these timestamps' room.
    pub(crate) fn settle_initial_window(&mut self, told: Option<u16>, timestamps: bool) {
        let told = told.unwrap_or_else(|| initial_window(&self.config, self.advertised_mss, timestamps));
        let told = u32::from(told);
        if let Some(buffer) = self.kernel_mut() {
            buffer.told = told;
            buffer.threshold = told;
        }
    }

    fn kernel(&self) -> Option<&KernelBuffer> {
        self.rare.as_ref()?.kernel.as_deref()
    }

    fn kernel_mut(&mut self) -> Option<&mut KernelBuffer> {
        self.rare.as_mut()?.kernel.as_deref_mut()
    }

    /// `sk_rcvbuf`.
    pub(crate) fn kernel_buffer_size(&self) -> Option<u32> {
        self.kernel().map(|buffer| buffer.size)
    }

    /// The program has set `SO_RCVBUF`.
    pub(crate) fn set_kernel_buffer_size(&mut self, size: u32) {
        if let Some(buffer) = self.kernel_mut() {
            buffer.size = size;
        }
    }

    /// The window field, by this account.
    pub(crate) fn kernel_window_field(&mut self, syn: bool) -> Option<u16> {
        let (next, scale) = (self.rcv.nxt, if syn { 0 } else { self.rcv_scale });
        let bound = self.config.window_clamp.unwrap_or(u32::MAX);
        let buffer = self.kernel_mut()?;
        buffer.clamp = buffer.clamp.min(bound);
        let field = if syn {
            buffer.told_at = next;
            buffer.told.min(0xffff) as u16
        } else {
            buffer.tell(next, scale)
        };
        self.rcv.window.note_edge(next + (u32::from(field) << scale));
        Some(field)
    }

    /// The window that the SYN or SYN-ACK has told counts from here.
    pub(crate) fn kernel_window_begins(&mut self) {
        let next = self.rcv.nxt;
        if let Some(buffer) = self.kernel_mut() {
            buffer.told_at = next;
            let edge = next + buffer.told;
            self.rcv.window.note_edge(edge);
        }
    }

    /// Whether a segment reaches over the edge while something waits to be read: then it is none of ours (`tcp_sequence`).
    pub(crate) fn overfills(&self, seg: &Segment) -> bool {
        let edge = self.rcv.nxt + self.rcv.window.remaining(self.rcv.nxt);
        self.kernel().is_some() && seg.data_len() > 0 && edge.precedes(seg.end()) && self.readable() > 0
    }

    fn truesize_of(&self, payload: u32) -> Truesize {
        let ip = if self.tuple.is_v4() { 20 } else { 40 };
        truesize(ip + if self.flags.timestamps_on() { 32 } else { 20 }, payload)
    }

    /// Whether the text of a segment is taken: whole or not at all. `None` where octets are counted.
    pub(crate) fn check_text_by_truesize(&mut self, seg: &Segment) -> Option<Check> {
        let (next, end) = (self.rcv.nxt, seg.seq + seg.data_len());
        let window = self.kernel()?.current(next);
        if end.precedes_or_equals(next) {
            return Some(ControlFlow::Continue(()));
        }
        let shut = window == 0 || !seg.seq.precedes(next) && !seg.seq.is_within(next, window);
        if shut {
            if window == 0 && seg.seq.precedes(next) {
                self.report_duplicate(SackBlock {
                    left: seg.seq,
                    right: next,
                });
            }
            self.acks.now = true;
            return Some(ControlFlow::Break(Discard::TcpOutOfWindow));
        }
        let in_order = seg.seq.precedes_or_equals(next);
        if self.has_memory() || in_order && self.readable() == 0 {
            return Some(ControlFlow::Continue(()));
        }
        self.acks.now = true;
        if let Some(buffer) = self.kernel_mut() {
            buffer.refused |= in_order;
        }
        Some(ControlFlow::Break(Discard::TcpMemory))
    }

    /// `tcp_try_rmem_schedule`: a packet is taken while the buffer is not over-full already, after pruning if need be.
    fn has_memory(&mut self) -> bool {
        let fixed = !self.tunes_receive_buffer();
        let Some(buffer) = self.rare.as_mut().and_then(|rare| rare.kernel.as_deref_mut()) else {
            return true;
        };
        if buffer.held <= buffer.size {
            return true;
        }
        self.acks.quick = 0;
        buffer.stretch(fixed);
        if buffer.held > buffer.size {
            buffer.collapse();
        }
        while buffer.held > buffer.size
            && let Some(start) = self.receiving.as_mut().and_then(|it| it.forget_farthest())
        {
            buffer.forget_from(start);
        }
        buffer.held <= buffer.size
    }

    /// A FIN into a full buffer is taken, and the window shut.
    pub(crate) fn meet_fin_when_full(&mut self) {
        if let Some(buffer) = self.kernel_mut()
            && buffer.held > buffer.size
        {
            buffer.refused = true;
            self.acks.now = true;
        }
    }

    /// A segment was queued: in order so many `octets` of it and of what waited, or none.
    pub(crate) fn count_truesize(&mut self, start: SeqNum, payload: u32, unit: u32, octets: u32) {
        let (next, size, peer_segment) = (self.rcv.nxt, self.truesize_of(payload), self.acks.peer_mss());
        let cost = size.cost;
        let Some(buffer) = self.kernel_mut() else { return };
        buffer.measure(unit, payload, cost, peer_segment);
        if octets > 0 {
            buffer.queue(octets, size, next);
        } else {
            buffer.queue_behind_hole(start, payload, cost);
        }
        buffer.open(payload, cost);
    }

    /// Something waits behind a hole up to `span` octets from here: the buffer has to hold it and a round trip more.
    pub(crate) fn grow_kernel_buffer_behind(&mut self, span: u32) -> bool {
        let space = self.rcv.window.space();
        let Some(buffer) = self.kernel_mut() else { return false };
        buffer.grow_to(space.saturating_mul(2).saturating_add(span));
        true
    }

    /// The program has read; `grows` if the buffer may follow what it reads. Answers whether the peer should hear of the room,
    /// or nothing where octets are counted (`tcp_cleanup_rbuf`).
    pub(crate) fn read_from_kernel_buffer(&mut self, now: Instant, count: u32) -> Option<bool> {
        let (rest, next, scale) = (self.readable(), self.rcv.nxt, self.rcv_scale);
        let (srtt, grows) = (self.rtt.srtt(), self.tunes_receive_buffer());
        let (window, buffer) = (&mut self.rcv.window, self.rare.as_mut()?.kernel.as_deref_mut()?);
        buffer.release(count, rest);
        if grows {
            window.on_read(count, srtt, now, buffer.max);
            if window.limit() > window_of(buffer.size, buffer.ratio) {
                buffer.grow_to(window.limit());
            }
        }
        let current = buffer.current(next);
        let offer = buffer.offer(scale).window;
        Some(2 * u64::from(current) <= u64::from(buffer.clamp) && offer > 0 && offer >= current.saturating_mul(2))
    }

    /// Whether an acknowledgment of several segments would open the window: if not, the program's read sends it, or the
    /// delay ends (`__tcp_ack_snd_check`). Where less than half of the buffer is free, nothing is acknowledged for quickness' sake.
    pub(crate) fn is_worth_acknowledging(&mut self) -> bool {
        let scale = self.rcv_scale;
        let Some(buffer) = self.kernel_mut() else { return true };
        let (offer, told) = (buffer.offer(scale), buffer.told);
        if offer.scarce {
            self.acks.quick = 0;
        }
        offer.window >= told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(size: u32) -> KernelBuffer {
        let config = TcpConfig {
            receive_buffer: Some(size / 2),
            ..TcpConfig::default()
        };
        KernelBuffer::new(&config, 1460)
    }

    #[test]
    fn packets_take_up_what_linux_allocates_for_them() {
        let of = |cost, room| Truesize { cost, room };
        assert_eq!(truesize(40, 1000), of(2304, 624));
        assert_eq!(truesize(40, 1), of(768, 87));
        assert_eq!(truesize(40, 10_000), of(12_544, 0));
    }

    #[test]
    fn the_first_window_is_half_the_buffer_in_whole_segments() {
        let config = TcpConfig {
            receive_buffer: Some(20_000),
            ..TcpConfig::default()
        };
        assert_eq!(initial_window(&config, 1460, false), 18_980);
        assert_eq!(initial_window(&config, 1460, true), 18_824, "13 of 1,448 octets");
    }

    #[test]
    fn tiny_segments_fill_the_buffer_before_their_octets_do() {
        let mut buffer = buffer(20_000);
        let mut next = SeqNum(0);
        let mut count = 0;
        while buffer.held <= buffer.size {
            next += 1;
            count += 1;
            buffer.queue(1, truesize(40, 1), next);
        }
        assert_eq!(count, 20_000 / 768 * 88 + 1, "87 more fit behind each that is kept");
        assert_eq!(
            buffer.tell(next, 0),
            (buffer.threshold - count) as u16,
            "what was promised stays"
        );
        buffer.collapse();
        assert_eq!(buffer.held, 27 * 768, "there is nothing to gain");
        buffer.release(count, 0);
        assert_eq!(buffer.held, 0);
    }

    #[test]
    fn a_window_that_may_retreat_shows_what_is_free() {
        let mut buffer = buffer(32_768);
        buffer.may_retreat = true;
        buffer.measure(1000, 10_000, 12_544, 1000);
        buffer.queue(10_000, truesize(40, 10_000), SeqNum(10_000));
        buffer.open(10_000, 12_544);
        assert_eq!(buffer.tell(SeqNum(10_000), 10), 15);
        buffer.queue(1023, truesize(40, 1023), SeqNum(11_023));
        assert_eq!(buffer.tell(SeqNum(11_023), 10), 13);
    }
}
