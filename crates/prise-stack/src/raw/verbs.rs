//! What a socket layer and the gateway ask of ping and raw sockets.

use super::{Common, Ping, PingId, PingSend, Raw, RawId, RawMessage, RawSend, RawSocket};
use crate::event::Ready;
use crate::link::LinkId;
use crate::mailbox::Mailbox;
use crate::net::{IcmpReport, Net};
use crate::send::DatagramError;
use crate::stack::Stack;
use core::net::IpAddr;
use prise_wire::{Body, Echo, Instant, IpVersion};

/// How a ping socket begins.
#[derive(Clone, Copy, Debug)]
pub struct PingConfig {
    /// ICMPv4 or ICMPv6.
    pub version: IpVersion,
    /// The address to speak from; none leaves it to the route.
    pub local: Option<IpAddr>,
    /// The identifier of its requests; none chooses one.
    pub identifier: Option<u16>,
    /// The only link to speak by, if any.
    pub device: Option<LinkId>,
    /// Octets that may wait to be received, with 256 more charged for each message.
    pub receive_limit: usize,
    /// The caller's own number, handed back in every event.
    pub token: u32,
}

/// How a raw socket begins.
#[derive(Clone, Copy, Debug)]
pub struct RawConfig {
    /// IPv4 or IPv6.
    pub version: IpVersion,
    /// The protocol whose packets it gets and sends.
    pub protocol: u8,
    /// The octets that may wait to be received, with 256 more charged for each packet.
    pub receive_limit: usize,
    /// The caller's own number, handed back in every event.
    pub token: u32,
}

/// A ping socket has that identifier already, or all are taken (`EADDRINUSE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifierInUse;

/// An echo request that a peer on a transparent link sent to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoIntercepted {
    /// The link it came by.
    pub link: LinkId,
    /// The peer that sent it.
    pub src: IpAddr,
    /// Whom it is for.
    pub dst: IpAddr,
    /// Its identifier and sequence number.
    pub echo: Echo,
    /// Time to live or hop limit, as it arrived.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Its data.
    pub payload: Body,
}

impl Raw {
    fn bind_ping(&mut self, net: &mut Net, config: &PingConfig) -> Result<PingId, IdentifierInUse> {
        let is_ipv4 = config.version == IpVersion::V4;
        let is_free = |one: u16| one != 0 && !self.by_identifier.contains_key(&(is_ipv4, one));
        let identifier = if let Some(wanted) = config.identifier.filter(|&wanted| wanted != 0) {
            Some(wanted).filter(|&one| is_free(one))
        } else {
            let start = net.random().next_u32() as u16;
            (0..=u16::MAX)
                .map(|step| start.wrapping_add(step))
                .find(|&one| is_free(one))
        };
        let identifier = identifier.ok_or(IdentifierInUse)?;
        let common = Common {
            token: config.token,
            version: config.version,
            local: config.local,
            remote: None,
            device: config.device,
            mailbox: Mailbox::new(config.receive_limit, &self.memory),
        };
        let id = PingId::from_key(self.pings.insert(Ping { identifier, common }));
        self.by_identifier.insert((is_ipv4, identifier), id);
        Ok(id)
    }

    fn bind_raw(&mut self, config: &RawConfig) -> RawId {
        let common = Common {
            token: config.token,
            version: config.version,
            local: None,
            remote: None,
            device: None,
            mailbox: Mailbox::new(config.receive_limit, &self.memory),
        };
        let id = RawId::from_key(self.raws.insert(RawSocket {
            protocol: config.protocol,
            common,
        }));
        self.by_protocol
            .entry((config.version == IpVersion::V4, config.protocol))
            .or_default()
            .push(id);
        id
    }

    fn close_ping(&mut self, id: PingId) {
        if let Some(Ping { identifier, common }) = self.pings.take(id.key()) {
            self.by_identifier
                .remove(&(common.version == IpVersion::V4, identifier));
        }
    }

    fn close_raw(&mut self, id: RawId) {
        let Some(RawSocket { protocol, common }) = self.raws.take(id.key()) else {
            return;
        };
        let key = (common.version == IpVersion::V4, protocol);
        if let Some(ids) = self.by_protocol.get_mut(&key) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_protocol.remove(&key);
            }
        }
    }

    fn ping_mut(&mut self, id: PingId) -> Option<&mut Common> {
        self.pings.find_mut(id.key()).map(|socket| &mut socket.common)
    }

    fn raw_mut(&mut self, id: RawId) -> Option<&mut Common> {
        self.raws.find_mut(id.key()).map(|socket| &mut socket.common)
    }
}

impl Stack {
    /// Makes a ping socket.
    pub fn icmp_bind(&mut self, config: &PingConfig) -> Result<PingId, IdentifierInUse> {
        self.raw.bind_ping(&mut self.net, config)
    }

    /// The identifier of a ping socket's requests: its "port".
    pub fn icmp_identifier(&self, id: PingId) -> Option<u16> {
        self.raw.pings.find(id.key()).map(|socket| socket.identifier)
    }

    /// Takes replies from, and sends to, that host only; none from any again.
    pub fn icmp_connect(&mut self, id: PingId, local: Option<IpAddr>, remote: Option<IpAddr>) {
        if let Some(common) = self.raw.ping_mut(id) {
            common.local = local;
            common.remote = remote;
        }
    }

    /// Sends an echo request.
    pub fn icmp_send(&mut self, now: Instant, id: PingId, send: PingSend) -> Result<(), DatagramError> {
        self.raw.ping(now, &mut self.net, id, send)
    }

