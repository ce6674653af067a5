//! Control data of datagrams (cmsg(3), ip(7), ipv6(7), udp(7)): taken apart for sending, put together for receiving.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_socket::{Control, Errno, ErrorReport, Family, Host, SocketId};
use prise_stack::LinkId;
use prise_wire::Instant;

use crate::clock;
use crate::datagram::Origin;
use crate::message::{ControlBuffer, control_pieces};
use crate::sockaddr::encode;

/// linux/udp.h.
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
const SOL_UDP: i32 = 17;
/// linux/in6.h.
const IPV6_DONTFRAG: i32 = 62;
const IPV6_RECVORIGDSTADDR: i32 = 74;

/// Reads the control data of a datagram to be sent: what no protocol here knows is `EINVAL`.
pub(crate) fn to_send(octets: &[u8], family: Family) -> Result<Control, Errno> {
    let mut control = Control::default();
    for (level, kind, data) in control_pieces(octets)? {
        match (level, kind) {
            // The kernel passes descriptors and credentials between processes of one machine only; here it ignores them.
            (libc::SOL_SOCKET, libc::SCM_RIGHTS | libc::SCM_CREDENTIALS) => (),
            (SOL_UDP, UDP_SEGMENT) => {
                control.segment = Some(u16::from_ne_bytes(*data.first_chunk().ok_or(Errno::EINVAL)?));
            }
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                let info: &[u8; 12] = data.first_chunk().ok_or(Errno::EINVAL)?;
                set_interface(&mut control, u32::from_ne_bytes([info[0], info[1], info[2], info[3]]));
                let source = Ipv4Addr::new(info[4], info[5], info[6], info[7]);
                control.source = (!source.is_unspecified()).then_some(IpAddr::V4(source));
            }
            (libc::SOL_IP, libc::IP_TTL) => {
                let ttl = int(data)?;
                control.hop_limit = Some(u8::try_from(ttl).ok().filter(|&ttl| ttl > 0).ok_or(Errno::EINVAL)?);
            }
            (libc::SOL_IP, libc::IP_TOS) => control.tos = Some(small(data)?),
            (libc::SOL_SOCKET | SOL_UDP | libc::SOL_IP, _) => return Err(Errno::EINVAL),
            (libc::SOL_IPV6, _) if family == Family::Inet6 => to_send_v6(&mut control, kind, data)?,
            // Other levels are other protocols'.
            _ => (),
        }
    }
    Ok(control)
}

