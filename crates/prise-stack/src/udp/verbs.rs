//! What a socket layer asks of UDP.

use super::socket::{AllGroups, Membership, Socket};
use super::{Coverage, Udp, UdpCounters, UdpDatagram, UdpId, UdpIntercepted, UdpProtocol, UdpSend};
use crate::bpf::Program;
use crate::endpoint::Local;
use crate::event::Ready;
use crate::link::LinkId;
use crate::net::{IcmpError, IcmpReport, Net, QuotedFlow, SourceFilter};
use crate::send::DatagramError;
use crate::stack::Stack;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use prise_wire::{Body, Instant};

/// Groups that one socket may join: of IPv4 Linux's `igmp_max_memberships`, of IPv6 what fits its memory for options.
const MEMBERSHIPS_MAX: [usize; 2] = [20, 2048];

/// How a UDP socket begins.
///
/// The stack refuses no endpoint: which programs may share one, and which ports are free, are questions of POSIX, answered a
/// crate above. Of sockets that share an endpoint without [`reuse_port`](Self::reuse_port) the one bound last gets unicast
/// datagrams, as on Linux.
#[derive(Clone, Copy, Debug)]
pub struct UdpConfig {
    /// UDP or UDP-Lite.
    pub protocol: UdpProtocol,
    /// What it is bound to.
    pub local: Local,
    /// The only peer, if any.
    pub remote: Option<SocketAddr>,
    /// Flows are spread over all sockets that share the endpoint and say this (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Octets that may wait to be received, with [256 more charged](UdpInfo::queued_octets) for each datagram.
    pub receive_limit: usize,
    /// The caller's own number, handed back in every event.
    pub token: u32,
}

impl UdpConfig {
    /// A UDP socket that shares nothing and queues as much as Linux does by default.
    pub const fn new(local: Local, token: u32) -> Self {
        Self {
            protocol: UdpProtocol::Udp,
            local,
            remote: None,
            reuse_port: false,
            receive_limit: 212_992,
            token,
        }
    }
}

/// Why a group was not joined or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// No such socket.
    Closed,
    /// Not a multicast address of the socket's family (`EINVAL`).
    NotAGroup,
    /// No link to join it on (`ENODEV`).
    NoLink,
    /// Joined already (`EADDRINUSE`).
    AlreadyJoined,
    /// Not joined (`EADDRNOTAVAIL`).
    NotJoined,
    /// As many groups joined as a socket may (`ENOBUFS`).
    TooMany,
}

/// What can be seen of a UDP socket from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpInfo {
    /// The socket.
    pub id: UdpId,
    /// The caller's number.
    pub token: u32,
    /// UDP or UDP-Lite.
    pub protocol: UdpProtocol,
    /// What it is bound to, narrowed by a connect.
    pub local: Local,
    /// Its peer, if connected.
    pub remote: Option<SocketAddr>,
    /// What waits to be received, with 256 octets charged beside each datagram's own, and [what is held for it](Stack::udp_hold).
    pub queued_octets: usize,
    /// Datagrams that found the queue full.
    pub overflowed: u64,
}

impl Udp {
    fn bind(&mut self, config: &UdpConfig) -> UdpId {
        let id = UdpId::from_key(self.sockets.insert(Socket::new(config, &self.memory)));
        self.space(config.protocol)
            .demux
            .insert(id, &config.local, config.remote);
        id
    }

    fn rebind(&mut self, id: UdpId, local: Local, remote: Option<SocketAddr>) {
        if let Some(socket) = self.sockets.find_mut(id.key()) {
            let demux = &mut self.spaces[socket.protocol as usize].demux;
            demux.remove(id, &socket.local, socket.remote);
            socket.local = local;
            socket.remote = remote;
            demux.insert(id, &local, remote);
        }
    }

    fn close(&mut self, now: Instant, net: &mut Net, id: UdpId) {
        let Some(socket) = self.sockets.take(id.key()) else {
            return;
        };
        self.space(socket.protocol)
            .demux
            .remove(id, &socket.local, socket.remote);
        for Membership { group, link, filter } in socket.memberships {
            net.refilter_group(now, link, group, Some(&filter), None);
        }
    }

