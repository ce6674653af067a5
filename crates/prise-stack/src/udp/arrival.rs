//! A datagram, or an ICMP error about one of ours, arrives.

use super::intercept::UdpIntercepted;
use super::socket::{Queued, UdpDatagram};
use super::{Udp, UdpId, UdpProtocol};
use crate::event::{Events, Ready};
use crate::link::LinkId;
use crate::mailbox::Full;
use crate::net::{Delivered, Discard, IcmpError, IcmpReport, Net};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use prise_wire::{Instant, Ipv4Options, UdpHeader, checksum, ipv4, udp, udp_lite};

impl Udp {
    pub(crate) fn arrival(
        &mut self,
        now: Instant,
        net: &mut Net,
        events: &mut Events,
        protocol: UdpProtocol,
        mut packet: Delivered<'_>,
    ) {
        let checked = match protocol {
            UdpProtocol::Udp => check(&mut packet),
            UdpProtocol::Lite => check_lite(&mut packet),
        };
        let (header, covered) = match checked {
            Ok(checked) => checked,
            Err(reason) => {
                self.space(protocol).counters.errors += 1;
                return net.discard(reason);
            }
        };
        let about = About {
            protocol,
            covered,
            src: SocketAddr::new(packet.src, header.source_port),
            dst: SocketAddr::new(packet.dst, header.destination_port),
        };
        if !packet.unicast {
            return self.deliver_copies(now, net, events, packet, about);
        }
        let demux = &self.spaces[protocol as usize].demux;
        let payload = || {
            packet
                .frame
                .payload_from(packet.transport_at + udp::HEADER_LEN)
                .to_vec()
        };
        match demux.lookup(&self.sockets, about.dst, about.src, packet.link, &payload) {
            Some(id) => self.deliver(net, events, id, covered, queued(now, packet, about)),
            None => self.without_socket(now, net, events, packet, about),
        }
    }

    /// `covered`: octets under the checksum, which UDP-Lite sockets may have a demand on.
    fn deliver(&mut self, net: &mut Net, events: &mut Events, id: UdpId, covered: Covered, queued: Queued) {
        let Some(socket) = self.sockets.find_mut(id.key()) else {
            return;
        };
        let counters = &mut self.spaces[socket.protocol as usize].counters;
        if !socket.coverage.admits(covered.octets, covered.of) {
            counters.errors += 1;
            net.discard(Discard::UdpLiteCoverageTooSmall);
            return;
        }
        if let Err(full) = socket.enqueue(queued) {
            counters.overflowed += 1;
            net.discard(match full {
                Full::Queue => Discard::UdpReceiveQueueFull,
                Full::Memory => Discard::UdpMemory,
            });
        } else {
            counters.delivered += 1;
            socket.signal(events, id, Ready::READABLE);
        }
    }

