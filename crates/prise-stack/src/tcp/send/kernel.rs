//! Linux's account of a send buffer, where [`BufferAccounting`](crate::tcp::tuning::BufferAccounting) asks for it: octets are queued in buffers of up to the size of a unit (`tcp_xmit_size_goal`), each of which takes up a little
//! more than its octets (`sk_wmem_queued`). A new one is made while less than the whole is taken, so that the last may reach far beyond it;
//! who waits is woken when two thirds are left (`sk_stream_is_writeable`). Called by the program's writes, `output` and `ack`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use prise_wire::{Instant, Payload, SeqNum};

use super::output::{NextSegment, UNIT_MAX};
use crate::tcp::connection::Connection;
use crate::tcp::tuning::BufferAccounting;

/// What a buffer takes up beside its octets, as measured on Linux 6.18: `sizeof(struct sk_buff)`, room for headers, `sizeof(struct skb_shared_info)`.
const OVERHEAD: u32 = 832;
/// The largest unit of a device, less the headers' room (`sk_gso_max_size`).
const UNIT: u32 = 65_536 - 321;
/// `TCP_INIT_CWND`.
const INITIAL_SEGMENTS: u32 = 10;
/// `TCP_MSS_DEFAULT`.
const SMALL_WINDOW: u32 = 536;

/// A unit that a write in progress has sent by this account.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    end: SeqNum,
    /// It is pushed though the write goes on, because so much lies before it (`forced_push`).
    pushed: bool,
}

/// The send buffer of one connection.
#[derive(Debug, Default)]
pub(crate) struct KernelSendBuffer {
    /// Octets of each buffer, from `snd.una` on.
    buffers: VecDeque<u32>,
    total: u32,
    /// What the link has not fetched yet.
    leaving: VecDeque<Leaving>,
    /// The last octet that was pushed (`pushed_seq`).
    pushed: Option<SeqNum>,
    /// What the buffer has grown to where the program has not set it (`sk_sndbuf`); 0 before that.
    grown: u32,
}

impl KernelSendBuffer {
    /// `sk_wmem_queued`.
    fn held(&self) -> u32 {
        self.total + self.buffers.len() as u32 * OVERHEAD
    }

    /// The queue has so many octets now: what was acknowledged is gone.
    fn reconcile(&mut self, queued: u32) {
        while self.total > queued
            && let Some(front) = self.buffers.front_mut()
        {
            let gone = (self.total - queued).min(*front);
            *front -= gone;
            self.total -= gone;
            if *front == 0 {
                self.buffers.pop_front();
            }
        }
        if self.total < queued {
            // Queued by another way, as with the SYN.
            self.buffers.push_back(queued - self.total);
            self.total = queued;
        }
    }

    /// Octets up to `offset` leave: what is behind them is a buffer of its own.
    fn split_at(&mut self, offset: u32) {
        let mut before = 0;
        for index in 0..self.buffers.len() {
            let len = self.buffers[index];
            if offset <= before {
                return;
            }
            if offset < before + len {
                self.buffers[index] = offset - before;
                self.buffers.insert(index + 1, before + len - offset);
                return;
            }
            before += len;
        }
    }

    /// Octets from `offset` on that are in the same buffer.
    fn rest_from(&self, offset: u32) -> u32 {
        let mut end = 0;
        for len in &self.buffers {
            end += len;
            if offset < end {
                return end - offset;
            }
        }
        u32::MAX
    }

    fn append(&mut self, octets: u32, to_last: bool) {
        match self.buffers.back_mut().filter(|_| to_last) {
            Some(last) => *last += octets,
            None => self.buffers.push_back(octets),
        }
        self.total += octets;
    }

    /// Octets that find room in the last buffer, if that has not left.
    fn room_in_last(&self, goal: u32, unsent: u32) -> u32 {
        let unsent_last = self.buffers.back().filter(|last| **last <= unsent);
        unsent_last.map_or(0, |last| goal.saturating_sub(*last))
    }
}

