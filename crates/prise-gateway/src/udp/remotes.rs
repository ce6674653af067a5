//! With whom an endpoint of the guest has spoken: kept only where somebody asks, for records or for a policy.
//!
//! One host socket serves all partners of one endpoint. A record is about one partner, and a policy that lets nobody be
//! sent to must still let the clients of a published port be answered.

use core::net::SocketAddr;
use std::collections::HashMap;

use prise_wire::Instant;

use crate::ground::Ground;
use crate::record::{Direction, End, Fact, FlowNumber, Transport};

/// Partners of one endpoint. Beyond it their records are closed and all are forgotten; clients of a published port come
/// back with their next datagram.
const REMOTES_MAX: usize = 1024;

/// What passed between the endpoint and one partner.
#[derive(Debug, Clone, Copy)]
struct Remote {
    flow: FlowNumber,
    direction: Direction,
    sent: u64,
    received: u64,
}

/// The partners of one endpoint.
#[derive(Debug)]
pub(super) struct Remotes {
    guest: SocketAddr,
    known: HashMap<SocketAddr, Remote>,
}

impl Remotes {
    /// None where nobody asks.
    pub(super) fn new(guest: SocketAddr, ground: &Ground) -> Option<Box<Self>> {
        (ground.records.are_wanted() || !ground.policy.is_empty()).then(|| {
            Box::new(Self {
                guest,
                known: HashMap::new(),
            })
        })
    }

    /// Whether `remote` began: it is a client of a published port.
    pub(super) fn is_client(&self, remote: SocketAddr) -> bool {
        self.known
            .get(&remote)
            .is_some_and(|remote| remote.direction == Direction::Published)
    }

    /// The guest has sent so many octets to `remote`.
    pub(super) fn sent(&mut self, now: Instant, remote: SocketAddr, octets: u64, ground: &mut Ground) {
        self.entry(now, remote, Direction::Outbound, ground).sent += octets;
    }

    /// `remote` has sent so many octets to the guest.
    pub(super) fn received(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        octets: u64,
        direction: Direction,
        ground: &mut Ground,
    ) {
        self.entry(now, remote, direction, ground).received += octets;
    }

    fn entry(&mut self, now: Instant, remote: SocketAddr, direction: Direction, ground: &mut Ground) -> &mut Remote {
        if self.known.len() >= REMOTES_MAX && !self.known.contains_key(&remote) {
            self.close(now, End::Evicted, ground);
        }
        let guest = self.guest;
        self.known.entry(remote).or_insert_with(|| {
            let flow = ground.next_flow();
            ground.note(now, || Fact::Opened {
                flow,
                transport: Transport::Udp,
                direction,
                guest,
                remote,
            });
            Remote {
                flow,
                direction,
                sent: 0,
                received: 0,
            }
        })
    }

    /// The endpoint has ended, or forgets.
    pub(super) fn close(&mut self, now: Instant, end: End, ground: &mut Ground) {
        for (_, remote) in self.known.drain() {
            ground.note(now, || Fact::Closed {
                flow: remote.flow,
                sent: remote.sent,
                received: remote.received,
                end,
            });
        }
    }
}
