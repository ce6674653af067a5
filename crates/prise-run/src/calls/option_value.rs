//! The value of an option that is set: how much of it Linux reads, and which mistakes it finds before it does.
//!
//! A value may be longer than what can be read of it. Linux reads no more than the option has (`sk_setsockopt`, `do_ip_setsockopt`,
//! `do_ipv6_setsockopt`, `do_tcp_setsockopt`), looks at lengths before it reads what is more than a number, and some levels read a number
//! before they look which option it is.

use prise_socket::{Errno, Family, Kind, SocketId};

use crate::guest::notify::Call;
use crate::handed::chosen::SO_TIMESTAMPING_NEW;
use crate::supervisor::Supervisor;

/// No option is longer; what is longer is cut, as Linux does where it does not refuse it.
pub(super) const VALUE_MAX: usize = 64 << 10;

/// linux/in.h.
const IP_UNICAST_IF: i32 = 50;
const IP_LOCAL_PORT_RANGE: i32 = 51;

const INT: usize = size_of::<i32>();

/// Levels whose options are numbers, all but those that are names.
const READS_NUMBERS: [i32; 2] = [libc::SOL_TCP, libc::SOL_UDP];

/// How many octets an option of those levels has at least (`do_tcp_setsockopt`).
const fn least(level: i32, name: i32) -> usize {
    match (level, name) {
        (libc::SOL_TCP, libc::TCP_CONGESTION | libc::TCP_ULP) => 1,
        _ => INT,
    }
}

/// `do_ip_setsockopt` reads the number of these before it looks what they are.
const READ_FIRST_V4: [i32; 26] = [
    1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 18, 19, 20, 21, 22, 23, 24, 25, 26, 33, 34, 49, 50, 51,
];

/// IPv6 options that are more than a number; of all others `do_ipv6_setsockopt` takes no value at all for 0.
const NO_NUMBER_V6: [i32; 18] = [
    libc::IPV6_ADD_MEMBERSHIP,
    libc::IPV6_DROP_MEMBERSHIP,
    libc::IPV6_JOIN_ANYCAST,
    libc::IPV6_LEAVE_ANYCAST,
    libc::IPV6_PKTINFO,
    libc::IPV6_HOPOPTS,
    libc::IPV6_RTHDR,
    libc::IPV6_RTHDRDSTOPTS,
    libc::IPV6_DSTOPTS,
    libc::IPV6_2292PKTOPTIONS,
    libc::IPV6_FLOWLABEL_MGR,
    libc::MCAST_JOIN_GROUP,
    libc::MCAST_LEAVE_GROUP,
    libc::MCAST_JOIN_SOURCE_GROUP,
    libc::MCAST_LEAVE_SOURCE_GROUP,
    libc::MCAST_BLOCK_SOURCE,
    libc::MCAST_UNBLOCK_SOURCE,
    libc::MCAST_MSFILTER,
];

/// An option that is more than a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    /// Lengths between which it must be, or it is `EINVAL` before anything is read.
    least: usize,
    most: usize,
    /// How many octets are read, of a value that is as long.
    read: usize,
}

impl Form {
    const fn at_least(least: usize) -> Self {
        Self {
            least,
            most: usize::MAX,
            read: least,
        }
    }

    const fn exactly(len: usize) -> Self {
        Self {
            most: len,
            ..Self::at_least(len)
        }
    }

    /// All of it is read.
    const fn whole(least: usize, most: usize) -> Self {
        Self {
            least,
            most,
            read: usize::MAX,
        }
    }

    /// That of an option whose value has `len` octets; none of a number, and of an option that is none.
    const fn of(level: i32, name: i32, len: usize) -> Option<Self> {
        match level {
            libc::SOL_SOCKET => Self::of_socket(name, len),
            libc::SOL_IP => Self::of_ipv4(name, len),
            libc::SOL_IPV6 => Self::of_ipv6(name, len),
            libc::SOL_TCP => Self::of_tcp(name, len),
            _ => None,
        }
    }

    const fn of_socket(name: i32, len: usize) -> Option<Self> {
        Some(match name {
            libc::SO_LINGER => Self::at_least(size_of::<libc::linger>()),
            // Shorter, they are numbers.
            libc::SO_MAX_PACING_RATE if len >= 8 => Self::at_least(8),
            libc::SO_TIMESTAMPING | SO_TIMESTAMPING_NEW if len == 8 => Self::exactly(8),
            libc::SO_TXTIME => Self::exactly(8),
            libc::SO_BINDTODEVICE => Self {
                read: libc::IFNAMSIZ - 1,
                ..Self::at_least(0)
            },
            _ => return None,
        })
    }

