//! What an audit would want to know: connections and lookups, as facts (the `--audit` of later writes them as lines).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use prise_wire::Instant;

use crate::dns::ResponseCode;
use crate::tally::{Discard, Tally};

/// Records that wait to be taken; beyond this, newer ones are lost and counted. At a few hundred octets each, one
/// quarter of a mebibyte.
const RECORDS_MAX: usize = 1024;

/// A number that ties the records of one connection or UDP endpoint together; never reused within a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowNumber(pub u64);

/// A transport that carries flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// Who began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The guest.
    Outbound,
    /// A client of a published port.
    Published,
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Both sides finished.
    Finished,
    /// The guest reset it.
    GuestReset,
    /// The host's side reset it or failed.
    HostReset,
    /// It was idle for too long (UDP).
    Idle,
    /// It made room for another (UDP).
    Evicted,
    /// The run ended before it did.
    Cut,
}

/// One fact, with the moment at which it became one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// What.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A flow began.
    Opened {
        /// Its number.
        flow: FlowNumber,
        /// Its transport.
        transport: Transport,
        /// Who began.
        direction: Direction,
        /// The guest's endpoint.
        guest: SocketAddr,
        /// The other endpoint, as the guest sees it; for UDP the first one.
        remote: SocketAddr,
    },
    /// A flow was not let through.
    Refused {
        /// Its transport.
        transport: Transport,
        /// The guest's endpoint.
        guest: SocketAddr,
        /// The other endpoint, as the guest sees it.
        remote: SocketAddr,
        /// Why.
        reason: Refused,
    },
    /// A flow ended.
    Closed {
        /// Its number.
        flow: FlowNumber,
        /// Octets of payload from the guest.
        sent: u64,
        /// Octets of payload to the guest.
        received: u64,
        /// How.
        end: End,
    },
    /// The guest pinged somebody for the first time from this identifier, or was not let.
    Ping {
        /// The guest's address and identifier.
        guest: SocketAddr,
        /// Whom.
        remote: IpAddr,
        /// Whether the policy forbids it.
        denied: bool,
    },
    /// A name was asked for.
    Lookup {
        /// Who asked, where it is known: a datagram has a source.
        guest: Option<SocketAddr>,
        /// The name, as people write it.
        name: String,
        /// The record type, RFC 1035 §3.2.2.
        kind: u16,
        /// What became of it.
        answer: LookupAnswer,
    },
}

/// What became of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupAnswer {
    /// The policy forbids it; the guest was told that there is no such name.
    Denied,
    /// A name server's response was passed through unread.
    Forwarded,
    /// It was answered.
    Told {
        /// How.
        code: ResponseCode,
        /// The addresses, if there were any.
        addresses: Vec<IpAddr>,
    },
}

/// Why a flow was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The gateway itself would not: policy, limits, impossible addresses.
    Gateway(Discard),
    /// The host's network said so, with this errno.
    Host(i32),
}

/// The queue of records; empty and free where nobody asked for them.
#[derive(Debug)]
pub(crate) struct Records {
    wanted: bool,
    max: usize,
    queue: VecDeque<Record>,
    next_flow: u64,
}

impl Records {
    pub(crate) const fn new(wanted: bool) -> Self {
        Self {
            wanted,
            max: RECORDS_MAX,
            queue: VecDeque::new(),
            next_flow: 0,
        }
    }

    /// Whether anybody takes them.
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn next_flow(&mut self) -> FlowNumber {
        self.next_flow += 1;
        FlowNumber(self.next_flow)
    }

    /// Keeps a fact if anybody wants facts; it is only made then.
    pub(crate) fn push(&mut self, tally: &mut Tally, at: Instant, fact: impl FnOnce() -> Fact) {
        if !self.wanted {
            return;
        }
        if self.queue.len() >= self.max {
            tally.discard(Discard::RecordLost);
            return;
        }
        self.queue.push_back(Record { at, fact: fact() });
    }

    /// These are the last ones, one for each flow at most: none may be lost.
    pub(crate) fn open_wide(&mut self) {
        self.max = usize::MAX;
    }

    pub(crate) fn pop(&mut self) -> Option<Record> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(flow: FlowNumber) -> Fact {
        Fact::Closed {
            flow,
            sent: 1,
            received: 2,
            end: End::Finished,
        }
    }

    #[test]
    fn records_are_bounded_and_their_loss_is_counted() {
        let (mut records, mut tally) = (Records::new(true), Tally::new());
        for _ in 0..=RECORDS_MAX {
            let flow = records.next_flow();
            records.push(&mut tally, Instant::ZERO, || closed(flow));
        }
        assert_eq!(tally.discarded(Discard::RecordLost), 1);
        let taken = core::iter::from_fn(|| records.pop()).count();
        assert_eq!(taken, RECORDS_MAX);
    }

    #[test]
    fn unwanted_records_are_never_made() {
        let (mut records, mut tally) = (Records::new(false), Tally::new());
        records.push(&mut tally, Instant::ZERO, || unreachable!("nobody asked"));
        assert_eq!(records.pop(), None);
    }
}
