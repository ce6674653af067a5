//! Packets for ping and raw sockets arrive.

use super::{Common, EchoIntercepted, Ping, PingId, Raw, RawId, RawMessage};
use crate::event::{Event, Events, Ready};
use crate::mailbox::Full;
use crate::net::{Delivered, Discard, Net, QuotedError};
use core::net::IpAddr;
use prise_wire::{Echo, Instant, icmpv4, protocol};

impl Raw {
    /// Whether any raw socket wants packets of that protocol; false costs one test while there are no raw sockets.
    pub(crate) fn wants(&self, packet: &Delivered<'_>) -> bool {
        self.raws.len() > 0 && self.by_protocol.contains_key(&(packet.src.is_ipv4(), packet.protocol))
    }

    /// Gives every raw socket of its protocol a copy of a packet; false if none took it.
    pub(crate) fn arrival(&mut self, now: Instant, net: &mut Net, events: &mut Events, packet: &Delivered<'_>) -> bool {
        let Some(ids) = self.by_protocol.get(&(packet.src.is_ipv4(), packet.protocol)) else {
            return false;
        };
        let at = if packet.src.is_ipv4() {
            packet.network_at
        } else {
            packet.transport_at
        };
        let message = message(now, packet, at);
        let mut taken = false;
        for &id in ids {
            let Some(socket) = self.raws.find_mut(id.key()) else {
                continue;
            };
            if socket.common.accepts(packet.src, packet.dst, packet.link) {
                taken = true;
                deliver(&mut socket.common, net, events, message.clone(), |token, ready| {
                    Event::Raw { token, id, ready }
                });
            }
        }
        taken
    }

    /// An echo reply for the ping socket with its identifier.
    pub(crate) fn echo_reply(
        &mut self,
        now: Instant,
        net: &mut Net,
        events: &mut Events,
        packet: &Delivered<'_>,
        echo: Echo,
    ) {
        let found = self
            .by_identifier
            .get(&(packet.src.is_ipv4(), echo.identifier))
            .copied();
        let socket = found.and_then(|id| Some((id, self.pings.find_mut(id.key())?)));
        match socket {
            Some((id, Ping { common, .. })) if common.accepts_at(packet.dst, packet.link) => {
                let message = message(now, packet, packet.transport_at);
                deliver(common, net, events, message, |token, ready| Event::Ping {
                    token,
                    id,
                    ready,
                });
            }
            _ => net.discard(Discard::IcmpNoOwner),
        }
    }

    /// An echo request for somebody behind us.
    pub(crate) fn echo_intercepted(&mut self, net: &mut Net, events: &mut Events, packet: Delivered<'_>, echo: Echo) {
        if !self.intercepts {
            return net.discard(Discard::IpNotForUs);
        }
        let Delivered {
            link,
            src,
            dst,
            hop_limit,
            tos,
            frame,
            transport_at,
            ..
        } = packet;
        let mut payload = frame.take_payload(transport_at + icmpv4::HEADER_LEN);
        payload.compact();
        let octets = payload.pinned();
        let queued = self.intercepted.push(
            EchoIntercepted {
                link,
                src,
                dst,
                echo,
                hop_limit,
                tos,
                payload,
            },
            octets,
        );
        match queued {
            Ok(()) => self.signal_interception(events),
            Err(Full::Queue) => net.discard(Discard::EchoInterceptQueueFull),
            Err(Full::Memory) => net.discard(Discard::RawMemory),
        }
    }

    /// An ICMP error quotes a packet that a ping or raw socket may have sent; false if none did.
    pub(crate) fn icmp_error(&mut self, now: Instant, net: &mut Net, events: &mut Events, error: &QuotedError) -> bool {
        let QuotedError {
            protocol,
            quoted,
            report,
        } = error;
        let (local, remote) = (quoted.local.ip(), quoted.remote.ip());
        let is_ipv4 = local.is_ipv4();
        let mut found = false;
        let is_echo = matches!(*protocol, protocol::ICMPV4 | protocol::ICMPV6) && quoted.local.port() != 0;
        if is_echo && let Some(&id) = self.by_identifier.get(&(is_ipv4, quoted.local.port())) {
            found |= self.tell_ping(events, id, local, report);
        }
        let ids = self.by_protocol.get(&(is_ipv4, *protocol)).cloned().unwrap_or_default();
        for id in ids {
            found |= self.tell_raw(events, id, local, remote, report);
        }
        if found && let crate::IcmpError::PacketTooBig { mtu } = report.error {
            net.lower_path_mtu(now, remote, mtu);
        }
        found
    }

    fn tell_ping(&mut self, events: &mut Events, id: PingId, local: IpAddr, report: &crate::IcmpReport) -> bool {
        let Some(Ping { common, .. }) = self.pings.find_mut(id.key()) else {
            return false;
        };
        if common.local.is_some_and(|own| own != local) {
            return false;
        }
        let token = common.token;
        common.mailbox.push_error(report.clone());
        common
            .mailbox
            .signal(events, Ready::ERROR, |ready| Event::Ping { token, id, ready });
        true
    }

    fn tell_raw(
        &mut self,
        events: &mut Events,
        id: RawId,
        local: IpAddr,
        remote: IpAddr,
        report: &crate::IcmpReport,
    ) -> bool {
        let Some(socket) = self.raws.find_mut(id.key()) else {
            return false;
        };
        let common = &mut socket.common;
        if common.local.is_some_and(|own| own != local) || common.remote.is_some_and(|peer| peer != remote) {
            return false;
        }
        let token = common.token;
        common.mailbox.push_error(report.clone());
        common
            .mailbox
            .signal(events, Ready::ERROR, |ready| Event::Raw { token, id, ready });
        true
    }
}

fn message(now: Instant, packet: &Delivered<'_>, from: usize) -> RawMessage {
    RawMessage {
        payload: packet.frame.payload_from(from),
        src: packet.src,
        dst: packet.dst,
        link: packet.link,
        hop_limit: packet.hop_limit,
        tos: packet.tos,
        flow_label: packet.flow_label,
        received: now,
    }
}

fn deliver(
    common: &mut Common,
    net: &mut Net,
    events: &mut Events,
    mut message: RawMessage,
    event: impl FnOnce(u32, Ready) -> Event,
) {
    message.payload.compact();
    let octets = message.payload.pinned();
    match common.mailbox.queue.push(message, octets) {
        Ok(()) => {
            let token = common.token;
            common
                .mailbox
                .signal(events, Ready::READABLE, |ready| event(token, ready));
        }
        Err(Full::Queue) => net.discard(Discard::RawReceiveQueueFull),
        Err(Full::Memory) => net.discard(Discard::RawMemory),
    }
}
