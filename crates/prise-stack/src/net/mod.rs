//! What the transports stand on: links, addresses, routes, neighbors and the Internet Protocol, both versions.
//!
//! The way in is [`Net::input`], the way out [`Net::encapsulate`] (pulled) or [`Net::send`] (queued).

mod address;
mod arp;
mod counters;
mod deadlines;
mod discard;
mod filter;
mod flow_label;
mod fragment;
mod group;
mod icmp;
mod input;
mod ipv4;
mod ipv6;
mod ndp;
mod neighbor;
mod output;
mod path;
mod pmtu;
mod reassembly;
mod route;
#[cfg(test)]
mod tests;

pub use address::LinkAddress;
pub(crate) use address::key as address_key;
pub use counters::{IcmpCounters, IpCounters, TcpCounters};
pub use discard::{Discard, DiscardCounts};
pub use filter::SourceFilter;
pub use flow_label::FlowLabel;
pub use group::GroupInfo;
pub(crate) use icmp::{IcmpArrival, Quoted, QuotedError};
pub use icmp::{IcmpError, IcmpReport, QuotedFlow};
pub use neighbor::{NeighborInfo, NeighborState};
pub use route::{Route, RouteError, RouteInfo};

use crate::hash::HashKey;
use crate::link::{LINKS_MAX, Link, LinkConfig, LinkId, LinkSet};
use crate::random::Random;
use address::Addresses;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use group::Groups;
use icmp::RateLimit;
use neighbor::{Due, Neighbors};
use pmtu::PathMtus;
use prise_wire::icmpv6::ndp::solicited_node;
use prise_wire::{
    Frame, Instant, IpCidr, IpVersion, Ipv4Header, Ipv4Options, Ipv6Header, Layout, MacAddr, Medium, icmpv4,
};
use reassembly::{Reassembly, TimedOut};
use route::Routes;

/// Counters of IPv4 identifications, shared by keyed hash.
const IDENTIFICATIONS: usize = 256;

/// What IP and link headers around a transport segment are to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpOut<'a> {
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
    /// The flow label of IPv6.
    pub(crate) flow_label: FlowLabel,
    /// Sets DF in IPv4 and keeps the source from fragmenting in either version.
    pub(crate) dont_fragment: bool,
    /// Options of IPv4.
    pub(crate) options: &'a Ipv4Options,
}

impl IpOut<'_> {
    /// Octets of the IP header, extensions apart.
    pub(crate) fn header_len(&self) -> usize {
        match self.dst {
            IpAddr::V4(_) => prise_wire::ipv4::HEADER_LEN + self.options.padded_len(),
            IpAddr::V6(_) => prise_wire::ipv6::HEADER_LEN,
        }
    }
}

/// A packet for this host, its IP layer done with.
#[derive(Debug)]
pub(crate) struct Delivered<'f> {
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
    /// The flow label of IPv6.
    pub(crate) flow_label: u32,
    /// Time to live or hop limit.
    pub(crate) hop_limit: u8,
    /// Whether both the link and IP sent it to one receiver, not to a group or broadcast address.
    pub(crate) unicast: bool,
    /// The frame, link and IP headers included, cut to the packet's length.
    pub(crate) frame: &'f mut Frame,
    /// Where the IP header begins in the frame's head.
    pub(crate) network_at: usize,
    /// Where the transport header begins in the frame's head.
    pub(crate) transport_at: usize,
    /// Whether the transport checksum has been verified or may be trusted.
    pub(crate) checksum_ok: bool,
    /// Whether it was put together from fragments, or had a fragment header though it was whole.
    pub(crate) fragmented: bool,
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
    neighbors: Neighbors,
    pub(crate) groups: Groups,
    reassembly: Reassembly,
    path_mtus: PathMtus,
    icmp_limit: RateLimit,
    /// Addresses of ours that were lately defended against another claimant, and when.
    defended: Vec<(Ipv4Addr, Instant)>,
    identifications: Box<[u16; IDENTIFICATIONS]>,
    /// Our own packets for members on this host, taken in by the glue after each verb.
    looped: VecDeque<(LinkId, Frame)>,
    /// Packets whose neighbor did not answer, for the glue to tell their senders.
    undeliverable: VecDeque<(LinkId, Frame)>,
    /// Counts changes of what [`Net::route`] would answer.
    generation: u32,
    discards: DiscardCounts,
    /// By version, as those of ICMP.
    ip_counters: [IpCounters; 2],
    icmp_counters: [IcmpCounters; 2],
    /// What TCP counts, kept where all of its segments pass.
    pub(crate) tcp_counters: TcpCounters,
    random: Random,
    hash: HashKey,
}

