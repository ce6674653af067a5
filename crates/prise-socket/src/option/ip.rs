//! `IPPROTO_IP`: `ip(7)`, `do_ip_setsockopt`, `do_ip_getsockopt`. IPv6 sockets have these too, for the IPv4 that they may speak.

use core::net::{IpAddr, Ipv4Addr};

use prise_stack::LinkId;

use super::socket::int_at;
use super::{Call, Entry, Get, On, Opt, Query, Set, entry, flag, multicast, number};
use crate::datagram::{Mode, ip_options};
use crate::socket::Flag;
use crate::sysctl::Key;
use crate::{Errno, Host, protocol};

/// Where IPv4 options exist at all.
const ON: On = On::ALL.without(On::RAW6);
/// Everything but streams.
const MESSAGES: On = ON.without(On::TCP);
const NO: Get = Get::Refuse(Errno::ENOPROTOOPT);
const INVALID: Set = Set::Refuse(Errno::EINVAL);
/// What may be read but not set.
const READ_ONLY: Set = Set::Refuse(Errno::ENOPROTOOPT);
/// What only the superuser may touch, and what does not exist for them either.
const NEVER: Set = Set::Octets(|call| {
    Err(if call.is_privileged() {
        Errno::ENOPROTOOPT
    } else {
        Errno::EPERM
    })
});