    fn join(
        &mut self,
        now: Instant,
        net: &mut Net,
        id: UdpId,
        (group, link): (IpAddr, Option<LinkId>),
        filter: SourceFilter,
    ) -> Result<(), JoinError> {
        let socket = self.sockets.find_mut(id.key()).ok_or(JoinError::Closed)?;
        let link = link_for_group(net, socket, group, link)?;
        if socket.membership(group, Some(link)).is_some() {
            return Err(JoinError::AlreadyJoined);
        }
        let of_family = socket
            .memberships
            .iter()
            .filter(|have| have.group.is_ipv4() == group.is_ipv4());
        if of_family.count() >= MEMBERSHIPS_MAX[usize::from(group.is_ipv6())] {
            return Err(JoinError::TooMany);
        }
        net.refilter_group(now, link, group, None, Some(&filter));
        socket.memberships.push(Membership { group, link, filter });
        Ok(())
    }

    fn leave(
        &mut self,
        now: Instant,
        net: &mut Net,
        id: UdpId,
        group: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), JoinError> {
        let socket = self.sockets.find_mut(id.key()).ok_or(JoinError::Closed)?;
        let at = socket.membership(group, link).ok_or(JoinError::NotJoined)?;
        let Membership { group, link, filter } = socket.memberships.remove(at);
        net.refilter_group(now, link, group, Some(&filter), None);
        Ok(())
    }

    fn set_filter(
        &mut self,
        now: Instant,
        net: &mut Net,
        id: UdpId,
        (group, link): (IpAddr, Option<LinkId>),
        filter: SourceFilter,
    ) -> Result<(), JoinError> {
        let socket = self.sockets.find_mut(id.key()).ok_or(JoinError::Closed)?;
        let at = socket.membership(group, link).ok_or(JoinError::NotJoined)?;
        let membership = &mut socket.memberships[at];
        let old = core::mem::replace(&mut membership.filter, filter);
        net.refilter_group(now, membership.link, group, Some(&old), Some(&membership.filter));
        Ok(())
    }

    fn info(id: UdpId, socket: &Socket) -> UdpInfo {
        UdpInfo {
            id,
            token: socket.token,
            protocol: socket.protocol,
            local: socket.local,
            remote: socket.remote,
            queued_octets: socket.mailbox.queue.charged(),
            overflowed: socket.mailbox.queue.overflowed,
        }
    }

    /// Fills in what a socket's event says, now that it is handed out; none if the socket is gone.
    pub(crate) fn take_pending(&mut self, id: UdpId) -> Option<Ready> {
        self.sockets
            .find_mut(id.key())
            .map(|socket| socket.mailbox.take_pending())
    }

    /// The event about intercepted datagrams is handed out.
    pub(crate) fn take_interception_signal(&mut self) {
        self.interception.take_signal();
    }
}

impl Socket {
    fn membership(&self, group: IpAddr, link: Option<LinkId>) -> Option<usize> {
        let is_meant = |have: &Membership| have.group == group && link.is_none_or(|link| link == have.link);
        self.memberships.iter().position(is_meant)
    }
}

fn link_for_group(net: &Net, socket: &Socket, group: IpAddr, link: Option<LinkId>) -> Result<LinkId, JoinError> {
    if !group.is_multicast() || !socket.local.family.speaks(group) {
        return Err(JoinError::NotAGroup);
    }
    let link = link.or(socket.local.device);
    let link = link.or_else(|| net.route(group, None, None).ok().map(|route| route.link));
    link.filter(|&link| net.link(link).is_some()).ok_or(JoinError::NoLink)
}

impl Stack {
    /// Makes a UDP or UDP-Lite socket bound to an endpoint.
    pub fn udp_bind(&mut self, config: &UdpConfig) -> UdpId {
        self.udp.bind(config)
    }

    /// Binds a socket anew, to a peer or to none (`bind(2)`, `connect(2)`); what it has received stays.
    pub fn udp_rebind(&mut self, id: UdpId, local: Local, remote: Option<SocketAddr>) {
        self.udp.rebind(id, local, remote);
    }

    /// Ends a socket; what it has not received is lost.
    pub fn udp_close(&mut self, now: Instant, id: UdpId) {
        self.udp.close(now, &mut self.net, id);
        self.settle(now);
    }

