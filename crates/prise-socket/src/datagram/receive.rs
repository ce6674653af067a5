//! `recvmsg(2)` on datagram, ping and raw sockets.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use prise_stack::{LinkId, RawMessage};
use prise_wire::{Body, Instant, Ipv4Options};

use super::{Membership, ip_options};
use crate::option::Opt;
use crate::socket::{Socket, Transport};
use crate::{Errno, Family, Flags, Host, Kind, Received, SocketId, protocol};

/// One message as it lies in one of the stack's queues.
pub(super) struct Message {
    pub(super) payload: Body,
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    pub(super) link: LinkId,
    pub(super) hop_limit: u8,
    pub(super) tos: u8,
    pub(super) flow_label: u32,
    options: Option<Box<Ipv4Options>>,
    received: Instant,
    /// Octets of each of several datagrams in one (`UDP_GRO`).
    segment: Option<u16>,
}

impl From<prise_stack::UdpDatagram> for Message {
    fn from(datagram: prise_stack::UdpDatagram) -> Self {
        let prise_stack::UdpDatagram {
            payload,
            src,
            dst,
            link,
            hop_limit,
            tos,
            flow_label,
            options,
            received,
            segment,
        } = datagram;
        Self {
            payload,
            src,
            dst,
            link,
            hop_limit,
            tos,
            flow_label,
            options,
            received,
            segment,
        }
    }
}

impl From<RawMessage> for Message {
    fn from(message: RawMessage) -> Self {
        let RawMessage {
            payload,
            src,
            dst,
            link,
            hop_limit,
            tos,
            flow_label,
            received,
        } = message;
        let options = if src.is_ipv4() { ip_options::of(&payload) } else { None };
        let (src, dst) = (SocketAddr::new(src, 0), SocketAddr::new(dst, 0));
        Self {
            payload,
            src,
            dst,
            link,
            hop_limit,
            tos,
            flow_label,
            options,
            received,
            segment: None,
        }
    }
}

impl Host {
    /// `recvmsg(2)` of one message; of a stream, whatever there is. The caller truncates to its buffer and says `MSG_TRUNC`.
    ///
    /// A pending error comes first, as in `__skb_recv_udp`. After `shutdown` of the reading half this answers `EAGAIN` too; a caller that blocks
    /// returns an empty message then instead of sleeping (the readiness shows [`RDHUP`](crate::Readiness::RDHUP)).
    pub fn recv_from(&mut self, now: Instant, s: SocketId, flags: Flags) -> Result<Received, Errno> {
        let socket = self.socket_ref(s)?;
        if socket.kind == Kind::Stream {
            return self.recv(now, s, usize::MAX, flags).map(Received::stream);
        }
        if flags.contains(Flags::OOB) && !socket.is_udp() {
            return Err(Errno::EOPNOTSUPP);
        }
        self.collect_error(s);
        if let Some(errno) = self.socket_mut(s)?.error.take() {
            return Err(errno);
        }
        self.drop_unwanted(s);
        let message = if flags.contains(Flags::PEEK) {
            self.peek_message(s)
        } else {
            self.take_message(s)
        };
        let mut message = message.ok_or(Errno::EAGAIN)?;
        let socket = self.socket_ref(s)?;
        message.payload.truncate(socket.kept(&message).unwrap_or(0));
        let source = self.scoped(socket, socket.present(message.src));
        let destination = socket.present(SocketAddr::new(message.dst.ip(), socket.port));
        Ok(Received {
            payload: message.payload.to_payload(),
            source: Some(with_link(source, message.link)),
            destination: Some(destination),
            link: Some(message.link),
            hop_limit: message.hop_limit,
            tos: message.tos,
            flow_label: message.flow_label,
            options: message.options.map(|options| *options),
            timestamp: Some(message.received),
            segment: message.segment,
            flags: Flags::EMPTY,
        })
    }

    /// The first message, from where `SO_PEEK_OFF` says, which moves on.
    fn peek_message(&mut self, s: SocketId) -> Option<Message> {
        let mut message = self.front(s)?;
        let socket = self.sockets.get_mut(s)?;
        if let Some(offset) = socket.value_set(Opt::PeekOffset).filter(|offset| *offset >= 0) {
            let len = message.payload.len() as i64;
            if offset > 0 && offset >= len {
                return None;
            }
            message.payload.trim_front(offset as usize);
            socket.set_value(Opt::PeekOffset, len);
        }
        Some(message)
    }

    /// The first message, taken; `SO_PEEK_OFF` goes back by as much.
    fn take_message(&mut self, s: SocketId) -> Option<Message> {
        let message = self.pop(s)?;
        let socket = self.sockets.get_mut(s)?;
        if let Some(offset) = socket.value_set(Opt::PeekOffset).filter(|offset| *offset > 0) {
            socket.set_value(Opt::PeekOffset, (offset - message.payload.len() as i64).max(0));
        }
        Some(message)
    }