pub(super) const TABLE: &[Entry] = &[
    entry(1, ON, Set::Number(set_tos), Get::Value(Opt::Tos)),
    entry(2, ON, Set::Octets(set_ttl), Get::Number(ttl)),
    entry(
        3,
        On::RAW4,
        Set::Flag(Flag::HeaderIncluded),
        Get::Flag(Flag::HeaderIncluded),
    ),
    entry(3, ON, READ_ONLY, Get::Fixed(0)),
    entry(4, ON, Set::Octets(set_options), Get::Octets(options)),
    entry(5, On::RAW4, Set::Number(set_router_alert), Get::Flag(Flag::RouterAlert)),
    entry(5, ON, INVALID, Get::Fixed(0)),
    flag(6, ON, Flag::ReceiveOptions),
    flag(7, ON, Flag::ReturnOptions),
    flag(8, ON, Flag::PacketInfo),
    entry(9, On::TCP, READ_ONLY, Get::Octets(packet_options)),
    number(10, ON, Opt::MtuDiscover, 0, 5),
    entry(11, ON, Set::Number(set_receive_errors), Get::Flag(Flag::ReceiveErrors)),
    flag(12, ON, Flag::ReceiveTtl),
    flag(13, ON, Flag::ReceiveTos),
    entry(14, ON, READ_ONLY, Get::Number(path_mtu)),
    entry(
        15,
        ON,
        Set::Octets(|call| some_flag(call, Flag::FreeBind)),
        Get::Flag(Flag::FreeBind),
    ),
    entry(16, ON, NEVER, NO),
    entry(17, ON, NEVER, NO),
    flag(18, ON, Flag::PassSecurity),
    entry(19, ON, Set::Octets(set_transparent), Get::Flag(Flag::Transparent)),
    flag(20, ON, Flag::ReceiveOriginalDestination),
    entry(
        21,
        ON,
        Set::Octets(|call| some_number(call, Opt::MinTtl, 0)),
        Get::Value(Opt::MinTtl),
    ),
    entry(
        22,
        On::RAW4,
        Set::Flag(Flag::NoDefragment),
        Get::Flag(Flag::NoDefragment),
    ),
    entry(22, ON, READ_ONLY, Get::Fixed(0)),
    flag(23, ON, Flag::Checksum),
    flag(24, ON, Flag::BindAddressNoPort),
    entry(25, On::TCP, INVALID, Get::Fixed(0)),
    flag(25, ON, Flag::ReceiveFragmentSize),
    entry(
        26,
        ON,
        Set::Strict(Flag::ReceiveErrorsRfc4884),
        Get::Flag(Flag::ReceiveErrorsRfc4884),
    ),
    entry(
        32,
        MESSAGES,
        Set::Octets(set_multicast_interface),
        Get::Octets(multicast_interface),
    ),
    entry(32, On::TCP, INVALID, Get::Octets(multicast_interface)),
    entry(
        33,
        MESSAGES,
        Set::Octets(set_multicast_ttl),
        Get::Value(Opt::MulticastTtl),
    ),
    entry(33, On::TCP, INVALID, Get::Value(Opt::MulticastTtl)),
    entry(
        34,
        ON,
        Set::Octets(set_multicast_loop),
        Get::Unflag(Flag::MulticastLoopOff),
    ),
    entry(35, On::TCP, Set::Refuse(Errno::EPROTO), NO),
    entry(36, On::TCP, Set::Refuse(Errno::EPROTO), NO),
    entry(35, ON, Set::Octets(|call| membership(call, true)), NO),
    entry(36, ON, Set::Octets(|call| membership(call, false)), NO),
    entry(42, ON, Set::Octets(|call| multicast::group_request(call, true)), NO),
    entry(45, ON, Set::Octets(|call| multicast::group_request(call, false)), NO),
    entry(
        37,
        ON,
        Set::Octets(|call| multicast::source_v4(call, Mode::Exclude, false)),
        NO,
    ),
    entry(
        38,
        ON,
        Set::Octets(|call| multicast::source_v4(call, Mode::Exclude, true)),
        NO,
    ),
    entry(
        39,
        ON,
        Set::Octets(|call| multicast::source_v4(call, Mode::Include, true)),
        NO,
    ),
    entry(
        40,
        ON,
        Set::Octets(|call| multicast::source_v4(call, Mode::Include, false)),
        NO,
    ),
    entry(
        41,
        ON,
        Set::Octets(multicast::set_filter_v4),
        Get::Octets(multicast::filter_v4),
    ),
    entry(
        43,
        ON,
        Set::Octets(|call| multicast::source(call, Mode::Exclude, true)),
        NO,
    ),
    entry(
        44,
        ON,
        Set::Octets(|call| multicast::source(call, Mode::Exclude, false)),
        NO,
    ),
    entry(
        46,
        ON,
        Set::Octets(|call| multicast::source(call, Mode::Include, true)),
        NO,
    ),
    entry(
        47,
        ON,
        Set::Octets(|call| multicast::source(call, Mode::Include, false)),
        NO,
    ),
    entry(
        48,
        ON,
        Set::Octets(multicast::set_filter),
        Get::Octets(|query| multicast::filter(query, true)),
    ),
    entry(49, ON, Set::Octets(set_multicast_all), Get::Number(multicast_all)),
    entry(
        50,
        ON,
        Set::Octets(|call| super::unicast_interface(call, Opt::UnicastInterface)),
        Get::Number(|query| Ok((query.socket().value(Opt::UnicastInterface) as u32).to_be() as i32)),
    ),
    entry(51, ON, Set::Octets(set_port_range), Get::Value(Opt::PortRange)),
    // IP_PROTOCOL, "which protocol is this raw socket for": the kernel answers with the port.
    entry(52, ON, READ_ONLY, Get::Number(|query| Ok(query.socket().port.into()))),
];

/// An option that needs at least one octet, on or off.
fn some_flag(call: &mut Call<'_>, flag: Flag) -> Result<(), Errno> {
    let on = one_octet(call)? != 0;
    call.socket().flags.set(flag, on);
    Ok(())
}

/// An option that needs at least one octet, up to 255.
fn some_number(call: &mut Call<'_>, opt: Opt, min: i32) -> Result<(), Errno> {
    let value = one_octet(call)?;
    if !(min..=255).contains(&value) {
        return Err(Errno::EINVAL);
    }
    call.socket().set_value(opt, value.into());
    Ok(())
}

fn one_octet(call: &Call<'_>) -> Result<i32, Errno> {
    if call.value.is_empty() {
        Err(Errno::EINVAL)
    } else {
        call.number()
    }
}