    /// A group or broadcast datagram goes to every socket that may have it (RFC 1122 §4.1.3.3, POSIX practice).
    fn deliver_copies(
        &mut self,
        now: Instant,
        net: &mut Net,
        events: &mut Events,
        packet: Delivered<'_>,
        about: About,
    ) {
        let (space, link) = (about.protocol as usize, packet.link);
        let About { covered, src, dst, .. } = about;
        let queued = queued(now, packet, about);
        let mut found = false;
        for at in 0..self.spaces[space].demux.on_port(dst.port()).len() {
            let id = self.spaces[space].demux.on_port(dst.port())[at];
            if self
                .sockets
                .find(id.key())
                .is_some_and(|socket| socket.takes_copy(src, dst, link))
            {
                found = true;
                self.deliver(net, events, id, covered, queued.clone());
            }
        }
        if !found {
            self.spaces[space].counters.no_socket += 1;
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
        about: About,
    ) {
        // Port 0 is nobody's anywhere.
        let intercepted = self.interception.enabled && net.link_is_transparent(packet.link) && about.dst.port() != 0;
        let error = match (intercepted, about.protocol) {
            (true, UdpProtocol::Udp) => return self.intercept(net, events, queued(now, packet, about)),
            // Nobody carries it on: behind a transparent link there is no UDP-Lite.
            (true, UdpProtocol::Lite) => IcmpError::ProtocolUnreachable,
            (false, _) => IcmpError::PortUnreachable,
        };
        self.space(about.protocol).counters.no_socket += 1;
        net.discard(Discard::UdpNoSocket);
        net.answer_with_error(now, &packet, error);
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
            flow_label: _,
            options: _,
            received: _,
            segment: _,
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
            let queued = self.interception.enqueue(events, one);
            let counters = &mut self.space(UdpProtocol::Udp).counters;
            match queued {
                Ok(()) => counters.delivered += 1,
                Err(full) => {
                    counters.overflowed += 1;
                    net.discard(match full {
                        Full::Queue => Discard::UdpInterceptQueueFull,
                        Full::Memory => Discard::UdpMemory,
                    });
                }
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
        (protocol, local): (UdpProtocol, SocketAddr),
        report: IcmpReport,
    ) -> bool {
        let remote = report.destination;
        let demux = &self.spaces[protocol as usize].demux;
        let Some(id) = demux.lookup(&self.sockets, local, remote, link, &Vec::new) else {
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

/// How many octets of a datagram its checksum covers, and of how many: header and payload.
#[derive(Clone, Copy, Debug)]
struct Covered {
    octets: usize,
    of: usize,
}

/// What a datagram's header says.
#[derive(Clone, Copy, Debug)]
struct About {
    protocol: UdpProtocol,
    covered: Covered,
    src: SocketAddr,
    dst: SocketAddr,
}

fn parse(packet: &mut Delivered<'_>) -> Result<UdpHeader, Discard> {
    let at = packet.transport_at;
    if !packet.frame.pull(at + udp::HEADER_LEN) {
        return Err(Discard::UdpMalformed);
    }
    UdpHeader::parse(&packet.frame.head()[at..]).map_err(|_| Discard::UdpMalformed)
}

/// Checks coverage and checksum (RFC 3828 §3.1, §3.2); the length is IP's. UDP-Lite always has a checksum.
fn check_lite(packet: &mut Delivered<'_>) -> Result<(UdpHeader, Covered), Discard> {
    let header = parse(packet)?;
    let at = packet.transport_at;
    let len = packet.frame.total_len() - at;
    let covered = udp_lite::covered(header.len, len).map_err(|_| Discard::UdpLiteCoverage)?;
    if header.checksum == 0 && !packet.checksum_ok {
        return Err(Discard::UdpLiteCoverage);
    }
    if !packet.checksum_ok {
        let pseudo = checksum::pseudo_header(packet.src, packet.dst, UdpProtocol::Lite.number(), len);
        if !checksum::is_valid(checksum::combine(pseudo, packet.frame.sum_range(at, covered))) {
            return Err(Discard::UdpChecksum);
        }
    }
    let covered = Covered {
        octets: covered,
        of: len,
    };
    Ok((header, covered))
}

/// Checks lengths and checksum, and cuts the frame to the datagram's length.
fn check(packet: &mut Delivered<'_>) -> Result<(UdpHeader, Covered), Discard> {
    let header = parse(packet)?;
    let at = packet.transport_at;
    let available = packet.frame.total_len() - at;
    // The length in the header of a train is that of its first datagram or of the whole, as the link likes.
    if packet.frame.offload.gso.is_none() && header.len != 0 {
        let len = usize::from(header.len);
        if len > available {
            return Err(Discard::UdpMalformed);
        }
        packet.frame.truncate(at + len);
    }
    if !packet.checksum_ok && !is_intact(packet, header) {
        return Err(Discard::UdpChecksum);
    }
    let len = packet.frame.total_len() - at;
    Ok((header, Covered { octets: len, of: len }))
}

fn is_intact(packet: &Delivered<'_>, header: UdpHeader) -> bool {
    if header.checksum == 0 {
        // IPv6 has no header checksum of its own and so demands this one (RFC 8200 §8.1).
        return matches!(packet.dst, IpAddr::V4(_));
    }
    let len = packet.frame.total_len() - packet.transport_at;
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, UdpProtocol::Udp.number(), len);
    checksum::is_valid(checksum::combine(pseudo, packet.frame.sum_from(packet.transport_at)))
}

fn queued(now: Instant, packet: Delivered<'_>, about: About) -> Queued {
    let Delivered {
        link,
        tos,
        flow_label,
        hop_limit,
        frame,
        network_at,
        transport_at,
        ..
    } = packet;
    let options = options_of(&frame.head()[network_at..transport_at], about.dst.ip());
    let train = frame.offload.gso.map(|gso| gso.size).filter(|&size| size > 0);
    let payload = frame.take_payload(transport_at + udp::HEADER_LEN);
    Queued {
        datagram: UdpDatagram {
            payload,
            src: about.src,
            dst: about.dst,
            link,
            hop_limit,
            tos,
            flow_label,
            options,
            received: now,
            segment: None,
        },
        train,
    }
}

/// The options of a packet of IPv4 that has any; the receiver is the end of a route that is recorded.
fn options_of(header: &[u8], to: IpAddr) -> Option<Box<Ipv4Options>> {
    let IpAddr::V4(to) = to else { return None };
    let octets = header.get(ipv4::HEADER_LEN..).filter(|octets| !octets.is_empty())?;
    let mut options = Ipv4Options::copy_from(octets);
    options.record_route(to);
    Some(Box::new(options))
}