fn to_send_v6(control: &mut Control, kind: i32, data: &[u8]) -> Result<(), Errno> {
    match kind {
        libc::IPV6_PKTINFO => {
            let info: &[u8; 20] = data.first_chunk().ok_or(Errno::EINVAL)?;
            let source = Ipv6Addr::from(*info.first_chunk::<16>().ok_or(Errno::EINVAL)?);
            control.source = (!source.is_unspecified()).then_some(IpAddr::V6(source));
            set_interface(control, u32::from_ne_bytes([info[16], info[17], info[18], info[19]]));
        }
        libc::IPV6_HOPLIMIT => {
            let limit = int(data)?;
            control.hop_limit = if limit == -1 {
                None
            } else {
                Some(u8::try_from(limit).map_err(|_| Errno::EINVAL)?)
            };
        }
        libc::IPV6_TCLASS => {
            let class = int(data)?;
            control.tos = if class == -1 {
                None
            } else {
                Some(u8::try_from(class).map_err(|_| Errno::EINVAL)?)
            };
        }
        IPV6_DONTFRAG => control.dont_fragment = Some(int(data)? != 0),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn set_interface(control: &mut Control, index: u32) {
    if index != 0 {
        control.interface = Some(index);
    }
}

fn int(data: &[u8]) -> Result<i32, Errno> {
    data.first_chunk()
        .map(|octets| i32::from_ne_bytes(*octets))
        .ok_or(Errno::EINVAL)
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
    let mut value = Vec::new();
    let mut is_on =
        |level, name| host.option(now, id, level, name, &mut value).is_ok() && value.iter().any(|&octet| octet != 0);
    if let Some(timestamp) = origin.timestamp {
        let (seconds, nanos) = wall_clock(timestamp);
        if is_on(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) {
            put_pair(&mut buffer, libc::SO_TIMESTAMPNS, seconds, nanos);
        } else if is_on(libc::SOL_SOCKET, libc::SO_TIMESTAMP) {
            put_pair(&mut buffer, libc::SO_TIMESTAMP, seconds, nanos / 1000);
        }
    }
    if let Some(segment) = origin.segment
        && is_on(SOL_UDP, UDP_GRO)
    {
        buffer.put(SOL_UDP, UDP_GRO, &i32::from(segment).to_ne_bytes());
    }
    let interface = origin.link.map_or(0, LinkId::interface_index);
    let (hop_limit, tos) = (i32::from(origin.hop_limit), i32::from(origin.tos));
    let destination = origin.destination;
    let v4 = destination.and_then(|to| match to.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    });
    if family == Family::Inet6 {
        if let Some(to) = destination
            && is_on(libc::SOL_IPV6, libc::IPV6_RECVPKTINFO)
        {
            let address = match to.ip() {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let mut info = address.octets().to_vec();
            info.extend_from_slice(&interface.to_ne_bytes());
            buffer.put(libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
        }
        if is_on(libc::SOL_IPV6, libc::IPV6_RECVHOPLIMIT) {
            buffer.put(libc::SOL_IPV6, libc::IPV6_HOPLIMIT, &hop_limit.to_ne_bytes());
        }
        if is_on(libc::SOL_IPV6, libc::IPV6_RECVTCLASS) {
            buffer.put(libc::SOL_IPV6, libc::IPV6_TCLASS, &tos.to_ne_bytes());
        }
        if let Some(to) = destination
            && is_on(libc::SOL_IPV6, IPV6_RECVORIGDSTADDR)
        {
            buffer.put(libc::SOL_IPV6, IPV6_RECVORIGDSTADDR, encode(to, family).as_slice());
        }
    }
    let Some(to) = v4 else { return buffer };
    if is_on(libc::SOL_IP, libc::IP_PKTINFO) {
        let mut info = interface.to_ne_bytes().to_vec();
        info.extend_from_slice(&to.octets());
        info.extend_from_slice(&to.octets());
        buffer.put(libc::SOL_IP, libc::IP_PKTINFO, &info);
    }
    if is_on(libc::SOL_IP, libc::IP_RECVTTL) {
        buffer.put(libc::SOL_IP, libc::IP_TTL, &hop_limit.to_ne_bytes());
    }
    if is_on(libc::SOL_IP, libc::IP_RECVTOS) {
        buffer.put(libc::SOL_IP, libc::IP_TOS, &[origin.tos]);
    }
    if is_on(libc::SOL_IP, libc::IP_RECVORIGDSTADDR) {
        let port = destination.map_or(0, |to| to.port());
        let encoded = encode(SocketAddr::new(to.into(), port), Family::Inet);
        buffer.put(libc::SOL_IP, libc::IP_ORIGDSTADDR, encoded.as_slice());
    }
    buffer
}

fn put_pair(buffer: &mut ControlBuffer, kind: i32, seconds: i64, fraction: i64) {
    let mut data = seconds.to_ne_bytes().to_vec();
    data.extend_from_slice(&fraction.to_ne_bytes());
    buffer.put(libc::SOL_SOCKET, kind, &data);
}

/// A time on the stack's clock as the calendar has it: seconds and nanoseconds since 1970.
fn wall_clock(timestamp: Instant) -> (i64, i64) {
    let ago = clock::now().saturating_since(timestamp);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.saturating_sub(ago);
    (then.as_secs() as i64, i64::from(then.subsec_nanos()))
}

/// `IP_RECVERR`'s control data: `struct sock_extended_err` and the offender's address.
pub(crate) fn error(report: &ErrorReport, family: Family, room: usize) -> ControlBuffer {
    let mut buffer = ControlBuffer::new(room);
    let mut data = (report.errno.raw() as u32).to_ne_bytes().to_vec();
    data.extend_from_slice(&[report.origin as u8, report.kind, report.code, 0]);
    data.extend_from_slice(&report.info.to_ne_bytes());
    data.extend_from_slice(&0u32.to_ne_bytes());
    match report.offender {
        Some(offender) => data.extend_from_slice(encode(SocketAddr::new(offender, 0), family).as_slice()),
        None => data.extend_from_slice(&[0; 16]),
    }
    match family {
        Family::Inet => buffer.put(libc::SOL_IP, libc::IP_RECVERR, &data),
        Family::Inet6 => buffer.put(libc::SOL_IPV6, libc::IPV6_RECVERR, &data),
    }
    buffer
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
        let control = to_send(buffer.as_slice(), Family::Inet).unwrap();
        assert_eq!(control.source, Some(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15))));
        assert_eq!((control.interface, control.hop_limit), (Some(2), Some(9)));
    }

    #[test]
    fn unknown_control_data_is_refused() {
        let mut buffer = ControlBuffer::new(64);
        buffer.put(libc::SOL_IP, 99, &[0; 4]);
        assert_eq!(to_send(buffer.as_slice(), Family::Inet), Err(Errno::EINVAL));
    }
}
