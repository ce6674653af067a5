//! `setsockopt(2)` and `getsockopt(2)` with the raw values of Linux x86-64.
//!
//! One table a level says for each option on which sockets it exists, what may be set and what is shown; what only stores a number or a flag is
//! told by its row alone, the rest by a function beside it. Values that an implementation without such a mechanism could only pretend to honour
//! are refused with the error that a kernel built without it gives.
#![allow(clippy::unnecessary_wraps, reason = "the functions of a table share one signature")]

pub(crate) mod ip;
mod ipv6;
mod multicast;
mod raw;
mod signature;
mod socket;
pub(crate) mod stamping;
mod tcp;
mod tcp_info;
mod udp;
mod values;

use alloc::vec::Vec;

use prise_stack::{Link, LinkId};
use prise_wire::Instant;

pub(crate) use values::{Opt, Values};

use crate::socket::{Flag, Socket};
use crate::{Errno, Family, Host, Kind, SocketId, protocol};

/// The levels, as Linux numbers them.
pub mod level {
    /// `IPPROTO_IP`.
    pub const IP: i32 = 0;
    /// `SOL_SOCKET`.
    pub const SOCKET: i32 = 1;
    /// `IPPROTO_TCP`.
    pub const TCP: i32 = 6;
    /// `IPPROTO_UDP`.
    pub const UDP: i32 = 17;
    /// `IPPROTO_UDPLITE`: the same options as UDP's.
    pub const UDP_LITE: i32 = 136;
    /// `IPPROTO_IPV6`.
    pub const IPV6: i32 = 41;
    /// `SOL_ICMPV6`.
    pub const ICMPV6: i32 = 58;
    /// `SOL_RAW`.
    pub const RAW: i32 = 255;
}

/// Kinds of sockets, one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct On(u8);

impl On {
    const TCP4: Self = Self(1);
    const TCP6: Self = Self(1 << 1);
    const UDP4: Self = Self(1 << 2);
    const UDP6: Self = Self(1 << 3);
    const PING4: Self = Self(1 << 4);
    const PING6: Self = Self(1 << 5);
    const RAW4: Self = Self(1 << 6);
    const RAW6: Self = Self(1 << 7);
    const ALL: Self = Self(0xff);
    const TCP: Self = Self::TCP4.or(Self::TCP6);
    const UDP: Self = Self::UDP4.or(Self::UDP6);
    const RAW: Self = Self::RAW4.or(Self::RAW6);
    const V6: Self = Self::TCP6.or(Self::UDP6).or(Self::PING6).or(Self::RAW6);

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn of(socket: &Socket) -> Self {
        let ping = socket.kind == Kind::Datagram && !socket.is_udp();
        match (socket.kind, ping, socket.family) {
            (Kind::Stream, _, Family::Inet) => Self::TCP4,
            (Kind::Stream, _, Family::Inet6) => Self::TCP6,
            (Kind::Datagram, false, Family::Inet) => Self::UDP4,
            (Kind::Datagram, false, Family::Inet6) => Self::UDP6,
            (Kind::Datagram, true, Family::Inet) => Self::PING4,
            (Kind::Datagram, true, Family::Inet6) => Self::PING6,
            (Kind::Raw, _, Family::Inet) => Self::RAW4,
            (Kind::Raw, _, Family::Inet6) => Self::RAW6,
        }
    }
}

