//! When octets left and when they were acknowledged, for programs that ask (`SO_TIMESTAMPING`; the kernel's
//! `Documentation/networking/timestamping.rst`, 1.3 and 2.1.1.5): an octet of the stream is marked when it is queued, and each step
//! that was asked for is noted once. Called by the program's writes, by `output` and by `ack`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use prise_wire::{Instant, SeqNum};

use crate::event::Ready;
use crate::stack::Stack;
use crate::tcp::ConnId;
use crate::tcp::connection::Connection;

/// Marks that wait, and stamps that nobody fetches: beyond this nothing more is marked (Linux bounds them by the socket's memory).
const MAX: usize = 1024;

/// Which steps of an octet are to be noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StampsWanted {
    /// It was handed to the link (`SOF_TIMESTAMPING_TX_SCHED`).
    pub scheduled: bool,
    /// It has left (`SOF_TIMESTAMPING_TX_SOFTWARE`). No link of ours has a queue of its own that could tell the two apart.
    pub sent: bool,
    /// The peer has acknowledged it and all before (`SOF_TIMESTAMPING_TX_ACK`).
    pub acknowledged: bool,
}

/// A step of an octet (`SCM_TSTAMP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampKind {
    /// `SCM_TSTAMP_SND`.
    Sent,
    /// `SCM_TSTAMP_SCHED`.
    Scheduled,
    /// `SCM_TSTAMP_ACK`.
    Acknowledged,
}

/// One step of a marked octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which.
    pub kind: StampKind,
    /// The number that the octet was marked with.
    pub key: u32,
    /// When.
    pub at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The sequence number after the octet.
    end: SeqNum,
    key: u32,
    wanted: StampsWanted,
    has_left: bool,
}

/// The marks and stamps of one connection.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    marks: VecDeque<Mark>,
    done: VecDeque<Stamp>,
}

impl Stamps {
    fn mark(&mut self, end: SeqNum, key: u32, wanted: StampsWanted) {
        let known = self.marks.back().is_some_and(|last| last.end == end);
        if !known && self.marks.len() + self.done.len() < MAX {
            self.marks.push_back(Mark {
                end,
                key,
                wanted,
                has_left: false,
            });
        }
    }

    /// Octets before `nxt` have left. Answers whether that was to be noted of any.
    fn sent(&mut self, nxt: SeqNum, at: Instant) -> bool {
        let before = self.done.len();
        for mark in self.marks.iter_mut().filter(|mark| !mark.has_left) {
            if nxt.precedes(mark.end) {
                break;
            }
            mark.has_left = true;
            let steps = [
                (StampKind::Scheduled, mark.wanted.scheduled),
                (StampKind::Sent, mark.wanted.sent),
            ];
            let key = mark.key;
            let wanted = steps.into_iter().filter(|(_, wanted)| *wanted);
            self.done.extend(wanted.map(|(kind, _)| Stamp { kind, key, at }));
        }
        self.forget();
        self.done.len() > before
    }

    /// Octets before `una` are acknowledged. Answers likewise.
    fn acknowledged(&mut self, una: SeqNum, at: Instant) -> bool {
        let before = self.done.len();
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.end.precedes_or_equals(una)) {
            if mark.wanted.acknowledged {
                self.done.push_back(Stamp {
                    kind: StampKind::Acknowledged,
                    key: mark.key,
                    at,
                });
            }
        }
        self.done.len() > before
    }

    /// Of what has left and nobody wants to hear of again nothing is kept.
    fn forget(&mut self) {
        self.marks.retain(|mark| !mark.has_left || mark.wanted.acknowledged);
    }
}

impl Connection {
    fn stamps_mut(&mut self) -> Option<&mut Stamps> {
        self.rare.as_mut()?.stamps.as_deref_mut()
    }

    /// New octets have left.
    pub(crate) fn stamp_sent(&mut self, now: Instant) {
        let nxt = self.snd.nxt;
        if self.stamps_mut().is_some_and(|stamps| stamps.sent(nxt, now)) {
            self.raise(Ready::ERROR);
        }
    }

    /// `snd.una` has advanced.
    pub(crate) fn stamp_acknowledged(&mut self, now: Instant) {
        let una = self.snd.una;
        if self.stamps_mut().is_some_and(|stamps| stamps.acknowledged(una, now)) {
            self.raise(Ready::ERROR);
        }
    }
}

impl Stack {
    /// Marks the last octet that was queued with a number, so that the steps of its way are noted. Does nothing where no octet
    /// waits to be sent.
    pub fn tcp_stamp(&mut self, id: ConnId, key: u32, wanted: StampsWanted) {
        let Some(connection) = self.tcp.connections.find_mut(id.key()) else {
            return;
        };
        if connection.unsent() == 0 || wanted == StampsWanted::default() {
            return;
        }
        let end = connection.queue_end();
        let stamps = connection.rare().stamps.get_or_insert_with(Box::default);
        stamps.mark(end, key, wanted);
    }

    /// The oldest stamp.
    pub fn tcp_take_stamp(&mut self, id: ConnId) -> Option<Stamp> {
        let connection = self.tcp.connections.find_mut(id.key())?;
        connection.stamps_mut()?.done.pop_front()
    }

    /// Whether there is one.
    pub fn tcp_has_stamp(&self, id: ConnId) -> bool {
        let connection = self.tcp.connections.find(id.key());
        let stamps = connection.and_then(|connection| connection.rare.as_ref()?.stamps.as_ref());
        stamps.is_some_and(|stamps| !stamps.done.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: StampsWanted = StampsWanted {
        scheduled: true,
        sent: true,
        acknowledged: true,
    };

    fn kinds(stamps: &mut Stamps) -> alloc::vec::Vec<(StampKind, u32)> {
        stamps.done.drain(..).map(|stamp| (stamp.kind, stamp.key)).collect()
    }

    #[test]
    fn a_marked_octet_is_noted_once_a_step() {
        let mut stamps = Stamps::default();
        stamps.mark(SeqNum(100), 99, ALL);
        assert!(!stamps.sent(SeqNum(99), Instant::ZERO));
        assert!(stamps.sent(SeqNum(150), Instant::ZERO));
        assert!(!stamps.sent(SeqNum(200), Instant::ZERO));
        assert_eq!(kinds(&mut stamps), [(StampKind::Scheduled, 99), (StampKind::Sent, 99)]);
        assert!(!stamps.acknowledged(SeqNum(99), Instant::ZERO));
        assert!(stamps.acknowledged(SeqNum(100), Instant::ZERO));
        assert_eq!(kinds(&mut stamps), [(StampKind::Acknowledged, 99)]);
        assert!(stamps.marks.is_empty());
    }

    #[test]
    fn stamps_that_nobody_fetches_are_bounded() {
        let mut stamps = Stamps::default();
        for at in 1..5000 {
            stamps.mark(
                SeqNum(at),
                at,
                StampsWanted {
                    sent: true,
                    ..StampsWanted::default()
                },
            );
            stamps.sent(SeqNum(at), Instant::ZERO);
        }
        assert_eq!(stamps.done.len(), MAX);
        assert!(stamps.marks.is_empty());
    }
}
