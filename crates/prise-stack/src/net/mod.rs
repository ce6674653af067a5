//! What the transports stand on: links, addresses, routes, neighbors and the Internet Protocol, both versions.
//!
//! The way in is [`Net::input`], the way out [`Net::encapsulate`] (pulled) or [`Net::send`] (queued).

mod address;
mod discard;
mod icmp;
mod input;
mod output;
mod route;

pub use address::{CidrParseError, IpCidr, LinkAddress};
pub use discard::{Discard, DiscardCounts};
pub use icmp::IcmpError;
pub(crate) use icmp::Quoted;
pub use route::{Route, RouteError, RouteInfo};

use crate::hash::HashKey;
use crate::link::{LINKS_MAX, Link, LinkConfig, LinkId, LinkSet};
use crate::random::Random;
use address::Addresses;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use prise_wire::{Frame, Instant};
use route::Routes;

/// What IP and link headers around a transport segment are to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpOut {
    /// Source address, of the same version as the destination.
    pub(crate) src: IpAddr,
    /// Destination address.
    pub(crate) dst: IpAddr,
    /// The transport's protocol number.
    pub(crate) protocol: u8,
    /// Time to live or hop limit.
    pub(crate) hop_limit: u8,
    /// Type of service or traffic class, ECN bits included.
    pub(crate) tos: u8,
    /// Sets DF in IPv4 and keeps the source from fragmenting in either version.
    pub(crate) dont_fragment: bool,
}

/// A packet for this host, its IP layer done with.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// The link it came by.
    pub(crate) link: LinkId,
    /// Its source address.
    pub(crate) src: IpAddr,
    /// Its destination address.
    pub(crate) dst: IpAddr,
    /// The transport's protocol number, after all extension headers.
    pub(crate) protocol: u8,
    /// Type of service or traffic class, ECN bits included.
    pub(crate) tos: u8,
    /// Time to live or hop limit.
    pub(crate) hop_limit: u8,
    /// Whether both the link and IP sent it to one receiver, not to a group or broadcast address.
    pub(crate) unicast: bool,
    /// The frame, link and IP headers included, cut to the packet's length.
    pub(crate) frame: Frame,
    /// Where the IP header begins in the frame's head.
    pub(crate) network_at: usize,
    /// Where the transport header begins in the frame's head.
    pub(crate) transport_at: usize,
    /// Whether the transport checksum has been verified or may be trusted.
    pub(crate) checksum_ok: bool,
}

/// Links, addresses, routes, neighbors and IP of one host.
#[derive(Debug)]
pub(crate) struct Net {
    links: Vec<Link>,
    /// Links whose queue holds something.
    ready: LinkSet,
    addresses: Addresses,
    routes: Routes,
    loopback: Option<LinkId>,
    /// Counts changes of what [`Net::route`] would answer.
    generation: u32,
    discards: DiscardCounts,
    random: Random,
}

impl Net {
    pub(crate) fn new(hash: HashKey, random: Random) -> Self {
        Self {
            links: Vec::new(),
            ready: LinkSet::EMPTY,
            addresses: Addresses::default(),
            routes: Routes::new(hash),
            loopback: None,
            generation: 0,
            discards: DiscardCounts::new(),
            random,
        }
    }

    /// Adds a link; none if there are [`LINKS_MAX`] already.
    pub(crate) fn add_link(&mut self, config: &LinkConfig<'_>) -> Option<LinkId> {
        let id = LinkId::new(
            u8::try_from(self.links.len())
                .ok()
                .filter(|&n| usize::from(n) < LINKS_MAX)?,
        )?;
        self.links.push(Link::new(id, config));
        if config.loopback && self.loopback.is_none() {
            self.loopback = Some(id);
        }
        self.generation = self.generation.wrapping_add(1);
        Some(id)
    }

    pub(crate) fn add_address(&mut self, _now: Instant, link: LinkId, cidr: IpCidr) {
        let Some(loopback) = self.link(link).map(Link::is_loopback) else {
            return;
        };
        if self.addresses.add(link, cidr, loopback) {
            // Every on-link prefix is a route; a host prefix needs none.
            if !loopback && cidr != IpCidr::host(cidr.addr()) {
                self.routes.add(Route {
                    prefix: cidr,
                    gateway: None,
                    link,
                    source: Some(cidr.addr()),
                    metric: 0,
                });
            }
            self.generation = self.generation.wrapping_add(1);
        }
    }

    pub(crate) fn add_route(&mut self, route: Route) {
        if self.link(route.link).is_some() && self.routes.add(route) {
            self.generation = self.generation.wrapping_add(1);
        }
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(crate) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.position())
    }

    pub(crate) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.position())
    }

    pub(crate) fn addresses(&self) -> &[LinkAddress] {
        self.addresses.all()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Whether the unicast address is one of ours.
    pub(crate) fn is_local(&self, addr: IpAddr) -> bool {
        self.addresses.is_local(addr)
    }

    /// Whether packets for any destination count as ours on that link.
    pub(crate) fn link_is_transparent(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(Link::is_transparent)
    }

    /// Changes whenever [`Net::route`] may answer differently than before: lets callers keep a [`RouteInfo`].
    pub(crate) fn route_generation(&self) -> u32 {
        self.generation
    }

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
            mtu: link.mtu(),
            gso_max: link.gso_max(),
            checksum_offload: link.checksum_offload(),
            loopback: link.is_loopback(),
        })
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
        // Without a route a chosen device means that the destination is on its link, as on Linux.
        match device.or_else(|| self.link_of_narrow(dst)) {
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

    /// Counts a discard; the frame ends with the caller.
    pub(crate) fn discard(&mut self, reason: Discard) {
        self.discards.count(reason);
    }

    pub(crate) fn discards(&self) -> &DiscardCounts {
        &self.discards
    }

    /// The keyed generator of this host.
    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(crate) fn links_ready(&self) -> LinkSet {
        self.ready
    }

    /// The next frame from a link's own queue.
    pub(crate) fn dequeue(&mut self, id: LinkId) -> Option<Frame> {
        if !self.ready.contains(id) {
            return None;
        }
        let link = self.links.get_mut(id.position())?;
        let frame = link.dequeue();
        if link.is_idle() {
            self.ready.remove(id);
        }
        frame
    }

    pub(crate) fn expire(&mut self, _now: Instant) {}

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        None
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
