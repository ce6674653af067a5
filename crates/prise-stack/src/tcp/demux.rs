//! Which record a segment belongs to (RFC 9293 §3.10.7: "matching the four-tuple").
//!
//! One table holds connections and half-open ones, a second holds TIME-WAIT, so that a flood of one kind does
//! not slow the other; listeners are found by port. Entries are (fingerprint, record), eight octets and a
//! control byte; the four-tuple itself lives in the record only.

use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::{HashMap, HashTable};

use super::tuple::FourTuple;
use crate::endpoint::{Family, Local};
use crate::hash::HashKey;
use crate::link::LinkId;

/// What an entry of the connection table points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

const KIND_SHIFT: u32 = 30;

impl Owner {
    fn pack(self) -> u32 {
        match self {
            Self::Connection(index) => index,
            Self::HalfOpen(index) => index | 1 << KIND_SHIFT,
            Self::TimeWait(index) => index | 2 << KIND_SHIFT,
        }
    }

    fn unpack(packed: u32) -> Self {
        let index = packed & ((1 << KIND_SHIFT) - 1);
        match packed >> KIND_SHIFT {
            0 => Self::Connection(index),
            1 => Self::HalfOpen(index),
            _ => Self::TimeWait(index),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: u32,
    owner: u32,
}

/// A table of four-tuples whose keys live elsewhere: the caller's closure tells the tuple of a record.
#[derive(Debug)]
pub(crate) struct TupleTable {
    key: HashKey,
    entries: HashTable<Entry>,
}

impl TupleTable {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            key,
            entries: HashTable::new(),
        }
    }

    pub(crate) fn hash(&self, tuple: &FourTuple) -> u32 {
        self.key.words(&tuple.words()) as u32
    }

    pub(crate) fn find(&self, tuple: &FourTuple, is: impl Fn(Owner) -> bool) -> Option<Owner> {
        let fingerprint = self.hash(tuple);
        self.entries
            .find(spread(fingerprint), |entry| {
                entry.fingerprint == fingerprint && is(Owner::unpack(entry.owner))
            })
            .map(|entry| Owner::unpack(entry.owner))
    }

    pub(crate) fn insert(&mut self, tuple: &FourTuple, owner: Owner) {
        let fingerprint = self.hash(tuple);
        let entry = Entry {
            fingerprint,
            owner: owner.pack(),
        };
        self.entries
            .insert_unique(spread(fingerprint), entry, |entry| spread(entry.fingerprint));
    }

