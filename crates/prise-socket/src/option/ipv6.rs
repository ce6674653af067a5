//! `IPPROTO_IPV6`: `ipv6(7)`, RFC 3493, RFC 3542, `do_ipv6_setsockopt`, `do_ipv6_getsockopt`.

use core::net::Ipv6Addr;

use super::socket::int_at;
use super::{Call, Entry, Get, On, Opt, Query, Set, entry, flag, multicast, number};
use crate::datagram::Mode;
use crate::flow_label;
use crate::socket::Flag;
use crate::{Errno, Host, Kind, SocketId, sockaddr};
use prise_stack::State;

const ON: On = On::V6;
const MESSAGES: On = ON.without(On::TCP);
const NO: Get = Get::Refuse(Errno::ENOPROTOOPT);
const READ_ONLY: Set = Set::Refuse(Errno::ENOPROTOOPT);
/// What only the superuser may touch, and what does not exist for them either.
const NEVER: Set = Set::Octets(|call| {
    Err(if call.is_privileged() {
        Errno::ENOPROTOOPT
    } else {
        Errno::EPERM
    })
});

/// A switch for a header that no packet of ours has: it reads as it was set.
const fn bit(name: i32, bit: u8) -> Entry {
    entry(name, ON, Set::Bit(bit), Get::Bit(bit))
}

/// `sk_state != TCP_ESTABLISHED`: a stream whose peer has ended is not, while it still has its peer.
fn require_established(host: &Host, s: SocketId) -> Result<(), Errno> {
    host.peer_addr(s)?;
    if host.socket_ref(s)?.kind == Kind::Stream && host.state(s) != State::Established {
        return Err(Errno::ENOTCONN);
    }
    Ok(())
}