    /// Takes the next reply.
    pub fn icmp_receive(&mut self, id: PingId) -> Option<RawMessage> {
        self.raw.ping_mut(id)?.mailbox.queue.pop()
    }

    /// The next reply, left where it is.
    pub fn icmp_peek(&self, id: PingId) -> Option<&RawMessage> {
        self.raw.pings.find(id.key())?.common.mailbox.queue.front()
    }

    /// What is possible on a ping socket now: levels, where events tell of edges.
    pub fn icmp_ready(&self, id: PingId) -> Ready {
        let socket = self.raw.pings.find(id.key());
        socket.map_or(Ready::NONE, |socket| socket.common.mailbox.ready())
    }

    /// Charges so many octets of what the socket's owner holds for it, its error queue, to its memory and against its limit, in
    /// place of those charged before. False, and nothing has changed, if they are more and there is no room.
    #[must_use]
    pub fn icmp_hold(&mut self, id: PingId, octets: usize) -> bool {
        let common = self.raw.ping_mut(id);
        common.is_some_and(|common| common.mailbox.queue.hold_beside(octets))
    }

    /// Takes the next ICMP error about a request of this socket.
    pub fn icmp_error(&mut self, id: PingId) -> Option<IcmpReport> {
        self.raw.ping_mut(id)?.mailbox.pop_error()
    }

    /// Speaks by that link only (`SO_BINDTODEVICE`), or by any.
    pub fn icmp_set_device(&mut self, id: PingId, device: Option<LinkId>) {
        if let Some(common) = self.raw.ping_mut(id) {
            common.device = device;
        }
    }

    /// Changes how much may wait to be received.
    pub fn icmp_set_receive_limit(&mut self, id: PingId, octets: usize) {
        if let Some(common) = self.raw.ping_mut(id) {
            common.mailbox.queue.limit = octets;
        }
    }

    /// Ends a ping socket.
    pub fn icmp_close(&mut self, id: PingId) {
        self.raw.close_ping(id);
    }

    /// Makes a raw socket.
    pub fn raw_bind(&mut self, config: &RawConfig) -> RawId {
        self.raw.bind_raw(config)
    }

    /// Whether there is a raw socket of that protocol and of the address's version of IP.
    pub fn raw_hears(&self, address: IpAddr, protocol: u8) -> bool {
        self.raw.raws.len() > 0 && self.raw.by_protocol.contains_key(&(address.is_ipv4(), protocol))
    }

    /// Restricts a raw socket to packets between these addresses; none is any (`bind(2)`, `connect(2)`).
    pub fn raw_connect(&mut self, id: RawId, local: Option<IpAddr>, remote: Option<IpAddr>) {
        if let Some(common) = self.raw.raw_mut(id) {
            common.local = local;
            common.remote = remote;
        }
    }

    /// Sends a packet.
    pub fn raw_send(&mut self, now: Instant, id: RawId, send: RawSend) -> Result<(), DatagramError> {
        self.raw.send(now, &mut self.net, id, send)
    }

    /// Takes the next packet.
    pub fn raw_receive(&mut self, id: RawId) -> Option<RawMessage> {
        self.raw.raw_mut(id)?.mailbox.queue.pop()
    }

    /// The next packet, left where it is.
    pub fn raw_peek(&self, id: RawId) -> Option<&RawMessage> {
        self.raw.raws.find(id.key())?.common.mailbox.queue.front()
    }

    /// What is possible on a raw socket now: levels, where events tell of edges.
    pub fn raw_ready(&self, id: RawId) -> Ready {
        let socket = self.raw.raws.find(id.key());
        socket.map_or(Ready::NONE, |socket| socket.common.mailbox.ready())
    }

    /// Charges so many octets of what the socket's owner holds for it, its error queue, to its memory and against its limit, in
    /// place of those charged before. False, and nothing has changed, if they are more and there is no room.
    #[must_use]
    pub fn raw_hold(&mut self, id: RawId, octets: usize) -> bool {
        let common = self.raw.raw_mut(id);
        common.is_some_and(|common| common.mailbox.queue.hold_beside(octets))
    }

    /// Takes the next ICMP error about a packet of this socket's protocol.
    pub fn raw_error(&mut self, id: RawId) -> Option<IcmpReport> {
        self.raw.raw_mut(id)?.mailbox.pop_error()
    }

    /// Speaks by that link only (`SO_BINDTODEVICE`), or by any.
    pub fn raw_set_device(&mut self, id: RawId, device: Option<LinkId>) {
        if let Some(common) = self.raw.raw_mut(id) {
            common.device = device;
        }
    }

    /// Changes how much may wait to be received.
    pub fn raw_set_receive_limit(&mut self, id: RawId, octets: usize) {
        if let Some(common) = self.raw.raw_mut(id) {
            common.mailbox.queue.limit = octets;
        }
    }

    /// Ends a raw socket.
    pub fn raw_close(&mut self, id: RawId) {
        self.raw.close_raw(id);
    }

    /// Whether echo requests on transparent links for hosts behind us wait for the gateway; otherwise they are discarded.
    pub fn echo_intercept(&mut self, on: bool) {
        self.raw.intercepts = on;
    }

    /// Takes the next intercepted echo request.
    pub fn echo_take_intercepted(&mut self) -> Option<EchoIntercepted> {
        self.raw.intercepted.pop()
    }

    /// Answers an intercepted request in the name of the host that it was for, which has answered the gateway.
    pub fn echo_reply_from(
        &mut self,
        now: Instant,
        link: LinkId,
        src: IpAddr,
        dst: IpAddr,
        echo: Echo,
        payload: impl Into<Body>,
    ) {
        self.net.send_echo_reply_from(now, link, src, dst, echo, payload.into());
    }
}