    /// Sends a datagram.
    pub fn udp_send(&mut self, now: Instant, id: UdpId, send: UdpSend) -> Result<(), DatagramError> {
        let sent = self.udp.send(now, &mut self.net, id, send);
        self.settle(now);
        sent
    }

    /// Takes the next datagram that has arrived.
    pub fn udp_receive(&mut self, id: UdpId) -> Option<UdpDatagram> {
        self.udp.sockets.find_mut(id.key())?.dequeue()
    }

    /// The next datagram, left where it is (`MSG_PEEK`, `FIONREAD`).
    pub fn udp_peek(&self, id: UdpId) -> Option<UdpDatagram> {
        self.udp.sockets.find(id.key())?.front()
    }

    /// The octets of the next datagram; none if none waits.
    pub fn udp_readable(&self, id: UdpId) -> Option<usize> {
        self.udp.sockets.find(id.key())?.readable()
    }

    /// What is possible on a socket now: levels, where events tell of edges.
    pub fn udp_ready(&self, id: UdpId) -> Ready {
        let socket = self.udp.sockets.find(id.key());
        socket.map_or(Ready::NONE, |socket| socket.mailbox.ready())
    }

    /// Charges so many octets of what the socket's owner holds for it, its error queue, to its memory and against its limit, in
    /// place of those charged before. False, and nothing has changed, if they are more and there is no room.
    #[must_use]
    pub fn udp_hold(&mut self, id: UdpId, octets: usize) -> bool {
        let socket = self.udp.sockets.find_mut(id.key());
        socket.is_some_and(|socket| socket.mailbox.queue.hold_beside(octets))
    }

    /// Takes the next ICMP error about a datagram of this socket.
    pub fn udp_error(&mut self, id: UdpId) -> Option<IcmpReport> {
        self.udp.sockets.find_mut(id.key())?.mailbox.pop_error()
    }

