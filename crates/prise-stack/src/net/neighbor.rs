//! The neighbor cache: from next hops to hardware addresses, one state machine for ARP and neighbor discovery.
//!
//! The states are those of RFC 4861 §7.3.2, which serve IPv4 as well (RFC 1122 §2.3.2.1 asks for no more):
//! `INCOMPLETE` asks, `REACHABLE` sends, `STALE` sends and becomes `DELAY`, in which a transport may still vouch for the
//! neighbor, then `PROBE`, which asks the neighbor itself. This file decides; [`arp`](super::arp) and [`ndp`](super::ndp)
//! speak.

use super::address::key;
use super::deadlines::Deadlines;
use crate::hash::HashKey;
use crate::link::LinkId;
use alloc::collections::VecDeque;
use core::net::IpAddr;
use core::time::Duration;
use hashbrown::HashMap;
use prise_wire::{Frame, Instant, MacAddr};

/// `MAX_MULTICAST_SOLICIT` and `MAX_UNICAST_SOLICIT` (RFC 4861 §10).
const SOLICITATIONS_MAX: u8 = 3;

/// `RETRANS_TIMER`.
const RETRANSMIT: Duration = Duration::from_secs(1);

/// `DELAY_FIRST_PROBE_TIME`.
const DELAY_FIRST_PROBE: Duration = Duration::from_secs(5);

/// An entry that nobody has used for that long is forgotten.
const UNUSED_FORGOTTEN: Duration = Duration::from_mins(10);

/// Entries kept. A peer can make one for every address of a prefix (RFC 6583); Linux's `gc_thresh3` likewise.
const NEIGHBORS_MAX: usize = 1024;

/// Frames and octets that wait for one neighbor (Linux: 101 packets, 212,992 octets), and octets for all together.
const WAITING_FRAMES: usize = 64;
const WAITING_OCTETS: usize = 256 << 10;
const WAITING_OCTETS_ALL: usize = 4 << 20;

type Key = (u128, LinkId);

/// How well a neighbor is known (RFC 4861 §7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborState {
    /// Asked for, not answered yet.
    Incomplete,
    /// Known to be reachable a short time ago.
    Reachable,
    /// Known, but not lately: the next packet starts a check.
    Stale,
    /// In use; a transport may still confirm it before it is asked.
    Delay,
    /// Being asked.
    Probe,
    /// Given by whoever runs the stack: never asked for, never forgotten (`ip neighbor add … nud permanent`).
    Permanent,
}

/// One entry of the cache, as `ip neighbor` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborInfo {
    /// The link it is on.
    pub link: LinkId,
    /// Its IP address.
    pub addr: IpAddr,
    /// Its hardware address, if known.
    pub mac: Option<MacAddr>,
    /// How well it is known.
    pub state: NeighborState,
    /// Whether it says that it is a router.
    pub is_router: bool,
}

/// What was learnt about a neighbor's hardware address, and how (RFC 4861 §7.2.5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// The hardware address; none if the message carried none.
    pub(super) mac: Option<MacAddr>,
    /// It answers what we asked: the neighbor is reachable both ways.
    pub(super) solicited: bool,
    /// It may replace an address that is known already.
    pub(super) overrides: bool,
    /// Whether the neighbor is a router, if the message says.
    pub(super) is_router: Option<bool>,
    /// It is worth an entry even if there is none yet.
    pub(super) creates: bool,
}

/// What is to be done now that a deadline has passed.
#[derive(Debug)]
pub(super) enum Due {
    /// Ask for the neighbor: the neighbor itself if its address is known, everybody otherwise.
    Solicit {
        link: LinkId,
        addr: IpAddr,
        mac: Option<MacAddr>,
    },
    /// It has not answered: what waited is undeliverable.
    Failed { link: LinkId, waiting: VecDeque<Frame> },
}

/// What became of a frame given to [`Neighbors::park`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parked {
    /// Nobody has asked for the neighbor yet: ask.
    pub(super) solicit: bool,
    /// Frames that gave way, this one perhaps among them.
    pub(super) dropped: usize,
    /// Frames that were lost with an entry which gave way.
    pub(super) evicted: usize,
}

