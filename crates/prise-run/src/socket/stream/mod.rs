//! The pump of a connected stream: octets between the program's descriptor and the host, both ways, with back-pressure.
//!
//! ```text
//! program ── AF_UNIX ── end │ outgoing: recv(end) → Host::send        incoming: Host::received → sendmsg(end) │ host
//! ```
//! [*Outgoing.*](outgoing) What is read from the end goes to the host at once; what the host does not take waits here (one piece at
//! most), nothing more is read, and the program fills its own send buffer and blocks. [*Incoming.*](incoming) What the host has
//! received is written to the end by reference; only what was taken is consumed, so that the window that TCP advertises
//! follows what the program reads.
//!
//! Of a transfer within the run the octets may go from end to end through a pipe meanwhile ([`conduit`](crate::socket::conduit)).
//!
//! *Ends of directions.* shutdown(SHUT_WR) is judged: a sentinel is queued behind the program's last octet and stays
//! unread, because a reset can afterwards only be shown by closing an end with unread octets. The peer's FIN becomes
//! shutdown(end, SHUT_WR). The last close of the program's descriptor is seen as HUP on the end — except where both
//! directions are shut already: then the end is given up, and the ledger tells of the close.

mod incoming;
mod outgoing;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use prise_socket::{Errno, Host, Readiness, SocketId};
use prise_wire::Instant;
use rustix::event::epoll::EventFlags;

use crate::socket::sentinel::{self, Left};
use crate::waiting::parked::ParkId;
use incoming::Incoming;
use outgoing::{Outgoing, queued};

/// A connected stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The supervisor's end.
    pub(crate) end: OwnedFd,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    /// The end is watched for room.
    pub(crate) watched: bool,
    /// Calls that wait to receive through the supervisor, in their order.
    pub(crate) receiving: VecDeque<ParkId>,
    /// Calls that wait to send through the supervisor.
    pub(crate) sending: VecDeque<ParkId>,
}

/// How a stream stands after it was pumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// At least one direction is open.
    Open,
    /// Both directions have ended in order and everything was delivered; the program may still hold the socket.
    Finished,
    /// The connection failed, and everything that came before was delivered: the program must be told.
    Failed,
    /// The program has closed its last descriptor and everything it wrote was taken by the host; with `abort`, it left
    /// octets unread, for which TCP resets.
    Closed {
        /// Octets were left unread.
        abort: bool,
    },
}

impl Stream {
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self {
            end,
            outgoing: Outgoing::new(),
            incoming: Incoming::default(),
            watched: false,
            receiving: VecDeque::new(),
            sending: VecDeque::new(),
        }
    }

    /// Remembers what epoll(7) said of the end.
    pub(crate) fn note(&mut self, events: EventFlags) {
        self.outgoing.note(events, self.incoming.fin_delivered);
        if events.intersects(EventFlags::OUT | EventFlags::HUP) {
            self.incoming.full = false;
        }
    }

    /// Pumps both directions as far as they go.
    pub(crate) fn pump(&mut self, host: &mut Host, id: SocketId, now: Instant) -> Flow {
        if self.outgoing.pump(&self.end, host, id, now) {
            return Flow::Closed {
                abort: self.outgoing.aborted,
            };
        }
        if !self.incoming.deliver(&self.end, host, id, now) {
            return Flow::Open;
        }
        let readiness = host.readiness(id);
        if readiness.contains(Readiness::ERR) || self.outgoing.failure.is_some() {
            return Flow::Failed;
        }
        if readiness.intersects(Readiness::RDHUP | Readiness::HUP) {
            self.incoming.deliver_fin(&self.end);
        }
        if self.has_finished() {
            Flow::Finished
        } else {
            Flow::Open
        }
    }

    /// The program called shutdown(SHUT_WR).
    pub(crate) fn end_outgoing(&mut self, left: Left) {
        self.outgoing.shut(&self.end, left);
    }

    /// The program called shutdown(SHUT_RD): it reads what lies in its queue, then the end.
    pub(crate) fn end_incoming(&mut self) {
        self.incoming.shut(&self.end);
    }

    /// Whether the program has shut its sending direction by a call that was judged.
    pub(crate) fn outgoing_ended(&self) -> bool {
        self.outgoing.is_shut()
    }

    /// Whether the program was told that the peer sends no more.
    pub(crate) fn fin_was_delivered(&self) -> bool {
        self.incoming.fin_delivered
    }

    /// Whether both directions have ended in order, and both sides were told.
    pub(crate) fn has_finished(&self) -> bool {
        self.incoming.fin_delivered && self.outgoing.fin_sent
    }

    /// What the host said to the program's octets when the connection was no more.
    pub(crate) fn failure(&self) -> Option<Errno> {
        self.outgoing.failure
    }

    /// Octets carried both ways since the last time this was asked.
    pub(crate) fn take_carried(&mut self) -> usize {
        core::mem::take(&mut self.outgoing.carried) + core::mem::take(&mut self.incoming.carried)
    }

    /// Whether something that the program has written waits before the host.
    pub(crate) fn holds_back(&self) -> bool {
        self.outgoing.unsent() > 0 || queued(&self.end) > 0
    }

    /// What the program, which is gone, has written and the host has not taken: octets, of which a sentinel is none.
    pub(crate) fn owed(&self) -> usize {
        self.outgoing.owed(&self.end)
    }

    /// Whether closing the end now shows the program a reset: octets of its own are unread.
    pub(crate) fn resets_when_closed(&self) -> bool {
        self.outgoing.is_shut() || queued(&self.end) > 0
    }

    /// Makes closing the end show an orderly end: takes the sentinel.
    pub(crate) fn settle(&mut self) {
        if self.outgoing.is_shut() {
            sentinel::take(&self.end);
        }
    }
}
