//! When a connection wants to be woken: one field for each kind of timer, one lazy node in the wheel for all.

use prise_wire::Instant;

use crate::wheel::{TimerId, Wheel};

/// What the retransmission slot waits for; RFC 9293 and RFC 8985 have them exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retransmit {
    /// RFC 6298.
    Rto,
    /// Tail loss probe, RFC 8985 §7.
    Probe,
    /// RACK's reordering window, RFC 8985 §6.2.
    Reordering,
    /// Zero-window probe, RFC 9293 §3.8.6.1.
    Persist,
    /// Another offer to a link that takes nothing.
    Held,
}

/// What the slow slot waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    /// RFC 9293 §3.8.4.
    Keepalive,
    /// An orphan in FIN-WAIT-2 whose peer never closes.
    FinWait2,
}

/// A connection's deadlines. `FAR_FUTURE` means none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) retransmit: Instant,
    pub(crate) delayed_ack: Instant,
    pub(crate) slow: Instant,
    pub(crate) retransmit_kind: Retransmit,
    pub(crate) slow_kind: Slow,
    node: TimerId,
}

impl Deadlines {
    pub(crate) const fn new() -> Self {
        Self {
            retransmit: Instant::FAR_FUTURE,
            delayed_ack: Instant::FAR_FUTURE,
            slow: Instant::FAR_FUTURE,
            retransmit_kind: Retransmit::Rto,
            slow_kind: Slow::Keepalive,
            node: TimerId::NONE,
        }
    }

    pub(crate) fn arm(&mut self, kind: Retransmit, at: Instant) {
        self.retransmit_kind = kind;
        self.retransmit = at;
    }

    pub(crate) fn disarm(&mut self) {
        self.retransmit = Instant::FAR_FUTURE;
    }

    pub(crate) fn armed(&self, kind: Retransmit) -> bool {
        self.retransmit != Instant::FAR_FUTURE && self.retransmit_kind == kind
    }

    pub(crate) fn arm_slow(&mut self, kind: Slow, at: Instant) {
        self.slow_kind = kind;
        self.slow = at;
    }

    fn earliest(&self) -> Instant {
        self.retransmit.min(self.delayed_ack).min(self.slow)
    }

    /// The wheel gave our node back.
    pub(crate) fn fired(&mut self) {
        self.node = TimerId::NONE;
    }

    /// Brings the node in line with the fields and with the `pace`, which the sending half keeps. A deadline that moved later leaves the node where it is: it fires
    /// early, finds nothing due, and is put back. That makes the common case (each acknowledgment pushes the
    /// retransmission timer out) a single store.
    pub(crate) fn settle(&mut self, wheel: &mut Wheel, key: u64, pace: Instant) {
        let earliest = self.earliest().min(pace);
        if earliest == Instant::FAR_FUTURE {
            return;
        }
        if self.node.is_none() {
            self.node = wheel.insert(earliest, key);
        } else if earliest < wheel.deadline(self.node) {
            wheel.reset(self.node, earliest);
        }
    }

    /// Takes the node out of the wheel: the connection ends.
    pub(crate) fn cancel(&mut self, wheel: &mut Wheel) {
        if !self.node.is_none() {
            wheel.cancel(self.node);
            self.node = TimerId::NONE;
        }
    }
}