    pub(crate) fn remove(&mut self, tuple: &FourTuple, owner: Owner) {
        let fingerprint = self.hash(tuple);
        let packed = owner.pack();
        if let Ok(entry) = self.entries.find_entry(spread(fingerprint), |entry| {
            entry.fingerprint == fingerprint && entry.owner == packed
        }) {
            entry.remove();
        }
        // A table that has emptied after a flood gives its memory back.
        if self.entries.capacity() > 1024 && self.entries.len() * 8 < self.entries.capacity() {
            let keep = self.entries.len() * 2;
            self.entries.shrink_to(keep, |entry| spread(entry.fingerprint));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// hashbrown takes its control byte from the top bits and its bucket from the low ones: give it both.
fn spread(fingerprint: u32) -> u64 {
    u64::from(fingerprint) << 32 | u64::from(fingerprint)
}

/// One listener's claim on a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) local: Local,
    pub(crate) reuse_port: bool,
    pub(crate) listener: u32,
    /// For whom nobody else takes: gives way to every other claim, and is in nobody's way.
    pub(crate) is_last: bool,
}

impl Claim {
    /// How well the claim fits, higher is better; `None` if it does not (Linux's `compute_score`).
    fn score(&self, addr: IpAddr, link: LinkId) -> Option<u8> {
        if self.is_last {
            return (self.local.device == Some(link) && self.local.addr == Some(addr)).then_some(0);
        }
        let mut score = 1;
        if let Some(device) = self.local.device {
            if device != link {
                return None;
            }
            score += 4;
        }
        match self.local.addr {
            Some(own) if own == addr => score += 8,
            Some(_) => return None,
            None => {}
        }
        match (self.local.family, addr) {
            (Family::V4, IpAddr::V4(_)) | (Family::V6Only, IpAddr::V6(_)) => score += 1,
            (Family::Dual, _) | (Family::Mapped, IpAddr::V4(_)) => {}
            _ => return None,
        }
        Some(score)
    }

    /// Whether both could not listen at once without sharing.
    fn conflicts(&self, other: &Local) -> bool {
        let devices = match (self.local.device, other.device) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        // A mapped wildcard is that of IPv4.
        let wildcard = |family| if family == Family::Mapped { Family::V4 } else { family };
        let families = self.local.addr.is_some() || wildcard(self.local.family) == wildcard(other.family);
        devices && self.local.addr == other.addr && families
    }
}

/// Listeners by port.
#[derive(Debug)]
pub(crate) struct ListenTable {
    by_port: HashMap<u16, Vec<Claim>, PortHash>,
}

/// Ports are chosen by the local side: no flooding to fear, so a multiplication is enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PortHash;

impl core::hash::BuildHasher for PortHash {
    type Hasher = PortHasher;
    fn build_hasher(&self) -> PortHasher {
        PortHasher(0)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PortHasher(u64);

impl core::hash::Hasher for PortHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u16(u16::from(byte));
        }
    }
    fn write_u16(&mut self, port: u16) {
        self.0 = (self.0 ^ u64::from(port))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }
}

impl ListenTable {
    pub(crate) fn new() -> Self {
        Self {
            by_port: HashMap::with_hasher(PortHash),
        }
    }

    pub(crate) fn insert(&mut self, claim: Claim) -> Result<(), ()> {
        let claims = self.by_port.entry(claim.local.port).or_default();
        let taken =
            |other: &Claim| !other.is_last && other.conflicts(&claim.local) && !(other.reuse_port && claim.reuse_port);
        if claims.iter().any(taken) {
            return Err(());
        }
        claims.push(claim);
        Ok(())
    }

    /// A listener on that port hears, for want of others, those whom a link brings to another address, too.
    pub(crate) fn lend(&mut self, port: u16, listener: u32, link: LinkId, addr: IpAddr) {
        let Some(claims) = self.by_port.get_mut(&port) else {
            return;
        };
        let Some(&own) = claims.iter().find(|claim| claim.listener == listener && !claim.is_last) else {
            return;
        };
        let is_lent = |claim: &Claim| claim.is_last && claim.listener == listener && claim.local.addr == Some(addr);
        if !own.local.accepts(link) || claims.iter().any(is_lent) {
            return;
        }
        claims.push(Claim {
            local: Local {
                addr: Some(addr),
                device: Some(link),
                ..own.local
            },
            is_last: true,
            ..own
        });
    }

    pub(crate) fn remove(&mut self, port: u16, listener: u32) {
        if let Some(claims) = self.by_port.get_mut(&port) {
            claims.retain(|claim| claim.listener != listener);
            if claims.is_empty() {
                self.by_port.remove(&port);
            }
        }
    }

    /// The best claim; among equals of a `SO_REUSEPORT` group the flow's hash chooses, and of others that are lent the first one counts.
    pub(crate) fn find(&self, addr: IpAddr, port: u16, link: LinkId, flow: u32) -> Option<u32> {
        let claims = self.by_port.get(&port)?;
        if let [only] = claims.as_slice() {
            return only.score(addr, link).map(|_| only.listener);
        }
        let best = claims.iter().filter_map(|claim| claim.score(addr, link)).max()?;
        let of_best = || claims.iter().filter(|claim| claim.score(addr, link) == Some(best));
        let first = of_best().next()?;
        if !first.reuse_port {
            return Some(first.listener);
        }
        let equals = || of_best().filter(|claim| claim.reuse_port);
        let chosen = ((u64::from(flow) * equals().count() as u64) >> 32) as usize;
        equals().nth(chosen).map(|claim| claim.listener)
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));

