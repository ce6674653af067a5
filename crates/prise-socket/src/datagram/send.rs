//! `sendmsg(2)` on datagram, ping and raw sockets: `udp_sendmsg`, `ping_v4_sendmsg`, `raw_sendmsg` and their IPv6 twins.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use prise_stack::{DatagramError, FlowLabel, Fragmentation, LinkId, PingSend, RawSend, UdpSend};
use prise_wire::{Instant, Ipv4Options, Payload, checksum};

use super::ip_options;
use super::stamps::Stamps;
use crate::bind::is_link_local_group;
use crate::connect::{is_link_local_without_scope, link_named};
use crate::option::Opt;
use crate::socket::{Corked, Flag, Socket, Transport};
use crate::sysctl::{Key, Sysctls};
use crate::{Control, Errno, ErrorOrigin, ErrorReport, Family, Flags, Host, Kind, SocketId, protocol};

/// What a UDP datagram carries at most over IPv4, and over IPv6.
const PAYLOAD_MAX_V4: usize = 65_535 - 20 - 8;
const PAYLOAD_MAX_V6: usize = 65_535 - 8;
/// Datagrams that `UDP_SEGMENT` cuts one payload into at most (`UDP_MAX_SEGMENTS`).
const SEGMENTS_MAX: usize = 128;

/// Everything decided about one outgoing message.
pub(super) struct Way {
    pub(super) destination: SocketAddr,
    pub(super) source: Option<IpAddr>,
    device: Option<LinkId>,
    pub(super) hop_limit: u8,
    pub(super) tos: u8,
    /// Traffic class and flow label as the program gave them.
    flow_info: u32,
    flow_label: FlowLabel,
    fragmentation: Fragmentation,
    options: Ipv4Options,
    pub(super) stamps: Stamps,
}

impl Host {
    /// `sendto(2)` and `sendmsg(2)` of one message. On a stream the address is ignored, as Linux ignores it.
    pub fn send_to(
        &mut self,
        now: Instant,
        s: SocketId,
        mut payload: Payload,
        flags: Flags,
        destination: Option<SocketAddr>,
        control: &Control,
    ) -> Result<usize, Errno> {
        if self.socket_ref(s)?.kind == Kind::Stream {
            return self.send(now, s, &mut payload, flags);
        }
        let control = &by_link_named(control, destination);
        self.autobind(now, s).map_err(|_| Errno::EAGAIN)?;
        let len = payload.len();
        if len > usize::from(u16::MAX) {
            return Err(Errno::EMSGSIZE);
        }
        self.check_urgent(s, flags)?;
        if self.has_corked(s) {
            return self.append(now, s, &payload, flags);
        }
        let (destination, way) = self.begin(now, s, flags, destination, control)?;
        let socket = self.socket_ref(s)?;
        let more = flags.contains(Flags::MORE) || socket.has(Flag::UdpCork);
        self.check_len(s, &way, len)?;
        self.check_sendable(s)?;
        if more && self.socket_ref(s)?.is_udp() {
            let corked = Corked {
                octets: payload.to_vec(),
                destination,
                control: Control {
                    flow_info: Some(way.flow_info),
                    ..*control
                },
            };
            self.socket_mut(s)?.extra_mut().corked = Some(corked);
            return Ok(len);
        }
        let segment = control
            .segment
            .unwrap_or(self.socket_ref(s)?.value(Opt::UdpSegment) as u16);
        self.emit(now, s, &way, payload, segment)?;
        self.tell_zero_copied(s, flags);
        Ok(len)
    }

    /// What is wrong with a message of `len` octets before those and pending errors are looked at: whoever finds fault with
    /// those tells of this first.
    pub fn check_send_to(
        &mut self,
        now: Instant,
        s: SocketId,
        flags: Flags,
        destination: Option<SocketAddr>,
        (control, len): (&Control, usize),
    ) -> Result<(), Errno> {
        self.autobind(now, s).map_err(|_| Errno::EAGAIN)?;
        self.check_urgent(s, flags)?;
        if self.has_corked(s) {
            return Ok(());
        }
        let (_, way) = self.begin(now, s, flags, destination, &by_link_named(control, destination))?;
        self.check_len(s, &way, len)
    }