    fn front(&self, s: SocketId) -> Option<Message> {
        match self.sockets.get(s)?.transport {
            Transport::Udp(id) => self.stack.udp_peek(id).map(Message::from),
            Transport::Ping(id) => self.stack.icmp_peek(id).cloned().map(Message::from),
            Transport::Raw(id) => self.stack.raw_peek(id).cloned().map(Message::from),
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => None,
        }
    }

    fn pop(&mut self, s: SocketId) -> Option<Message> {
        match self.sockets.get(s)?.transport {
            Transport::Udp(id) => self.stack.udp_receive(id).map(Message::from),
            Transport::Ping(id) => self.stack.icmp_receive(id).map(Message::from),
            Transport::Raw(id) => self.stack.raw_receive(id).map(Message::from),
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => None,
        }
    }

    /// Takes away from the front what the socket's filters keep out: ICMP types (`ICMP_FILTER`), packets (`SO_ATTACH_FILTER`), sources of groups. Hop
    /// limits (`IP_MINTTL`, `IPV6_MINHOPCOUNT`) Linux compares for TCP alone.
    fn drop_unwanted(&mut self, s: SocketId) {
        while let (Some(socket), Some(message)) = (self.sockets.get(s), self.front_if_filtered(s)) {
            if socket.wants(&message) {
                return;
            }
            let _unwanted = self.pop(s);
        }
    }

    /// The first message, if the socket has any filter at all.
    fn front_if_filtered(&self, s: SocketId) -> Option<Message> {
        let socket = self.sockets.get(s)?;
        let filtered = socket.extra.as_ref().is_some_and(|extra| {
            extra.icmp_filter.is_some() || extra.filter.is_some() || extra.groups.iter().any(Membership::is_filtered)
        });
        if filtered { self.front(s) } else { None }
    }

    /// Whether a message waits.
    pub(crate) fn datagram_waits(&mut self, s: SocketId) -> bool {
        self.drop_unwanted(s);
        match self.sockets.get(s).map(|socket| socket.transport) {
            Some(Transport::Udp(id)) => self.stack.udp_readable(id).is_some(),
            Some(Transport::Ping(id)) => self.stack.icmp_peek(id).is_some(),
            Some(Transport::Raw(id)) => self.stack.raw_peek(id).is_some(),
            _ => false,
        }
    }

    /// The size of the next message, 0 if there is none.
    pub(crate) fn next_datagram_size(&self, s: SocketId) -> usize {
        match self.sockets.get(s).map(|socket| socket.transport) {
            Some(Transport::Udp(id)) => self.stack.udp_readable(id).unwrap_or(0),
            _ => self.front(s).map_or(0, |message| message.payload.len()),
        }
    }
}

impl Socket {
    /// Whether the socket's filters let a message through.
    fn wants(&self, message: &Message) -> bool {
        if self.kept(message).is_none() {
            return false;
        }
        if self.kind == Kind::Raw && !self.hears(message) {
            return false;
        }
        if self.kind != Kind::Raw || !matches!(self.protocol, protocol::ICMP | protocol::ICMPV6) {
            return true;
        }
        let Some(kind) = icmp_type(&message.payload, message.src.is_ipv4()) else {
            return true;
        };
        let filter = self.icmp_filter();
        match self.family {
            // raw(7) knows the first 32 types only.
            Family::Inet => kind >= 32 || filter.0[0] >> kind & 1 == 0,
            Family::Inet6 => filter.0[usize::from(kind) / 32] >> (kind % 32) & 1 == 0,
        }
    }
}

impl Socket {
    /// `ip_mc_sf_allow`, and `inet6_mc_check`, which knows no links. What UDP sockets want is the stack's affair.
    fn hears(&self, message: &Message) -> bool {
        let group = message.dst.ip();
        let is_it = |have: &&Membership| have.group == group && (group.is_ipv6() || have.link == Some(message.link));
        let joined = self.extra.as_ref().and_then(|extra| extra.groups.iter().find(is_it));
        joined.is_none_or(|joined| joined.filter().admits(message.src.ip()))
    }
}

/// The ICMP type of a raw message, behind its IPv4 header if it has one.
fn icmp_type(payload: &Body, v4: bool) -> Option<u8> {
    let first = payload.slices().next()?;
    let at = if v4 { usize::from(first.first()? & 0xf) * 4 } else { 0 };
    first.get(at).copied()
}

/// A link-local source means nothing without the link that it came by.
fn with_link(addr: SocketAddr, link: LinkId) -> SocketAddr {
    match addr {
        SocketAddr::V6(mut v6) if matches!(addr.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local()) => {
            v6.set_scope_id(link.interface_index());
            SocketAddr::V6(v6)
        }
        _ => addr,
    }
}
