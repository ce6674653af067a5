//! The glue: frames in, frames out, time, events; which transport gets what.

use crate::event::{Event, Events};
use crate::hash::HashKey;
use crate::link::{Link, LinkConfig, LinkId, LinkSet};
use crate::net::{Discard, DiscardCounts, IpCidr, LinkAddress, Net, Route, RouteError, RouteInfo};
use crate::random::Random;
use crate::tcp::Tcp;
use core::net::IpAddr;
use prise_wire::{Frame, Instant, checksum, protocol};

/// What a stack is given at birth.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// Secret that keys the tables.
    pub hash_key: [u64; 2],
    /// Seed of everything random.
    pub seed: [u8; 32],
}

/// The network of one host.
#[derive(Debug)]
pub struct Stack {
    pub(crate) net: Net,
    pub(crate) tcp: Tcp,
    pub(crate) events: Events,
}

impl Stack {
    /// A host without links.
    pub fn new(config: &StackConfig) -> Self {
        let hash = HashKey::new(config.hash_key);
        let mut random = Random::new(config.seed);
        let tcp = Tcp::new(hash, &mut random);
        Self {
            net: Net::new(hash, random),
            tcp,
            events: Events::default(),
        }
    }

    /// Adds a link; none if there are [`LINKS_MAX`](crate::LINKS_MAX) already.
    pub fn add_link(&mut self, config: &LinkConfig<'_>) -> Option<LinkId> {
        self.net.add_link(config)
    }

    /// Gives a link an address; its on-link prefix becomes a route.
    pub fn add_address(&mut self, now: Instant, link: LinkId, cidr: IpCidr) {
        self.net.add_address(now, link, cidr);
    }

    /// Adds a route.
    pub fn add_route(&mut self, route: Route) {
        self.net.add_route(route);
    }

    /// The links, in the order in which they were added.
    pub fn links(&self) -> &[Link] {
        self.net.links()
    }

    /// The addresses, in the order in which they were added.
    pub fn addresses(&self) -> &[LinkAddress] {
        self.net.addresses()
    }

    /// The routes, IPv4 first, longest prefix first.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.net.routes()
    }

    /// The way to a destination, speaking from `src` if given, by `device` if given.
    pub fn route(&self, dst: IpAddr, src: Option<IpAddr>, device: Option<LinkId>) -> Result<RouteInfo, RouteError> {
        self.net.route(dst, src, device)
    }

    /// What was discarded so far, by reason.
    pub fn discards(&self) -> &DiscardCounts {
        self.net.discards()
    }

    /// Takes frames that have come by a link.
    pub fn receive(&mut self, now: Instant, link: LinkId, frames: impl IntoIterator<Item = Frame>) {
        for frame in frames {
            self.receive_frame(now, link, frame);
        }
    }

    fn receive_frame(&mut self, now: Instant, link: LinkId, frame: Frame) {
        let Some(mut packet) = self.net.input(now, link, frame) else {
            return;
        };
        match packet.protocol {
            protocol::TCP => {
                let octets = packet.frame.total_len() - packet.transport_at;
                if !packet.checksum_ok {
                    let pseudo = checksum::pseudo_header(packet.src, packet.dst, protocol::TCP, octets);
                    let sum = checksum::combine(pseudo, packet.frame.sum_from(packet.transport_at));
                    packet.checksum_ok = checksum::is_valid(sum);
                }
                self.tcp.arrival(now, &mut self.net, &mut self.events, packet);
            }
            _ => self.net.discard(Discard::IpProtocolUnknown),
        }
    }

    /// The next frame to put on a link; ask until there is none.
    pub fn transmit(&mut self, now: Instant, link: LinkId) -> Option<Frame> {
        let frame = match self.net.dequeue(link) {
            Some(frame) => frame,
            None => self.tcp.transmit(now, link, &mut self.net, &mut self.events)?,
        };
        if let Some(link) = self.net.link_mut(link) {
            link.count_transmitted(&frame);
        }
        Some(frame)
    }

    /// The links that have something to transmit.
    pub fn links_ready(&self) -> LinkSet {
        self.net.links_ready().union(self.tcp.links_ready())
    }

    /// Lets everything happen that was due by `now`.
    pub fn expire(&mut self, now: Instant) {
        self.net.expire(now);
        self.tcp.expire(now, &mut self.net, &mut self.events);
    }

    /// When [`expire`](Self::expire) is to be called next, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.net.next_deadline(), self.tcp.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing to know, if any.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop().or_else(|| self.tcp.event())
    }
}
