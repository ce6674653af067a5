//! Addresses: what kind of address one is, which are ours, and which to speak from (RFC 6724).

use crate::link::LinkId;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use prise_wire::IpCidr;

/// One key space for both families: IPv4 as IPv4-mapped, which never appears on the wire as IPv6 (RFC 4942 §2.2).
pub(crate) fn key(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// The address with that key.
pub(crate) fn from_key(key: u128) -> IpAddr {
    Ipv6Addr::from_bits(key).to_canonical()
}

/// How far an address reaches (RFC 4007 §5, RFC 6724 §3.1), narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Link,
    Site,
    Global,
}

/// The scope of an address; multicast groups say theirs (RFC 4291 §2.7).
pub(crate) fn scope(addr: IpAddr) -> Scope {
    match addr {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => Scope::Link,
        // 224.0.0.0/24 never leaves the link (RFC 5771 §4).
        IpAddr::V4(v4) if v4.octets()[..3] == [224, 0, 0] => Scope::Link,
        IpAddr::V6(v6) if v6.is_multicast() => match v6.octets()[1] & 0x0f {
            0..=2 => Scope::Link,
            3..=8 => Scope::Site,
            _ => Scope::Global,
        },
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unicast_link_local() => Scope::Link,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::Global,
    }
}

/// The label of RFC 6724 §2.1's default policy table.
fn label(addr: u128) -> u8 {
    const MAPPED: u128 = 0xffff << 32;
    match addr {
        1 => 0,
        _ if addr >> 32 == MAPPED >> 32 => 4,
        _ if addr >> 32 == 0 => 3,
        _ if addr >> 112 == 0x2002 => 2,
        _ if addr >> 96 == 0x2001_0000 => 5,
        _ if addr >> 121 == 0xfc >> 1 => 13,
        _ if addr >> 118 == 0xfec0 >> 6 => 11,
        _ if addr >> 112 == 0x3ffe => 12,
        _ => 1,
    }
}

/// An address of one of our links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The link that owns it.
    pub link: LinkId,
    /// The address and its on-link prefix.
    pub cidr: IpCidr,
}

/// Every address of the stack.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// In the order in which they were given; a link's first address of a family is its primary one.
    all: Vec<LinkAddress>,
    /// The same as sorted keys: asked for every packet.
    local: Vec<u128>,
    /// Directed broadcast addresses, with their links.
    broadcasts: Vec<(Ipv4Addr, LinkId)>,
    /// The prefix of a loopback link is local in full (`127.0.0.0/8`).
    loopback: Vec<IpCidr>,
}

impl Addresses {
    /// Adds an address; false if the link has it already.
    pub(crate) fn add(&mut self, link: LinkId, cidr: IpCidr, loopback: bool) -> bool {
        if self
            .all
            .iter()
            .any(|have| have.link == link && have.cidr.address() == cidr.address())
        {
            return false;
        }
        self.all.push(LinkAddress { link, cidr });
        if let Err(at) = self.local.binary_search(&key(cidr.address())) {
            self.local.insert(at, key(cidr.address()));
        }
        if loopback {
            self.loopback.push(cidr);
        } else if let Some(broadcast) = cidr.broadcast() {
            self.broadcasts.push((broadcast, link));
        }
        true
    }

    /// Takes an address away; false if the link does not have it.
    pub(crate) fn remove(&mut self, link: LinkId, addr: IpAddr) -> bool {
        let Some(at) = self
            .all
            .iter()
            .position(|have| have.link == link && have.cidr.address() == addr)
        else {
            return false;
        };
        let removed = self.all.remove(at);
        if !self.all.iter().any(|have| have.cidr.address() == addr) {
            self.local.retain(|&local| local != key(addr));
        }
        self.loopback.retain(|&cidr| cidr != removed.cidr);
        if let Some(broadcast) = removed.cidr.broadcast() {
            let kept = self
                .all
                .iter()
                .any(|have| have.link == link && have.cidr.broadcast() == Some(broadcast));
            self.broadcasts.retain(|&entry| kept || entry != (broadcast, link));
        }
        true
    }

