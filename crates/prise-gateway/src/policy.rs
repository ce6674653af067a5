//! What the guest may reach, as data: `--allow` and `--deny`.
//!
//! The order of the rules does not matter. Of those that match, the most specific one decides; where two are equally
//! specific, the denial does. How specific a rule is, from the most to the least:
//!
//! 1. an address or network (the longest prefix first), and a name (the one with most labels first, an exact one before
//!    a wildcard). These two are judged apart, and **either's denial is final**: the owner of a name chooses its
//!    addresses, so an allowed name must not open a denied network, nor an allowed network a name's denied port;
//! 2. `*` and networks without a prefix (`0.0.0.0/0`, `::/0`);
//! 3. the default: everything is allowed until something is, and from then on nothing else is.
//!
//! Of rules about the same host, the one with fewer ports is the more specific. Addresses that mean the inside of the
//! host or of its cloud ([`is_guarded`]) are opened by no `*` and no name, once anything is allowed: only by a rule that
//! says them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_wire::Instant;

use crate::learned::Learned;

/// The name of the host, within the guest: a rule with this name is about the gateway's addresses.
pub(crate) const HOST_NAME: &str = "host.prise.internal";

/// What is to be done with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decision {
    /// Let it through.
    #[default]
    Allow,
    /// Tell the guest that it is prohibited: `EACCES`, ICMP's "administratively prohibited", no such name.
    Deny,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Everyone.
    Any,
    /// Addresses that share the first `prefix_len` bits with `address`.
    Network {
        /// The network.
        address: IpAddr,
        /// How many bits count.
        prefix_len: u8,
    },
    /// A name, in lower case without a final dot.
    Name(String),
    /// Every name beneath this one, which is written as in [`Subject::Name`]; not the name itself.
    Beneath(String),
}

/// The ports that a rule is about, as ranges; every port if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Every port.
    pub fn all() -> Self {
        Self::default()
    }

    /// These ranges, first and last port included.
    pub fn ranges(ranges: Vec<(u16, u16)>) -> Self {
        Self(ranges)
    }

    /// Whether it is every port.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    fn contain(&self, port: u16) -> bool {
        self.is_all() || self.0.iter().any(|&(first, last)| (first..=last).contains(&port))
    }

    fn count(&self) -> u32 {
        match self.0.as_slice() {
            [] => 1 << 16,
            ranges => ranges
                .iter()
                .map(|&(first, last)| u32::from(last.saturating_sub(first)) + 1)
                .sum(),
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What is done.
    pub decision: Decision,
    /// Whom it is about.
    pub subject: Subject,
    /// At which ports.
    pub ports: Ports,
}

/// All rules; none allow everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// How specific a rule is: the most specific one decides, and of equals the one that denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    subject: u16,
    /// Fewer ports weigh more.
    ports: core::cmp::Reverse<u32>,
    denies: bool,
}

impl Rule {
    fn weight(&self) -> Weight {
        let labels = |name: &str| name.split('.').count() as u16;
        Weight {
            subject: match &self.subject {
                Subject::Any => 0,
                Subject::Network { prefix_len, .. } => u16::from(*prefix_len),
                Subject::Name(name) => labels(name) * 2 + 1,
                Subject::Beneath(parent) => labels(parent) * 2,
            },
            ports: core::cmp::Reverse(self.ports.count()),
            denies: self.decision == Decision::Deny,
        }
    }
}

impl Subject {
    /// Whether it says everybody, or everybody of a family.
    fn is_broad(&self) -> bool {
        matches!(self, Self::Any | Self::Network { prefix_len: 0, .. })
    }

    fn is_address(&self, asked: IpAddr) -> bool {
        let (network, asked, bits, prefix_len) = match (self, asked) {
            (Self::Any, _) => return true,
            (
                Self::Network {
                    address: IpAddr::V4(network),
                    prefix_len,
                },
                IpAddr::V4(asked),
            ) => (
                u128::from(network.to_bits()),
                u128::from(asked.to_bits()),
                32,
                *prefix_len,
            ),
            (
                Self::Network {
                    address: IpAddr::V6(network),
                    prefix_len,
                },
                IpAddr::V6(asked),
            ) => (network.to_bits(), asked.to_bits(), 128, *prefix_len),
            _ => return false,
        };
        let ignored = bits - u32::from(prefix_len).min(bits);
        (network ^ asked).checked_shr(ignored).unwrap_or(0) == 0
    }