pub(super) const TABLE: &[Entry] = &[
    entry(
        1,
        On::PING6.or(On::RAW6),
        Set::Number(|_, value| Err(if value == 2 { Errno::ENOPROTOOPT } else { Errno::EINVAL })),
        NO,
    ),
    entry(
        1,
        ON,
        Set::Number(|call, value| {
            // IPV6_ADDRFORM turns a connected v4-mapped socket into an IPv4 one: not here.
            Err(match value {
                2 => require_established(call.host, call.id)
                    .err()
                    .unwrap_or(Errno::EADDRNOTAVAIL),
                _ => Errno::EINVAL,
            })
        }),
        Get::Number(|query| require_established(query.host, query.id).map(|()| crate::Family::Inet6.raw())),
    ),
    bit(2, 0),
    bit(3, 1),
    bit(4, 2),
    bit(5, 3),
    entry(6, MESSAGES, Set::Octets(packet_options), NO),
    entry(6, On::TCP6, Set::Octets(packet_options), Get::Nothing),
    // Raw sockets find IPV6_CHECKSUM here as well as at their own level.
    entry(
        7,
        On::RAW6,
        Set::Number(super::raw::set_checksum),
        Get::Number(super::raw::checksum),
    ),
    bit(8, 4),
    bit(11, 5),
    entry(
        16,
        ON,
        Set::Number(|call, value| set_hops(call, Opt::HopLimit, value, -1)),
        Get::Number(hop_limit),
    ),
    entry(17, On::TCP6, READ_ONLY, Get::Fixed(0)),
    entry(
        17,
        ON,
        Set::Number(set_multicast_interface),
        Get::Value(Opt::V6MulticastInterface),
    ),
    entry(18, On::TCP6, READ_ONLY, Get::Fixed(1)),
    entry(
        18,
        ON,
        Set::Number(|call, value| set_hops(call, Opt::MulticastHops, value, 1)),
        Get::Value(Opt::MulticastHops),
    ),
    entry(
        19,
        ON,
        Set::Number(|call, value| match value {
            0 | 1 => {
                call.socket().flags.set(Flag::V6MulticastLoopOff, value == 0);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }),
        Get::Unflag(Flag::V6MulticastLoopOff),
    ),
    entry(20, ON, Set::Octets(|call| membership(call, true)), NO),
    entry(21, ON, Set::Octets(|call| membership(call, false)), NO),
    entry(22, ON, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Fixed(0)),
    number(23, ON, Opt::V6MtuDiscover, 0, 5),
    entry(
        24,
        ON,
        Set::Number(|call, value| {
            /// RFC 8200 §5.
            const MTU_MIN: i32 = 1280;
            if value != 0 && value < MTU_MIN {
                return Err(Errno::EINVAL);
            }
            call.socket().set_value(Opt::V6Mtu, value.into());
            Ok(())
        }),
        Get::Number(super::ip::path_mtu),
    ),
    entry(
        25,
        ON,
        Set::Number(set_receive_errors),
        Get::Flag(Flag::V6ReceiveErrors),
    ),
    entry(
        26,
        ON,
        Set::Number(|call, value| {
            // Which families a socket has is settled by then.
            if call.socket().port != 0 {
                return Err(Errno::EINVAL);
            }
            call.socket().flags.set(Flag::V6Only, value != 0);
            Ok(())
        }),
        Get::Number(|query| Ok(i32::from(query.socket().is_v6_only()))),
    ),
    // IPV6_JOIN_ANYCAST, IPV6_LEAVE_ANYCAST: an in6_addr and an index.
    entry(
        27,
        ON,
        Set::Octets(|call| {
            Err(if call.value.len() < 20 || call.is_privileged() {
                Errno::EINVAL
            } else {
                Errno::EPERM
            })
        }),
        NO,
    ),
    entry(
        28,
        ON,
        Set::Octets(|call| {
            Err(if call.value.len() < 20 {
                Errno::EINVAL
            } else {
                Errno::ENOENT
            })
        }),
        NO,
    ),
    entry(
        29,
        ON,
        Set::Unflag(Flag::V6MulticastAllOff),
        Get::Unflag(Flag::V6MulticastAllOff),
    ),
    bit(30, 6),
    entry(
        31,
        ON,
        Set::Strict(Flag::V6ReceiveErrorsRfc4884),
        Get::Flag(Flag::V6ReceiveErrorsRfc4884),
    ),
    entry(
        32,
        ON,
        // Who asks matters, and the answer may be a label: `Host::manage_flow_label` alone takes requests.
        Set::Octets(|_| Err(Errno::EINVAL)),
        Get::Octets(|query| {
            let told = query.host.flow_label_told(query.now, query.id, query.given)?;
            query.put(&told);
            Ok(())
        }),
    ),
    bit(33, flow_label::SEND_BIT),
    entry(34, ON, NEVER, NO),
    entry(35, ON, NEVER, NO),
    entry(
        36,
        On::RAW6,
        Set::Flag(Flag::HeaderIncluded),
        Get::Flag(Flag::HeaderIncluded),
    ),
    entry(42, ON, Set::Octets(|call| multicast::group_request(call, true)), NO),
    entry(45, ON, Set::Octets(|call| multicast::group_request(call, false)), NO),
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
        Get::Octets(|query| multicast::filter(query, false)),
    ),
    flag(49, ON, Flag::V6PacketInfo),
    entry(50, ON, Set::Octets(set_sticky), NO),
    flag(51, ON, Flag::V6ReceiveHopLimit),
    bit(53, 8),
    // IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_DSTOPTS, IPV6_RTHDR: no packet of ours carries any.
    entry(54, ON, NEVER, Get::Nothing),
    entry(55, ON, NEVER, Get::Nothing),
    entry(59, ON, NEVER, Get::Nothing),
    entry(
        57,
        ON,
        Set::Octets(|call| {
            if call.value.is_empty() {
                Ok(())
            } else {
                Err(Errno::EINVAL)
            }
        }),
        Get::Nothing,
    ),
    bit(56, 9),
    bit(58, 10),
    flag(60, ON, Flag::V6ReceivePathMtu),
    entry(61, ON, READ_ONLY, Get::Octets(path_mtu)),
    entry(
        62,
        ON,
        Set::Octets(|call| lenient(call, Flag::V6DontFragment, true)),
        Get::Flag(Flag::V6DontFragment),
    ),
    // The packet filter's: nobody here may, and nobody has one.
    entry(64, ON, Set::Refuse(Errno::EPERM), Get::Refuse(Errno::EPERM)),
    entry(65, ON, Set::Refuse(Errno::EPERM), Get::Refuse(Errno::EPERM)),
    entry(68, ON, READ_ONLY, Get::Refuse(Errno::EPERM)),
    entry(69, ON, READ_ONLY, Get::Refuse(Errno::EPERM)),
    entry(
        80,
        On::TCP6,
        READ_ONLY,
        Get::Octets(|query| {
            Err(if query.room < sockaddr::LEN_V6 {
                Errno::EINVAL
            } else {
                Errno::ENOENT
            })
        }),
    ),
    flag(66, ON, Flag::V6ReceiveTrafficClass),
    entry(67, ON, Set::Number(set_traffic_class), Get::Value(Opt::TrafficClass)),
    entry(
        70,
        ON,
        Set::Octets(|call| lenient(call, Flag::V6AutoFlowLabelOff, false)),
        Get::Unflag(Flag::V6AutoFlowLabelOff),
    ),
    entry(72, ON, Set::Number(set_preferences), Get::Number(preferences)),
    number(73, ON, Opt::MinHopCount, 0, 255),
    flag(74, ON, Flag::V6ReceiveOriginalDestination),
    entry(
        75,
        ON,
        Set::Number(|call, value| {
            if value != 0 && !call.is_privileged() {
                return Err(Errno::EPERM);
            }
            call.socket().flags.set(Flag::Transparent, value != 0);
            Ok(())
        }),
        Get::Flag(Flag::Transparent),
    ),
    entry(
        76,
        ON,
        Set::Octets(|call| super::unicast_interface(call, Opt::V6UnicastInterface)),
        Get::Number(|query| Ok((query.socket().value(Opt::V6UnicastInterface) as u32).to_be() as i32)),
    ),
    entry(
        77,
        ON,
        Set::Octets(|call| lenient(call, Flag::V6ReceiveFragmentSize, true)),
        Get::Flag(Flag::V6ReceiveFragmentSize),
    ),
    flag(78, ON, Flag::FreeBind),
];

