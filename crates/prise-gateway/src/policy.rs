//! What the guest may reach, as data: rules that are read in order, the first that matches decides.
//!
//! The gateway asks at three points: a connection or datagram for an address, and a lookup of a name. Rules by name
//! bite at the lookup and, through the addresses that a permitted lookup returned, at the connection.

use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;

/// Addresses remembered for names; beyond this the whole memory starts afresh, and programs look up again.
const LEARNED_MAX: usize = 4096;

/// What is to be done with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decision {
    /// Let it through.
    #[default]
    Allow,
    /// Tell the guest that it is prohibited: ICMP's "administratively prohibited", DNS's REFUSED.
    Refuse,
    /// Do not answer.
    Drop,
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
    /// A name, in lower case without a final dot; `*.` before it means every name beneath.
    Name(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub subject: Subject,
    /// The port; every port if none is given. Lookups have no port: they match whatever is given here.
    pub port: Option<u16>,
    /// What is done.
    pub decision: Decision,
}

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules; the first that matches decides.
    pub rules: Vec<Rule>,
    /// What is done where none matches.
    pub otherwise: Decision,
}

/// Names by the addresses that they were answered with.
#[derive(Debug, Default)]
pub(crate) struct Learned(HashMap<IpAddr, Vec<String>>);

impl Learned {
    fn names(&self, address: IpAddr) -> &[String] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }
}

impl Subject {
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
            Self::Any => true,
            Self::Network { .. } => false,
            Self::Name(name) => match name.strip_prefix("*.") {
                Some(parent) => asked
                    .strip_suffix(parent)
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                None => asked == name,
            },
        }
    }
}

impl Policy {
    /// Whether any rule is about names, so that answers need to be remembered.
    fn knows_names(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.subject, Subject::Name(_)))
    }

    /// What is done with a connection or datagram for `endpoint`.
    pub(crate) fn for_endpoint(&self, endpoint: SocketAddr, learned: &Learned) -> Decision {
        let names = learned.names(endpoint.ip());
        self.rules
            .iter()
            .filter(|rule| rule.port.is_none_or(|port| port == endpoint.port()))
            .find(|rule| rule.subject.is_address(endpoint.ip()) || names.iter().any(|name| rule.subject.is_name(name)))
            .map_or(self.otherwise, |rule| rule.decision)
    }

    /// What is done with a lookup of `name` (lower case, no final dot). A rule about a network does not forbid lookups:
    /// nobody knows the address yet.
    pub(crate) fn for_name(&self, name: &str) -> Decision {
        self.rules
            .iter()
            .find(|rule| rule.subject.is_name(name))
            .map_or(self.otherwise, |rule| rule.decision)
    }

    /// Remembers what `name` was answered with.
    pub(crate) fn learn(&self, learned: &mut Learned, name: &str, addresses: &[IpAddr]) {
        if !self.knows_names() {
            return;
        }
        for &address in addresses {
            if learned.0.len() >= LEARNED_MAX && !learned.0.contains_key(&address) {
                learned.0.clear();
            }
            let names = learned.0.entry(address).or_default();
            if names.len() < 16 && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(subject: Subject, port: Option<u16>, decision: Decision) -> Rule {
        Rule {
            subject,
            port,
            decision,
        }
    }

    fn network(text: &str, prefix_len: u8) -> Subject {
        Subject::Network {
            address: text.parse().unwrap(),
            prefix_len,
        }
    }

    fn decide(policy: &Policy, endpoint: &str) -> Decision {
        policy.for_endpoint(endpoint.parse().unwrap(), &Learned::default())
    }

    #[test]
    fn without_rules_everything_passes() {
        let policy = Policy::default();
        assert_eq!(decide(&policy, "192.0.2.1:80"), Decision::Allow);
        assert_eq!(policy.for_name("example.com"), Decision::Allow);
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy {
            rules: vec![
                rule(network("192.0.2.0", 24), Some(443), Decision::Allow),
                rule(network("192.0.2.0", 24), None, Decision::Drop),
                rule(network("2001:db8::", 32), None, Decision::Allow),
                rule(network("0.0.0.0", 0), Some(53), Decision::Allow),
            ],
            otherwise: Decision::Refuse,
        };
        assert_eq!(decide(&policy, "192.0.2.9:443"), Decision::Allow);
        assert_eq!(decide(&policy, "192.0.2.9:80"), Decision::Drop);
        assert_eq!(decide(&policy, "192.0.3.9:443"), Decision::Refuse);
        assert_eq!(decide(&policy, "198.51.100.1:53"), Decision::Allow);
        assert_eq!(decide(&policy, "[2001:db8:1::1]:1"), Decision::Allow);
        assert_eq!(decide(&policy, "[2001:db9::1]:53"), Decision::Refuse);
    }

    #[test]
    fn a_name_opens_the_addresses_that_it_was_answered_with() {
        let policy = Policy {
            rules: vec![
                rule(Subject::Name("api.example.com".into()), Some(443), Decision::Allow),
                rule(Subject::Name("*.example.net".into()), None, Decision::Allow),
            ],
            otherwise: Decision::Refuse,
        };
        assert_eq!(policy.for_name("api.example.com"), Decision::Allow);
        assert_eq!(policy.for_name("www.example.net"), Decision::Allow);
        assert_eq!(policy.for_name("example.net"), Decision::Refuse);
        assert_eq!(policy.for_name("badexample.net"), Decision::Refuse);
        let mut learned = Learned::default();
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(policy.for_endpoint((address, 443).into(), &learned), Decision::Refuse);
        policy.learn(&mut learned, "api.example.com", &[address]);
        assert_eq!(policy.for_endpoint((address, 443).into(), &learned), Decision::Allow);
        assert_eq!(policy.for_endpoint((address, 80).into(), &learned), Decision::Refuse);
    }
}
