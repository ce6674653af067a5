//! A datagram is sent.

use super::socket::CachedRoute;
use super::{Coverage, Udp, UdpId, UdpProtocol};
use crate::endpoint::Family;
use crate::link::LinkId;
use crate::net::{FlowLabel, IpOut, Net, RouteInfo};
use crate::send::{DatagramError, Fragmentation};
use core::net::{IpAddr, SocketAddr};
use prise_wire::{
    Body, Checksum, Emit, Frame, Gso, GsoKind, Head, Instant, Ipv4Options, UdpHeader, checksum, ipv4, ipv6, udp,
};

/// One datagram to send.
#[derive(Clone, Debug)]
pub struct UdpSend {
    /// The receiver.
    pub dst: SocketAddr,
    /// The address to speak from; none leaves it to the socket and the route.
    pub src: Option<IpAddr>,
    /// The link to leave by; none leaves it to the socket's device and the route.
    pub device: Option<LinkId>,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The flow label of IPv6.
    pub flow_label: FlowLabel,
    /// What to do if it is too big.
    pub fragmentation: Fragmentation,
    /// Whether members on this host get a copy of a group datagram (`IP_MULTICAST_LOOP`).
    pub multicast_loop: bool,
    /// What it carries.
    pub payload: Body,
    /// Options of IPv4.
    pub options: Ipv4Options,
    /// Many datagrams of so many octets each, the last of fewer perhaps (`UDP_SEGMENT`).
    pub segment: Option<u16>,
}

impl UdpSend {
    /// A datagram with everything as usual: hop limit 64, or 1 towards a group.
    pub fn new(dst: SocketAddr, payload: impl Into<Body>) -> Self {
        Self {
            dst,
            src: None,
            device: None,
            hop_limit: if dst.ip().is_multicast() { 1 } else { 64 },
            tos: 0,
            flow_label: FlowLabel::default(),
            fragmentation: Fragmentation::default(),
            multicast_loop: true,
            payload: payload.into(),
            options: Ipv4Options::NONE,
            segment: None,
        }
    }
}

impl Udp {
    pub(super) fn send(&mut self, now: Instant, net: &mut Net, id: UdpId, send: UdpSend) -> Result<(), DatagramError> {
        let socket = self.sockets.find_mut(id.key()).ok_or(DatagramError::Closed)?;
        // Bound to an address of IPv4, a socket of IPv6 speaks IPv6 from a source that is named.
        let by_source = send.src.is_some_and(|src| src.is_ipv6()) && socket.local.family == Family::Mapped;
        let speaks = socket.local.family.speaks(send.dst.ip()) || by_source && send.dst.is_ipv6();
        if !speaks {
            return Err(DatagramError::Family);
        }
        let src = send.src.or(socket.local.addr.filter(|own| !own.is_multicast()));
        let device = send.device.or(socket.local.device);
        let generation = net.route_generation();
        let dst = send.dst.ip();
        let route = match &socket.cached_route {
            Some(cached)
                if cached.generation == generation && (cached.dst, cached.src, cached.device) == (dst, src, device) =>
            {
                cached.route
            }
            _ => {
                let route = net.route(dst, src, device)?;
                socket.cached_route = Some(CachedRoute {
                    generation,
                    dst,
                    src,
                    device,
                    route,
                });
                route
            }
        };
        if !net.has_room(route.link) {
            if !core::mem::replace(&mut socket.mailbox.blocked, true) {
                self.blocked.enter(route.link, id);
            }
            return Err(DatagramError::WouldBlock);
        }
        let from = Sender {
            protocol: socket.protocol,
            coverage: socket.coverage,
            local: SocketAddr::new(route.source, socket.local.port),
        };
        self.send_train(now, net, &route, from, send)
    }

    /// One datagram, or each of a train, which stays together where it does not leave this host.
    fn send_train(
        &mut self,
        now: Instant,
        net: &mut Net,
        route: &RouteInfo,
        from: Sender,
        mut send: UdpSend,
    ) -> Result<(), DatagramError> {
        let size = send.segment.map_or(usize::MAX, usize::from).max(1);
        let ip = header_len(&send);
        if send.payload.len() <= size {
            send.segment = None;
        } else if size + udp::HEADER_LEN + ip > route.mtu as usize {
            return Err(DatagramError::TooBig { mtu: route.mtu });
        }
        let datagrams = send.payload.len().div_ceil(size).max(1) as u64;
        if route.loopback {
            send_datagram(now, net, route, from, send)?;
            self.space(from.protocol).counters.sent += datagrams;
            return Ok(());
        }
        send.segment = None;
        while send.payload.len() > size {
            let payload = send.payload.split_to(size);
            send_datagram(
                now,
                net,
                route,
                from,
                UdpSend {
                    payload,
                    ..send.clone()
                },
            )?;
            self.space(from.protocol).counters.sent += 1;
        }
        send_datagram(now, net, route, from, send)?;
        self.space(from.protocol).counters.sent += 1;
        Ok(())
    }