impl Net {
    pub(crate) fn new(hash: HashKey, mut random: Random) -> Self {
        let mut identifications = Box::new([0; IDENTIFICATIONS]);
        identifications.fill_with(|| random.next_u32() as u16);
        Self {
            links: Vec::new(),
            ready: LinkSet::EMPTY,
            addresses: Addresses::default(),
            routes: Routes::new(hash),
            loopback: None,
            neighbors: Neighbors::new(hash, random.next_u32()),
            groups: Groups::new(hash),
            reassembly: Reassembly::new(hash),
            path_mtus: PathMtus::new(hash),
            icmp_limit: RateLimit::new(hash),
            defended: Vec::new(),
            identifications,
            looped: VecDeque::new(),
            undeliverable: VecDeque::new(),
            generation: 0,
            discards: DiscardCounts::new(),
            ip_counters: <[IpCounters; 2]>::default(),
            icmp_counters: <[IcmpCounters; 2]>::default(),
            tcp_counters: TcpCounters::default(),
            random,
            hash,
        }
    }

    /// Adds a link; none if there are [`LINKS_MAX`] already.
    pub(crate) fn add_link(&mut self, config: &LinkConfig<'_>) -> Option<LinkId> {
        let id = LinkId::new(
            u8::try_from(self.links.len())
                .ok()
                .filter(|&n| usize::from(n) < LINKS_MAX)?,
        )?;
        // An Ethernet station without an address of its own gets one that is unique here (IEEE 802 local).
        let made = MacAddr([0x02, 0x70, 0x72, 0x69, 0x73, id.position() as u8]);
        let mac = config.mac.or((config.medium == Medium::Ethernet).then_some(made));
        self.links.push(Link::new(id, &LinkConfig { mac, ..*config }));
        if config.loopback && self.loopback.is_none() {
            self.loopback = Some(id);
        }
        self.generation = self.generation.wrapping_add(1);
        Some(id)
    }

    /// Gives a link an address. Its on-link prefix becomes a route; an Ethernet link's first IPv6 address brings the
    /// link-local one with it (RFC 4291 §2.1).
    pub(crate) fn add_address(&mut self, now: Instant, link: LinkId, cidr: IpCidr) {
        let Some(config) = self.link(link) else { return };
        let (loopback, medium, mac) = (config.is_loopback(), config.medium(), config.mac());
        if !self.addresses.add(link, cidr, loopback) {
            return;
        }
        if !loopback && cidr != IpCidr::host(cidr.address()) {
            let prefix = cidr.network();
            self.routes.add(Route {
                prefix,
                gateway: None,
                link,
                source: Some(cidr.address()),
                metric: 0,
            });
        }
        self.generation = self.generation.wrapping_add(1);
        if let (IpAddr::V6(addr), Medium::Ethernet) = (cidr.address(), medium) {
            if let Some(own) = mac
                .map(MacAddr::link_local)
                .filter(|_| self.addresses.link_local(link).is_none())
            {
                self.add_address(
                    now,
                    link,
                    IpCidr::new(own.into(), 64).unwrap_or(IpCidr::host(own.into())),
                );
            }
            self.join_group(now, link, solicited_node(addr).into());
        }
    }

    /// Takes an address from a link, with the routes that speak from it.
    pub(crate) fn remove_address(&mut self, now: Instant, link: LinkId, addr: IpAddr) {
        if !self.addresses.remove(link, addr) {
            return;
        }
        self.routes
            .retain(|route| route.link != link || route.source != Some(addr));
        self.generation = self.generation.wrapping_add(1);
        if let (IpAddr::V6(addr), Some(Medium::Ethernet)) = (addr, self.link(link).map(Link::medium)) {
            self.leave_group(now, link, solicited_node(addr).into());
        }
    }

