//! The glue: frames in, frames out, time, events; which transport gets what.

use crate::event::{Event, Events};
use crate::hash::HashKey;
use crate::link::{Link, LinkConfig, LinkId, LinkSet};
use crate::memory::{Memory, MemoryBudget, MemoryUse};
use crate::net::{
    Delivered, Discard, DiscardCounts, GroupInfo, IcmpArrival, IcmpCounters, IcmpError, IpCounters, LinkAddress,
    NeighborInfo, Net, QuotedError, Route, RouteError, RouteInfo, SourceFilter, TcpCounters,
};
use crate::random::Random;
use crate::raw::Raw;
use crate::tcp::{CongestionAlgorithm, Tcp};
use crate::udp::{Udp, UdpProtocol};
use core::net::IpAddr;
use prise_wire::{Frame, Instant, IpCidr, IpVersion, MacAddr, checksum, protocol, tcp};

/// What a stack is given at birth.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// Secret that keys the tables.
    pub hash_key: [u64; 2],
    /// Seed of everything random.
    pub seed: [u8; 32],
    /// What queues may hold.
    pub memory: MemoryBudget,
}

impl StackConfig {
    /// With everything else as it is by default.
    pub fn new(hash_key: [u64; 2], seed: [u8; 32]) -> Self {
        Self {
            hash_key,
            seed,
            memory: MemoryBudget::default(),
        }
    }
}

/// The network of one host.
#[derive(Debug)]
pub struct Stack {
    pub(crate) net: Net,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    pub(crate) raw: Raw,
    pub(crate) events: Events,
    pub(crate) memory: Memory,
}

impl Stack {
    /// A host without links.
    pub fn new(config: &StackConfig) -> Self {
        let hash = HashKey::new(config.hash_key);
        let mut random = Random::new(config.seed);
        let memory = Memory::new(config.memory);
        let tcp = Tcp::new(hash, &mut random, memory.clone());
        Self {
            net: Net::new(hash, random),
            tcp,
            udp: Udp::new(hash, &memory),
            raw: Raw::new(hash, &memory),
            events: Events::default(),
            memory,
        }
    }

    /// Adds a link; none if there are [`LINKS_MAX`](crate::LINKS_MAX) already.
    pub fn add_link(&mut self, config: &LinkConfig<'_>) -> Option<LinkId> {
        self.net.add_link(config)
    }

    /// Gives a link an address; its on-link prefix becomes a route. An Ethernet link's first IPv6 address brings the
    /// link-local one with it.
    pub fn add_address(&mut self, now: Instant, link: LinkId, cidr: IpCidr) {
        self.net.add_address(now, link, cidr);
    }

    /// Takes an address from a link, with the routes that speak from it.
    pub fn remove_address(&mut self, now: Instant, link: LinkId, addr: IpAddr) {
        self.net.remove_address(now, link, addr);
    }

    /// Adds a route.
    pub fn add_route(&mut self, route: Route) {
        self.net.add_route(route);
    }

    /// Removes the route with that prefix, link, gateway and metric.
    pub fn remove_route(&mut self, route: &Route) {
        self.net.remove_route(route);
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

    /// Names a neighbor's hardware address once and for all: it is never asked for, and nothing a peer says changes it.
    pub fn add_neighbor(&mut self, now: Instant, link: LinkId, addr: IpAddr, mac: MacAddr) {
        self.net.add_neighbor(now, link, addr, mac);
    }

    /// The neighbors known or asked for, in no order.
    pub fn neighbors(&self) -> impl Iterator<Item = NeighborInfo> {
        self.net.neighbors()
    }

    /// The way to a destination, speaking from `src` if given, by `device` if given.
    pub fn route(&self, dst: IpAddr, src: Option<IpAddr>, device: Option<LinkId>) -> Result<RouteInfo, RouteError> {
        self.net.route(dst, src, device)
    }

    /// Whether the unicast address is one of ours.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.net.is_local(addr)
    }

