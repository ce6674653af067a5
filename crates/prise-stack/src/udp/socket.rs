//! One UDP socket: its endpoints and its bounded queues.

use super::{Coverage, UdpId, UdpProtocol};
use crate::bpf::Program;
use crate::endpoint::Local;
use crate::event::{Event, Events, Ready};
use crate::link::LinkId;
use crate::mailbox::{Full, Mailbox};
use crate::memory::Memory;
use crate::net::{RouteInfo, SourceFilter};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use prise_wire::{Body, Instant, Ipv4Options};

/// A received datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpDatagram {
    /// What it carries.
    pub payload: Body,
    /// Who sent it.
    pub src: SocketAddr,
    /// To whom it was sent: a local address, a group or a broadcast address.
    pub dst: SocketAddr,
    /// The link it came by.
    pub link: LinkId,
    /// Time to live or hop limit, as it arrived.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The flow label of IPv6.
    pub flow_label: u32,
    /// Options of IPv4 that it came with.
    pub options: Option<Box<Ipv4Options>>,
    /// When it arrived.
    pub received: Instant,
    /// It is several of one flow, each of so many octets, the last of fewer perhaps; see [`udp_set_joining`](crate::Stack::udp_set_joining).
    pub segment: Option<u16>,
}

/// A datagram, or a train of them under one header (`UDP_GRO`), as it is queued.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) datagram: UdpDatagram,
    /// Octets of each datagram of a train; the last may have fewer.
    pub(super) train: Option<u16>,
}

impl Queued {
    /// Octets of the first datagram, if there are so many.
    fn size(&self) -> usize {
        self.train.map_or(usize::MAX, usize::from)
    }

    /// All that is left of it, said to be a train if it is one.
    fn whole(self) -> UdpDatagram {
        let Self { datagram, train } = self;
        let segment = train.filter(|size| usize::from(*size) < datagram.payload.len());
        UdpDatagram { segment, ..datagram }
    }
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) token: u32,
    pub(super) protocol: UdpProtocol,
    /// What a UDP-Lite socket asks of checksums.
    pub(super) coverage: Coverage,
    pub(super) local: Local,
    pub(super) remote: Option<SocketAddr>,
    pub(super) reuse_port: bool,
    /// Says which of the sockets that share the port gets a datagram (`SO_ATTACH_REUSEPORT_CBPF`).
    pub(super) chooser: Option<Arc<Program>>,
    pub(super) all_groups: AllGroups,
    /// Whether trains are received whole (`UDP_GRO`).
    pub(super) joining: bool,
    pub(super) memberships: Vec<Membership>,
    /// The route of the last datagram sent.
    pub(super) cached_route: Option<CachedRoute>,
    pub(super) mailbox: Mailbox<Queued>,
}

/// Whether datagrams of groups that only other sockets joined are taken (`IP_MULTICAST_ALL`, `IPV6_MULTICAST_ALL`); they are
/// by default. A socket of both families has a word on each.
#[derive(Clone, Copy, Debug)]
pub struct AllGroups {
    /// Groups of IPv4.
    pub v4: bool,
    /// Groups of IPv6.
    pub v6: bool,
}

impl Default for AllGroups {
    fn default() -> Self {
        Self { v4: true, v6: true }
    }
}

/// A group that the socket joined.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) group: IpAddr,
    pub(super) link: LinkId,
    pub(super) filter: SourceFilter,
}

/// A route and all that it was looked up for.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedRoute {
    pub(super) generation: u32,
    pub(super) dst: IpAddr,
    pub(super) src: Option<IpAddr>,
    pub(super) device: Option<LinkId>,
    pub(super) route: RouteInfo,
}

impl Socket {
    pub(super) fn new(config: &super::UdpConfig, memory: &Memory) -> Self {
        Self {
            token: config.token,
            protocol: config.protocol,
            coverage: Coverage::default(),
            local: config.local,
            remote: config.remote,
            reuse_port: config.reuse_port,
            chooser: None,
            all_groups: AllGroups::default(),
            joining: false,
            memberships: Vec::new(),
            cached_route: None,
            mailbox: Mailbox::new(config.receive_limit, memory),
        }
    }

    /// Whether a datagram to the socket's port is for this socket, if nobody else takes it.
    pub(super) fn takes(&self, src: SocketAddr, dst: SocketAddr, link: LinkId) -> bool {
        // Connected to port 0, it hears all ports of its peer's (`compute_score`).
        let is_peer = |peer: SocketAddr| peer == src || peer == SocketAddr::new(src.ip(), 0);
        self.local.covers(dst.ip()) && self.local.accepts(link) && self.remote.is_none_or(is_peer)
    }

    /// Whether a copy of a group or broadcast datagram is for this socket.
    pub(super) fn takes_copy(&self, src: SocketAddr, dst: SocketAddr, link: LinkId) -> bool {
        self.takes(src, dst, link) && (!dst.ip().is_multicast() || self.hears(dst.ip(), src.ip(), link))
    }

    /// Whether the socket wants what `source` says to the group: `ip_mc_sf_allow`, and `inet6_mc_check`, which knows no links.
    fn hears(&self, group: IpAddr, source: IpAddr, link: LinkId) -> bool {
        let is_it = |have: &&Membership| have.group == group && (group.is_ipv6() || have.link == link);
        match self.memberships.iter().find(is_it) {
            Some(membership) => membership.filter.admits(source),
            None if group.is_ipv4() => self.all_groups.v4,
            None => self.all_groups.v6,
        }
    }

    /// Queues a datagram, if there is room.
    pub(super) fn enqueue(&mut self, mut queued: Queued) -> Result<(), Full> {
        queued.datagram.payload.compact();
        let octets = queued.datagram.payload.pinned();
        self.mailbox.queue.push(queued, octets)
    }

    pub(super) fn dequeue(&mut self) -> Option<UdpDatagram> {
        let joining = self.joining;
        let queued = self.mailbox.queue.front_mut()?;
        let size = queued.size();
        if size < queued.datagram.payload.len() && !joining {
            let payload = queued.datagram.payload.split_to(size);
            return Some(UdpDatagram {
                payload,
                ..queued.datagram.clone()
            });
        }
        self.mailbox.queue.pop().map(Queued::whole)
    }

    /// The datagram that [`dequeue`](Self::dequeue) would give.
    pub(super) fn front(&self) -> Option<UdpDatagram> {
        let queued = self.mailbox.queue.front()?.clone();
        if self.joining {
            return Some(queued.whole());
        }
        let size = queued.size();
        let mut datagram = queued.datagram;
        datagram.payload.truncate(size);
        Some(datagram)
    }

    /// The octets of the next datagram.
    pub(super) fn readable(&self) -> Option<usize> {
        let queued = self.mailbox.queue.front()?;
        let len = queued.datagram.payload.len();
        Some(if self.joining { len } else { len.min(queued.size()) })
    }

    pub(super) fn signal(&mut self, events: &mut Events, id: UdpId, ready: Ready) {
        let token = self.token;
        self.mailbox
            .signal(events, ready, |ready| Event::Udp { token, id, ready });
    }
}
