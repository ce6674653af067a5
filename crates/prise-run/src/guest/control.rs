//! Control data of messages (cmsg(3), ip(7), ipv6(7), udp(7), tcp(7)): taken apart for sending, put together for receiving.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_socket::{Control, Errno, ErrorReport, Family, Host, Received, SocketId};
use prise_stack::LinkId;
use prise_wire::{Instant, Ipv4Options};

use crate::clock;
use crate::guest::message::{ControlBuffer, control_pieces};
use crate::guest::sockaddr::encode;
use crate::handed::chosen::{SO_TIMESTAMP_NEW, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW};
use crate::socket::datagram::Origin;

/// linux/udp.h.
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
const SOL_UDP: i32 = 17;
/// linux/in6.h.
const IPV6_DONTFRAG: i32 = 62;
const IPV6_RECVORIGDSTADDR: i32 = 74;
/// The same two by their names of RFC 2292, under which they are also told.
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPLIMIT: i32 = 8;
/// asm-generic/socket.h.
const SCM_DEVMEM_DMABUF: i32 = 79;
const SCM_TS_OPT_ID: i32 = 81;
const SO_RCVMARK: i32 = 75;
/// linux/tcp.h.
const TCP_CM_INQ: i32 = 36;
/// linux/net_tstamp.h.
const RX_SOFTWARE: i32 = 1 << 3;
const SOFTWARE: i32 = 1 << 4;

/// Reads the control data of a datagram to be sent: what no protocol here knows is `EINVAL`. `to_v4`: it goes by IPv4, from
/// whichever socket. `udp`: it is a socket of UDP's, which alone looks at that level.
pub(crate) fn to_send(octets: &[u8], family: Family, to_v4: bool, udp: bool) -> Result<Control, Errno> {
    let mut control = Control::default();
    for (level, kind, data) in control_pieces(octets)? {
        match (level, kind) {
            // ip6_datagram_send_ctl passes over what is IPv4's, and ip_cmsg_send over what is IPv6's but for a source.
            (libc::SOL_IP, _) if !to_v4 => (),
            (libc::SOL_IPV6, _) if to_v4 && kind != libc::IPV6_PKTINFO => (),
            // The kernel passes descriptors and credentials between processes of one machine only; here it ignores them.
            (libc::SOL_SOCKET, libc::SCM_RIGHTS | libc::SCM_CREDENTIALS) => (),
            (SOL_UDP, _) if !udp => (),
            (SOL_UDP, UDP_SEGMENT) => {
                control.segment = Some(u16::from_ne_bytes(*data.first_chunk().ok_or(Errno::EINVAL)?));
            }
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                let info: &[u8; 12] = data.try_into().map_err(|_| Errno::EINVAL)?;
                set_interface(&mut control, u32::from_ne_bytes([info[0], info[1], info[2], info[3]]));
                let source = Ipv4Addr::new(info[4], info[5], info[6], info[7]);
                control.source = (!source.is_unspecified()).then_some(IpAddr::V4(source));
            }
            (libc::SOL_IP, libc::IP_TTL) => {
                let ttl = int(data)?;
                control.hop_limit = Some(u8::try_from(ttl).ok().filter(|&ttl| ttl > 0).ok_or(Errno::EINVAL)?);
            }
            (libc::SOL_IP, libc::IP_TOS) => control.tos = Some(small(data)?),
            (libc::SOL_IP, libc::IP_RETOPTS) => control.options = Some(Ipv4Options::padded(data)),
            (libc::SOL_IPV6, _) if to_v4 && family == Family::Inet6 => {
                to_send_v6(&mut control, kind, data)?;
                // ip_cmsg_send: of IPv4 and written as IPv6's, the unspecified one too.
                let mapped = data.first_chunk().and_then(|it| Ipv6Addr::from(*it).to_ipv4_mapped());
                mapped.ok_or(Errno::EINVAL)?;
            }
            (libc::SOL_SOCKET, _) => to_send_of_any(&mut control, kind, data)?,
            (SOL_UDP | libc::SOL_IP, _) => return Err(Errno::EINVAL),
            (libc::SOL_IPV6, _) if family == Family::Inet6 => to_send_v6(&mut control, kind, data)?,
            // Other levels are other protocols'.
            _ => (),
        }
    }
    Ok(control)
}