    pub(crate) fn all(&self) -> &[LinkAddress] {
        &self.all
    }

    /// Whether the unicast address is one of ours.
    pub(crate) fn is_local(&self, addr: IpAddr) -> bool {
        self.local.binary_search(&key(addr)).is_ok() || self.loopback.iter().any(|cidr| cidr.contains(addr))
    }

    /// Whether that link itself owns the address.
    pub(crate) fn link_has(&self, link: LinkId, addr: IpAddr) -> bool {
        self.all
            .iter()
            .any(|have| have.link == link && have.cidr.address() == addr)
    }

    /// The link that owns the address.
    pub(crate) fn link_of(&self, addr: IpAddr) -> Option<LinkId> {
        let owner = self.all.iter().find(|have| have.cidr.address() == addr)?;
        Some(owner.link)
    }

    /// Whether the address is a broadcast on that link: the limited one or a subnet's.
    pub(crate) fn is_broadcast(&self, link: LinkId, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(Ipv4Addr::BROADCAST) => true,
            IpAddr::V4(addr) => self.broadcasts.contains(&(addr, link)),
            IpAddr::V6(_) => false,
        }
    }

    /// The link for which the address is a directed broadcast.
    pub(crate) fn broadcast_link(&self, addr: IpAddr) -> Option<LinkId> {
        let IpAddr::V4(addr) = addr else { return None };
        self.broadcasts
            .iter()
            .find(|&&(broadcast, _)| broadcast == addr)
            .map(|&(_, link)| link)
    }

    /// The first address of a link in the family of `like`, narrow ones only if nothing else.
    pub(crate) fn primary(&self, link: LinkId, ipv4: bool) -> Option<IpAddr> {
        let of_link = self
            .all
            .iter()
            .filter(|have| have.link == link && have.cidr.address().is_ipv4() == ipv4);
        // Of equals, `max_by_key` takes the last.
        of_link
            .rev()
            .max_by_key(|have| scope(have.cidr.address()))
            .map(|have| have.cidr.address())
    }

    /// The address of a link to ask for a neighbor from: one in the neighbor's own subnet if there is one.
    pub(crate) fn source_for_neighbor(&self, link: LinkId, neighbor: IpAddr) -> Option<IpAddr> {
        let of_link = self
            .all
            .iter()
            .filter(|have| have.link == link && have.cidr.is_ipv4() == neighbor.is_ipv4());
        of_link
            .rev()
            .max_by_key(|have| have.cidr.contains(neighbor))
            .map(|have| have.cidr.address())
    }

    /// The link-local IPv6 address of a link.
    pub(crate) fn link_local(&self, link: LinkId) -> Option<Ipv6Addr> {
        self.all.iter().find_map(|have| match have.cidr.address() {
            IpAddr::V6(addr) if have.link == link && addr.is_unicast_link_local() => Some(addr),
            _ => None,
        })
    }

    /// The source to speak from towards `dst` by `link`: RFC 6724 §5, rules 1, 2, 5, 6 and 8; earlier addresses win ties.
    ///
    /// Rules 3, 4 and 7 ask for states (deprecated, home, temporary) that no address here has.
    pub(crate) fn select_source(&self, dst: IpAddr, link: LinkId) -> Option<IpAddr> {
        let dst_scope = scope(dst);
        let dst_key = key(dst);
        let preference = |have: &LinkAddress| {
            let addr = have.cidr.address();
            let own_scope = scope(addr);
            let enough = own_scope >= dst_scope;
            // Rule 2: the narrowest scope that is enough, else the widest there is.
            let fit = if enough {
                Reverse(own_scope)
            } else {
                Reverse(Scope::Link)
            };
            let widest = if enough { Scope::Global } else { own_scope };
            let common = (key(addr) ^ dst_key).leading_zeros().min(common_limit(have.cidr));
            (
                addr == dst,
                enough,
                widest,
                fit,
                have.link == link,
                label(key(addr)) == label(dst_key),
                common,
            )
        };
        let mut best = None;
        for have in &self.all {
            let addr = have.cidr.address();
            let foreign = have.link != link;
            // Never a loopback source on a wire, nor another link's narrow address (RFC 4007 §6).
            if addr.is_ipv4() != dst.is_ipv4() || foreign && (addr.is_loopback() || scope(addr) == Scope::Link) {
                continue;
            }
            let rank = preference(have);
            if best.as_ref().is_none_or(|(best_rank, _)| rank > *best_rank) {
                best = Some((rank, addr));
            }
        }
        best.map(|(_, addr)| addr)
    }
}