#[derive(Debug)]
struct Neighbor {
    addr: IpAddr,
    state: NeighborState,
    mac: MacAddr,
    is_router: bool,
    solicitations: u8,
    /// When it was last known to be reachable.
    confirmed: Instant,
    used: Instant,
    deadline: Instant,
    waiting: VecDeque<Frame>,
    waiting_octets: usize,
}

/// The cache of all links.
#[derive(Debug)]
pub(super) struct Neighbors {
    entries: HashMap<Key, Neighbor, HashKey>,
    deadlines: Deadlines<Key>,
    waiting_octets: usize,
    reachable_time: Duration,
    /// Until then some neighbor may be in `DELAY` or `PROBE`.
    doubts_until: Instant,
}

impl Neighbors {
    /// An empty cache. `jitter` picks `ReachableTime` between half and one and a half times 30 s (RFC 4861 §6.3.4).
    pub(super) fn new(hash: HashKey, jitter: u32) -> Self {
        Self {
            entries: HashMap::with_hasher(hash),
            deadlines: Deadlines::default(),
            waiting_octets: 0,
            doubts_until: Instant::ZERO,
            reachable_time: Duration::from_millis(15_000 + u64::from(jitter % 30_000)),
        }
    }

    /// The hardware address to send to, if known. A stale one is used and checked (RFC 4861 §7.3.3).
    pub(super) fn lookup(&mut self, now: Instant, link: LinkId, addr: IpAddr) -> Option<MacAddr> {
        let key = (key(addr), link);
        let entry = self.entries.get_mut(&key)?;
        entry.used = now;
        match entry.state {
            NeighborState::Incomplete => return None,
            NeighborState::Reachable | NeighborState::Delay | NeighborState::Probe | NeighborState::Permanent => {}
            NeighborState::Stale => {
                entry.state = NeighborState::Delay;
                self.doubts_until = now + DELAY_FIRST_PROBE + RETRANSMIT * u32::from(SOLICITATIONS_MAX);
                entry.rearm(&mut self.deadlines, key, now + DELAY_FIRST_PROBE);
            }
        }
        Some(entry.mac)
    }

    /// Makes an entry that nothing a peer says can change, and gives back the frames that waited for it.
    pub(super) fn set(&mut self, now: Instant, link: LinkId, addr: IpAddr, mac: MacAddr) -> VecDeque<Frame> {
        let key = (key(addr), link);
        let mut entry = Neighbor::new(now, addr, NeighborState::Permanent, Instant::FAR_FUTURE);
        entry.mac = mac;
        let Some(before) = self.entries.insert(key, entry) else {
            return VecDeque::new();
        };
        self.deadlines.disarm(before.deadline, key);
        self.waiting_octets -= before.waiting_octets;
        before.waiting
    }

    /// Keeps a frame until the neighbor's address is known, beginning to ask for it if nobody has.
    pub(super) fn park(&mut self, now: Instant, link: LinkId, addr: IpAddr, frame: Frame) -> Parked {
        let mut parked = Parked::default();
        let key = (key(addr), link);
        if !self.entries.contains_key(&key) {
            parked.evicted = self.make_room();
            let entry = Neighbor::new(now, addr, NeighborState::Incomplete, now + RETRANSMIT);
            self.deadlines.arm(entry.deadline, key);
            self.entries.insert(key, entry);
            parked.solicit = true;
        }
        let Some(entry) = self.entries.get_mut(&key) else {
            return parked;
        };
        entry.used = now;
        let octets = frame.total_len();
        if self.waiting_octets + octets > WAITING_OCTETS_ALL {
            parked.dropped += 1;
            return parked;
        }
        entry.waiting.push_back(frame);
        entry.waiting_octets += octets;
        self.waiting_octets += octets;
        while entry.waiting.len() > WAITING_FRAMES || entry.waiting_octets > WAITING_OCTETS {
            let Some(oldest) = entry.waiting.pop_front() else { break };
            entry.waiting_octets -= oldest.total_len();
            self.waiting_octets -= oldest.total_len();
            parked.dropped += 1;
        }
        parked
    }