impl Connection {
    /// `sk_sndbuf`, where this account is kept.
    fn kernel_send_size(&self) -> Option<u32> {
        if self.config.tuning().buffers == BufferAccounting::Payload {
            return None;
        }
        if let Some(size) = self.config.send_buffer {
            return Some(size.saturating_mul(2));
        }
        let kernel = self.rare.as_ref().and_then(|rare| rare.kernel_send.as_deref());
        let grown = kernel.map_or(0, |kernel| kernel.grown);
        let least = self
            .config
            .tuning()
            .send_initial
            .max(self.worth_of_segments(INITIAL_SEGMENTS));
        Some(grown.max(least))
    }

    /// Twice what so many segments take up, as far as a buffer may grow (`tcp_sndbuf_expand`).
    fn worth_of_segments(&self, segments: u32) -> u32 {
        /// `MAX_TCP_HEADER` and `struct skb_shared_info`, then `struct sk_buff`.
        const BESIDE: (u32, u32) = (640, 256);
        let each = (u32::from(self.mss) + BESIDE.0).next_power_of_two() + BESIDE.1;
        let worth = segments.saturating_mul(2 * each);
        worth.min(self.config.tuning().send_max)
    }

    /// Room has come free for a program that waits: the buffer holds twice the congestion window from now on, unless that is full
    /// (`tcp_new_space`).
    pub(crate) fn grow_kernel_send_buffer(&mut self) {
        let cwnd = self.congestion.cwnd();
        if !self.keeps_kernel_send_buffer() || self.config.send_buffer.is_some() || self.in_flight() >= cwnd {
            return;
        }
        let segments = (cwnd / self.segment_size()).max(INITIAL_SEGMENTS);
        let worth = self.worth_of_segments(segments);
        if let Some(kernel) = self.rare.as_mut().and_then(|rare| rare.kernel_send.as_deref_mut()) {
            kernel.grown = kernel.grown.max(worth);
        }
    }

    pub(crate) fn keeps_kernel_send_buffer(&self) -> bool {
        self.kernel_send_size().is_some()
    }

    fn kernel_send_buffer(&mut self) -> &mut KernelSendBuffer {
        let queued = self.queued();
        let buffer = self.rare().kernel_send.get_or_insert_with(Box::default);
        buffer.reconcile(queued);
        buffer
    }

    /// `tcp_xmit_size_goal`: a unit, but no more than half of the largest window that the peer has offered.
    fn size_goal(&self) -> u32 {
        let size = self.segment_size();
        if !self.flags.link_splits() {
            return size;
        }
        let half = if self.snd.max_wnd > SMALL_WINDOW {
            self.snd.max_wnd / 2
        } else {
            self.snd.max_wnd
        };
        (UNIT.min(half) / size * size).max(size)
    }

    /// Queues from the front of `data` as much as fits by this account; `None` where octets are counted.
    pub(crate) fn push_by_truesize(&mut self, now: Instant, data: &mut Payload) -> Option<u32> {
        let size = self.kernel_send_size()?;
        let goal = self.size_goal();
        let most_unsent = self.config.unsent_low_water.unwrap_or(u32::MAX);
        let begin = self.queue_end();
        self.kernel_send_buffer().pushed.get_or_insert(begin);
        let mut taken = 0;
        // What leaves while the write goes on.
        let mut ahead = 0;
        while !data.is_empty() {
            let unsent = self.unsent().saturating_sub(ahead);
            let buffer = self.kernel_send_buffer();
            let in_last = buffer.room_in_last(goal, unsent);
            let room = match in_last {
                0 if buffer.held() >= size || unsent >= most_unsent => break,
                0 => goal,
                room => room,
            };
            let octets = self.sending().queue.push(data, room);
            let buffer = self.rare().kernel_send.get_or_insert_with(Box::default);
            buffer.append(octets, in_last > 0);
            taken += octets;
            if octets == room {
                ahead += self.send_ahead(now, ahead);
            }
        }
        let end = self.queue_end();
        self.kernel_send_buffer().pushed = Some(end);
        Some(taken)
    }