    fn claim(listener: u32, addr: Option<IpAddr>) -> Claim {
        let local = Local {
            addr,
            family: Family::V4,
            port: 80,
            device: None,
        };
        Claim {
            local,
            reuse_port: false,
            listener,
            is_last: false,
        }
    }

    #[test]
    fn who_listens_besides_gives_way_to_everybody_and_keeps_nobody_out() {
        let [lo, eth0] = [1, 2].map(|number| LinkId::new(number).expect("a number from 1 on"));
        let loopback = Ipv4Addr::LOCALHOST.into();
        let mut table = ListenTable::new();
        let own = claim(1, Some(loopback));
        table.insert(own).expect("nobody listens");
        for _ in 0..2 {
            table.lend(80, 1, eth0, OUTSIDE);
        }
        assert_eq!(table.by_port[&80].len(), 2);
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), Some(1));
        assert_eq!(table.find(loopback, 80, lo, 0), Some(1));
        assert_eq!(table.find(OUTSIDE, 80, lo, 0), None);

        table.insert(claim(2, Some(OUTSIDE))).expect("that address is free");
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), Some(2));
        table.remove(80, 2);
        table.insert(claim(3, None)).expect("that address is free");
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), Some(3));
        table.remove(80, 3);
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), Some(1));

        // Two of the loopback do not share: whose was first is heard, whatever the flow.
        let another = claim(4, Some(Ipv4Addr::new(127, 0, 0, 2).into()));
        table.insert(another).expect("that address is free");
        table.lend(80, 4, eth0, OUTSIDE);
        for flow in [0, u32::MAX] {
            assert_eq!(table.find(OUTSIDE, 80, eth0, flow), Some(1));
        }
        table.remove(80, 1);
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), Some(4));
        table.remove(80, 4);
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), None);
    }

    #[test]
    fn who_is_bound_to_a_device_does_not_listen_besides_on_another() {
        let [lo, eth0] = [1, 2].map(|number| LinkId::new(number).expect("a number from 1 on"));
        let mut bound = claim(1, None);
        bound.local.device = Some(lo);
        let mut table = ListenTable::new();
        table.insert(bound).expect("nobody listens");
        table.lend(80, 1, eth0, OUTSIDE);
        assert_eq!(table.find(OUTSIDE, 80, eth0, 0), None);
        table.lend(80, 1, lo, OUTSIDE);
        assert_eq!(table.find(OUTSIDE, 80, lo, 0), Some(1));
    }

    #[test]
    fn who_listens_besides_over_ipv6_does_so_on_that_link_only() {
        let [lo, eth0] = [1, 2].map(|number| LinkId::new(number).expect("a number from 1 on"));
        let outside: IpAddr = "fd00::2".parse().expect("an address");
        for family in [Family::V6Only, Family::Dual] {
            let mut own = claim(1, Some(Ipv6Addr::LOCALHOST.into()));
            own.local.family = family;
            let mut table = ListenTable::new();
            table.insert(own).expect("nobody listens");
            table.lend(80, 1, eth0, outside);
            let heard = [lo, eth0].map(|link| table.find(outside, 80, link, 0));
            assert_eq!(heard, [None, Some(1)]);
        }
    }

    #[test]
    fn the_mapped_wildcard_is_the_one_of_ipv4() {
        let mut mapped = claim(2, None);
        mapped.local.family = Family::Mapped;
        for [first, second] in [[claim(1, None), mapped], [mapped, claim(1, None)]] {
            let mut table = ListenTable::new();
            table.insert(first).expect("nobody listens");
            assert_eq!(table.insert(second), Err(()));
        }
        let mut of_ipv6 = claim(3, None);
        of_ipv6.local.family = Family::V6Only;
        let mut table = ListenTable::new();
        table.insert(mapped).expect("nobody listens");
        table.insert(of_ipv6).expect("nobody listens over IPv6");
    }
}