    /// Takes in what a message says of a neighbor (RFC 4861 §7.2.3, §7.2.5) and gives back the frames that may now be
    /// sent to it, with its address; none if the message told nothing of use.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        link: LinkId,
        addr: IpAddr,
        evidence: Evidence,
    ) -> Option<(MacAddr, VecDeque<Frame>)> {
        let key = (key(addr), link);
        if !self.entries.contains_key(&key) {
            let mac = evidence.mac.filter(|_| evidence.creates)?;
            self.make_room();
            let mut entry = Neighbor::new(now, addr, NeighborState::Stale, now + UNUSED_FORGOTTEN);
            entry.mac = mac;
            entry.is_router = evidence.is_router.unwrap_or(false);
            self.deadlines.arm(entry.deadline, key);
            self.entries.insert(key, entry);
            return Some((mac, VecDeque::new()));
        }
        let reachable_time = self.reachable_time;
        let entry = self.entries.get_mut(&key)?;
        if entry.state == NeighborState::Permanent {
            return Some((entry.mac, VecDeque::new()));
        }
        let changes = evidence.mac.is_some_and(|mac| mac != entry.mac);
        let state = match (entry.state, evidence.mac) {
            (NeighborState::Incomplete, None) => return None,
            (NeighborState::Incomplete, Some(_)) if !evidence.solicited => Some(NeighborState::Stale),
            // Somebody claims another address but may not override: doubt the one we have (RFC 4861 §7.2.5 I).
            (NeighborState::Reachable, Some(_)) if changes && !evidence.overrides => {
                entry.become_stale(&mut self.deadlines, key, now);
                return None;
            }
            (_, Some(_)) if changes && !evidence.overrides => return None,
            _ if evidence.solicited => Some(NeighborState::Reachable),
            _ if changes => Some(NeighborState::Stale),
            _ => None,
        };
        if let Some(mac) = evidence.mac {
            entry.mac = mac;
        }
        if let Some(is_router) = evidence.is_router {
            entry.is_router = is_router;
        }
        match state {
            Some(NeighborState::Reachable) => entry.become_reachable(&mut self.deadlines, key, now, reachable_time),
            Some(_) => entry.become_stale(&mut self.deadlines, key, now),
            None => {}
        }
        self.waiting_octets -= core::mem::take(&mut entry.waiting_octets);
        Some((entry.mac, core::mem::take(&mut entry.waiting)))
    }

    /// Whether some neighbor may be about to be asked, or being asked.
    pub(super) fn has_doubts(&self, now: Instant) -> bool {
        now < self.doubts_until
    }

    /// A transport has heard from the neighbor: it is reachable (RFC 4861 §7.3.1).
    pub(super) fn confirm(&mut self, now: Instant, link: LinkId, addr: IpAddr) {
        let reachable_time = self.reachable_time;
        let key = (key(addr), link);
        if let Some(entry) = self.entries.get_mut(&key)
            && !matches!(entry.state, NeighborState::Incomplete | NeighborState::Permanent)
        {
            entry.become_reachable(&mut self.deadlines, key, now, reachable_time);
        }
    }

    /// Whether the neighbor's hardware address is known.
    pub(super) fn knows(&self, link: LinkId, addr: IpAddr) -> bool {
        self.entries
            .get(&(key(addr), link))
            .is_some_and(|entry| entry.state != NeighborState::Incomplete)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Works through deadlines until one needs something done; none when no more are due.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Due> {
        while let Some(key) = self.deadlines.pop_due(now) {
            let reachable_time = self.reachable_time;
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let again = match entry.state {
                NeighborState::Reachable if entry.confirmed + reachable_time > now => entry.confirmed + reachable_time,
                NeighborState::Reachable => {
                    entry.state = NeighborState::Stale;
                    entry.used + UNUSED_FORGOTTEN
                }
                NeighborState::Stale if entry.used + UNUSED_FORGOTTEN > now => entry.used + UNUSED_FORGOTTEN,
                NeighborState::Stale => {
                    self.entries.remove(&key);
                    continue;
                }
                // Has no deadline.
                NeighborState::Permanent => continue,
                NeighborState::Incomplete | NeighborState::Probe if entry.solicitations >= SOLICITATIONS_MAX => {
                    let entry = self.entries.remove(&key)?;
                    self.waiting_octets -= entry.waiting_octets;
                    return Some(Due::Failed {
                        link: key.1,
                        waiting: entry.waiting,
                    });
                }
                NeighborState::Incomplete | NeighborState::Probe | NeighborState::Delay => {
                    return Some(entry.solicit(&mut self.deadlines, key, now));
                }
            };
            entry.deadline = again;
            self.deadlines.arm(again, key);
        }
        None
    }

    /// Every entry.
    pub(super) fn iter(&self) -> impl Iterator<Item = NeighborInfo> {
        self.entries.iter().map(|(&(_, link), entry)| NeighborInfo {
            link,
            addr: entry.addr,
            mac: Some(entry.mac).filter(|_| entry.state != NeighborState::Incomplete),
            state: entry.state,
            is_router: entry.is_router,
        })
    }

    /// Evicts the least valuable entry of a full cache and says how many frames were lost with it. The scan is paid only
    /// by a cache that somebody floods.
    fn make_room(&mut self) -> usize {
        if self.entries.len() < NEIGHBORS_MAX {
            return 0;
        }
        let value = |entry: &Neighbor| match entry.state {
            NeighborState::Stale => 0,
            NeighborState::Incomplete => 1,
            NeighborState::Delay | NeighborState::Probe => 2,
            NeighborState::Reachable | NeighborState::Permanent => 3,
        };
        let victim = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state != NeighborState::Permanent)
            .min_by_key(|(key, entry)| (value(entry), entry.used, **key));
        let Some(entry) = victim.map(|(key, _)| *key).and_then(|key| {
            let entry = self.entries.remove(&key)?;
            self.deadlines.disarm(entry.deadline, key);
            Some(entry)
        }) else {
            return 0;
        };
        self.waiting_octets -= entry.waiting_octets;
        entry.waiting.len()
    }
}