/// A few options take what is too short for a number as 0.
fn lenient(call: &mut Call<'_>, flag: Flag, on_sets: bool) -> Result<(), Errno> {
    let on = int_at(call.value, 0).unwrap_or(0) != 0;
    call.socket().flags.set(flag, on == on_sets);
    Ok(())
}

/// `IPV6_2292PKTOPTIONS`: control messages, and there can be none of ours in fewer octets than one has.
fn packet_options(call: &mut Call<'_>) -> Result<(), Errno> {
    /// `sizeof(struct cmsghdr)`.
    const HEADER: usize = 16;
    if call.value.len() < HEADER {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// −1 goes back to the default.
fn set_hops(call: &mut Call<'_>, opt: Opt, value: i32, default: i64) -> Result<(), Errno> {
    match value {
        -1 => call.socket().set_value(opt, default),
        0..=255 => call.socket().set_value(opt, value.into()),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn hop_limit(query: &mut Query<'_>) -> Result<i32, Errno> {
    /// `net.ipv6.conf.all.hop_limit`.
    const DEFAULT: i64 = 64;
    let value = query.socket().value(Opt::HopLimit);
    Ok(if value < 0 { DEFAULT } else { value } as i32)
}

fn set_multicast_interface(call: &mut Call<'_>, index: i32) -> Result<(), Errno> {
    if index != 0 {
        super::existing_link(call.host, index).ok_or(Errno::ENODEV)?;
        let device = call.socket().value(Opt::Device);
        if device != 0 && device != i64::from(index) {
            return Err(Errno::EINVAL);
        }
    }
    call.socket().set_value(Opt::V6MulticastInterface, index.into());
    Ok(())
}

/// `IPV6_ADD_MEMBERSHIP`, `IPV6_DROP_MEMBERSHIP`: an `ipv6_mreq`.
fn membership(call: &mut Call<'_>, join: bool) -> Result<(), Errno> {
    let (Some(octets), Some(index)) = (call.value.first_chunk::<16>(), int_at(call.value, 16)) else {
        return Err(Errno::EINVAL);
    };
    if call.socket().kind == Kind::Stream {
        return Err(Errno::EPROTO);
    }
    let group = Ipv6Addr::from(*octets);
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    let link = match index {
        0 => None,
        index if join => Some(super::existing_link(call.host, index).ok_or(Errno::ENODEV)?),
        index => Some(super::existing_link(call.host, index).ok_or(Errno::EADDRNOTAVAIL)?),
    };
    call.host.membership(call.now, call.id, group.into(), link, join)
}

fn set_receive_errors(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    call.socket().flags.set(Flag::V6ReceiveErrors, value != 0);
    if value == 0 {
        call.host.purge_errors(call.id);
    }
    Ok(())
}

/// `IPV6_PKTINFO` as an option: the link of every datagram that says nothing else. The address that RFC 3542 §6.1 has spoken from besides,
/// Linux keeps and never looks at (`udpv6_sendmsg`).
fn set_sticky(call: &mut Call<'_>) -> Result<(), Errno> {
    let index = int_at(call.value, 16).ok_or(Errno::EINVAL)?;
    let socket = call.socket();
    let device = socket.value(Opt::Device);
    if device != 0 && index != 0 && i64::from(index) != device {
        return Err(Errno::EINVAL);
    }
    socket.set_value(Opt::StickyInterface, index.into());
    Ok(())
}

/// `IPV6_PATHMTU`: an `ip6_mtuinfo`, the MTU towards the peer behind room for an address, which the kernel fills in control data only.
fn path_mtu(query: &mut Query<'_>) -> Result<(), Errno> {
    const SIZE: usize = sockaddr::LEN_V6 + 4;
    if query.room < SIZE {
        return Err(Errno::EINVAL);
    }
    let mtu = super::ip::path_mtu(query)?;
    query.put(&[0; sockaddr::LEN_V6]);
    query.put(&mtu.to_le_bytes());
    Ok(())
}

fn set_traffic_class(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    match value {
        -1..=255 => {
            call.socket().set_tos(Opt::TrafficClass, value.max(0) as u8);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// RFC 5014: stored for whoever asks; every address of ours is public and at home.
mod preference {
    pub(super) const TEMPORARY: i32 = 1;
    pub(super) const PUBLIC: i32 = 2;
    pub(super) const CARE_OF: i32 = 4;
    pub(super) const CGA: i32 = 8;
    pub(super) const EITHER: i32 = 0x100;
    pub(super) const HOME: i32 = 0x400;
    pub(super) const NOT_CGA: i32 = 0x800;
}

/// `ip6_sock_set_addr_preferences`: of each group one at most.
fn set_preferences(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    use preference::{CARE_OF, CGA, EITHER, HOME, NOT_CGA, PUBLIC, TEMPORARY};
    let mut set = 0;
    match value & (PUBLIC | TEMPORARY | EITHER) {
        0 => {}
        one @ (PUBLIC | TEMPORARY | EITHER) => set |= one & !EITHER,
        _ => return Err(Errno::EINVAL),
    }
    match value & (CARE_OF | HOME) {
        0 => {}
        one @ (CARE_OF | HOME) => set |= one & !HOME,
        _ => return Err(Errno::EINVAL),
    }
    if !matches!(value & (CGA | NOT_CGA), 0 | CGA | NOT_CGA) {
        return Err(Errno::EINVAL);
    }
    // Linux forgets what was preferred before, of the groups that are not named, too.
    call.socket().set_value(Opt::AddressPreferences, set.into());
    Ok(())
}

fn preferences(query: &mut Query<'_>) -> Result<i32, Errno> {
    use preference::{CARE_OF, EITHER, HOME, PUBLIC, TEMPORARY};
    let value = query.socket().value(Opt::AddressPreferences) as i32;
    let source = if value & (TEMPORARY | PUBLIC) == 0 {
        EITHER
    } else {
        value & (TEMPORARY | PUBLIC)
    };
    let home = if value & CARE_OF == 0 { HOME } else { CARE_OF };
    Ok(source | home)
}