    pub(super) fn send_from(
        &mut self,
        now: Instant,
        net: &mut Net,
        link: LinkId,
        src: SocketAddr,
        send: UdpSend,
    ) -> Result<(), DatagramError> {
        let route = net.route(send.dst.ip(), Some(src.ip()), Some(link))?;
        if !net.has_room(route.link) {
            return Err(DatagramError::WouldBlock);
        }
        let from = Sender {
            protocol: UdpProtocol::Udp,
            coverage: Coverage::default(),
            local: src,
        };
        send_datagram(now, net, &route, from, send)?;
        self.space(from.protocol).counters.sent += 1;
        Ok(())
    }
}

/// Octets of the IP header.
fn header_len(send: &UdpSend) -> usize {
    match send.dst {
        SocketAddr::V4(_) => ipv4::HEADER_LEN + send.options.padded_len(),
        SocketAddr::V6(_) => ipv6::HEADER_LEN,
    }
}

/// What a socket contributes to a datagram.
#[derive(Clone, Copy)]
struct Sender {
    protocol: UdpProtocol,
    coverage: Coverage,
    local: SocketAddr,
}

fn send_datagram(
    now: Instant,
    net: &mut Net,
    route: &RouteInfo,
    from: Sender,
    send: UdpSend,
) -> Result<(), DatagramError> {
    let len = udp::HEADER_LEN + send.payload.len();
    let ip_len = len + header_len(&send);
    let largest = if send.dst.is_ipv4() { ip_len } else { len };
    if largest > usize::from(u16::MAX) {
        return Err(DatagramError::TooBig { mtu: route.mtu });
    }
    let link_mtu = net.link(route.link).map_or(0, crate::Link::mtu);
    let dont_fragment = send.fragmentation.dont_fragment(ip_len, route, link_mtu)?;
    let whole = ip_len <= route.mtu as usize || dont_fragment;
    let mut frame = build(from, send.dst, send.payload, route.checksum_offload && whole);
    frame.offload.gso = send.segment.map(|size| Gso {
        kind: if send.dst.is_ipv4() {
            GsoKind::Udp4
        } else {
            GsoKind::Udp6
        },
        size,
    });
    let out = IpOut {
        src: from.local.ip(),
        dst: send.dst.ip(),
        protocol: from.protocol.number(),
        hop_limit: send.hop_limit,
        tos: send.tos,
        flow_label: send.flow_label,
        dont_fragment,
        options: &send.options,
    };
    if send.multicast_loop && !route.loopback {
        net.loop_back(route.link, &out, &frame);
    }
    net.send(now, &out, route, frame);
    Ok(())
}

/// The datagram with its header; the checksum left to the link if it can.
fn build(from: Sender, dst: SocketAddr, payload: Body, offload: bool) -> Frame {
    let len = udp::HEADER_LEN + payload.len();
    let (field, covered) = match from.protocol {
        UdpProtocol::Udp => (len as u16, len),
        UdpProtocol::Lite => from.coverage.of(len),
    };
    let mut header = UdpHeader {
        source_port: from.local.port(),
        destination_port: dst.port(),
        len: field,
        checksum: 0,
    };
    let pseudo = checksum::pseudo_header(from.local.ip(), dst.ip(), from.protocol.number(), len);
    // No link knows of coverage.
    if offload && from.protocol == UdpProtocol::Udp {
        header.checksum = pseudo;
        let mut frame = Frame::with_header(&header, payload);
        frame.offload.checksum = Checksum::Partial {
            start: 0,
            offset: udp::CHECKSUM_OFFSET,
        };
        return frame;
    }
    let mut head = Head::new();
    header.emit(head.grow_front(udp::HEADER_LEN));
    let mut frame = Frame::new(head, payload);
    let sum = frame.sum_range(0, covered);
    header.checksum = checksum::finish_nonzero(checksum::combine(pseudo, sum));
    header.emit(frame.head_mut());
    frame
}
