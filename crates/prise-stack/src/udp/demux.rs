//! Who gets a datagram: connected before bound before wildcard, as Linux scores it.

use super::UdpId;
use super::socket::Socket;
use crate::bpf::{Packet, Program};
use crate::endpoint::{Family, Local};
use crate::hash::HashKey;
use crate::link::LinkId;
use crate::net::address_key;
use crate::slab::Slab;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use hashbrown::HashMap;

/// Where a socket is entered: under its four-tuple if it is connected, else under its address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    local: u128,
    remote: u128,
    /// Local port in the upper, remote port in the lower half; zero for none.
    ports: u32,
}

impl Key {
    fn connected(local: IpAddr, local_port: u16, remote: SocketAddr) -> Self {
        Self {
            local: address_key(local),
            remote: address_key(remote.ip()),
            ports: u32::from(local_port) << 16 | u32::from(remote.port()),
        }
    }

    fn bound(local: IpAddr, port: u16) -> Self {
        Self {
            local: address_key(local),
            remote: 0,
            ports: u32::from(port) << 16,
        }
    }

    fn of(local: &Local, remote: Option<SocketAddr>) -> Self {
        let addr = local.addr.unwrap_or_else(|| wildcard(local.family));
        match remote {
            Some(remote) => Self::connected(addr, local.port, remote),
            None => Self::bound(addr, local.port),
        }
    }
}

/// The keys of sockets with that very address that a datagram is for, the best first. Connected to port 0, one hears all ports of its peer's.
fn keys_of(local: SocketAddr, remote: SocketAddr) -> [Key; 3] {
    [
        Key::connected(local.ip(), local.port(), remote),
        Key::connected(local.ip(), local.port(), SocketAddr::new(remote.ip(), 0)),
        Key::bound(local.ip(), local.port()),
    ]
}

/// An address at which what `link` brings is for sockets of the loopback, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loan {
    link: LinkId,
    addr: IpAddr,
}

impl Loan {
    /// Where a socket is entered besides, if it is one of the loopback and of that version.
    fn key(self, local: &Local, remote: Option<SocketAddr>) -> Option<(LinkId, Key)> {
        let own = local.addr.filter(IpAddr::is_loopback)?;
        let lent = Local {
            addr: Some(self.addr),
            ..*local
        };
        (own.is_ipv4() == self.addr.is_ipv4()).then(|| (self.link, Key::of(&lent, remote)))
    }
}

/// Where a socket is entered besides, by what is lent on its port.
fn keys_lent(
    lent: &BTreeMap<u16, Vec<Loan>>,
    local: &Local,
    remote: Option<SocketAddr>,
) -> impl Iterator<Item = (LinkId, Key)> {
    let loans = lent.get(&local.port).into_iter().flatten();
    loans.filter_map(move |loan| loan.key(local, remote))
}