    const fn of_ipv4(name: i32, len: usize) -> Option<Self> {
        /// `struct ip_mreq`, `ip_mreqn`, `ip_mreq_source`, `ip_msfilter` without sources (linux/in.h).
        const MREQ: usize = 8;
        const MREQN: usize = 12;
        const MREQ_SOURCE: usize = 12;
        const MSFILTER: usize = 16;
        Some(match name {
            libc::IP_OPTIONS => Self::whole(0, 40),
            libc::IP_MULTICAST_IF if len < MREQ => Self::at_least(INT),
            libc::IP_MULTICAST_IF | libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP if len < MREQN => {
                Self::at_least(MREQ)
            }
            libc::IP_MULTICAST_IF | libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP => Self::at_least(MREQN),
            libc::IP_ADD_SOURCE_MEMBERSHIP
            | libc::IP_DROP_SOURCE_MEMBERSHIP
            | libc::IP_BLOCK_SOURCE
            | libc::IP_UNBLOCK_SOURCE => Self::exactly(MREQ_SOURCE),
            libc::IP_MSFILTER => Self::whole(MSFILTER, usize::MAX),
            libc::MCAST_JOIN_SOURCE_GROUP
            | libc::MCAST_LEAVE_SOURCE_GROUP
            | libc::MCAST_BLOCK_SOURCE
            | libc::MCAST_UNBLOCK_SOURCE => Self::exactly(Self::GROUP_SOURCE_REQ),
            IP_LOCAL_PORT_RANGE | IP_UNICAST_IF => Self::exactly(INT),
            name => return Self::of_group(name),
        })
    }

    const fn of_ipv6(name: i32, len: usize) -> Option<Self> {
        /// `struct ipv6_mreq`, which is as long as `in6_pktinfo`, and `in6_flowlabel_req` (linux/in6.h).
        const MREQ: usize = 20;
        const FLOWLABEL_REQ: usize = 32;
        Some(match name {
            libc::IPV6_ADD_MEMBERSHIP
            | libc::IPV6_DROP_MEMBERSHIP
            | libc::IPV6_JOIN_ANYCAST
            | libc::IPV6_LEAVE_ANYCAST
            | libc::IPV6_PKTINFO => Self::at_least(MREQ),
            libc::IPV6_FLOWLABEL_MGR => Self::at_least(FLOWLABEL_REQ),
            libc::IPV6_2292PKTOPTIONS => Self::whole(0, VALUE_MAX),
            // A header is a multiple of eight octets (`ipv6_set_opt_hdr`).
            libc::IPV6_RTHDR if len.is_multiple_of(8) => Self::whole(8, 255 * 8),
            libc::IPV6_RTHDR => Self::exactly(0),
            libc::IPV6_UNICAST_IF => Self::exactly(INT),
            libc::MCAST_JOIN_SOURCE_GROUP
            | libc::MCAST_LEAVE_SOURCE_GROUP
            | libc::MCAST_BLOCK_SOURCE
            | libc::MCAST_UNBLOCK_SOURCE => Self::at_least(Self::GROUP_SOURCE_REQ),
            name => return Self::of_group(name),
        })
    }

    /// `struct group_req` and `group_source_req` (linux/in.h).
    const GROUP_REQ: usize = 136;
    const GROUP_SOURCE_REQ: usize = 264;

    const fn of_group(name: i32) -> Option<Self> {
        /// `struct group_filter` without sources (linux/in.h).
        const GROUP_FILTER: usize = 144;
        match name {
            libc::MCAST_JOIN_GROUP | libc::MCAST_LEAVE_GROUP => Some(Self::at_least(Self::GROUP_REQ)),
            libc::MCAST_MSFILTER => Some(Self::whole(GROUP_FILTER, usize::MAX)),
            _ => None,
        }
    }

    const fn of_tcp(name: i32, len: usize) -> Option<Self> {
        /// `struct tcp_md5sig` (linux/tcp.h).
        const MD5SIG: usize = 216;
        match name {
            libc::TCP_MD5SIG | libc::TCP_MD5SIG_EXT => Some(Self::at_least(MD5SIG)),
            // One key or two.
            libc::TCP_FASTOPEN_KEY if len == 16 || len == 32 => Some(Self::exactly(len)),
            libc::TCP_FASTOPEN_KEY => Some(Self::exactly(0)),
            _ => None,
        }
    }

    const fn is_of(self, len: usize) -> bool {
        self.least <= len && len <= self.most
    }
}

/// What is wrong with an option whatever its value is.
fn found_before(level: i32, name: i32, len: usize, kind: Kind) -> Option<Errno> {
    let form = Form::of(level, name, len);
    let is_refused = form.is_some_and(|form| !form.is_of(len));
    match (level, name) {
        // A stream is in no group, and speaks to none.
        (libc::SOL_IP, libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP) if kind == Kind::Stream => {
            Some(Errno::EPROTO)
        }
        (libc::SOL_IP, libc::IP_MULTICAST_IF) if kind == Kind::Stream => Some(Errno::EINVAL),
        _ if is_refused => Some(Errno::EINVAL),
        (libc::SOL_IPV6, libc::IPV6_ADD_MEMBERSHIP | libc::IPV6_DROP_MEMBERSHIP) if kind == Kind::Stream => {
            Some(Errno::EPROTO)
        }
        _ => None,
    }
}