    /// No datagram of UDP is longer than its packet; known before memory is asked for (`__ip_append_data`, `__ip6_append_data`).
    fn check_len(&mut self, s: SocketId, way: &Way, len: usize) -> Result<(), Errno> {
        let max = if way.destination.is_ipv4() {
            PAYLOAD_MAX_V4
        } else {
            PAYLOAD_MAX_V6
        };
        if len <= max || !self.socket_ref(s)?.is_udp() {
            return Ok(());
        }
        // What is told is what the way carries in one packet.
        let route = self.stack.route(way.destination.ip(), way.source, way.device);
        let mtu = route.map_or(u32::from(u16::MAX), |route| route.mtu);
        Err(self.too_big(s, way, mtu.min(link_mtu_max(way.destination))))
    }

    /// What is wrong with any message that an IPv6 socket of UDP is to send by IPv4 (`udpv6_sendmsg`, `udp_sendmsg`).
    pub fn check_speaks_v4(&self, s: SocketId, flags: Flags) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        if socket.is_v6_only() {
            return Err(Errno::ENETUNREACH);
        }
        if flags.contains(Flags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let corked = socket.extra.as_ref().and_then(|extra| extra.corked.as_ref());
        if corked.is_some_and(|corked| corked.destination.ip().to_canonical().is_ipv6()) {
            // Nobody goes on by IPv4 with what was begun by IPv6.
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Whether a datagram was begun (`MSG_MORE`) and not sent yet.
    pub fn has_corked(&self, s: SocketId) -> bool {
        let corks = |socket: &Socket| socket.extra.as_ref().is_some_and(|extra| extra.corked.is_some());
        self.sockets.get(s).is_some_and(corks)
    }

    /// Whether control data of UDP's level mean something to a socket: whether it is UDP's or UDP-Lite's.
    pub fn is_udp(&self, s: SocketId) -> bool {
        self.sockets.get(s).is_some_and(Socket::is_udp)
    }

    fn check_urgent(&self, s: SocketId, flags: Flags) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        let v6 = socket.family == Family::Inet6 && socket.is_udp();
        if flags.contains(Flags::OOB) && !v6 {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(())
    }

    /// Where a message goes, and how.
    fn begin(
        &mut self,
        now: Instant,
        s: SocketId,
        flags: Flags,
        destination: Option<SocketAddr>,
        control: &Control,
    ) -> Result<(SocketAddr, Way), Errno> {
        let socket = self.socket_ref(s)?;
        let named = destination.is_some();
        // udp_sendmsg keeps the way (`sk_dst_set`) that nothing but the peer decides; IPv6 names it a peer of IPv4 anew.
        let finds_way = !named && socket.family == Family::Inet && *control == Control::default();
        let destination = match destination {
            Some(given) => given,
            None => socket.remote().ok_or(Errno::EDESTADDRREQ)?,
        };
        let v4 = destination.ip().to_canonical().is_ipv4();
        // udpv6_sendmsg names an IPv4 peer anew to udp_sendmsg.
        let needs_port = socket.is_udp() && (named || v4 && socket.family == Family::Inet6);
        // udpv6_sendmsg does not look at it, but hands IPv4 over to udp_sendmsg.
        if v4 && flags.contains(Flags::OOB) && !socket.is_v6_only() {
            return Err(Errno::EOPNOTSUPP);
        }
        if needs_port && destination.port() == 0 {
            return Err(if v4 && socket.is_v6_only() {
                Errno::ENETUNREACH
            } else {
                Errno::EINVAL
            });
        }
        // rawv6_sendmsg: of a raw socket it is a protocol's number, and the socket's.
        if named && socket.kind == Kind::Raw && destination.is_ipv6() && destination.port() != 0 {
            match u8::try_from(destination.port()) {
                Ok(number) if number == socket.protocol || socket.protocol == protocol::RAW => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        let flow_info = if v4 {
            0
        } else {
            self.flow_info_to_send(now, s, named.then_some(destination), control)?
        };
        let socket = self.socket_ref(s)?;
        if matches!(socket.transport, Transport::Ping(_))
            && is_link_local_without_scope(destination)
            && socket.link_to(destination.ip()).is_none()
        {
            // ping_v6_sendmsg; udpv6_sendmsg and rawv6_sendmsg leave it to the table of routes.
            return Err(Errno::EINVAL);
        }
        let nowhere = destination.ip().to_canonical() == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let source = control.source.map(|addr| addr.to_canonical());
        let mut destination = socket.message_destination(self, destination, source)?;
        if let Some(source @ IpAddr::V4(v4)) = source
            && nowhere
            && !v4.is_unspecified()
        {
            // No destination is the source (`ip_route_output`), which control data name.
            destination.set_ip(source);
        }
        self.check_control(s, control)?;
        let control = &Control {
            flow_info: Some(flow_info),
            ..*control
        };
        let way = self.way(s, destination, control)?;
        if let Some(extra) = &mut self.socket_mut(s)?.extra
            && finds_way
        {
            extra.way_forgotten = false;
        }
        Ok((destination, way))
    }

    /// Source, link and header fields, from control data, options and the table of routes.
    fn way(&mut self, s: SocketId, destination: SocketAddr, control: &Control) -> Result<Way, Errno> {
        let socket = self.socket_ref(s)?;
        let ip = destination.ip();
        let given = control
            .source
            .map(|addr| addr.to_canonical())
            .filter(|addr| !addr.is_unspecified() || addr.is_ipv4() != ip.is_ipv4());
        if let Some(source) = given.filter(|_| ip.is_ipv4()) {
            self.check_named_v4(socket, source)?;
        }
        let device = match control.interface.filter(|index| *index != 0) {
            Some(index) => {
                let exists = self
                    .stack
                    .links()
                    .iter()
                    .map(prise_stack::Link::id)
                    .find(|id| id.interface_index() == index);
                Some(exists.ok_or(Errno::ENODEV)?)
            }
            None => socket.link_to(ip),
        };
        if let Some(source) = given.filter(|_| ip.is_ipv6()) {
            self.check_named_v6(socket, source, device)?;
        }
        let flow_info = control.flow_info.unwrap_or(0);
        let source = given
            .or_else(|| socket.source(self, ip))
            .or_else(|| socket.group_source(ip));
        if let Some(IpAddr::V4(v4)) = source {
            self.check_sends_from(socket, v4)?;
        }
        let route = self.route_from(ip, source, device)?;
        self.check_broadcast(s, ip)?;
        let socket = self.socket_ref(s)?;
        Ok(Way {
            destination,
            source: Some(route.source),
            device,
            hop_limit: control.hop_limit.unwrap_or_else(|| socket.hop_limit(ip, &self.sysctls)),
            tos: control.tos.unwrap_or_else(|| socket.tos(ip)),
            flow_info,
            flow_label: socket.flow_label(flow_info),
            fragmentation: socket.fragmentation(ip, control.dont_fragment),
            options: ip_options::outgoing(socket, control, route.source),
            stamps: Stamps::wanted(socket, control),
        })
    }

    /// The source that control data name to a destination of IPv4 (`ip_cmsg_send`, `ip_route_output_key_hash_rcu`), which is looked at before
    /// the link is.
    fn check_named_v4(&self, socket: &Socket, source: IpAddr) -> Result<(), Errno> {
        match source {
            IpAddr::V4(v4) if !v4.is_multicast() && !v4.is_broadcast() => self.check_sends_from(socket, v4),
            _ => Err(Errno::EINVAL),
        }
    }

    /// As for a connection, but that who writes headers may write anything there (`inet_sk_flowi_flags`, which connecting does not look at).
    fn check_sends_from(&self, socket: &Socket, source: Ipv4Addr) -> Result<(), Errno> {
        if socket.has(Flag::HeaderIncluded) {
            return Ok(());
        }
        self.check_speaks_from(socket, source)
    }

    /// The source that control data name to a destination of IPv6: the host's, unless the socket may have others (`ip6_datagram_send_ctl`,
    /// `ip6_dst_lookup_tail`).
    fn check_named_v6(&self, socket: &Socket, source: IpAddr, device: Option<LinkId>) -> Result<(), Errno> {
        let may_be_foreign = socket.may_be_foreign();
        let possible = match source {
            IpAddr::V4(_) if may_be_foreign => return Err(Errno::EAFNOSUPPORT),
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => {
                let says_too_little = device.is_none() && (v6.is_unicast_link_local() || is_link_local_group(v6));
                !says_too_little && (may_be_foreign || self.stack.is_local(source))
            }
        };
        if possible { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// What `sock_alloc_send_skb` looks at before it gives memory, and so before octets are read: the pending error, which is told
    /// with it, then whether sending was shut down.
    pub fn check_sendable(&mut self, s: SocketId) -> Result<(), Errno> {
        self.collect_error(s);
        let socket = self.socket_mut(s)?;
        match socket.error.take() {
            Some(errno) => Err(errno),
            None if socket.shutdown.write() => Err(Errno::EPIPE),
            None => Ok(()),
        }
    }

    fn emit(&mut self, now: Instant, s: SocketId, way: &Way, payload: Payload, segment: u16) -> Result<(), Errno> {
        let stamped = way.stamps.are_wanted().then(|| payload.clone());
        let result = match self.socket_ref(s)?.transport {
            Transport::Udp(id) => {
                let segment = self.train(s, payload.len(), segment)?;
                let socket = self.socket_ref(s)?;
                let loops = match way.destination {
                    SocketAddr::V4(_) => !socket.has(Flag::MulticastLoopOff),
                    SocketAddr::V6(_) => !socket.has(Flag::V6MulticastLoopOff),
                };
                let send = UdpSend {
                    dst: way.destination,
                    src: way.source,
                    device: way.device,
                    hop_limit: way.hop_limit,
                    tos: way.tos,
                    flow_label: way.flow_label,
                    fragmentation: way.fragmentation,
                    multicast_loop: loops,
                    payload: payload.into(),
                    options: way.options,
                    segment,
                };
                self.stack.udp_send(now, id, send)
            }
            Transport::Ping(id) => self.stack.icmp_send(
                now,
                id,
                PingSend {
                    dst: way.destination.ip(),
                    src: way.source,
                    device: way.device,
                    hop_limit: way.hop_limit,
                    tos: way.tos,
                    flow_label: way.flow_label,
                    fragmentation: way.fragmentation,
                    message: payload.into(),
                },
            ),
            Transport::Raw(id) => {
                let payload = self.with_checksum(s, way, payload)?;
                let header_included = self.socket_ref(s)?.has(Flag::HeaderIncluded);
                let send = RawSend {
                    dst: way.destination.ip(),
                    src: way.source,
                    device: way.device,
                    hop_limit: way.hop_limit,
                    tos: way.tos,
                    flow_label: way.flow_label,
                    fragmentation: way.fragmentation,
                    options: way.options,
                    header_included,
                    payload: payload.into(),
                };
                self.stack.raw_send(now, id, send)
            }
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => {
                Err(DatagramError::Closed)
            }
        };
        if let (Ok(()), Some(payload)) = (&result, &stamped) {
            self.stamp_sent(now, s, way, payload);
        }
        result.map_err(|error| match error {
            DatagramError::TooBig { mtu } => self.too_big(s, way, mtu),
            DatagramError::Closed => Errno::EBADF,
            DatagramError::WouldBlock => Errno::EAGAIN,
            DatagramError::Route(error) => Errno::from_route(error, way.destination.ip()),
            DatagramError::Invalid => Errno::EINVAL,
            DatagramError::Family => Errno::EAFNOSUPPORT,
        })
    }

    /// Computes the checksum of a raw IPv6 packet where `IPV6_CHECKSUM` says that it lies. ICMPv6's is the stack's own affair.
    fn with_checksum(&self, s: SocketId, way: &Way, payload: Payload) -> Result<Payload, Errno> {
        let socket = self.socket_ref(s)?;
        let (Some(at), Some(source)) = (socket.checksum_offset(), way.source) else {
            return Ok(payload);
        };
        if socket.family == Family::Inet || socket.protocol == protocol::ICMPV6 {
            return Ok(payload);
        }
        let mut octets = payload.to_vec();
        // rawv6_push_pending_frames: nowhere to put it.
        let field = octets.get_mut(at..at + 2).ok_or(Errno::EINVAL)?;
        field.fill(0);
        let pseudo = checksum::pseudo_header(source, way.destination.ip(), socket.protocol, octets.len());
        let sum = checksum::finish(checksum::combine(pseudo, checksum::sum(&octets)));
        octets[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(octets.into())
    }

    /// `UDP_SEGMENT`: whether one payload is many datagrams (`udp_send_skb`).
    fn train(&self, s: SocketId, len: usize, segment: u16) -> Result<Option<u16>, Errno> {
        let socket = self.socket_ref(s)?;
        if segment == 0 || len <= usize::from(segment) {
            return Ok(None);
        }
        if len > usize::from(segment) * SEGMENTS_MAX || socket.has(Flag::NoCheck) {
            return Err(Errno::EINVAL);
        }
        // No segmentation of what has a coverage.
        if socket.protocol == protocol::UDP_LITE {
            return Err(Errno::EIO);
        }
        Ok(Some(segment))
    }

    /// `EMSGSIZE`, which `IP_RECVERR` also wants in the queue (`ip_local_error`, `ipv6_local_error`).
    fn too_big(&mut self, s: SocketId, way: &Way, mtu: u32) -> Errno {
        if let Some(socket) = self.sockets.get_mut(s)
            && socket.receives_errors(way.destination.ip())
        {
            // ip_local_error tells the port that the socket is connected to, ipv6_local_error the message's.
            let mut destination = socket.present(way.destination);
            if way.destination.is_ipv4() {
                destination.set_port(socket.remote().map_or(0, |remote| remote.port()));
            }
            let report = ErrorReport {
                errno: Some(Errno::EMSGSIZE),
                origin: ErrorOrigin::Local,
                kind: 0,
                code: 0,
                info: mtu,
                data: 0,
                offender: None,
                destination,
                payload: Payload::new(),
                link: None,
                timestamp: None,
            };
            self.queue_error(s, report);
        }
        Errno::EMSGSIZE
    }

    /// More of a datagram that was begun with `MSG_MORE` or `UDP_CORK`; its end unless yet more is announced. An error loses all
    /// of it (`udp_flush_pending_frames`). Pending errors and whether sending was shut were looked at when it was begun
    /// (`__ip_append_data`).
    fn append(&mut self, now: Instant, s: SocketId, payload: &Payload, flags: Flags) -> Result<usize, Errno> {
        let Some(mut corked) = self.take_corked(s)? else {
            return Err(Errno::EINVAL);
        };
        let way = self.way(s, corked.destination, &corked.control)?;
        self.check_len(s, &way, corked.octets.len() + payload.len())?;
        corked.octets.extend_from_slice(payload);
        let socket = self.socket_mut(s)?;
        let more = flags.contains(Flags::MORE) || socket.has(Flag::UdpCork);
        socket.extra_mut().corked = Some(corked);
        if !more {
            self.push_corked(now, s)?;
        }
        Ok(payload.len())
    }

    /// Gives up the datagram that was begun, as whoever goes on with it and fails does (`udp_flush_pending_frames`); whether there was one.
    pub fn give_up_corked(&mut self, s: SocketId) -> bool {
        self.take_corked(s).is_ok_and(|corked| corked.is_some())
    }

    fn take_corked(&mut self, s: SocketId) -> Result<Option<Corked>, Errno> {
        let socket = self.socket_mut(s)?;
        Ok(socket.extra.as_mut().and_then(|extra| extra.corked.take()))
    }

    /// Sends the datagram that was held back, if there is one (`udp_push_pending_frames`).
    pub(crate) fn push_corked(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let Some(corked) = self.take_corked(s)? else {
            return Ok(());
        };
        let way = self.way(s, corked.destination, &corked.control)?;
        self.emit(now, s, &way, corked.octets.into(), corked.control.segment.unwrap_or(0))
    }
}

/// A packet of IPv4 cannot fill every link (`IP_MAX_MTU`).
const fn link_mtu_max(destination: SocketAddr) -> u32 {
    match destination {
        SocketAddr::V4(_) => u16::MAX as u32,
        SocketAddr::V6(_) => u32::MAX,
    }
}

/// One message goes by the link that its link-local destination names; the socket stays where it is.
fn by_link_named(control: &Control, destination: Option<SocketAddr>) -> Control {
    Control {
        interface: control.interface.or_else(|| destination.and_then(link_named)),
        ..*control
    }
}

impl Socket {
    /// The link that the socket sends to that destination by, of all that it was told.
    fn link_to(&self, destination: IpAddr) -> Option<LinkId> {
        self.device()
            .or_else(|| self.sticky_link())
            .or_else(|| self.way_out(destination))
    }

    /// `IPV6_PKTINFO` set for good.
    fn sticky_link(&self) -> Option<LinkId> {
        LinkId::from_interface_index(self.value(Opt::StickyInterface) as u32)
    }

    fn hop_limit(&self, destination: IpAddr, host: &Sysctls) -> u8 {
        /// `net.ipv6.conf.all.hop_limit`.
        const DEFAULT_V6: u8 = 64;
        let default = match destination {
            IpAddr::V4(_) => host.one(Key::DefaultTtl) as u8,
            IpAddr::V6(_) => DEFAULT_V6,
        };
        let opt = match (destination, destination.is_multicast()) {
            (IpAddr::V4(_), true) => Opt::MulticastTtl,
            (IpAddr::V4(_), false) => Opt::Ttl,
            (IpAddr::V6(_), true) => Opt::MulticastHops,
            (IpAddr::V6(_), false) => Opt::HopLimit,
        };
        u8::try_from(self.value(opt)).unwrap_or(default)
    }

    fn tos(&self, destination: IpAddr) -> u8 {
        let opt = if destination.is_ipv4() {
            Opt::Tos
        } else {
            Opt::TrafficClass
        };
        self.value(opt) as u8
    }

    fn fragmentation(&self, destination: IpAddr, dont_fragment: Option<bool>) -> Fragmentation {
        let opt = if destination.is_ipv4() {
            Opt::MtuDiscover
        } else {
            Opt::V6MtuDiscover
        };
        let never = self.family == Family::Inet6 && dont_fragment.unwrap_or(self.has(Flag::V6DontFragment));
        match self.value(opt) {
            _ if never => Fragmentation::Refuse,
            1 => Fragmentation::Want,
            2 => Fragmentation::Refuse,
            3 => Fragmentation::Probe,
            4 => Fragmentation::Interface,
            // IP_PMTUDISC_DONT; OMIT does not believe in path MTUs either.
            _ => Fragmentation::Allow,
        }
    }
}
