//! Routes: the table, looked up by longest prefix and then lowest metric.
//!
//! Routes are kept by prefix length, the longest first, each length one small hash table: a lookup costs one probe for
//! every *distinct* length in use, which is two or three on a host whatever the number of routes.

use super::address::key;
use crate::hash::HashKey;
use crate::link::LinkId;
use alloc::vec::Vec;
use core::net::IpAddr;
use hashbrown::HashMap;
use prise_wire::IpCidr;

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations that it serves.
    pub prefix: IpCidr,
    /// The router to hand packets to; none if the destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// The link that packets leave by.
    pub link: LinkId,
    /// The source address to prefer; none leaves it to RFC 6724.
    pub source: Option<IpAddr>,
    /// Of two routes for one prefix the lower wins.
    pub metric: u32,
}

impl Route {
    /// Whether both lead to the same prefix by the same way with the same metric.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.prefix.network() == other.prefix.network()
            && (self.link, self.gateway, self.metric) == (other.link, other.gateway, other.metric)
    }
}

/// How packets to a destination leave, as transports need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The link that they leave by.
    pub link: LinkId,
    /// The source address to use.
    pub source: IpAddr,
    /// The neighbor that they are handed to: a router or the destination itself.
    pub next_hop: IpAddr,
    /// The largest packet: the link's MTU, or the path's if a lower one is known.
    pub mtu: u32,
    /// The largest unit that the link splits itself; 0 if it splits nothing.
    pub gso_max: u32,
    /// Whether the link completes transport checksums.
    pub checksum_offload: bool,
    /// Whether packets come back by the same link: the destination is this host.
    pub loopback: bool,
}

/// Why there is no way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No route holds the destination (`ENETUNREACH`).
    NoRoute,
    /// No address of ours can speak to it (`EADDRNOTAVAIL`).
    NoSource,
    /// The given source must not appear there, such as a loopback address on a wire (`EINVAL`).
    InvalidSource,
    /// Not an address that a packet can be sent to: unspecified or reserved (`EINVAL`).
    InvalidDestination,
}

impl core::fmt::Display for RouteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "no route to the destination",
            Self::NoSource => "no source address for the destination",
            Self::InvalidSource => "the source address must not be used on that link",
            Self::InvalidDestination => "no packet can be sent to that address",
        })
    }
}

impl core::error::Error for RouteError {}

#[derive(Debug)]
struct Length {
    prefix_len: u8,
    /// Routes for one prefix, lowest metric first.
    by_network: HashMap<u128, Vec<Route>, HashKey>,
}

/// The routing table of both families.
#[derive(Debug)]
pub(crate) struct Routes {
    hash: HashKey,
    /// By descending prefix length; index 0 is IPv6, 1 is IPv4.
    families: [Vec<Length>; 2],
}

impl Routes {
    pub(crate) fn new(hash: HashKey) -> Self {
        Self {
            hash,
            families: [Vec::new(), Vec::new()],
        }
    }

    /// Adds a route; false if there is one for the same prefix, link, gateway and metric.
    pub(crate) fn add(&mut self, route: Route) -> bool {
        let prefix_len = route.prefix.prefix_len();
        let lengths = &mut self.families[usize::from(route.prefix.is_ipv4())];
        let at = lengths.partition_point(|have| have.prefix_len > prefix_len);
        if lengths.get(at).is_none_or(|have| have.prefix_len != prefix_len) {
            lengths.insert(
                at,
                Length {
                    prefix_len,
                    by_network: HashMap::with_hasher(self.hash),
                },
            );
        }
        let routes = lengths[at]
            .by_network
            .entry(key(route.prefix.network().address()))
            .or_default();
        if routes.iter().any(|have| have.is_same(&route)) {
            return false;
        }
        let rank = routes.partition_point(|have| have.metric <= route.metric);
        routes.insert(rank, route);
        true
    }

    /// Removes every route that `keep` refuses.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Route) -> bool) {
        for lengths in &mut self.families {
            for length in lengths.iter_mut() {
                length.by_network.retain(|_, routes| {
                    routes.retain(&mut keep);
                    !routes.is_empty()
                });
            }
            lengths.retain(|length| !length.by_network.is_empty());
        }
    }

    /// The best route to `dst`: longest prefix, then lowest metric; only those by `device` if one is given.
    pub(crate) fn lookup(&self, dst: IpAddr, device: Option<LinkId>) -> Option<&Route> {
        self.families[usize::from(dst.is_ipv4())].iter().find_map(|length| {
            let network = IpCidr::new(dst, length.prefix_len)?.network();
            let routes = length.by_network.get(&key(network.address()))?;
            routes
                .iter()
                .find(|route| device.is_none_or(|device| device == route.link))
        })
    }

    /// Every route, longest prefix first within a family, IPv4 first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.families
            .iter()
            .rev()
            .flatten()
            .flat_map(|length| length.by_network.values().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, gateway: Option<&str>, link: u8, metric: u32) -> Route {
        Route {
            prefix: prefix.parse().unwrap(),
            gateway: gateway.map(|text| text.parse().unwrap()),
            link: LinkId::new(link).unwrap(),
            source: None,
            metric,
        }
    }

    fn table(routes: &[Route]) -> Routes {
        let mut table = Routes::new(HashKey::new([3, 4]));
        for &route in routes {
            assert!(table.add(route));
        }
        table
    }

    #[test]
    fn the_longest_prefix_wins_then_the_lowest_metric() {
        let routes = [
            route("0.0.0.0/0", Some("10.0.2.2"), 1, 100),
            route("0.0.0.0/0", Some("10.9.9.9"), 2, 50),
            route("10.0.0.0/8", Some("10.0.2.3"), 1, 0),
            route("10.0.2.0/24", None, 1, 500),
            route("10.0.2.99/32", None, 2, 900),
            route("::/0", Some("fd00:2::2"), 1, 0),
        ];
        let table = table(&routes);
        for (dst, device, expected) in [
            ("8.8.8.8", None, Some(1)),
            ("8.8.8.8", LinkId::new(1), Some(0)),
            ("10.1.1.1", None, Some(2)),
            ("10.0.2.77", None, Some(3)),
            ("10.0.2.99", None, Some(4)),
            ("10.0.2.99", LinkId::new(1), Some(3)),
            ("10.0.2.77", LinkId::new(2), Some(1)),
            ("2001:db8::1", None, Some(5)),
            ("2001:db8::1", LinkId::new(2), None),
        ] {
            let found = table.lookup(dst.parse().unwrap(), device);
            assert_eq!(
                found,
                expected.map(|index: usize| &routes[index]),
                "{dst} by {device:?}"
            );
        }
    }

    #[test]
    fn a_route_is_added_once_and_goes_with_its_link() {
        let mut table = table(&[
            route("10.0.2.0/24", None, 1, 0),
            route("0.0.0.0/0", Some("10.0.2.2"), 1, 0),
        ]);
        assert!(!table.add(route("10.0.2.7/24", None, 1, 0)));
        table.retain(|route| route.gateway.is_some());
        assert_eq!(table.iter().count(), 1);
        assert_eq!(
            table
                .lookup("10.0.2.5".parse().unwrap(), None)
                .unwrap()
                .prefix
                .prefix_len(),
            0
        );
    }
}