    /// Whether the address is a broadcast: the limited one, or one of our subnets'.
    pub fn is_broadcast(&self, addr: IpAddr) -> bool {
        self.net.is_broadcast(addr)
    }

    /// What was discarded so far, by reason.
    pub fn discards(&self) -> &DiscardCounts {
        self.net.discards()
    }

    /// What connections run where neither their program (`TCP_CONGESTION`) nor their link chooses a congestion control.
    pub fn set_congestion(&mut self, algorithm: CongestionAlgorithm) {
        self.tcp.default_congestion = algorithm;
    }

    /// The congestion control of connections for which nobody else chooses one.
    pub fn congestion(&self) -> CongestionAlgorithm {
        self.tcp.default_congestion
    }

    /// What connections over that link start with where their program does not choose (Linux: the route's `congctl`).
    pub fn set_link_congestion(&mut self, link: LinkId, algorithm: Option<CongestionAlgorithm>) {
        if let Some(link) = self.net.link_mut(link) {
            link.set_congestion(algorithm);
        }
    }

    /// How much memory waiting octets hold.
    pub fn memory(&self) -> MemoryUse {
        self.memory.usage()
    }

    /// IP packets counted.
    pub fn ip_counters(&self, version: IpVersion) -> &IpCounters {
        self.net.ip_counters(version)
    }

    /// ICMP messages counted.
    pub fn icmp_counters(&self, version: IpVersion) -> &IcmpCounters {
        self.net.icmp_counters(version)
    }

    /// TCP's segments and connections counted.
    pub fn tcp_counters(&self) -> &TcpCounters {
        &self.net.tcp_counters
    }

    /// The multicast groups that sockets and addresses of this host are members of, link by link, the latest of each first.
    pub fn groups(&self) -> alloc::vec::Vec<GroupInfo> {
        self.net.groups.list()
    }

    /// The sources that members of a group on a link named (RFC 3376 §3.1), with how many want each and how many do not.
    pub fn group_sources(&self, link: LinkId, group: IpAddr) -> alloc::collections::BTreeMap<IpAddr, (u32, u32)> {
        self.net.groups.sources(link, group)
    }

    /// Joins a group on a link for a socket that is not UDP's; groups are counted, each join needs its leave.
    pub fn join_group(&mut self, now: Instant, link: LinkId, group: IpAddr) {
        self.net
            .refilter_group(now, link, group, None, Some(&SourceFilter::ANY));
    }

    /// Undoes a [`join_group`](Self::join_group).
    pub fn leave_group(&mut self, now: Instant, link: LinkId, group: IpAddr) {
        self.net
            .refilter_group(now, link, group, Some(&SourceFilter::ANY), None);
    }

    /// A member that is not UDP's wanted `old` of the sources and wants `new` from now on; none where it is no member.
    /// [`join_group`](Self::join_group) and [`leave_group`](Self::leave_group) speak of [`SourceFilter::ANY`].
    pub fn refilter_group(
        &mut self,
        now: Instant,
        link: LinkId,
        group: IpAddr,
        old: Option<&SourceFilter>,
        new: Option<&SourceFilter>,
    ) {
        self.net.refilter_group(now, link, group, old, new);
    }

    /// Takes frames that have come by a link.
    pub fn receive(&mut self, now: Instant, link: LinkId, frames: impl IntoIterator<Item = Frame>) {
        for mut frame in frames {
            if let Some(packet) = self.net.input(now, link, &mut frame) {
                self.deliver(now, packet);
            }
        }
        self.settle(now);
    }