#[cfg(test)]
impl Neighbors {
    pub(super) fn assert_empty(&self) {
        assert_eq!((self.entries.len(), self.waiting_octets), (0, 0));
    }
}

impl Neighbor {
    /// An entry for which one solicitation is about to be sent, if it is incomplete.
    fn new(now: Instant, addr: IpAddr, state: NeighborState, deadline: Instant) -> Self {
        Self {
            addr,
            state,
            mac: MacAddr::UNSPECIFIED,
            is_router: false,
            solicitations: 1,
            confirmed: now,
            used: now,
            deadline,
            waiting: VecDeque::new(),
            waiting_octets: 0,
        }
    }

    fn rearm(&mut self, deadlines: &mut Deadlines<Key>, key: Key, at: Instant) {
        deadlines.disarm(self.deadline, key);
        self.deadline = at;
        deadlines.arm(at, key);
    }

    fn become_reachable(&mut self, deadlines: &mut Deadlines<Key>, key: Key, now: Instant, lasts: Duration) {
        self.state = NeighborState::Reachable;
        self.confirmed = now;
        self.rearm(deadlines, key, now + lasts);
    }

    fn become_stale(&mut self, deadlines: &mut Deadlines<Key>, key: Key, now: Instant) {
        self.state = NeighborState::Stale;
        self.rearm(deadlines, key, now + UNUSED_FORGOTTEN);
    }

    /// Asks once more; the deadline that led here has been taken out already.
    fn solicit(&mut self, deadlines: &mut Deadlines<Key>, key: Key, now: Instant) -> Due {
        if self.state == NeighborState::Delay {
            self.state = NeighborState::Probe;
            self.solicitations = 0;
        }
        self.solicitations += 1;
        self.deadline = now + RETRANSMIT;
        deadlines.arm(self.deadline, key);
        let mac = Some(self.mac).filter(|_| self.state == NeighborState::Probe);
        Due::Solicit {
            link: key.1,
            addr: self.addr,
            mac,
        }
    }
}
