//! Clients of published ports whose way back is not the obvious one.
//!
//! Usually the guest's answer to a client leaves from the one published socket, to the address that the guest sees. Two
//! cases differ: several ports may lead to one endpoint of the guest, and a client on a loopback address other than
//! 127.0.0.1 is shown as the gateway. Those clients are remembered, the latest of them.

use core::net::SocketAddr;
use std::collections::{HashMap, VecDeque};

use crate::ground::loopback;
use crate::slots::Key;

/// Clients remembered; the oldest is forgotten for a new one.
const PEERS_MAX: usize = 4096;

/// The guest's endpoint and a client, as the guest sees it.
type Pair = (SocketAddr, SocketAddr);

/// A client's real address, and the socket through which it came.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: HashMap<Pair, (Key, SocketAddr)>,
    order: VecDeque<Pair>,
    /// The first published port of each endpoint of the guest; clients of others need remembering.
    first: HashMap<SocketAddr, SocketAddr>,
}

impl Peers {
    /// Where an answer of `guest` to `shown` goes, if not the obvious way.
    pub(super) fn find(&self, guest: SocketAddr, shown: SocketAddr) -> Option<(Key, SocketAddr)> {
        if self.known.is_empty() {
            return None;
        }
        self.known.get(&(guest, shown)).copied()
    }

    /// A client at `real` has sent to the published socket `key`, which is bound to `bound` and leads to `guest`.
    pub(super) fn learn(
        &mut self,
        guest: SocketAddr,
        shown: SocketAddr,
        key: Key,
        real: SocketAddr,
        bound: SocketAddr,
    ) {
        let first = *self.first.entry(guest).or_insert(bound);
        let obvious = if shown.ip() == real.ip() {
            real
        } else {
            SocketAddr::new(loopback(real.ip()), real.port())
        };
        if first == bound && obvious == real && !self.known.contains_key(&(guest, shown)) {
            return;
        }
        let pair = (guest, shown);
        if self.known.insert(pair, (key, real)).is_none() {
            self.order.push_back(pair);
        }
        if self.order.len() > PEERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn key(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    #[test]
    fn only_clients_with_another_way_back_are_remembered() {
        let mut peers = Peers::default();
        let (guest, port) = (at("10.0.2.15:53"), at("0.0.0.0:5353"));
        peers.learn(guest, at("192.0.2.9:40"), key(0), at("192.0.2.9:40"), port);
        peers.learn(guest, at("10.0.2.2:41"), key(0), at("127.0.0.1:41"), port);
        assert_eq!(peers.find(guest, at("192.0.2.9:40")), None);
        assert_eq!(peers.find(guest, at("10.0.2.2:41")), None);
        peers.learn(guest, at("10.0.2.2:42"), key(0), at("127.0.0.5:42"), port);
        assert_eq!(peers.find(guest, at("10.0.2.2:42")), Some((key(0), at("127.0.0.5:42"))));
        peers.learn(
            guest,
            at("192.0.2.9:40"),
            key(1),
            at("192.0.2.9:40"),
            at("0.0.0.0:5454"),
        );
        assert_eq!(
            peers.find(guest, at("192.0.2.9:40")),
            Some((key(1), at("192.0.2.9:40")))
        );
        // The same client at the first port again: the latest way counts.
        peers.learn(guest, at("192.0.2.9:40"), key(0), at("192.0.2.9:40"), port);
        assert_eq!(
            peers.find(guest, at("192.0.2.9:40")),
            Some((key(0), at("192.0.2.9:40")))
        );
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let mut peers = Peers::default();
        let (guest, port) = (at("10.0.2.15:53"), at("0.0.0.0:5353"));
        let count = PEERS_MAX as u16 + 10;
        for client in 1..=count {
            let real = SocketAddr::new([127, 0, 0, 5].into(), client);
            let shown = SocketAddr::new([10, 0, 2, 2].into(), client);
            peers.learn(guest, shown, key(0), real, port);
        }
        assert_eq!((peers.known.len(), peers.order.len()), (PEERS_MAX, PEERS_MAX));
        assert_eq!(peers.find(guest, at("10.0.2.2:1")), None);
        assert!(
            peers
                .find(guest, SocketAddr::new([10, 0, 2, 2].into(), count))
                .is_some()
        );
    }
}