    fn is_name(&self, asked: &str) -> bool {
        match self {
            Self::Any | Self::Network { .. } => false,
            Self::Name(name) => asked == name,
            Self::Beneath(parent) => asked
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

/// An endpoint as it is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) endpoint: SocketAddr,
    /// It is the gateway's address: the host itself.
    pub(crate) is_host: bool,
}

impl Policy {
    /// These rules, in any order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Whether there is none: everything is allowed, and nothing needs to be asked.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule is about a name.
    pub fn has_names(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| matches!(rule.subject, Subject::Name(_) | Subject::Beneath(_)))
    }

    /// What is done where no rule matches.
    fn otherwise(&self) -> Decision {
        if self.rules.iter().any(|rule| rule.decision == Decision::Allow) {
            Decision::Deny
        } else {
            Decision::Allow
        }
    }

    /// The decision of the most specific of the rules that `matches`.
    fn most_specific(&self, matches: impl Fn(&Rule) -> bool) -> Option<Decision> {
        self.rules
            .iter()
            .filter(|rule| matches(rule))
            .max_by_key(|rule| rule.weight())
            .map(|rule| rule.decision)
    }

    /// What is done with a connection or datagram.
    pub(crate) fn for_endpoint(&self, now: Instant, asked: Asked, learned: &Learned) -> Decision {
        if self.is_empty() {
            return Decision::Allow;
        }
        let (ip, port) = (asked.endpoint.ip(), asked.endpoint.port());
        let by_address = |ip: IpAddr| {
            self.most_specific(|rule| {
                !rule.subject.is_broad() && rule.subject.is_address(ip) && rule.ports.contain(port)
            })
        };
        let by_name = |name: &str| self.most_specific(|rule| rule.subject.is_name(name) && rule.ports.contain(port));
        let address = by_address(ip);
        let inner = embedded(ip);
        let host_name = asked.is_host.then(|| by_name(HOST_NAME)).flatten();
        let names = || learned.names(now, ip).filter(|_| !asked.is_host).map(by_name);
        let denied = Some(Decision::Deny);
        if address == denied
            || host_name == denied
            || inner.is_some_and(|inner| by_address(inner) == denied)
            || names().any(|name| name == denied)
        {
            return Decision::Deny;
        }
        if address.is_some() || host_name.is_some() {
            return Decision::Allow;
        }
        let guarded = asked.is_host || is_guarded(ip) || inner.is_some_and(is_guarded);
        let otherwise = self.otherwise();
        if guarded && otherwise == Decision::Deny {
            return Decision::Deny;
        }
        if names().any(|name| name.is_some()) {
            return Decision::Allow;
        }
        self.most_specific(|rule| rule.subject.is_broad() && rule.subject.is_address(ip) && rule.ports.contain(port))
            .unwrap_or(otherwise)
    }

    /// What is done with a connection or datagram where no name is known: on a link without a name server of ours.
    pub fn for_address(&self, endpoint: SocketAddr) -> Decision {
        let asked = Asked {
            endpoint,
            is_host: false,
        };
        self.for_endpoint(Instant::ZERO, asked, &Learned::default())
    }

    /// What is done with a lookup of `name` (lower case, no final dot). Nobody knows the port yet: a name is looked up if
    /// it is allowed at any. A rule about a network allows no lookup: a question is a message, to whoever answers it.
    pub(crate) fn for_name(&self, name: &str) -> Decision {
        let mut rules: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.subject.is_name(name) || rule.subject == Subject::Any)
            .collect();
        rules.sort_by_key(|rule| core::cmp::Reverse(rule.weight()));
        for same in rules.chunk_by(|one, other| one.subject == other.subject) {
            if same.iter().any(|rule| rule.decision == Decision::Allow) {
                return Decision::Allow;
            }
            if same.iter().any(|rule| rule.ports.is_all()) {
                return Decision::Deny;
            }
        }
        self.otherwise()
    }
}

/// Addresses that mean the inside of the host or of its cloud, beside the gateway: link-local ones, where metadata
/// services hand out credentials, and such services at other addresses.
fn is_guarded(ip: IpAddr) -> bool {
    /// Alibaba Cloud, Azure's host, Oracle Cloud.
    const METADATA_V4: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    /// Amazon's: fd00:ec2::254 is one of several in this network.
    const METADATA_V6: (u128, u32) = (0xfd00_0ec2, 32);
    match ip {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_bits() >> (128 - METADATA_V6.1) == METADATA_V6.0,
    }
}

/// The IPv4 address that an IPv6 address leads to, where something on the way translates: mapped and compatible
/// (RFC 4291 §2.5.5), NAT64 (RFC 6052 §2.1, RFC 8215 with its usual /96), 6to4 (RFC 3056).
fn embedded(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = ip else { return None };
    let last = Ipv4Addr::from_bits(v6.to_bits() as u32);
    let in_front = |prefix: Ipv6Addr, len: u32| (prefix.to_bits() ^ v6.to_bits()) >> (128 - len) == 0;
    let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
    let nat64_local = Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0);
    if v6.to_ipv4_mapped().is_some() || in_front(nat64, 96) || in_front(nat64_local, 48) {
        return Some(last.into());
    }
    if in_front(Ipv6Addr::UNSPECIFIED, 96) && v6.to_bits() > 1 {
        return Some(last.into());
    }
    in_front(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16)
        .then(|| Ipv4Addr::from_bits((v6.to_bits() >> 80) as u32).into())
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
