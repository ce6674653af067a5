//! The way to a destination: which link, which next hop, which source address, which MTU.

use super::Net;
use super::route::{RouteError, RouteInfo};
use crate::link::{Link, LinkId};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use prise_wire::Instant;

impl Net {
    /// The way to `dst`, speaking from `src` if given, by `device` if given.
    pub(crate) fn route(
        &self,
        dst: IpAddr,
        src: Option<IpAddr>,
        device: Option<LinkId>,
    ) -> Result<RouteInfo, RouteError> {
        if dst.is_unspecified() {
            return Err(RouteError::InvalidDestination);
        }
        let device = device.or_else(|| self.link_of_speaker(dst, src?));
        let (link, next_hop, preferred) = self.exit(dst, device)?;
        let link = self.link(link).ok_or(RouteError::NoRoute)?;
        let source = match src {
            Some(src) if src.is_ipv4() != dst.is_ipv4() => return Err(RouteError::InvalidSource),
            Some(src) if src.is_loopback() && !link.is_loopback() => return Err(RouteError::InvalidSource),
            Some(src) if !src.is_unspecified() => src,
            _ => preferred
                .or_else(|| self.addresses.select_source(dst, link.id()))
                .ok_or(RouteError::NoSource)?,
        };
        Ok(RouteInfo {
            link: link.id(),
            source,
            next_hop,
            mtu: self.path_mtus.get(dst, link.mtu()),
            gso_max: link.gso_max(),
            checksum_offload: link.checksum_offload(),
            loopback: link.is_loopback(),
        })
    }

    /// The link that a packet for `dst` has come to: what a host sends to itself goes by `lo` and comes to the link that has the address, as
    /// `SO_BINDTODEVICE` and packet info have it on Linux (`rt_iif`, `ip6_dst_idev`).
    pub(crate) fn link_reached(&self, by: LinkId, dst: IpAddr) -> LinkId {
        let from_here = self.loopback == Some(by);
        self.addresses.link_of(dst).filter(|_| from_here).unwrap_or(by)
    }

    /// The other way round: the link by which answers leave to `peer`, of which packets came to `reached`.
    pub(crate) fn link_towards(&self, peer: IpAddr, reached: LinkId) -> LinkId {
        self.loopback.filter(|_| self.is_local(peer)).unwrap_or(reached)
    }

    /// The link and next hop for `dst`, and the source that the route prefers.
    fn exit(&self, dst: IpAddr, device: Option<LinkId>) -> Result<(LinkId, IpAddr, Option<IpAddr>), RouteError> {
        if self.is_local(dst) {
            let link = self.loopback.ok_or(RouteError::NoRoute)?;
            // A host speaks to itself from the address it speaks to, within 127.0.0.0/8 from its first one.
            let own = if dst.is_loopback() {
                self.addresses.primary(link, dst.is_ipv4())
            } else {
                Some(dst)
            };
            return Ok((link, dst, own));
        }
        if let Some(route) = self.routes.lookup(dst, device) {
            let next_hop = match route.gateway {
                Some(gateway) if !is_multicast_or_broadcast(dst) => gateway,
                _ => dst,
            };
            return Ok((route.link, next_hop, route.source.filter(|_| !dst.is_multicast())));
        }
        // Without a route a chosen device means that the destination is on its link, as on Linux, except that IPv6 has nothing on lo.
        let chosen = device.filter(|device| dst.is_ipv4() || self.loopback != Some(*device));
        match chosen.or_else(|| self.link_of_narrow(dst).filter(|_| device.is_none())) {
            Some(device) => Ok((device, dst, None)),
            None => Err(RouteError::NoRoute),
        }
    }

    /// The link for a destination that no route need name: link-local addresses, groups, the limited broadcast.
    fn link_of_narrow(&self, dst: IpAddr) -> Option<LinkId> {
        let narrow = match dst {
            IpAddr::V4(v4) => v4.is_multicast() || v4 == Ipv4Addr::BROADCAST,
            IpAddr::V6(v6) => v6.is_multicast() || v6.is_unicast_link_local(),
        };
        if !narrow {
            return None;
        }
        let by_default = self.routes.lookup(default_of(dst), None).map(|route| route.link);
        by_default.or_else(|| self.links.iter().find(|link| !link.is_loopback()).map(Link::id))
    }

    /// Who has bound an IPv4 address says with it where groups and the limited broadcast are meant: on the link that has
    /// it (Linux's `ip_route_output_key`), `lo` included.
    fn link_of_speaker(&self, dst: IpAddr, src: IpAddr) -> Option<LinkId> {
        if !src.is_ipv4() || !dst.is_ipv4() || !is_multicast_or_broadcast(dst) {
            return None;
        }
        if src.is_loopback() && self.is_local(src) {
            return self.loopback;
        }
        self.addresses.link_of(src)
    }

    /// Changes whenever [`Net::route`] may answer differently than before: lets callers keep a [`RouteInfo`].
    pub(crate) fn route_generation(&self) -> u32 {
        self.generation
    }

    /// Takes in that packets to `dst` must not be larger than `mtu` (zero: smaller than now); the route says so from now on.
    ///
    /// Only for what an authentic error says: the caller has found the socket whose packet it quotes.
    pub(crate) fn lower_path_mtu(&mut self, now: Instant, dst: IpAddr, mtu: u32) {
        let Ok(route) = self.route(dst, None, None) else { return };
        if !route.loopback && self.path_mtus.lower(now, dst, mtu, route.mtu) {
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// A transport has had an answer from `dst`: the neighbor towards it is reachable (RFC 4861 §7.3.1). Costs a comparison
    /// unless some neighbor is in doubt.
    pub(crate) fn confirm_path(&mut self, now: Instant, dst: IpAddr) {
        if !self.neighbors.has_doubts(now) {
            return;
        }
        if let Ok(route) = self.route(dst, None, None) {
            self.neighbors.confirm(now, route.link, route.next_hop);
        }
    }
}

fn is_multicast_or_broadcast(addr: IpAddr) -> bool {
    addr.is_multicast() || addr == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// An address that only a default route holds.
fn default_of(addr: IpAddr) -> IpAddr {
    if addr.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}
