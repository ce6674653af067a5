//! Who holds which local port of one transport: Linux's rules for sharing (`inet_csk_bind_conflict`, `udp_lib_lport_inuse`; `socket(7)`, `ip(7)`,
//! `ipv6(7)`) and for choosing (RFC 6056).
//!
//! A port is held by *claims*. Sockets whose claims are equal – ten thousand connections accepted from one listener – are counted, not listed, so
//! that an accepted connection costs no memory here and a verdict costs as many comparisons as there are different claims.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::HashMap;
use prise_stack::{HashKey, LinkId, Random};

/// The local address that a socket holds, as the kernel compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An IPv4 socket.
    V4(Ipv4Addr),
    /// An IPv6 socket, perhaps with a v4-mapped address; `v6_only` keeps it out of IPv4 altogether.
    V6 { addr: Ipv6Addr, v6_only: bool },
}

impl Holder {
    /// What an IPv4 address means here: itself, the wildcard or (for a pure IPv6 address) none.
    fn as_v4(self) -> Option<Ipv4Addr> {
        match self {
            Self::V4(addr) => Some(addr),
            Self::V6 { v6_only: true, .. } => None,
            Self::V6 { addr, .. } if addr.is_unspecified() => Some(Ipv4Addr::UNSPECIFIED),
            Self::V6 { addr, .. } => addr.to_ipv4_mapped(),
        }
    }

    /// The pure IPv6 address held, the wildcard included.
    fn as_v6(self) -> Option<Ipv6Addr> {
        match self {
            Self::V6 { addr, .. } if addr.to_ipv4_mapped().is_none() => Some(addr),
            _ => None,
        }
    }

    /// Whether this is one address, whatever the family of the socket that holds it.
    fn is_at(self, other: Self) -> bool {
        match (self.as_v4(), other.as_v4()) {
            (Some(one), Some(two)) => one == two,
            _ => self.as_v6().is_some() && self.as_v6() == other.as_v6(),
        }
    }

    /// Whether some packet could be for either (`inet_rcv_saddr_equal` with wildcards).
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let v4 = match (self.as_v4(), other.as_v4()) {
            (Some(one), Some(two)) => one == two || one.is_unspecified() || two.is_unspecified(),
            _ => false,
        };
        let v6 = match (self.as_v6(), other.as_v6()) {
            (Some(one), Some(two)) => one == two || one.is_unspecified() || two.is_unspecified(),
            _ => false,
        };
        v4 || v6 || self.finds_stand_in(other)
    }

    /// A wildcard of IPv4 conflicts with a socket that was connected to IPv6 and could be to IPv4: the kernel has 127.0.0.6 for its address
    /// meanwhile (`LOOPBACK4_IPV6`), which is not the wildcard's business, but no other way round.
    fn finds_stand_in(self, held: Self) -> bool {
        matches!((self, held), (Self::V4(Ipv4Addr::UNSPECIFIED), Self::V6 { v6_only: false, .. }) if held.as_v4().is_none())
    }
}

impl From<IpAddr> for Holder {
    /// An address that is surely in use as such, of a socket of its own family.
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Self::V4(addr),
            IpAddr::V6(addr) => Self::V6 {
                addr,
                v6_only: !addr.is_unspecified(),
            },
        }
    }
}

/// Everything about a socket that decides with whom it may share its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) holder: Holder,
    /// `SO_BINDTODEVICE`.
    pub(crate) device: Option<LinkId>,
    /// The user: `SO_REUSEPORT` shares among one user's sockets only.
    pub(crate) owner: u32,
    /// `SO_REUSEADDR`.
    pub(crate) reuse_addr: bool,
    /// `SO_REUSEPORT`.
    pub(crate) reuse_port: bool,
    /// A listening TCP socket, with which `SO_REUSEADDR` does not share.
    pub(crate) listening: bool,
    /// The port was picked by `connect`: other connects to other peers may pick it too.
    pub(crate) picked: bool,
    /// The program has closed the socket; what is left of the connection, TIME-WAIT included, still holds the port.
    pub(crate) closed: bool,
}

/// How strict a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The caller named the port.
    Named,
    /// A port is being picked for a bind: sharing is not wanted although it were allowed.
    Picked,
}

/// The two transports differ in what `SO_REUSEADDR` and `SO_REUSEPORT` permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// `inet_bind_conflict`.
    Tcp,
    /// `udp_lib_lport_inuse`.
    Udp,
}

impl Claim {
    fn conflicts(&self, held: &Self, rules: Rules, purpose: Purpose) -> bool {
        if !self.holder.overlaps(held.holder) {
            return false;
        }
        if let (Some(one), Some(two)) = (self.device, held.device)
            && one != two
        {
            return false;
        }
        let group = self.reuse_port && held.reuse_port && (self.owner == held.owner || held.closed);
        match (rules, purpose) {
            (Rules::Tcp, Purpose::Named) => !(self.reuse_addr && held.reuse_addr && !held.listening || group),
            (Rules::Tcp, Purpose::Picked) => true,
            (Rules::Udp, Purpose::Named) => !(self.reuse_addr && held.reuse_addr || group),
            // The kernel's bitmap of taken ports leaves out those that SO_REUSEADDR shares, but not groups.
            (Rules::Udp, Purpose::Picked) => !(self.reuse_addr && held.reuse_addr),
        }
    }
}

/// Sockets with one claim.
#[derive(Clone, Copy, Debug)]
struct Class {
    claim: Claim,
    users: u32,
}

/// The claims on one port: nearly always one, so that one is held without a further allocation.
#[derive(Debug)]
struct Bucket {
    first: Class,
    #[expect(
        clippy::box_collection,
        reason = "nearly always absent, and a port is worth saving two words"
    )]
    rest: Option<Box<Vec<Class>>>,
}