    /// Hands a packet to its transport, with a copy to each raw socket of its protocol.
    fn deliver(&mut self, now: Instant, packet: Delivered<'_>) {
        let copied = self.raw.wants(&packet) && self.raw.arrival(now, &mut self.net, &mut self.events, &packet);
        match (packet.protocol, packet.src.is_ipv4()) {
            (protocol::TCP, _) => self.deliver_tcp(now, packet),
            (protocol::UDP, _) => self.deliver_udp(now, UdpProtocol::Udp, packet),
            (protocol::UDP_LITE, _) => self.deliver_udp(now, UdpProtocol::Lite, packet),
            (protocol::ICMPV4, true) => {
                let arrived = self.net.input_icmpv4(now, packet);
                self.deliver_icmp(now, arrived);
            }
            (protocol::ICMPV6, false) => {
                let arrived = self.net.input_icmpv6(now, packet);
                self.deliver_icmp(now, arrived);
            }
            (protocol::IGMP, true) => {
                let taken = self.net.input_igmp(now, &packet);
                self.count(taken);
            }
            // RFC 8200 §4.7: nothing follows, nothing is to be done.
            (protocol::IPV6_NO_NEXT, false) => {}
            _ if copied => {}
            _ => {
                self.net.discard(Discard::IpProtocolUnknown);
                self.net.answer_with_error(now, &packet, IcmpError::ProtocolUnreachable);
            }
        }
    }

    fn deliver_udp(&mut self, now: Instant, protocol: UdpProtocol, packet: Delivered<'_>) {
        self.udp.arrival(now, &mut self.net, &mut self.events, protocol, packet);
    }

    /// What [`Tcp::arrival`] may rely on: one receiver, a whole header in the head, a checksum that holds.
    fn deliver_tcp(&mut self, now: Instant, mut packet: Delivered<'_>) {
        // Segments for groups or everybody are dropped (RFC 9293 §3.9.2.3, MUST-57).
        if !packet.unicast {
            return self.net.discard(Discard::TcpNotUnicast);
        }
        let at = packet.transport_at;
        if !packet.frame.pull(at + tcp::HEADER_LEN) {
            return self.net.discard(Discard::TcpMalformed);
        }
        let header_len = usize::from(packet.frame.head()[at + 12] >> 4) * 4;
        if !packet.frame.pull(at + header_len) {
            return self.net.discard(Discard::TcpMalformed);
        }
        if !packet.checksum_ok {
            let octets = packet.frame.total_len() - at;
            let pseudo = checksum::pseudo_header(packet.src, packet.dst, protocol::TCP, octets);
            if !packet.frame.is_checksum_valid(at, pseudo) {
                return self.net.discard(Discard::TcpChecksum);
            }
            packet.checksum_ok = true;
        }
        self.tcp.arrival(now, &mut self.net, &mut self.events, packet);
    }

    fn deliver_icmp(&mut self, now: Instant, arrived: Result<IcmpArrival<'_>, Discard>) {
        let Self { net, raw, events, .. } = self;
        match arrived {
            Ok(IcmpArrival::Done) => {}
            Ok(IcmpArrival::EchoReply(packet, echo)) => raw.echo_reply(now, net, events, &packet, echo),
            Ok(IcmpArrival::EchoIntercepted(packet, echo)) => raw.echo_intercepted(net, events, packet, echo),
            Ok(IcmpArrival::ListenerDiscovery(packet)) => {
                let taken = net.input_mld(now, &packet);
                self.count(taken);
            }
            Ok(IcmpArrival::Error(link, error)) => self.deliver_error(now, link, error),
            Err(reason) => net.discard(reason),
        }
    }

    /// Tells the owner of a packet of ours what became of it.
    fn deliver_error(&mut self, now: Instant, link: LinkId, error: QuotedError) {
        let Self {
            net,
            tcp,
            udp,
            raw,
            events,
            ..
        } = self;
        let raw_told = raw.icmp_error(now, net, events, &error);
        let QuotedError {
            protocol,
            quoted,
            report,
        } = error;
        match protocol {
            protocol::TCP => tcp.icmp_error(now, net, quoted, report.error),
            protocol::UDP | protocol::UDP_LITE => {
                let which = if protocol == protocol::UDP {
                    UdpProtocol::Udp
                } else {
                    UdpProtocol::Lite
                };
                if !udp.icmp_error(now, net, events, link, (which, quoted.local), report) && !raw_told {
                    net.discard(Discard::IcmpNoOwner);
                }
            }
            _ if raw_told => {}
            _ => net.discard(Discard::IcmpNoOwner),
        }
    }