const fn wildcard(family: Family) -> IpAddr {
    match family {
        Family::V4 | Family::Mapped => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6Only | Family::Dual => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// The tables. A list holds more than one socket only where ports are shared.
#[derive(Debug)]
pub(super) struct Demux {
    hash: HashKey,
    by_key: HashMap<Key, Vec<UdpId>, HashKey>,
    /// For conflicts at bind and for copies of group datagrams.
    by_port: HashMap<u16, Vec<UdpId>, HashKey>,
    /// Ports at which sockets of the loopback hear, for want of others, those whom a link brings to another address, too.
    lent: BTreeMap<u16, Vec<Loan>>,
    /// These sockets, as if they were bound to what is lent to them.
    by_lent_key: HashMap<(LinkId, Key), Vec<UdpId>, HashKey>,
}

impl Demux {
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            hash,
            by_key: HashMap::with_hasher(hash),
            by_port: HashMap::with_hasher(hash),
            lent: BTreeMap::new(),
            by_lent_key: HashMap::with_hasher(hash),
        }
    }

    /// Enters a socket under its endpoints.
    pub(super) fn insert(&mut self, id: UdpId, local: &Local, remote: Option<SocketAddr>) {
        self.by_key.entry(Key::of(local, remote)).or_default().push(id);
        self.by_port.entry(local.port).or_default().push(id);
        for key in keys_lent(&self.lent, local, remote) {
            self.by_lent_key.entry(key).or_default().push(id);
        }
    }

    /// Takes a socket out again; the endpoints must be those it was entered under.
    pub(super) fn remove(&mut self, id: UdpId, local: &Local, remote: Option<SocketAddr>) {
        forget(&mut self.by_key, Key::of(local, remote), id);
        forget(&mut self.by_port, local.port, id);
        for key in keys_lent(&self.lent, local, remote) {
            forget(&mut self.by_lent_key, key, id);
        }
    }

    /// From now on sockets of the loopback are also reached at `addr` by `link`, on that port.
    pub(super) fn lend(&mut self, sockets: &Slab<Socket>, port: u16, link: LinkId, addr: IpAddr) {
        let (loan, lent) = (Loan { link, addr }, self.lent.entry(port).or_default());
        if lent.contains(&loan) {
            return;
        }
        lent.push(loan);
        for id in self.by_port.get(&port).into_iter().flatten() {
            let socket = sockets.find(id.key());
            if let Some(key) = socket.and_then(|socket| loan.key(&socket.local, socket.remote)) {
                self.by_lent_key.entry(key).or_default().push(*id);
            }
        }
    }

    /// The address from which a socket of the loopback on that port speaks to others.
    pub(super) fn lent_source(&self, port: u16, is_ipv4: bool) -> Option<IpAddr> {
        let mut lent = self.lent.get(&port)?.iter().map(|loan| loan.addr);
        lent.find(|addr| addr.is_ipv4() == is_ipv4)
    }

    /// The socket of the loopback that a datagram reaches which is nobody's: that of the peer first.
    fn lookup_lent(
        &self,
        sockets: &Slab<Socket>,
        arrival: (SocketAddr, SocketAddr, LinkId),
        payload: &dyn Fn() -> Vec<u8>,
    ) -> Option<UdpId> {
        if self.by_lent_key.is_empty() {
            return None;
        }
        let (local, remote, link) = arrival;
        keys_of(local, remote).into_iter().find_map(|key| {
            let list = self.by_lent_key.get(&(link, key))?;
            self.choose(sockets, list, arrival, payload)
        })
    }

    /// Every socket on that local port. None is on port 0: one that has lost its port is there, and out of reach.
    pub(super) fn on_port(&self, port: u16) -> &[UdpId] {
        self.by_port.get(&port).filter(|_| port != 0).map_or(&[], Vec::as_slice)
    }

    /// The socket for a datagram from `remote` to `local` that came by `link`. `payload` is asked for only where a program
    /// chooses among several.
    pub(super) fn lookup(
        &self,
        sockets: &Slab<Socket>,
        local: SocketAddr,
        remote: SocketAddr,
        link: LinkId,
        payload: &dyn Fn() -> Vec<u8>,
    ) -> Option<UdpId> {
        match self.on_port(local.port()) {
            [] => return None,
            // The usual case: one socket has the port, and one comparison tells whether the datagram is its.
            [only] => {
                let socket = sockets.find(only.key())?;
                if socket.takes(remote, local, link) {
                    return Some(*only);
                }
                return self.lookup_lent(sockets, (local, remote, link), payload);
            }
            _ => {}
        }
        let ipv4 = local.is_ipv4();
        let candidates = |key: Key| {
            let list = self.by_key.get(&key)?;
            self.choose(sockets, list, (local, remote, link), payload)
        };
        // Sockets connected from a wildcard keep it until a route gives them an address, hence never occur here.
        keys_of(local, remote)
            .into_iter()
            .find_map(candidates)
            .or_else(|| {
                if ipv4 {
                    candidates(Key::bound(wildcard(Family::V4), local.port()))
                } else {
                    None
                }
            })
            .or_else(|| candidates(Key::bound(wildcard(Family::Dual), local.port())))
            .or_else(|| self.lookup_lent(sockets, (local, remote, link), payload))
    }

    /// Of sockets under one key: those bound to the link first, of IPv4 before those of IPv6 that speak it (`compute_score`), then by flow
    /// hash within a group that shares its port by `SO_REUSEPORT`, else the one bound last (`SO_REUSEADDR`). Groups of IPv6 come behind all
    /// others, whenever they were bound (`udp_lib_get_port` enters them at the tail).
    fn choose(
        &self,
        sockets: &Slab<Socket>,
        list: &[UdpId],
        (local, remote, link): (SocketAddr, SocketAddr, LinkId),
        payload: &dyn Fn() -> Vec<u8>,
    ) -> Option<UdpId> {
        let eligible = |id: &UdpId| {
            let socket = sockets.find(id.key())?;
            let fits = socket.local.accepts(link) && socket.local.family.speaks(local.ip());
            fits.then_some((*id, socket))
        };
        if let [only] = list {
            return eligible(only).map(|(id, _)| id);
        }
        let (best, socket) = list.iter().filter_map(eligible).max_by_key(|(_, socket)| {
            let is_ipv4 = socket.local.family == Family::V4;
            (socket.local.device.is_some(), is_ipv4, is_ipv4 || !socket.reuse_port)
        })?;
        if !socket.reuse_port {
            return Some(best);
        }
        let (device, family) = (socket.local.device, socket.local.family);
        let group = || {
            list.iter()
                .filter_map(eligible)
                .filter(|(_, other)| other.reuse_port && (other.local.device, other.local.family) == (device, family))
        };
        let flow = self.hash.words(&[
            address_key(remote.ip()) as u64,
            (address_key(remote.ip()) >> 64) as u64,
            u64::from(remote.port()) << 16 | u64::from(local.port()),
        ]);
        if let Some(program) = group().find_map(|(_, member)| member.chooser.as_deref()) {
            let place = run(program, &payload(), local, link, flow as u32);
            // Beyond the last the hash decides (`run_bpf_filter`).
            if let Some((id, _)) = group().nth(place as usize) {
                return Some(id);
            }
        }
        let pick = ((u128::from(flow) * group().count() as u128) >> 64) as usize;
        group().nth(pick).map(|(id, _)| id)
    }
}

/// What a program says of a datagram's payload, which is all that it sees.
fn run(program: &Program, payload: &[u8], local: SocketAddr, link: LinkId, hash: u32) -> u32 {
    program.run(&Packet {
        octets: payload,
        network: payload.len(),
        data: 0,
        payload: 0,
        protocol: if local.is_ipv4() { 0x0800 } else { 0x86dd },
        interface: link.interface_index(),
        hash,
    })
}

fn forget<K: core::hash::Hash + Eq>(table: &mut HashMap<K, Vec<UdpId>, HashKey>, key: K, id: UdpId) {
    if let hashbrown::hash_map::Entry::Occupied(mut entry) = table.entry(key) {
        entry.get_mut().retain(|&other| other != id);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}