/// Rule 8 compares no more than the source's own prefix (RFC 6724 §2.2).
fn common_limit(cidr: IpCidr) -> u32 {
    u32::from(cidr.prefix_len()) + if cidr.address().is_ipv4() { 96 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn cidr(text: &str) -> IpCidr {
        text.parse().unwrap()
    }

    fn link(position: u8) -> LinkId {
        LinkId::new(position).unwrap()
    }

    #[test]
    fn the_source_is_chosen_by_the_rules_of_rfc_6724() {
        let mut addresses = Addresses::default();
        for (position, text) in [
            (0, "127.0.0.1/8"),
            (0, "::1/128"),
            (1, "10.0.2.15/24"),
            (1, "192.168.7.1/24"),
            (1, "fe80::1/64"),
            (1, "fd00:2::15/64"),
            (1, "2001:db8::15/64"),
            (2, "172.16.0.1/16"),
            (2, "fe80::2/64"),
        ] {
            assert!(addresses.add(link(position), cidr(text), position == 0));
        }
        for (dst, by, expected) in [
            ("10.0.2.2", 1, "10.0.2.15"),
            ("192.168.7.9", 1, "192.168.7.1"),
            ("8.8.8.8", 2, "172.16.0.1"),
            ("fe80::99", 1, "fe80::1"),
            ("fe80::99", 2, "fe80::2"),
            ("fd00:2::2", 1, "fd00:2::15"),
            ("2001:4860::8888", 1, "2001:db8::15"),
            // Rule 2 before rule 5: a global source of another link beats a link-local one of this.
            ("2001:4860::8888", 2, "2001:db8::15"),
            ("ff02::fb", 1, "fe80::1"),
            ("127.0.0.9", 0, "127.0.0.1"),
            ("::1", 0, "::1"),
        ] {
            assert_eq!(
                addresses.select_source(ip(dst), link(by)),
                Some(ip(expected)),
                "{dst} by {by}"
            );
        }
    }

    #[test]
    fn an_address_is_local_until_its_last_link_loses_it() {
        let mut addresses = Addresses::default();
        assert!(addresses.add(link(0), cidr("127.0.0.1/8"), true));
        assert!(addresses.add(link(1), cidr("10.0.2.15/24"), false));
        assert!(!addresses.add(link(1), cidr("10.0.2.15/16"), false));
        assert!(addresses.is_local(ip("127.9.9.9")));
        assert!(addresses.is_local(ip("10.0.2.15")));
        assert!(!addresses.is_local(ip("10.0.2.14")));
        assert!(addresses.is_broadcast(link(1), ip("10.0.2.255")));
        assert!(!addresses.is_broadcast(link(0), ip("10.0.2.255")));
        assert!(addresses.is_broadcast(link(0), ip("255.255.255.255")));
        assert!(addresses.remove(link(1), ip("10.0.2.15")));
        assert!(!addresses.is_local(ip("10.0.2.15")));
        assert!(!addresses.is_broadcast(link(1), ip("10.0.2.255")));
        assert!(!addresses.remove(link(1), ip("10.0.2.15")));
    }
}