/// What setting an option does.
#[derive(Clone, Copy)]
enum Set {
    /// Any number but 0 switches it on.
    Flag(Flag),
    /// The other way round: the flag says that it is off.
    Unflag(Flag),
    /// 0 and 1 only.
    Strict(Flag),
    /// A bit of [`Opt::Receive6`]: known to `getsockopt` only, because no packet that we pass on has the header in question.
    Bit(u8),
    /// A number between two, both inclusive.
    Range(Opt, i32, i32),
    /// Any number is accepted and none has an effect, on Linux as here.
    Ignore,
    /// Refused, whatever the value; [`Call::number`] is not even looked at.
    Refuse(Errno),
    /// Refused, if the value is long enough to be a number.
    ReadOnly(Errno),
    /// A number with an effect.
    Number(fn(&mut Call<'_>, i32) -> Result<(), Errno>),
    /// Octets with an effect.
    Octets(fn(&mut Call<'_>) -> Result<(), Errno>),
}

/// What is shown of an option.
#[derive(Clone, Copy)]
enum Get {
    Flag(Flag),
    Unflag(Flag),
    Bit(u8),
    Value(Opt),
    Fixed(i32),
    /// No octets at all.
    Nothing,
    Refuse(Errno),
    Number(fn(&mut Query<'_>) -> Result<i32, Errno>),
    Octets(fn(&mut Query<'_>) -> Result<(), Errno>),
}

/// One option.
struct Entry {
    name: i32,
    on: On,
    set: Set,
    get: Get,
}

const fn entry(name: i32, on: On, set: Set, get: Get) -> Entry {
    Entry { name, on, set, get }
}

/// A flag that reads as it is set.
const fn flag(name: i32, on: On, flag: Flag) -> Entry {
    entry(name, on, Set::Flag(flag), Get::Flag(flag))
}

/// A number that reads as it is set.
const fn number(name: i32, on: On, opt: Opt, min: i32, max: i32) -> Entry {
    entry(name, on, Set::Range(opt, min, max), Get::Value(opt))
}

/// One `setsockopt` being carried out.
struct Call<'a> {
    host: &'a mut Host,
    now: Instant,
    id: SocketId,
    level: i32,
    value: &'a [u8],
}

impl Call<'_> {
    fn socket(&mut self) -> &mut Socket {
        self.host
            .sockets
            .get_mut(self.id)
            .expect("set_option looked the socket up")
    }

    /// The value as the kernel reads an `int` at this level; shorter ones are a mistake, except for IP.
    fn number(&self) -> Result<i32, Errno> {
        match (self.value.first_chunk(), self.value.first()) {
            (Some(octets), _) => Ok(i32::from_le_bytes(*octets)),
            // ip_setsockopt: a single octet will do, and no octet is a zero.
            (None, octet) if self.level == level::IP => Ok(octet.map_or(0, |octet| i32::from(*octet))),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the owner has the kernel's network capabilities: the superuser.
    fn is_privileged(&mut self) -> bool {
        let default = self.host.owner;
        self.socket().owner(default) == 0
    }
}

/// One `getsockopt` being answered.
struct Query<'a> {
    host: &'a mut Host,
    now: Instant,
    id: SocketId,
    /// What the buffer holds that the value is to go into, where the caller knows; a few options ask something with it.
    given: &'a [u8],
    room: usize,
    out: &'a mut Vec<u8>,
}

impl Query<'_> {
    fn socket(&self) -> &Socket {
        self.host.sockets.get(self.id).expect("option looked the socket up")
    }

    fn put(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
}

/// What an unknown option answers to `setsockopt` and `getsockopt`.
fn unknown(socket: &Socket, level: i32, set: bool) -> Errno {
    let on = On::of(socket);
    if level == level::ICMPV6 && On::RAW6.has(on) && socket.protocol != protocol::ICMPV6 {
        // `rawv6_setsockopt`, `rawv6_getsockopt`: the level is not the protocol's.
        return Errno::EOPNOTSUPP;
    }
    let ours = match level {
        level::SOCKET | level::IP => true,
        level::TCP => On::TCP.has(on),
        level::UDP | level::UDP_LITE => On::UDP.has(on),
        level::RAW => On::RAW.has(on),
        _ => On::V6.has(on),
    };
    // A level that an IPv4 socket's protocol does not know: udp_getsockopt and its like answer so.
    if !set && !ours && !On::V6.has(on) {
        Errno::EOPNOTSUPP
    } else {
        Errno::ENOPROTOOPT
    }
}

fn find(on: On, level: i32, name: i32) -> Option<&'static Entry> {
    let table: &[Entry] = match level {
        level::SOCKET => socket::TABLE,
        level::IP => ip::TABLE,
        level::IPV6 => ipv6::TABLE,
        level::TCP => tcp::TABLE,
        level::UDP | level::UDP_LITE => udp::TABLE,
        level::RAW => raw::RAW,
        level::ICMPV6 => raw::ICMPV6,
        _ => &[],
    };
    table.iter().find(|entry| entry.name == name && entry.on.has(on))
}

impl Host {
    /// `setsockopt(2)` with the raw values of Linux x86-64. A negative length is the caller's to refuse (`EINVAL`).
    pub fn set_option(&mut self, now: Instant, s: SocketId, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let on = On::of(self.socket_ref(s)?);
        let call = &mut Call {
            host: self,
            now,
            id: s,
            level,
            value,
        };
        let found = find(on, level, name);
        // These levels read a number before they look at the name.
        let ours = match level {
            level::SOCKET => true,
            level::TCP => On::TCP.has(on),
            level::UDP | level::UDP_LITE => On::UDP.has(on),
            level::RAW => raw::reads_number_first(on),
            _ => false,
        };
        if ours && found.is_none() {
            call.number()?;
        }
        let entry = found.ok_or_else(|| unknown(call.socket(), level, true))?;
        let owner = call.host.owner;
        let before = call.socket().claim(owner);
        entry.apply(call)?;
        self.after_option(now, s, &before);
        Ok(())
    }

    /// `getsockopt(2)` into a buffer as large as the option needs; `out` is replaced.
    pub fn option(&mut self, now: Instant, s: SocketId, level: i32, name: i32, out: &mut Vec<u8>) -> Result<(), Errno> {
        /// Larger than the largest option.
        const ROOM: usize = 512;
        self.option_within(now, s, level, name, ROOM, out)
    }

    /// `getsockopt(2)` into a buffer of `room` octets, on which some options depend; `out` is replaced and not longer than that.
    pub fn option_within(
        &mut self,
        now: Instant,
        s: SocketId,
        level: i32,
        name: i32,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        self.option_asked(now, s, (level, name), &[], room, out)
    }

    /// Whether `getsockopt(2)` reads its buffer too for this option: then [`Host::option_asked`] wants its octets.
    pub const fn option_asks(level: i32, name: i32) -> bool {
        matches!((level, name), (level::IP, 41 | 48) | (level::IPV6, 32 | 48))
    }

    /// `getsockopt(2)` into a buffer of `room` octets that held `given`; see [`Host::option_asks`]. Of such an option `out` may be longer: as long as
    /// the count in `given` allows, because `ip_get_mcast_msfilter` and its like do not look at the buffer's length again.
    pub fn option_asked(
        &mut self,
        now: Instant,
        s: SocketId,
        (level, name): (i32, i32),
        given: &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        out.clear();
        let socket = self.socket_ref(s)?;
        let entry = find(On::of(socket), level, name).ok_or_else(|| unknown(socket, level, false))?;
        let query = &mut Query {
            host: self,
            now,
            id: s,
            given,
            room,
            out,
        };
        let value = match entry.get {
            Get::Flag(flag) => i32::from(query.socket().has(flag)),
            Get::Unflag(flag) => i32::from(!query.socket().has(flag)),
            Get::Bit(bit) => (query.socket().value(Opt::Receive6) >> bit & 1) as i32,
            Get::Value(opt) => {
                let set = query.socket().value_set(opt);
                set.unwrap_or_else(|| query.host.sysctls().default_of(opt)) as i32
            }
            Get::Fixed(value) => value,
            Get::Nothing => return Ok(()),
            Get::Refuse(errno) => return Err(errno),
            Get::Number(read) => read(query)?,
            Get::Octets(read) => {
                read(query)?;
                if !Self::option_asks(level, name) {
                    out.truncate(room);
                }
                return Ok(());
            }
        };
        // ip_getsockopt: a small number fits a single octet, if that is all the room there is.
        if level == level::IP && room > 0 && room < 4 && (0..=255).contains(&value) {
            out.push(value as u8);
        } else {
            out.extend_from_slice(&value.to_le_bytes());
            out.truncate(room);
        }
        Ok(())
    }

    /// An option may have changed what the socket holds of its port, or what the stack should do.
    fn after_option(&mut self, now: Instant, s: SocketId, before: &crate::ports::Claim) {
        self.claim_changed(s, before);
        self.reconfigure(now, s);
    }
}

impl Entry {
    fn apply(&self, call: &mut Call<'_>) -> Result<(), Errno> {
        match self.set {
            Set::Flag(flag) => {
                let on = call.number()? != 0;
                call.socket().flags.set(flag, on);
            }
            Set::Unflag(flag) => {
                let on = call.number()? != 0;
                call.socket().flags.set(flag, !on);
            }
            Set::Strict(flag) => match call.number()? {
                on @ (0 | 1) => call.socket().flags.set(flag, on == 1),
                _ => return Err(Errno::EINVAL),
            },
            Set::Bit(bit) => {
                let on = call.number()? != 0;
                let bits = call.socket().value(Opt::Receive6) & !(1 << bit) | i64::from(on) << bit;
                call.socket().set_value(Opt::Receive6, bits);
            }
            Set::Range(opt, min, max) => {
                let value = call.number()?;
                if !(min..=max).contains(&value) {
                    return Err(Errno::EINVAL);
                }
                call.socket().set_value(opt, value.into());
            }
            Set::Ignore => {
                call.number()?;
            }
            Set::Refuse(errno) => return Err(errno),
            Set::ReadOnly(errno) => {
                call.number()?;
                return Err(errno);
            }
            Set::Number(write) => {
                let value = call.number()?;
                write(call, value)?;
            }
            Set::Octets(write) => write(call)?,
        }
        Ok(())
    }
}

/// The link with an interface index that a program named, if there is one.
fn existing_link(host: &Host, index: i32) -> Option<LinkId> {
    let index = u32::try_from(index).ok()?;
    host.stack
        .links()
        .iter()
        .map(Link::id)
        .find(|link| link.interface_index() == index)
}

/// `IP_UNICAST_IF`, `IPV6_UNICAST_IF`: an index in network order; 0 for none.
fn unicast_interface(call: &mut Call<'_>, opt: Opt) -> Result<(), Errno> {
    let octets: [u8; 4] = call.value.try_into().map_err(|_| Errno::EINVAL)?;
    let index = i32::from_be_bytes(octets);
    if index != 0 {
        existing_link(call.host, index).ok_or(Errno::EADDRNOTAVAIL)?;
        // Of one that is bound to a device it must be that device's master, of which none has one here.
        if call.socket().value(Opt::Device) != 0 {
            return Err(Errno::EINVAL);
        }
    }
    call.socket().set_value(opt, index.into());
    Ok(())
}