    fn count(&mut self, taken: Result<(), Discard>) {
        if let Err(reason) = taken {
            self.net.discard(reason);
        }
    }

    /// Works off what a verb, frame or deadline has left behind inside this host: copies for our own members, and packets whose
    /// neighbor did not answer. Neither makes more of its kind, so this ends.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some((link, mut packet)) = self.net.take_looped() {
            if let Some(packet) = self.net.input_looped(now, link, &mut packet) {
                self.deliver(now, packet);
            }
        }
        while let Some((link, packet)) = self.net.take_undeliverable() {
            if let Some(error) = Net::error_about(packet, IcmpError::HostUnreachable) {
                self.deliver_error(now, link, error);
            }
        }
    }

    /// The next frame to put on a link; ask until there is none.
    pub fn transmit(&mut self, now: Instant, link: LinkId) -> Option<Frame> {
        let frame = match self.net.dequeue(link) {
            Some(frame) => {
                if (self.udp.waits_for(link) || self.raw.waits_for(link)) && self.net.is_half_empty(link) {
                    self.udp.link_has_room(&mut self.events, link);
                    self.raw.link_has_room(&mut self.events, link);
                }
                frame
            }
            None => self.tcp.transmit(now, link, &mut self.net, &mut self.events)?,
        };
        if let Some(link) = self.net.link_mut(link) {
            link.count_transmitted(&frame);
        }
        Some(frame)
    }

    /// Whether a packet that somebody else than this host puts on its loopback may arrive there. One of IPv4 from an address of our own is
    /// refused and counted: Linux takes it for one that the host cannot have sent (`fib_validate_source`). IPv6 has no such rule.
    pub fn may_arrive_from_beside(&mut self, link: LinkId, frame: &Frame) -> bool {
        let loops = self.net.link(link).is_some_and(Link::is_loopback);
        let source = frame.head().get(12..16).filter(|_| frame.head()[0] >> 4 == 4);
        let source = source.and_then(|octets| octets.first_chunk::<4>());
        let is_own = source.is_some_and(|source| self.net.is_local(IpAddr::from(*source)));
        if loops && is_own {
            self.net.discard(Discard::IpMartianSource);
        }
        !(loops && is_own)
    }

    /// Counts a frame of so many octets that somebody else has put on a link: what its driver sends by itself (packet sockets,
    /// packet(7)).
    pub fn count_besides(&mut self, link: LinkId, octets: usize) {
        if let Some(link) = self.net.link_mut(link) {
            link.count_besides(octets);
        }
    }

    /// Counts frames that somebody else has sent by a link, and that it had no room for or does not carry.
    pub fn discard_besides(&mut self, link: LinkId, frames: u32) {
        if let Some(link) = self.net.link_mut(link) {
            link.discard_besides(frames);
        }
    }

    /// The links that have something to transmit.
    pub fn links_ready(&self) -> LinkSet {
        self.net.links_ready().union(self.tcp.links_ready())
    }

    /// Lets everything happen that was due by `now`.
    pub fn expire(&mut self, now: Instant) {
        self.net.expire(now);
        self.tcp.expire(now, &mut self.net, &mut self.events);
        self.settle(now);
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
        while let Some(event) = self.events.pop() {
            let completed = match event {
                Event::Udp { token, id, .. } => self.udp.take_pending(id).map(|ready| Event::Udp { token, id, ready }),
                Event::UdpIntercepted => {
                    self.udp.take_interception_signal();
                    Some(event)
                }
                Event::Ping { .. } | Event::Raw { .. } | Event::EchoIntercepted => self.raw.complete(event),
                _ => Some(event),
            };
            if completed.is_some() {
                return completed;
            }
        }
        self.tcp.event()
    }
}