    /// Speaks by that link only (`SO_BINDTODEVICE`), or by any.
    pub fn udp_set_device(&mut self, id: UdpId, device: Option<LinkId>) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key()) {
            socket.local.device = device;
        }
    }

    /// Changes how much may wait to be received (`SO_RCVBUF`); what waits already stays.
    pub fn udp_set_receive_limit(&mut self, id: UdpId, octets: usize) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key()) {
            socket.mailbox.queue.limit = octets;
        }
    }

    /// Whether datagrams of groups that only other sockets joined are taken.
    pub fn udp_set_all_groups(&mut self, id: UdpId, all: AllGroups) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key()) {
            socket.all_groups = all;
        }
    }

    /// Whether flows are spread over the sockets that share the endpoint (`SO_REUSEPORT`).
    pub fn udp_set_reuse_port(&mut self, id: UdpId, reuse_port: bool) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key()) {
            socket.reuse_port = reuse_port;
        }
    }

    /// Which of the sockets that share the endpoint gets a datagram: the program returns its place among them, in the order of
    /// their coming (`SO_ATTACH_REUSEPORT_CBPF`). One socket's program is that of all.
    pub fn udp_set_chooser(&mut self, id: UdpId, chooser: Option<Arc<Program>>) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key()) {
            socket.chooser = chooser;
        }
    }

    /// Whether datagrams that came joined are received so (`UDP_GRO`), rather than one by one.
    pub fn udp_set_joining(&mut self, id: UdpId, joining: bool) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key()) {
            socket.joining = joining;
        }
    }

    /// What a UDP-Lite socket asks of checksums (`UDPLITE_SEND_CSCOV`, `UDPLITE_RECV_CSCOV`); UDP sockets ask for everything.
    pub fn udp_set_coverage(&mut self, id: UdpId, coverage: Coverage) {
        if let Some(socket) = self.udp.sockets.find_mut(id.key())
            && socket.protocol == UdpProtocol::Lite
        {
            socket.coverage = coverage;
        }
    }

    /// Joins a group on a link, or on the one that a route to it names.
    pub fn udp_join(&mut self, now: Instant, id: UdpId, group: IpAddr, link: Option<LinkId>) -> Result<(), JoinError> {
        self.udp_join_sources(now, id, group, link, SourceFilter::ANY)
    }

    /// Joins a group on a link, or on the one that a route to it names, to hear some sources only.
    pub fn udp_join_sources(
        &mut self,
        now: Instant,
        id: UdpId,
        group: IpAddr,
        link: Option<LinkId>,
        filter: SourceFilter,
    ) -> Result<(), JoinError> {
        self.udp.join(now, &mut self.net, id, (group, link), filter)
    }

    /// Leaves a group.
    pub fn udp_leave(&mut self, now: Instant, id: UdpId, group: IpAddr, link: Option<LinkId>) -> Result<(), JoinError> {
        self.udp.leave(now, &mut self.net, id, group, link)
    }

    /// Listens to other sources of a group that was joined.
    pub fn udp_set_filter(
        &mut self,
        now: Instant,
        id: UdpId,
        group: IpAddr,
        link: Option<LinkId>,
        filter: SourceFilter,
    ) -> Result<(), JoinError> {
        self.udp.set_filter(now, &mut self.net, id, (group, link), filter)
    }

    /// What can be seen of a socket.
    pub fn udp_info(&self, id: UdpId) -> Option<UdpInfo> {
        self.udp.sockets.find(id.key()).map(|socket| Udp::info(id, socket))
    }

    /// Every UDP and UDP-Lite socket.
    pub fn udp_sockets(&self) -> impl Iterator<Item = UdpInfo> {
        self.udp
            .sockets
            .entries()
            .map(|(key, socket)| Udp::info(UdpId::from_key(key), socket))
    }

    /// From now on UDP sockets that are bound to that port of the loopback also hear what `link` brings to `addr` for nobody else, and may speak
    /// from there.
    pub fn udp_lend(&mut self, port: u16, link: LinkId, addr: IpAddr) {
        let Udp { sockets, spaces, .. } = &mut self.udp;
        spaces[UdpProtocol::Udp as usize].demux.lend(sockets, port, link, addr);
    }

    /// The address from which a UDP socket on that port of the loopback speaks to others by that version, if it was lent one
    /// ([`udp_lend`](Self::udp_lend)).
    pub fn udp_lent_source(&self, port: u16, is_ipv4: bool) -> Option<IpAddr> {
        self.udp.spaces[UdpProtocol::Udp as usize]
            .demux
            .lent_source(port, is_ipv4)
    }

    /// The UDP sockets that have this port, at any address: where there is none, what comes there is answered with Port Unreachable.
    pub fn udp_on_port(&self, port: u16) -> impl Iterator<Item = UdpInfo> {
        let on_port = self.udp.spaces[UdpProtocol::Udp as usize].demux.on_port(port);
        on_port.iter().filter_map(|&id| self.udp_info(id))
    }

    /// Datagrams of UDP counted.
    pub fn udp_counters(&self) -> &UdpCounters {
        self.udp_protocol_counters(UdpProtocol::Udp)
    }

    /// Datagrams of UDP or of UDP-Lite counted.
    pub fn udp_protocol_counters(&self, protocol: UdpProtocol) -> &UdpCounters {
        &self.udp.spaces[protocol as usize].counters
    }

    /// Whether datagrams on transparent links that no socket takes wait for the gateway, those for our own addresses among
    /// them; otherwise they are answered with Port Unreachable.
    pub fn udp_intercept(&mut self, on: bool) {
        self.udp.interception.enabled = on;
    }

    /// Takes the next intercepted datagram.
    pub fn udp_take_intercepted(&mut self) -> Option<UdpIntercepted> {
        self.udp.interception.dequeue()
    }

    /// Sends a datagram by a transparent link in somebody else's name: an answer to an intercepted one.
    pub fn udp_send_from(
        &mut self,
        now: Instant,
        link: LinkId,
        src: SocketAddr,
        dst: SocketAddr,
        payload: impl Into<Body>,
    ) -> Result<(), DatagramError> {
        let sent = self
            .udp
            .send_from(now, &mut self.net, link, src, UdpSend::new(dst, payload));
        self.settle(now);
        sent
    }

    /// Tells the sender of a flow that came by a transparent link what became of it, in the name of `offender`: by default the
    /// flow's destination where it is the destination that refuses, else this host.
    pub fn icmp_error_for(
        &mut self,
        now: Instant,
        link: LinkId,
        offender: Option<IpAddr>,
        flow: &QuotedFlow,
        error: IcmpError,
    ) {
        self.net.send_icmp_error_for(now, link, offender, flow, error);
    }
}
