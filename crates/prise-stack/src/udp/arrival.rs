//! A datagram, or an ICMP error about one of ours, arrives.

use super::intercept::UdpIntercepted;
use super::socket::{Queued, UdpDatagram};
use super::{Udp, UdpId};
use crate::event::{Events, Ready};
use crate::link::LinkId;
use crate::net::{Delivered, Discard, IcmpError, IcmpReport, Net};
use core::net::{IpAddr, SocketAddr};
use prise_wire::{Instant, UdpHeader, checksum, protocol, udp};

impl Udp {
    pub(crate) fn arrival(&mut self, now: Instant, net: &mut Net, events: &mut Events, mut packet: Delivered<'_>) {
        let header = match check(&mut packet) {
            Ok(header) => header,
            Err(reason) => {
                self.counters.errors += 1;
                return net.discard(reason);
            }
        };
        let src = SocketAddr::new(packet.src, header.source_port);
        let dst = SocketAddr::new(packet.dst, header.destination_port);
        if !packet.unicast {
            return self.deliver_copies(now, net, events, packet, src, dst);
        }
        match self.demux.lookup(&self.sockets, dst, src, packet.link) {
            Some(id) => self.deliver(net, events, id, queued(now, packet, src, dst)),
            None => self.without_socket(now, net, events, packet, src, dst),
        }
    }

    fn deliver(&mut self, net: &mut Net, events: &mut Events, id: UdpId, queued: Queued) {
        let Some(socket) = self.sockets.find_mut(id.key()) else {
            return;
        };
        if socket.enqueue(queued) {
            self.counters.delivered += 1;
            socket.signal(events, id, Ready::READABLE);
        } else {
            self.counters.overflowed += 1;
            net.discard(Discard::UdpReceiveQueueFull);
        }
    }

    /// A group or broadcast datagram goes to every socket that may have it (RFC 1122 §4.1.3.3, POSIX practice).
    fn deliver_copies(
        &mut self,
        now: Instant,
        net: &mut Net,
        events: &mut Events,
        packet: Delivered<'_>,
        src: SocketAddr,
        dst: SocketAddr,
    ) {
        let link = packet.link;
        let queued = queued(now, packet, src, dst);
        let mut found = false;
        for at in 0..self.demux.on_port(dst.port()).len() {
            let id = self.demux.on_port(dst.port())[at];
            if self
                .sockets
                .find(id.key())
                .is_some_and(|socket| socket.takes_copy(src, dst, link))
            {
                found = true;
                self.deliver(net, events, id, queued.clone());
            }
        }
        if !found {
            self.counters.no_socket += 1;
            net.discard(Discard::UdpNoSocket);
        }
    }

    /// Nobody here has that port: the gateway's if the link is transparent, else Port Unreachable (RFC 1122 §4.1.3.1).
    fn without_socket(
        &mut self,
        now: Instant,
        net: &mut Net,
        events: &mut Events,
        packet: Delivered<'_>,
        src: SocketAddr,
        dst: SocketAddr,
    ) {
        if self.interception.enabled && net.link_is_transparent(packet.link) {
            return self.intercept(net, events, queued(now, packet, src, dst));
        }
        self.counters.no_socket += 1;
        net.discard(Discard::UdpNoSocket);
        net.answer_with_error(now, &packet, IcmpError::PortUnreachable);
    }

    fn intercept(&mut self, net: &mut Net, events: &mut Events, queued: Queued) {
        let Queued { datagram, train } = queued;
        let UdpDatagram {
            mut payload,
            src,
            dst,
            link,
            hop_limit,
            tos,
            received: _,
        } = datagram;
        let size = train.map_or(usize::MAX, usize::from);
        loop {
            let rest = payload.len() > size;
            let first = if rest {
                payload.split_to(size)
            } else {
                core::mem::take(&mut payload)
            };
            let one = UdpIntercepted {
                link,
                src,
                dst,
                hop_limit,
                tos,
                payload: first,
            };
            if self.interception.enqueue(events, one) {
                self.counters.delivered += 1;
            } else {
                self.counters.overflowed += 1;
                net.discard(Discard::UdpInterceptQueueFull);
            }
            if !rest {
                return;
            }
        }
    }

    /// An ICMP error quotes a datagram of ours; false if no socket sent it.
    pub(crate) fn icmp_error(
        &mut self,
        now: Instant,
        net: &mut Net,
        events: &mut Events,
        link: LinkId,
        local: SocketAddr,
        report: IcmpReport,
    ) -> bool {
        let remote = report.destination;
        let Some(id) = self.demux.lookup(&self.sockets, local, remote, link) else {
            return false;
        };
        let Some(socket) = self.sockets.find_mut(id.key()) else {
            return false;
        };
        if let IcmpError::PacketTooBig { mtu } = report.error {
            net.lower_path_mtu(now, remote.ip(), mtu);
        }
        socket.mailbox.push_error(report);
        socket.signal(events, id, Ready::ERROR);
        true
    }

    /// Whether anybody waits for room on the link.
    pub(crate) fn waits_for(&self, link: LinkId) -> bool {
        self.blocked.any(link)
    }

    /// A link has room again: whoever waited may send.
    pub(crate) fn link_has_room(&mut self, events: &mut Events, link: LinkId) {
        for id in self.blocked.take(link) {
            if let Some(socket) = self.sockets.find_mut(id.key()) {
                socket.mailbox.blocked = false;
                socket.signal(events, id, Ready::WRITABLE);
            }
        }
    }
}

/// Checks lengths, ports and checksum, and cuts the frame to the datagram's length.
fn check(packet: &mut Delivered<'_>) -> Result<UdpHeader, Discard> {
    let at = packet.transport_at;
    if !packet.frame.pull(at + udp::HEADER_LEN) {
        return Err(Discard::UdpMalformed);
    }
    let header = UdpHeader::parse(&packet.frame.head()[at..]).map_err(|_| Discard::UdpMalformed)?;
    let available = packet.frame.total_len() - at;
    // The length in the header of a train is that of its first datagram or of the whole, as the link likes.
    if packet.frame.offload.gso.is_none() && header.len != 0 {
        let len = usize::from(header.len);
        if len > available {
            return Err(Discard::UdpMalformed);
        }
        packet.frame.truncate(at + len);
    }
    if header.destination_port == 0 {
        return Err(Discard::UdpMalformed);
    }
    if !packet.checksum_ok && !is_intact(packet, header) {
        return Err(Discard::UdpChecksum);
    }
    Ok(header)
}

fn is_intact(packet: &Delivered<'_>, header: UdpHeader) -> bool {
    if header.checksum == 0 {
        // IPv6 has no header checksum of its own and so demands this one (RFC 8200 §8.1).
        return matches!(packet.dst, IpAddr::V4(_));
    }
    let len = packet.frame.total_len() - packet.transport_at;
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, protocol::UDP, len);
    checksum::is_valid(checksum::combine(pseudo, packet.frame.sum_from(packet.transport_at)))
}

fn queued(now: Instant, packet: Delivered<'_>, src: SocketAddr, dst: SocketAddr) -> Queued {
    let Delivered {
        link,
        tos,
        hop_limit,
        frame,
        transport_at,
        ..
    } = packet;
    let train = frame.offload.gso.map(|gso| gso.size).filter(|&size| size > 0);
    let payload = frame.take_payload(transport_at + udp::HEADER_LEN);
    Queued {
        datagram: UdpDatagram {
            payload,
            src,
            dst,
            link,
            hop_limit,
            tos,
            received: now,
        },
        train,
    }
}