    /// A full buffer is sent while the write goes on: what may leave of it, behind what has left, is a buffer by itself from then on.
    fn send_ahead(&mut self, now: Instant, ahead: u32) -> u32 {
        let unit_max = if self.flags.link_splits() {
            UNIT_MAX
        } else {
            self.segment_size()
        };
        let NextSegment::Data { len: unit, .. } = self.next_segment(now, unit_max) else {
            return 0;
        };
        let by_window = self.snd.wnd.saturating_sub(self.snd.nxt.distance_from(self.snd.una));
        let by_cwnd = self.congestion.cwnd().saturating_sub(self.in_flight());
        let may_leave = by_window
            .min(by_cwnd)
            .min(self.unsent())
            .saturating_sub(ahead)
            .min(unit);
        let size = self.segment_size();
        let len = may_leave / size * size;
        let (queue_end, much) = (self.queue_end(), self.snd.max_wnd / 2);
        if len > 0 {
            let end = self.snd.nxt + ahead + len;
            let offset = end.distance_from(self.queue_start());
            let buffer = self.rare().kernel_send.get_or_insert_with(Box::default);
            buffer.split_at(offset);
            let forced = buffer.pushed.is_some_and(|pushed| (pushed + much).precedes(queue_end));
            if forced {
                buffer.pushed = Some(queue_end);
            }
            buffer.leaving.push_back(Leaving {
                end,
                pushed: forced && end == queue_end,
            });
        }
        len
    }

    /// Octets from `snd.nxt` on that may leave as one unit by this account: what a write has sent ahead, and of one buffer only.
    pub(super) fn rest_of_unit(&self) -> u32 {
        let Some(buffer) = self.rare.as_ref().and_then(|rare| rare.kernel_send.as_deref()) else {
            return u32::MAX;
        };
        let nxt = self.snd.nxt;
        let ahead = buffer.leaving.front().map(|unit| unit.end.distance_from(nxt));
        let of_buffer = buffer.rest_from(nxt.distance_from(self.queue_start()));
        ahead.unwrap_or(u32::MAX).min(of_buffer)
    }

    /// Octets before `end` have left. Answers whether they were pushed.
    pub(crate) fn split_send_buffer(&mut self, end: SeqNum) -> bool {
        let offset = end.distance_from(self.queue_start());
        if let Some(buffer) = self.rare.as_mut().and_then(|rare| rare.kernel_send.as_deref_mut()) {
            buffer.split_at(offset);
            let mut pushed = false;
            while let Some(unit) = buffer.leaving.pop_front_if(|unit| unit.end.precedes_or_equals(end)) {
                pushed = unit.pushed;
            }
            return pushed;
        }
        false
    }

    /// Octets were acknowledged.
    pub(crate) fn reconcile_send_buffer(&mut self) {
        let queued = self.queued();
        if let Some(buffer) = self.rare.as_mut().and_then(|rare| rare.kernel_send.as_deref_mut()) {
            buffer.reconcile(queued);
        }
    }

    /// Octets that a write would find room for at once, and whether a program that waits should be told.
    pub(crate) fn kernel_send_room(&self) -> Option<(u32, bool)> {
        let (size, goal) = (self.kernel_send_size()?, self.size_goal());
        let Some(buffer) = self.rare.as_ref().and_then(|rare| rare.kernel_send.as_deref()) else {
            return Some((goal, true));
        };
        let held = buffer.held();
        let in_last = buffer.room_in_last(goal, self.unsent());
        let another = held < size && self.config.unsent_low_water.is_none_or(|low| self.unsent() < low);
        let room = in_last + if another { goal } else { 0 };
        Some((room, held < size && size - held >= held / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_takes_up_nothing_any_more() {
        let mut buffer = KernelSendBuffer::default();
        buffer.append(25_000, false);
        buffer.split_at(5000);
        buffer.append(5000, true);
        buffer.append(25_000, false);
        assert_eq!(buffer.buffers, [5000, 25_000, 25_000]);
        assert_eq!(buffer.held(), 55_000 + 3 * OVERHEAD);
        buffer.reconcile(45_000);
        assert_eq!(buffer.buffers, [20_000, 25_000]);
        buffer.reconcile(0);
        assert_eq!(buffer.held(), 0);
    }

    #[test]
    fn only_a_buffer_that_has_not_left_is_filled_up() {
        let mut buffer = KernelSendBuffer::default();
        buffer.append(3000, false);
        assert_eq!(buffer.room_in_last(10_000, 3000), 7000);
        assert_eq!(buffer.room_in_last(10_000, 2999), 0);
    }
}