/// What every protocol knows (`__sock_cmsg_send`); whether the socket may is the host's to say.
fn to_send_of_any(control: &mut Control, kind: i32, data: &[u8]) -> Result<(), Errno> {
    /// `SOF_TIMESTAMPING_TX_RECORD_MASK`.
    const STAMPS_OF_SENDING: u32 = 1 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 18;
    let number = || data.try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EINVAL);
    match kind {
        libc::SO_MARK => control.mark = Some(number()?),
        libc::SO_PRIORITY => control.priority = Some(number()?.cast_signed()),
        libc::SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
            let wanted = number()?;
            if wanted & !STAMPS_OF_SENDING != 0 {
                return Err(Errno::EINVAL);
            }
            control.stamps = Some(wanted);
        }
        // Of memory of a device there is none: the number is taken, and passed over (`__sock_cmsg_send`).
        SCM_DEVMEM_DMABUF => {
            number()?;
        }
        SCM_TS_OPT_ID => control.stamp_number = Some(number()?),
        libc::SO_TXTIME => {
            let time = data.try_into().map_err(|_| Errno::EINVAL)?;
            control.transmit_time = Some(u64::from_ne_bytes(time));
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn to_send_v6(control: &mut Control, kind: i32, data: &[u8]) -> Result<(), Errno> {
    match kind {
        libc::IPV6_PKTINFO | IPV6_2292PKTINFO => {
            let info: &[u8; 20] = data.first_chunk().ok_or(Errno::EINVAL)?;
            let source = Ipv6Addr::from(*info.first_chunk::<16>().ok_or(Errno::EINVAL)?);
            control.source = (!source.is_unspecified()).then_some(IpAddr::V6(source));
            set_interface(control, u32::from_ne_bytes([info[16], info[17], info[18], info[19]]));
        }
        libc::IPV6_HOPLIMIT | IPV6_2292HOPLIMIT => control.hop_limit = octet_or_usual(data)?,
        libc::IPV6_FLOWINFO => {
            control.flow_info = Some(u32::from_be_bytes(*data.first_chunk().ok_or(Errno::EINVAL)?));
        }
        libc::IPV6_TCLASS => control.tos = octet_or_usual(data)?,
        IPV6_DONTFRAG => {
            control.dont_fragment = Some(match int(data)? {
                0 => false,
                1 => true,
                _ => return Err(Errno::EINVAL),
            });
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn set_interface(control: &mut Control, index: u32) {
    if index != 0 {
        control.interface = Some(index);
    }
}

/// A number, and nothing behind it.
fn int(data: &[u8]) -> Result<i32, Errno> {
    data.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::EINVAL)
}

/// An octet, given as an `int`; -1 asks for what is usual.
fn octet_or_usual(data: &[u8]) -> Result<Option<u8>, Errno> {
    match int(data)? {
        -1 => Ok(None),
        given => u8::try_from(given).map(Some).map_err(|_| Errno::EINVAL),
    }
}

/// An octet, given as an octet or as an `int`.
fn small(data: &[u8]) -> Result<u8, Errno> {
    match data {
        [octet] => Ok(*octet),
        _ => u8::try_from(int(data)?).map_err(|_| Errno::EINVAL),
    }
}

/// What the socket's options ask to be told of a received datagram, in the kernel's order.
pub(crate) fn received(
    host: &mut Host,
    now: Instant,
    id: SocketId,
    family: Family,
    origin: &Origin,
    room: usize,
) -> ControlBuffer {
    let mut buffer = ControlBuffer::new(room);
    let v4 = v4_of(origin);
    let own = v4.map_or(Ipv4Addr::UNSPECIFIED, |to| answering(host, to, origin));
    let mut options = Options::of(host, now, id);
    if let Some(timestamp) = origin.timestamp {
        put_times(&mut buffer, &mut options, timestamp);
    }
    if options.is_on(libc::SOL_SOCKET, SO_RCVMARK) {
        // No frame of ours carries one, as none does that has crossed a wire (`sock_recv_mark`).
        buffer.put(libc::SOL_SOCKET, libc::SO_MARK, &0_u32.to_ne_bytes());
    }
    if let Some(segment) = origin.segment
        && options.is_on(SOL_UDP, UDP_GRO)
    {
        buffer.put(SOL_UDP, UDP_GRO, &i32::from(segment).to_ne_bytes());
    }
    if family == Family::Inet6 {
        put_of_v6(&mut buffer, &mut options, origin, v4.is_none());
    }
    if let Some(to) = v4 {
        put_of_v4(&mut buffer, &mut options, origin, to, own);
    }
    buffer
}

/// What the socket's options ask to be told of octets of a stream (`tcp_recvmsg`): when the last of them came, and how many are left.
pub(crate) fn received_of_stream(
    host: &mut Host,
    now: Instant,
    id: SocketId,
    came: Option<Instant>,
    left: Option<usize>,
    room: usize,
) -> ControlBuffer {
    let mut buffer = ControlBuffer::new(room);
    if let Some(came) = came {
        put_times(&mut buffer, &mut Options::of(host, now, id), came);
    }
    if let Some(left) = left {
        buffer.put(libc::SOL_TCP, TCP_CM_INQ, &(left as i32).to_ne_bytes());
    }
    buffer
}

/// When it came, under each number that asked for it.
fn put_times(buffer: &mut ControlBuffer, options: &mut Options<'_>, timestamp: Instant) {
    put_time(buffer, options, timestamp);
    put_stamping(buffer, options, RX_SOFTWARE | SOFTWARE, timestamp);
}

/// `SO_TIMESTAMP` and its like, of which one is told; on this machine all have the same layout. Those of nanoseconds come first, for the newer shows as
/// the one of microseconds too.
fn put_time(buffer: &mut ControlBuffer, options: &mut Options<'_>, timestamp: Instant) {
    let (seconds, nanos) = wall_clock(timestamp);
    let asked = [
        (libc::SO_TIMESTAMPNS, nanos),
        (SO_TIMESTAMPNS_NEW, nanos),
        (libc::SO_TIMESTAMP, nanos / 1000),
        (SO_TIMESTAMP_NEW, nanos / 1000),
    ]
    .into_iter()
    .find(|(kind, _)| options.is_on(libc::SOL_SOCKET, *kind));
    if let Some((kind, fraction)) = asked {
        put_pair(buffer, kind, seconds, fraction);
    }
}

/// What ipv6(7) tells (`ip6_datagram_recv_ctl`): of packets of IPv4 the destination alone.
fn put_of_v6(buffer: &mut ControlBuffer, options: &mut Options<'_>, origin: &Origin, came_by_v6: bool) {
    let (hop_limit, tos) = (i32::from(origin.hop_limit), i32::from(origin.tos));
    let info = origin.destination.map(|to| {
        let address = match to.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut info = address.octets().to_vec();
        info.extend_from_slice(&interface_of(origin).to_ne_bytes());
        info
    });
    let mut is_on = |name| options.is_on(libc::SOL_IPV6, name);
    if let Some(info) = &info
        && is_on(libc::IPV6_RECVPKTINFO)
    {
        buffer.put(libc::SOL_IPV6, libc::IPV6_PKTINFO, info);
    }
    if !came_by_v6 {
        return;
    }
    if is_on(libc::IPV6_RECVHOPLIMIT) {
        buffer.put(libc::SOL_IPV6, libc::IPV6_HOPLIMIT, &hop_limit.to_ne_bytes());
    }
    if is_on(libc::IPV6_RECVTCLASS) {
        buffer.put(libc::SOL_IPV6, libc::IPV6_TCLASS, &tos.to_ne_bytes());
    }
    // The header's first word without the version; nothing is told of 0.
    let flow_info = u32::from(origin.tos) << 20 | origin.flow_label;
    if flow_info != 0 && is_on(libc::IPV6_FLOWINFO) {
        buffer.put(libc::SOL_IPV6, libc::IPV6_FLOWINFO, &flow_info.to_be_bytes());
    }
    if let Some(info) = info
        && is_on(IPV6_2292PKTINFO)
    {
        buffer.put(libc::SOL_IPV6, IPV6_2292PKTINFO, &info);
    }
    if is_on(IPV6_2292HOPLIMIT) {
        buffer.put(libc::SOL_IPV6, IPV6_2292HOPLIMIT, &hop_limit.to_ne_bytes());
    }
    if let Some(to) = origin.destination
        && is_on(IPV6_RECVORIGDSTADDR)
    {
        buffer.put(
            libc::SOL_IPV6,
            IPV6_RECVORIGDSTADDR,
            encode(to, Family::Inet6).as_slice(),
        );
    }
}

/// What ip(7) tells of a packet that was sent `to` an IPv4 address, and which is to be answered from `own`.
fn put_of_v4(buffer: &mut ControlBuffer, options: &mut Options<'_>, origin: &Origin, to: Ipv4Addr, own: Ipv4Addr) {
    let mut is_on = |name| options.is_on(libc::SOL_IP, name);
    if is_on(libc::IP_PKTINFO) {
        let mut info = interface_of(origin).to_ne_bytes().to_vec();
        info.extend_from_slice(&own.octets());
        info.extend_from_slice(&to.octets());
        buffer.put(libc::SOL_IP, libc::IP_PKTINFO, &info);
    }
    if is_on(libc::IP_RECVTTL) {
        let ttl = i32::from(origin.hop_limit);
        buffer.put(libc::SOL_IP, libc::IP_TTL, &ttl.to_ne_bytes());
    }
    if is_on(libc::IP_RECVTOS) {
        buffer.put(libc::SOL_IP, libc::IP_TOS, &[origin.tos]);
    }
    if let Some(came_with) = &origin.options {
        if is_on(libc::IP_RECVOPTS) {
            buffer.put(libc::SOL_IP, libc::IP_RECVOPTS, came_with);
        }
        if is_on(libc::IP_RETOPTS) {
            let answer = Received::options_to_answer_with(came_with);
            buffer.put(libc::SOL_IP, libc::IP_RETOPTS, &answer);
        }
    }
    if is_on(libc::IP_RECVORIGDSTADDR) {
        let port = origin.destination.map_or(0, |to| to.port());
        let encoded = encode(SocketAddr::new(to.into(), port), Family::Inet);
        buffer.put(libc::SOL_IP, libc::IP_ORIGDSTADDR, encoded.as_slice());
    }
}

/// The index of the interface by which it came; 0 if by none.
fn interface_of(origin: &Origin) -> u32 {
    origin.link.map_or(0, LinkId::interface_index)
}

/// The IPv4 address that it was sent to, if it came by IPv4.
fn v4_of(origin: &Origin) -> Option<Ipv4Addr> {
    match origin.destination?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    }
}

/// The address to answer from (`fib_compute_spec_dst`): the one that was written to, unless that is a group's or everybody's.
fn answering(host: &Host, to: Ipv4Addr, origin: &Origin) -> Ipv4Addr {
    let stack = host.stack();
    if !to.is_multicast() && !stack.is_broadcast(to.into()) {
        return to;
    }
    let link = stack.links().iter().find(|it| Some(it.id()) == origin.link);
    let first = link.and_then(|link| prise_view::interface::ipv4_addresses(stack, link).next());
    first.map_or(to, |(address, _)| address)
}

fn put_pair(buffer: &mut ControlBuffer, kind: i32, seconds: i64, fraction: i64) {
    let mut data = seconds.to_ne_bytes().to_vec();
    data.extend_from_slice(&fraction.to_ne_bytes());
    buffer.put(libc::SOL_SOCKET, kind, &data);
}

/// Asks for one option of a socket's after another.
struct Options<'host> {
    host: &'host mut Host,
    now: Instant,
    id: SocketId,
    value: Vec<u8>,
}

impl<'host> Options<'host> {
    fn of(host: &'host mut Host, now: Instant, id: SocketId) -> Self {
        let value = Vec::new();
        Self { host, now, id, value }
    }

    /// An option's value; nothing where there is no such option.
    fn value(&mut self, level: i32, name: i32) -> &[u8] {
        let shown = self.host.option(self.now, self.id, level, name, &mut self.value);
        if shown.is_ok() { &self.value } else { &[] }
    }

    fn is_on(&mut self, level: i32, name: i32) -> bool {
        self.value(level, name).iter().any(|&octet| octet != 0)
    }
}

/// Whether the time of each datagram is to be told: then no two agree.
pub(crate) fn is_stamped(host: &mut Host, now: Instant, id: SocketId) -> bool {
    let names = [
        libc::SO_TIMESTAMP,
        libc::SO_TIMESTAMPNS,
        SO_TIMESTAMP_NEW,
        SO_TIMESTAMPNS_NEW,
        libc::SO_TIMESTAMPING,
    ];
    let mut options = Options::of(host, now, id);
    names.into_iter().any(|name| options.is_on(libc::SOL_SOCKET, name))
}

/// `SO_TIMESTAMPING`'s three times, of which software knows the first, if the socket has all of these flags.
fn put_stamping(buffer: &mut ControlBuffer, options: &mut Options<'_>, flags: i32, timestamp: Instant) {
    let value = options.value(libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
    let has = value.first_chunk().map_or(0, |octets| i32::from_ne_bytes(*octets));
    if has & flags != flags {
        return;
    }
    let kind = if options.host.stamps_by_new_name(options.id) {
        SO_TIMESTAMPING_NEW
    } else {
        libc::SO_TIMESTAMPING
    };
    let (seconds, nanos) = wall_clock(timestamp);
    let mut data = seconds.to_ne_bytes().to_vec();
    data.extend_from_slice(&nanos.to_ne_bytes());
    data.resize(48, 0);
    buffer.put(libc::SOL_SOCKET, kind, &data);
}

/// A time on the stack's clock as the calendar has it: seconds and nanoseconds since 1970.
pub(crate) fn wall_clock(timestamp: Instant) -> (i64, i64) {
    let ago = clock::now().saturating_since(timestamp);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.saturating_sub(ago);
    (then.as_secs() as i64, i64::from(then.subsec_nanos()))
}

/// The control data of what is in the queue of errors: when it left, `struct sock_extended_err` and the offender's address.
pub(crate) fn error(
    host: &mut Host,
    now: Instant,
    id: SocketId,
    report: &ErrorReport,
    family: Family,
    room: usize,
) -> ControlBuffer {
    let mut buffer = ControlBuffer::new(room);
    let mut options = Options::of(host, now, id);
    // What has no time of its own has that of being told (`__sock_recv_timestamp`).
    put_time(&mut buffer, &mut options, report.timestamp.unwrap_or(now));
    if let Some(timestamp) = report.timestamp {
        put_stamping(&mut buffer, &mut options, SOFTWARE, timestamp);
    }
    let mut data = (report.errno.map_or(0, Errno::raw) as u32).to_ne_bytes().to_vec();
    data.extend_from_slice(&[report.origin as u8, report.kind, report.code, 0]);
    data.extend_from_slice(&report.info.to_ne_bytes());
    data.extend_from_slice(&report.data.to_ne_bytes());
    match report.offender {
        Some(offender) => data.extend_from_slice(encode(SocketAddr::new(offender, 0), family).as_slice()),
        None => data.resize(data.len() + nobody_len(family), 0),
    }
    match family {
        Family::Inet => buffer.put(libc::SOL_IP, libc::IP_RECVERR, &data),
        Family::Inet6 => buffer.put(libc::SOL_IPV6, libc::IPV6_RECVERR, &data),
    }
    buffer
}

/// How long the address of who has told of an error is where nobody has (`ip_recv_error`, `ipv6_recv_error`).
fn nobody_len(family: Family) -> usize {
    match family {
        Family::Inet => size_of::<libc::sockaddr_in>(),
        Family::Inet6 => size_of::<libc::sockaddr_in6>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_info_names_source_and_interface() {
        let mut buffer = ControlBuffer::new(128);
        let mut info = 2u32.to_ne_bytes().to_vec();
        info.extend_from_slice(&[10, 0, 2, 15, 0, 0, 0, 0]);
        buffer.put(libc::SOL_IP, libc::IP_PKTINFO, &info);
        buffer.put(libc::SOL_IP, libc::IP_TTL, &9i32.to_ne_bytes());
        let control = to_send(buffer.as_slice(), Family::Inet, true, true).unwrap();
        assert_eq!(control.source, Some(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15))));
        assert_eq!((control.interface, control.hop_limit), (Some(2), Some(9)));
    }

    #[test]
    fn every_datagram_may_say_its_mark_priority_time_and_stamps() {
        let piece = |kind: i32, data: &[u8]| {
            let mut octets = (16 + data.len() as u64).to_ne_bytes().to_vec();
            octets.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
            octets.extend_from_slice(&kind.to_ne_bytes());
            octets.extend_from_slice(data);
            to_send(&octets, Family::Inet, true, true)
        };
        let number = 7u32.to_ne_bytes();
        let stamps = piece(SCM_TS_OPT_ID, &number).map(|control| control.stamp_number);
        assert_eq!(stamps, Ok(Some(7)));
        let priority = piece(libc::SO_PRIORITY, &number).map(|control| control.priority);
        assert_eq!(priority, Ok(Some(7)));
        assert_eq!(piece(libc::SO_MARK, &number).map(|control| control.mark), Ok(Some(7)));
        assert_eq!(piece(libc::SO_TIMESTAMPING, &number).err(), Some(Errno::EINVAL));
        assert_eq!(piece(libc::SO_TXTIME, &number).err(), Some(Errno::EINVAL));
    }

    #[test]
    fn a_number_has_its_length_and_its_range() {
        let piece = |level: i32, kind: i32, data: &[u8], family, to_v4, udp| {
            let mut buffer = ControlBuffer::new(64);
            buffer.put(level, kind, data);
            to_send(buffer.as_slice(), family, to_v4, udp).map_err(|errno| errno == Errno::EINVAL)
        };
        for (level, kind, data, taken) in [
            (libc::SOL_IP, libc::IP_TOS, &[8][..], true),
            (libc::SOL_IP, libc::IP_TOS, &[8, 0, 0, 0, 0], false),
            (libc::SOL_IP, libc::IP_PKTINFO, &[0; 12], true),
            (libc::SOL_IP, libc::IP_PKTINFO, &[0; 16], false),
            (libc::SOL_IPV6, libc::IPV6_PKTINFO, &[0; 20], false),
            (libc::SOL_SOCKET, SCM_DEVMEM_DMABUF, &[0; 4], true),
        ] {
            let found = piece(level, kind, data, Family::Inet6, true, true);
            assert_eq!(found.err(), (!taken).then_some(true), "{level} {kind} {data:?}");
        }
        for (kind, data, taken) in [
            (libc::IPV6_HOPLIMIT, &[9, 0, 0, 0][..], true),
            (IPV6_2292HOPLIMIT, &[9, 0, 0, 0], true),
            (libc::IPV6_HOPLIMIT, &[9, 0, 0, 0, 0], false),
            (libc::IPV6_TCLASS, &[9, 0, 0, 0, 0], false),
            (IPV6_DONTFRAG, &[1, 0, 0, 0], true),
            (IPV6_DONTFRAG, &[2, 0, 0, 0], false),
            (IPV6_2292PKTINFO, &[0; 20], true),
        ] {
            let found = piece(libc::SOL_IPV6, kind, data, Family::Inet6, false, true);
            assert_eq!(found.err(), (!taken).then_some(true), "{kind} {data:?}");
        }
        // A raw socket passes over what is UDP's.
        for (udp, taken) in [(true, false), (false, true)] {
            assert_eq!(piece(SOL_UDP, 99, &[], Family::Inet, true, udp).is_ok(), taken);
        }
    }

    #[test]
    fn unknown_control_data_is_refused() {
        let mut buffer = ControlBuffer::new(64);
        buffer.put(libc::SOL_IP, 99, &[0; 4]);
        assert_eq!(to_send(buffer.as_slice(), Family::Inet, true, true), Err(Errno::EINVAL));
    }
}