    pub(crate) fn add_route(&mut self, route: Route) {
        if self.link(route.link).is_some() && self.routes.add(route) {
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// Removes the route with that prefix, link, gateway and metric.
    pub(crate) fn remove_route(&mut self, route: &Route) {
        self.routes.retain(|have| !have.is_same(route));
        self.generation = self.generation.wrapping_add(1);
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

    /// Names a neighbor's hardware address once and for all.
    pub(crate) fn add_neighbor(&mut self, now: Instant, link: LinkId, addr: IpAddr, mac: MacAddr) {
        for mut frame in self.neighbors.set(now, link, addr, mac) {
            self.push_ethernet_header(link, mac, &mut frame);
            self.enqueue(link, frame);
        }
    }

    pub(crate) fn neighbors(&self) -> impl Iterator<Item = NeighborInfo> {
        self.neighbors.iter()
    }

    pub(crate) fn ip_counters(&self, version: IpVersion) -> &IpCounters {
        &self.ip_counters[usize::from(version == IpVersion::V6)]
    }

    pub(crate) fn icmp_counters(&self, version: IpVersion) -> &IcmpCounters {
        &self.icmp_counters[usize::from(version == IpVersion::V6)]
    }

    /// Whether the unicast address is one of ours.
    pub(crate) fn is_local(&self, addr: IpAddr) -> bool {
        self.addresses.is_local(addr)
    }

    /// Whether packets for any destination count as ours on that link.
    pub(crate) fn link_is_transparent(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(Link::is_transparent)
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

    /// The next of our own packets for members on this host.
    pub(crate) fn take_looped(&mut self) -> Option<(LinkId, Frame)> {
        self.looped.pop_front()
    }

    /// The next packet whose neighbor did not answer.
    pub(crate) fn take_undeliverable(&mut self) -> Option<(LinkId, Frame)> {
        self.undeliverable.pop_front()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(due) = self.neighbors.expire(now) {
            match due {
                Due::Solicit { link, addr, mac } => self.solicit(now, link, addr, mac),
                Due::Failed { link, waiting } => {
                    for frame in waiting {
                        self.discard(Discard::NeighborUnreachable);
                        self.undeliverable.push_back((link, frame));
                    }
                }
            }
        }
        while let Some(timed_out) = self.reassembly.expire(now) {
            self.discard(Discard::ReassemblyTimeout);
            self.report_timeout(now, timed_out);
        }
        if self.path_mtus.expire(now) {
            self.generation = self.generation.wrapping_add(1);
        }
        self.expire_groups(now);
    }

    /// Time exceeded in reassembly, if the first fragment came (RFC 1122 §3.3.2, RFC 8200 §4.5).
    fn report_timeout(&mut self, now: Instant, timed_out: TimedOut) {
        let TimedOut { link, unicast, first } = timed_out;
        let Some((headers, data)) = first else { return };
        let mut frame = Frame::new(headers, data);
        let Some(Layout {
            transport_at, protocol, ..
        }) = frame.layout(Medium::Ip)
        else {
            return;
        };
        // For an ICMP message, its type is to be seen: none answers an error.
        let _pulled = frame.pull(frame.total_len().min(transport_at + icmpv4::HEADER_LEN));
        let (src, dst): (IpAddr, IpAddr) = match (Ipv4Header::parse(frame.head()), Ipv6Header::parse(frame.head())) {
            (Ok(header), _) => (header.source.into(), header.destination.into()),
            (_, Ok(header)) => (header.source.into(), header.destination.into()),
            (Err(_), Err(_)) => return,
        };
        let packet = Delivered {
            link,
            src,
            dst,
            protocol,
            tos: 0,
            flow_label: 0,
            hop_limit: 0,
            unicast,
            frame: &mut frame,
            network_at: 0,
            transport_at,
            checksum_ok: true,
            fragmented: true,
        };
        self.answer_with_error(now, &packet, IcmpError::ReassemblyTimeExceeded);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let parts = [
            self.neighbors.next_deadline(),
            self.reassembly.next_deadline(),
            self.path_mtus.next_deadline(),
            self.groups.next_deadline(),
        ];
        parts.into_iter().flatten().min()
    }
}

#[cfg(test)]
impl Net {
    /// Nothing waits for a neighbor, nothing for its other fragments, and the accounts say so.
    pub(crate) fn assert_at_rest(&self) {
        self.neighbors.assert_empty();
        self.reassembly.assert_empty();
        assert!(self.looped.is_empty() && self.undeliverable.is_empty());
    }
}

/// Copies the frame's octets from `at` on to the front of `out`, as many as fit, and says how many.
fn copy_from(frame: &Frame, at: usize, out: &mut [u8]) -> usize {
    let mut skip = at;
    let mut filled = 0;
    for slice in frame.slices() {
        let rest = slice.get(skip..).unwrap_or(&[]);
        skip = skip.saturating_sub(slice.len());
        let len = rest.len().min(out.len() - filled);
        out[filled..filled + len].copy_from_slice(&rest[..len]);
        filled += len;
    }
    filled
}