impl Bucket {
    fn classes(&self) -> impl Iterator<Item = &Class> {
        core::iter::once(&self.first).chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    fn add(&mut self, claim: Claim) {
        if self.first.claim == claim {
            self.first.users += 1;
            return;
        }
        let rest = self.rest.get_or_insert_default();
        match rest.iter_mut().find(|class| class.claim == claim) {
            Some(class) => class.users += 1,
            None => rest.push(Class { claim, users: 1 }),
        }
    }

    /// Takes one user of a claim away; false when nobody is left.
    fn remove(&mut self, claim: Claim) -> bool {
        if self.first.claim == claim {
            self.first.users -= 1;
            if self.first.users == 0 {
                let Some(next) = self.rest.as_mut().and_then(|rest| rest.pop()) else {
                    return false;
                };
                self.first = next;
            }
        } else if let Some(rest) = self.rest.as_mut()
            && let Some(at) = rest.iter().position(|class| class.claim == claim)
        {
            rest[at].users -= 1;
            if rest[at].users == 0 {
                rest.swap_remove(at);
            }
        } else {
            debug_assert!(false, "a claim is given up once");
        }
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
        true
    }
}

/// The local ports of one transport.
#[derive(Debug)]
pub(crate) struct Ports {
    rules: Rules,
    buckets: HashMap<u16, Bucket, HashKey>,
}

impl Ports {
    pub(crate) fn new(rules: Rules, key: HashKey) -> Self {
        Self {
            rules,
            buckets: HashMap::with_hasher(key),
        }
    }

    /// Whether a socket may have the port that its program named.
    pub(crate) fn may_hold(&self, port: u16, claim: &Claim) -> bool {
        self.verdict(port, claim, Purpose::Named)
    }

    fn verdict(&self, port: u16, claim: &Claim, purpose: Purpose) -> bool {
        let Some(bucket) = self.buckets.get(&port) else {
            return true;
        };
        // udp_lib_lport_inuse stops at the first member of the newcomer's own group: whoever else is there, it may join.
        if self.rules == Rules::Udp
            && purpose == Purpose::Named
            && bucket.classes().any(|class| class.claim.admits_to_group(claim))
        {
            return true;
        }
        !bucket
            .classes()
            .any(|class| claim.conflicts(&class.claim, self.rules, purpose))
    }

    pub(crate) fn hold(&mut self, port: u16, claim: Claim) {
        self.buckets
            .entry(port)
            .and_modify(|bucket| bucket.add(claim))
            .or_insert(Bucket {
                first: Class { claim, users: 1 },
                rest: None,
            });
    }

    pub(crate) fn release(&mut self, port: u16, claim: Claim) {
        if let Some(bucket) = self.buckets.get_mut(&port)
            && !bucket.remove(claim)
        {
            self.buckets.remove(&port);
        }
    }

    /// The connection behind one closed socket at that endpoint has left. Which one matters little: they differ in what they would share at most.
    pub(crate) fn forget_closed(&mut self, local: SocketAddr) {
        let addr = Holder::from(local.ip());
        let Some(bucket) = self.buckets.get(&local.port()) else {
            return;
        };
        let found = bucket
            .classes()
            .find(|class| class.claim.closed && class.claim.holder.is_at(addr));
        debug_assert!(found.is_some(), "the stack tells once of each closed connection");
        if let Some(claim) = found.map(|class| class.claim) {
            self.release(local.port(), claim);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether somebody holds the port at all.
    pub(crate) fn is_held(&self, port: u16) -> bool {
        self.buckets.contains_key(&port)
    }

    /// A port for `bind` to port 0: random, odd before even because `connect` prefers even ones (`inet_csk_find_open_port`).
    pub(crate) fn pick(&self, range: (u16, u16), claim: &Claim, random: &mut Random) -> Option<u16> {
        candidates(range, random, Parity::Odd).find(|port| self.verdict(*port, claim, Purpose::Picked))
    }

    /// The ports among which `connect` tries the four-tuple, best first: free ones, and such as other connects have picked
    /// (`__inet_hash_connect`).
    pub(crate) fn for_connect(&self, range: (u16, u16), random: &mut Random) -> impl Iterator<Item = u16> {
        candidates(range, random, Parity::Even).filter(|port| match self.buckets.get(port) {
            None => true,
            Some(bucket) => bucket.classes().all(|class| class.claim.picked),
        })
    }
}

impl Claim {
    /// Whether a newcomer is of the same `SO_REUSEPORT` group: same address, same user.
    fn admits_to_group(&self, newcomer: &Self) -> bool {
        self.reuse_port
            && newcomer.reuse_port
            && self.owner == newcomer.owner
            && self.device == newcomer.device
            && self.holder == newcomer.holder
    }
}

#[derive(Clone, Copy)]
enum Parity {
    Even,
    Odd,
}

/// All ports of a range from a random one on: first those of one parity, then the others (RFC 6056 §3.3.1, split as Linux does).
fn candidates(range: (u16, u16), random: &mut Random, parity: Parity) -> impl Iterator<Item = u16> {
    let low = u32::from(range.0);
    let span = u32::from(range.1).saturating_sub(low) + 1;
    let start = random.below(span);
    let first = match parity {
        Parity::Even => 0,
        Parity::Odd => 1,
    };
    let of_parity = move |wanted: u32| {
        (0..span)
            .map(move |step| (start + step) % span)
            .filter(move |offset| offset % 2 == wanted)
    };
    of_parity(first)
        .chain(of_parity(1 - first))
        .map(move |offset| (low + offset) as u16)
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