/// `__ip_sock_set_tos`: on a stream the two low bits belong to ECN.
fn set_tos(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// `rt_tos2priority`: least delay, most throughput or both are classes of queueing disciplines.
    const CLASSES: [i64; 4] = [0, 2, 6, 4];
    let socket = call.socket();
    let before = socket.value(Opt::Tos);
    socket.set_tos(Opt::Tos, value as u8);
    let tos = socket.value(Opt::Tos);
    if tos != before {
        socket.set_value(Opt::Priority, CLASSES[(tos >> 3 & 3) as usize]);
    }
    Ok(())
}

impl crate::socket::Socket {
    pub(super) fn set_tos(&mut self, opt: Opt, value: u8) {
        /// `INET_ECN_MASK`.
        const ECN: u8 = 3;
        let value = match self.kind {
            crate::Kind::Stream => value & !ECN | self.value(opt) as u8 & ECN,
            _ => value,
        };
        self.set_value(opt, value.into());
    }
}

fn set_ttl(call: &mut Call<'_>) -> Result<(), Errno> {
    match one_octet(call)? {
        value @ (-1 | 1..=255) => {
            call.socket().set_value(Opt::Ttl, value.into());
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

fn ttl(query: &mut Query<'_>) -> Result<i32, Errno> {
    let value = query.socket().value(Opt::Ttl) as i32;
    Ok(if value < 0 {
        query.host.sysctls().one(Key::DefaultTtl) as i32
    } else {
        value
    })
}

/// Switching it off empties the queue (`skb_errqueue_purge`).
fn set_receive_errors(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    call.socket().flags.set(Flag::ReceiveErrors, value != 0);
    if value == 0 {
        call.host.purge_errors(call.id);
    }
    Ok(())
}

/// Of the path to the peer, also to that of a connection that is no more (`sk_dst_get`); `ENOTCONN` without one.
pub(super) fn path_mtu(query: &mut Query<'_>) -> Result<i32, Errno> {
    let peer = query.host.named_peer(query.id).ok_or(Errno::ENOTCONN)?;
    let socket = query.socket();
    if socket.extra.as_ref().is_some_and(|extra| extra.way_forgotten) {
        return Err(Errno::ENOTCONN);
    }
    let peer = peer.ip().to_canonical();
    // A socket that was connected by IPv6 before keeps that address as its own.
    let own = socket.stack_local().filter(|own| own.is_ipv4() == peer.is_ipv4());
    let route = query.host.stack.route(peer, own, socket.device());
    let mtu = route.map_err(|_| Errno::ENOTCONN)?.mtu as i32;
    // ipv4_mtu: what a link carries, a packet of IPv4 may not be able to fill.
    Ok(match peer {
        IpAddr::V4(_) => mtu.min(u16::MAX.into()),
        IpAddr::V6(_) => mtu,
    })
}

fn set_transparent(call: &mut Call<'_>) -> Result<(), Errno> {
    let on = one_octet(call)? != 0;
    if on && !call.is_privileged() {
        return Err(Errno::EPERM);
    }
    call.socket().flags.set(Flag::Transparent, on);
    Ok(())
}

fn set_multicast_ttl(call: &mut Call<'_>) -> Result<(), Errno> {
    match one_octet(call)? {
        -1 => call.socket().set_value(Opt::MulticastTtl, 1),
        value @ 0..=255 => call.socket().set_value(Opt::MulticastTtl, value.into()),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn set_multicast_loop(call: &mut Call<'_>) -> Result<(), Errno> {
    let on = one_octet(call)? != 0;
    call.socket().flags.set(Flag::MulticastLoopOff, !on);
    Ok(())
}

fn set_multicast_all(call: &mut Call<'_>) -> Result<(), Errno> {
    match one_octet(call)? {
        on @ (0 | 1) => {
            // The flag's meaning differs by family, for an IPv6 socket starts with it off.
            let socket = call.socket();
            let default = socket.family == crate::Family::Inet;
            socket.flags.set(Flag::MulticastAllOff, (on == 1) != default);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

fn multicast_all(query: &mut Query<'_>) -> Result<i32, Errno> {
    let socket = query.socket();
    Ok(i32::from(
        socket.has(Flag::MulticastAllOff) != (socket.family == crate::Family::Inet),
    ))
}

/// `IP_OPTIONS` of what is sent from now on; no octets are none.
fn set_options(call: &mut Call<'_>) -> Result<(), Errno> {
    let privileged = call.is_privileged();
    let options = ip_options::given(call.value)?;
    ip_options::check(&options, privileged)?;
    call.socket()
        .set_ip_options(Some(options).filter(|options| !options.is_empty()));
    Ok(())
}

fn options(query: &mut Query<'_>) -> Result<(), Errno> {
    let options = query.socket().ip_options();
    query.put(options.as_deref().unwrap_or_default());
    Ok(())
}

/// `IP_PKTOPTIONS`: what a stream has asked to be told of packets, as control messages (`do_ip_getsockopt`). It knows of one, a client's SYN, by what
/// is about groups on other sockets.
fn packet_options(query: &mut Query<'_>) -> Result<(), Errno> {
    const TOS: u32 = 1;
    const TTL: u32 = 2;
    const PACKET_INFO: u32 = 8;
    /// `inet_rcv_saddr` of who has an address that IPv4 cannot write.
    const LOOPBACK4_IPV6: [u8; 4] = [127, 0, 0, 6];
    let socket = query.socket();
    let asked = [Flag::PacketInfo, Flag::ReceiveTtl, Flag::ReceiveTos].map(|flag| socket.has(flag));
    let number = |opt| (socket.value(opt) as i32).to_ne_bytes();
    let (link, ttl, tos) = (
        number(Opt::MulticastInterface),
        number(Opt::MulticastTtl),
        number(Opt::ReceivedTos),
    );
    let own = match socket.local.to_canonical() {
        IpAddr::V4(own) => own.octets(),
        IpAddr::V6(own) if own.is_unspecified() => [0; 4],
        IpAddr::V6(_) => LOOPBACK4_IPV6,
    };
    let info = [link, own, own].concat();
    for (kind, asked, data) in [
        (PACKET_INFO, asked[0], &*info),
        (TTL, asked[1], &ttl),
        (TOS, asked[2], &tos),
    ] {
        if asked {
            put_message(query, kind, data);
        }
    }
    Ok(())
}

/// A control message, as much of it as there is room for (`put_cmsg`).
fn put_message(query: &mut Query<'_>, kind: u32, data: &[u8]) {
    /// `sizeof(struct cmsghdr)`.
    const HEADER: usize = 16;
    let room = query.room.saturating_sub(query.out.len());
    if room < HEADER {
        return;
    }
    let len = room.min(HEADER + data.len());
    query.put(&(len as u64).to_ne_bytes());
    query.put(&0u32.to_ne_bytes());
    query.put(&kind.to_ne_bytes());
    query.put(&data[..len - HEADER]);
    let padding = room.min(len.next_multiple_of(size_of::<u64>())) - len;
    query.put(&[0; size_of::<u64>()][..padding]);
}

/// `ip_ra_control`: there is no list to be taken off that one is not on.
fn set_router_alert(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    if call.socket().protocol == protocol::RAW {
        // It hears nothing (`inet_num` of `ip_ra_control`).
        return Err(Errno::EINVAL);
    }
    match (value != 0, call.socket().has(Flag::RouterAlert)) {
        (false, false) => return Err(Errno::ENOBUFS),
        (true, true) => return Err(Errno::EADDRINUSE),
        _ => {}
    }
    call.socket().flags.set(Flag::RouterAlert, value != 0);
    Ok(())
}

/// The link that has an address of ours (`ip_dev_find`).
pub(crate) fn link_with(host: &Host, addr: Ipv4Addr) -> Option<LinkId> {
    let have = host
        .stack
        .addresses()
        .iter()
        .find(|have| have.cidr.address() == IpAddr::V4(addr));
    have.map(|have| have.link).or_else(|| {
        let local = host.stack.is_local(addr.into());
        if local {
            host.stack.route(addr.into(), None, None).ok().map(|route| route.link)
        } else {
            None
        }
    })
}

pub(super) fn v4_at(octets: &[u8], at: usize) -> Option<Ipv4Addr> {
    octets
        .get(at..)?
        .first_chunk()
        .map(|octets: &[u8; 4]| Ipv4Addr::from(*octets))
}

/// `IP_MULTICAST_IF`: an address (`in_addr`, or the second of an `ip_mreq`), or an index (`ip_mreqn`).
fn set_multicast_interface(call: &mut Call<'_>) -> Result<(), Errno> {
    let value = call.value;
    let (addr, index) = match value.len() {
        0..4 => return Err(Errno::EINVAL),
        4..8 => (v4_at(value, 0), 0),
        8..12 => (v4_at(value, 4), 0),
        _ => (v4_at(value, 4), int_at(value, 8).unwrap_or(0)),
    };
    let addr = addr.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let index = match (index, addr.is_unspecified()) {
        (0, true) => 0,
        (0, false) => link_with(call.host, addr)
            .ok_or(Errno::EADDRNOTAVAIL)?
            .interface_index(),
        (index, _) => super::existing_link(call.host, index)
            .ok_or(Errno::EADDRNOTAVAIL)?
            .interface_index(),
    };
    let socket = call.socket();
    // With a device bound, no other one.
    if !matches!(socket.value(Opt::Device), 0) && index != 0 && socket.value(Opt::Device) != i64::from(index) {
        return Err(Errno::EINVAL);
    }
    socket.set_value(Opt::MulticastInterface, index.into());
    socket.set_value(Opt::MulticastAddress, addr.to_bits().into());
    Ok(())
}

fn multicast_interface(query: &mut Query<'_>) -> Result<(), Errno> {
    let addr = Ipv4Addr::from_bits(query.socket().value(Opt::MulticastAddress) as u32);
    query.put(&addr.octets());
    Ok(())
}

/// `IP_ADD_MEMBERSHIP`, `IP_DROP_MEMBERSHIP`: an `ip_mreq` with an address, or an `ip_mreqn` with an index.
fn membership(call: &mut Call<'_>, join: bool) -> Result<(), Errno> {
    let value = call.value;
    let (Some(group), Some(addr)) = (v4_at(value, 0), v4_at(value, 4)) else {
        return Err(Errno::EINVAL);
    };
    let index = int_at(value, 8).unwrap_or(0);
    if join && !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    // ip_mc_join_group wants the device, ip_mc_leave_group only the membership; without any hint both ask the routes.
    let missing = if join { Errno::ENODEV } else { Errno::EADDRNOTAVAIL };
    let link = match (index, addr.is_unspecified()) {
        (0, true) => {
            let towards = if group.is_unspecified() {
                Ipv4Addr::LOCALHOST
            } else {
                group
            };
            let route = call.host.stack.route(towards.into(), None, None);
            let link = call.socket().device().or(route.ok().map(|route| route.link));
            Some(link.ok_or(Errno::ENODEV)?).filter(|_| join)
        }
        (0, false) => Some(link_with(call.host, addr).ok_or(missing)?),
        (index, _) => Some(super::existing_link(call.host, index).ok_or(missing)?),
    };
    call.host.membership(call.now, call.id, group.into(), link, join)
}

fn set_port_range(call: &mut Call<'_>) -> Result<(), Errno> {
    let range = int_at(call.value, 0)
        .filter(|_| call.value.len() == 4)
        .ok_or(Errno::EINVAL)? as u32;
    let (low, high) = (range as u16, (range >> 16) as u16);
    if low != 0 && high != 0 && low > high {
        return Err(Errno::EINVAL);
    }
    call.socket().set_value(Opt::PortRange, range.into());
    Ok(())
}