/// Whether Linux reads an option's number before it looks what option it is.
fn reads_first(level: i32, name: i32, len: usize, whose: Whose) -> bool {
    match level {
        libc::SOL_IP => READ_FIRST_V4.contains(&name),
        libc::SOL_IPV6 => whose.family == Family::Inet6 && len >= INT,
        libc::SOL_TCP => {
            whose.kind == Kind::Stream && matches!(name, libc::TCP_MD5SIG | libc::TCP_MD5SIG_EXT) && len >= INT
        }
        _ => false,
    }
}

/// A socket that an option is set of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) id: SocketId,
    pub(super) family: Family,
    pub(super) kind: Kind,
}

impl Supervisor {
    /// The value of an option, `len` octets that the call names, as far as Linux reads them; what is not read is 0.
    pub(super) fn read_option(&mut self, call: &Call, whose: Whose, len: usize) -> Result<Vec<u8>, Errno> {
        let (level, name) = (call.int(1), call.int(2));
        let front = call.memory().read_front(call.args[3], len.min(VALUE_MAX));
        let needed = Form::of(level, name, len).map_or(0, |form| form.read.min(len.min(VALUE_MAX)));
        match front {
            Ok(mut value) if value.len() >= needed => {
                value.resize(len.min(VALUE_MAX), 0);
                Ok(value)
            }
            Ok(_) => Err(self.refusal(call, whose, len)),
            Err(Errno::EFAULT) => self.read_nothing(call, whose, len),
            Err(error) => Err(error),
        }
    }

    /// The value of an option of which not even a number can be read: what is told of first, or no value where that is one.
    fn read_nothing(&mut self, call: &Call, whose: Whose, len: usize) -> Result<Vec<u8>, Errno> {
        let (level, name) = (call.int(1), call.int(2));
        let is_null = call.args[3] == 0;
        // Less than a number is not read either.
        let is_number_v6 = level == libc::SOL_IPV6 && !NO_NUMBER_V6.contains(&name);
        if is_number_v6 && (is_null || len < INT) {
            return Ok(vec![0; len.min(VALUE_MAX)]);
        }
        if reads_first(level, name, len, whose) && !(level == libc::SOL_IPV6 && is_null) {
            return Err(Errno::EFAULT);
        }
        // `sock_setsockopt` reads a number before it looks.
        if level == libc::SOL_SOCKET {
            return Err(Errno::EFAULT);
        }
        Err(self.refusal(call, whose, len))
    }

    /// What is told of an option whose value cannot be read.
    fn refusal(&mut self, call: &Call, whose: Whose, len: usize) -> Errno {
        let (level, name) = (call.int(1), call.int(2));
        let Whose { id, kind, .. } = whose;
        let refused = self.host.set_option(self.now, id, level, name, &[]).err();
        // An option that is none is told of first.
        if let Some(error @ (Errno::ENOPROTOOPT | Errno::EPERM | Errno::EOPNOTSUPP)) = refused {
            return error;
        }
        if let Some(error) = found_before(level, name, len, kind) {
            return error;
        }
        // `IPV6_PKTINFO` asks for a value before it reads, and a header has a length where there is none (`ipv6_set_opt_hdr`).
        if call.args[3] == 0 && level == libc::SOL_IPV6 && matches!(name, libc::IPV6_PKTINFO | libc::IPV6_RTHDR) {
            return Errno::EINVAL;
        }
        // These levels look at the length before they read; a name may have any.
        if refused == Some(Errno::EINVAL) && len < least(level, name) && READS_NUMBERS.contains(&level) {
            return Errno::EINVAL;
        }
        Errno::EFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_of_a_value_is_read_as_the_option_has() {
        let read = |level, name, len| Form::of(level, name, len).map(|form| (form.is_of(len), form.read.min(len)));
        assert_eq!(read(libc::SOL_IP, libc::IP_OPTIONS, 20), Some((true, 20)));
        assert_eq!(read(libc::SOL_IP, libc::IP_OPTIONS, 44), Some((false, 44)));
        assert_eq!(read(libc::SOL_IP, libc::IP_MULTICAST_IF, 64), Some((true, 12)));
        assert_eq!(read(libc::SOL_IP, libc::IP_MULTICAST_IF, 8), Some((true, 8)));
        assert_eq!(read(libc::SOL_IP, libc::IP_MULTICAST_IF, 7), Some((true, 4)));
        assert_eq!(read(libc::SOL_IPV6, libc::IPV6_ADD_MEMBERSHIP, 64), Some((true, 20)));
        assert_eq!(read(libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, 64), Some((true, 8)));
        assert_eq!(read(libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, 4), None);
        assert_eq!(read(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 64), None);
    }
}
