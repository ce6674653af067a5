//! `SOL_SOCKET`: `socket(7)`, `sk_setsockopt`, `sk_getsockopt`.

use prise_stack::State;

use super::{Call, Entry, Get, On, Opt, Query, Set, entry, flag, number, stamping};
use crate::Errno;
use crate::socket::Flag;

const READ_ONLY: Set = Set::ReadOnly(Errno::ENOPROTOOPT);

pub(super) const TABLE: &[Entry] = &[
    entry(1, On::ALL, Set::Number(set_debug), Get::Flag(Flag::Debug)),
    flag(2, On::ALL, Flag::ReuseAddr),
    entry(
        3,
        On::ALL,
        READ_ONLY,
        Get::Number(|query| Ok(query.socket().kind.raw())),
    ),
    entry(4, On::ALL, READ_ONLY, Get::Number(take_error)),
    flag(5, On::ALL, Flag::DontRoute),
    flag(6, On::ALL, Flag::Broadcast),
    entry(
        7,
        On::ALL,
        Set::Number(|call, value| set_send_buffer(call, bounded(value))),
        Get::Number(send_buffer),
    ),
    entry(
        8,
        On::ALL,
        Set::Number(|call, value| set_receive_buffer(call, bounded(value))),
        Get::Number(receive_buffer),
    ),
    flag(9, On::ALL, Flag::KeepAlive),
    flag(10, On::ALL, Flag::OobInline),
    flag(11, On::ALL, Flag::NoCheck),
    entry(12, On::ALL, Set::Number(set_priority), Get::Value(Opt::Priority)),
    entry(13, On::ALL, Set::Octets(set_linger), Get::Octets(linger)),
    // SO_BSDCOMPAT, obsolete; SO_PASSCRED, SO_PASSSEC, SO_PASSRIGHTS and SO_PASSPIDFD are for AF_UNIX.
    entry(14, On::ALL, Set::Ignore, Get::Fixed(0)),
    flag(15, On::ALL, Flag::ReusePort),
    entry(
        16,
        On::ALL,
        Set::ReadOnly(Errno::EOPNOTSUPP),
        Get::Refuse(Errno::EOPNOTSUPP),
    ),
    entry(
        34,
        On::ALL,
        Set::ReadOnly(Errno::EOPNOTSUPP),
        Get::Refuse(Errno::EOPNOTSUPP),
    ),
    entry(
        76,
        On::ALL,
        Set::ReadOnly(Errno::EOPNOTSUPP),
        Get::Refuse(Errno::EOPNOTSUPP),
    ),
    entry(
        83,
        On::ALL,
        Set::ReadOnly(Errno::EOPNOTSUPP),
        Get::Refuse(Errno::EOPNOTSUPP),
    ),
    // SO_PEERCRED: nobody, as sockets without a local peer have it.
    entry(
        17,
        On::ALL,
        READ_ONLY,
        Get::Octets(|query| {
            query.put(&0i32.to_le_bytes());
            query.put(&[0xff; 8]);
            Ok(())
        }),
    ),
    entry(
        18,
        On::ALL,
        Set::Number(set_low_water),
        Get::Value(Opt::ReceiveLowWater),
    ),
    entry(19, On::ALL, READ_ONLY, Get::Fixed(1)),
    // SO_RCVTIMEO and SO_SNDTIMEO, by their old and new numbers: the same on 64-bit systems.
    entry(
        20,
        On::ALL,
        Set::Octets(|call| set_timeout(call, Opt::ReceiveTimeout)),
        Get::Octets(|query| timeout(query, Opt::ReceiveTimeout)),
    ),
    entry(
        66,
        On::ALL,
        Set::Octets(|call| set_timeout(call, Opt::ReceiveTimeout)),
        Get::Octets(|query| timeout(query, Opt::ReceiveTimeout)),
    ),
    entry(
        21,
        On::ALL,
        Set::Octets(|call| set_timeout(call, Opt::SendTimeout)),
        Get::Octets(|query| timeout(query, Opt::SendTimeout)),
    ),
    entry(
        67,
        On::ALL,
        Set::Octets(|call| set_timeout(call, Opt::SendTimeout)),
        Get::Octets(|query| timeout(query, Opt::SendTimeout)),
    ),
    entry(25, On::ALL, Set::Octets(bind_to_device), Get::Octets(device)),
    entry(62, On::ALL, Set::Number(bind_to_index), Get::Value(Opt::Device)),
    // SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF point into memory: see `Host::attach_filter`.
    entry(
        27,
        On::ALL,
        Set::Number(|call, _| call.host.detach_filter(call.id)),
        Get::Refuse(Errno::ENOPROTOOPT),
    ),
    entry(
        68,
        On::ALL,
        Set::Number(|call, _| call.host.detach_chooser(call.now, call.id)),
        Get::Refuse(Errno::ENOPROTOOPT),
    ),
    entry(28, On::ALL, READ_ONLY, Get::Octets(peer_name)),
    entry(
        30,
        On::ALL,
        READ_ONLY,
        Get::Number(|query| {
            Ok(i32::from(matches!(
                query.socket().transport,
                crate::socket::Transport::Listener(_)
            )))
        }),
    ),
    entry(
        29,
        On::ALL,
        Set::Number(|call, value| set_timestamp(call, 29, value)),
        Get::Number(|query| Ok(timestamp(query, 29))),
    ),
    entry(
        35,
        On::ALL,
        Set::Number(|call, value| set_timestamp(call, 35, value)),
        Get::Number(|query| Ok(timestamp(query, 35))),
    ),
    entry(
        63,
        On::ALL,
        Set::Number(|call, value| set_timestamp(call, 63, value)),
        Get::Number(|query| Ok(timestamp(query, 63))),
    ),
    entry(
        64,
        On::ALL,
        Set::Number(|call, value| set_timestamp(call, 64, value)),
        Get::Number(|query| Ok(timestamp(query, 64))),
    ),
    entry(
        37,
        On::ALL,
        Set::Number(|call, value| stamping::set(call, 37, value)),
        Get::Octets(|query| stamping::get(query, 37)),
    ),
    entry(
        65,
        On::ALL,
        Set::Number(|call, value| stamping::set(call, 65, value)),
        Get::Octets(|query| stamping::get(query, 65)),
    ),
    entry(
        32,
        On::ALL,
        Set::Number(|call, value| {
            call.privileged()?;
            set_send_buffer(call, value.max(0))
        }),
        Get::Refuse(Errno::ENOPROTOOPT),
    ),
    entry(
        33,
        On::ALL,
        Set::Number(|call, value| {
            call.privileged()?;
            set_receive_buffer(call, value.max(0))
        }),
        Get::Refuse(Errno::ENOPROTOOPT),
    ),
    entry(
        36,
        On::ALL,
        Set::Number(|call, value| {
            call.privileged()?;
            call.socket().set_value(Opt::Mark, value.into());
            Ok(())
        }),
        Get::Value(Opt::Mark),
    ),
    entry(
        38,
        On::ALL,
        READ_ONLY,
        Get::Number(|query| Ok(query.socket().protocol.into())),
    ),
    entry(
        39,
        On::ALL,
        READ_ONLY,
        Get::Number(|query| Ok(query.socket().family.raw())),
    ),
    flag(40, On::ALL, Flag::RxqOverflow),
    flag(41, On::ALL, Flag::WifiStatus),
    number(42, On::TCP.or(On::UDP), Opt::PeekOffset, i32::MIN, i32::MAX),
    entry(
        42,
        On::ALL,
        Set::ReadOnly(Errno::EOPNOTSUPP),
        Get::Refuse(Errno::EOPNOTSUPP),
    ),
    flag(43, On::ALL, Flag::NoFcs),
    entry(44, On::ALL, Set::Number(lock_filter), Get::Flag(Flag::LockFilter)),
    flag(45, On::ALL, Flag::SelectErrQueue),
    number(46, On::ALL, Opt::BusyPoll, 0, i32::MAX),
    entry(
        47,
        On::ALL,
        Set::Octets(set_pacing_rate),
        Get::Octets(|query| {
            let rate = query.socket().value(Opt::PacingRate);
            query.put(&rate.to_le_bytes());
            Ok(())
        }),
    ),
    // SO_BPF_EXTENSIONS: how many a filter may use (SKF_AD_MAX).
    entry(48, On::ALL, READ_ONLY, Get::Fixed(64)),
    entry(
        49,
        On::ALL,
        Set::Range(Opt::IncomingCpu, i32::MIN, i32::MAX),
        Get::Number(incoming_cpu),
    ),
    entry(53, On::ALL, Set::Ignore, Get::Refuse(Errno::ENOPROTOOPT)),
    entry(55, On::ALL, READ_ONLY, Get::Octets(memory)),
    entry(56, On::ALL, READ_ONLY, Get::Fixed(0)),
    entry(57, On::ALL, READ_ONLY, Get::Octets(cookie)),
    entry(59, On::ALL, READ_ONLY, Get::Refuse(Errno::ENODATA)),
    // SO_ZEROCOPY: where sends do not come through here, nothing could tell when they are done; programs fall back when it is refused.
    entry(
        60,
        On::TCP.or(On::UDP),
        Set::Number(|call, value| match value {
            _ if call.socket().protocol == crate::protocol::UDP_LITE => Err(Errno::EOPNOTSUPP),
            0 | 1 => call.host.set_zero_copy(call.id, value == 1),
            _ => Err(Errno::EINVAL),
        }),
        Get::Value(Opt::ZeroCopy),
    ),
    entry(60, On::ALL, Set::ReadOnly(Errno::EOPNOTSUPP), Get::Fixed(0)),
    entry(
        61,
        On::ALL,
        Set::Octets(stamping::set_transmit_time),
        Get::Octets(stamping::transmit_time),
    ),
    entry(
        69,
        On::ALL,
        Set::Number(|call, value| {
            if value != 0 {
                call.privileged()?;
            }
            call.socket().flags.set(Flag::PreferBusyPoll, value != 0);
            Ok(())
        }),
        Get::Flag(Flag::PreferBusyPoll),
    ),
    entry(
        70,
        On::ALL,
        Set::Number(|call, value| match value {
            ..0 => Err(Errno::EINVAL),
            0 => Ok(()),
            _ => call.privileged().and_then(|()| {
                let kept = u16::try_from(value);
                kept.map(|_| ()).map_err(|_| Errno::EINVAL)
            }),
        }),
        Get::Refuse(Errno::ENOPROTOOPT),
    ),
    entry(
        71,
        On::ALL,
        READ_ONLY,
        Get::Octets(|query| {
            if query.room != 8 {
                return Err(Errno::EINVAL);
            }
            query.put(&1u64.to_le_bytes());
            Ok(())
        }),
    ),
    number(72, On::ALL, Opt::BufferLock, 0, 3),
    // SO_PEERPIDFD: no local peer.
    entry(77, On::ALL, READ_ONLY, Get::Refuse(Errno::ENODATA)),
    entry(
        73,
        On::ALL,
        Set::Number(|_, value| Err(if value < 0 { Errno::EINVAL } else { Errno::EOPNOTSUPP })),
        Get::Fixed(0),
    ),
    entry(
        74,
        On::TCP,
        Set::Number(|call, value| match value {
            -1..=1 => {
                call.socket().flags.set(Flag::TxRehashOff, value == 0);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }),
        Get::Unflag(Flag::TxRehashOff),
    ),
    entry(
        74,
        On::ALL,
        Set::ReadOnly(Errno::EOPNOTSUPP),
        Get::Refuse(Errno::EOPNOTSUPP),
    ),
    flag(75, On::ALL, Flag::ReceiveMark),
    flag(82, On::ALL, Flag::ReceivePriority),
];

impl Call<'_> {
    fn privileged(&mut self) -> Result<(), Errno> {
        if self.is_privileged() {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }
}

fn set_debug(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    if value != 0 && !call.is_privileged() {
        return Err(Errno::EACCES);
    }
    call.socket().flags.set(Flag::Debug, value != 0);
    Ok(())
}

fn take_error(query: &mut Query<'_>) -> Result<i32, Errno> {
    let pending = query.host.take_error(query.id);
    // sock_getsockopt: if there is none, the soft error that did not end the connection.
    let error = pending.or_else(|| query.host.take_soft_error(query.id));
    Ok(error.map_or(0, Errno::raw))
}

/// What a buffer may be set to (`net.core.rmem_max`, `wmem_max`); a negative number is a very large one.
fn bounded(value: i32) -> i32 {
    const BUFFER_MAX: u32 = 4 << 20;
    (value as u32).min(BUFFER_MAX) as i32
}

fn set_send_buffer(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// `SOCK_MIN_SNDBUF`.
    const MIN: i64 = 4608;
    set_buffer(
        call,
        Opt::SendBuffer,
        (i64::from(value) * 2).clamp(MIN, i32::MAX.into()),
        1,
    )
}

fn set_receive_buffer(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// `SOCK_MIN_RCVBUF`.
    const MIN: i64 = 2304;
    set_buffer(
        call,
        Opt::ReceiveBuffer,
        (i64::from(value) * 2).clamp(MIN, i32::MAX.into()),
        2,
    )
}

fn set_buffer(call: &mut Call<'_>, opt: Opt, doubled: i64, lock: i64) -> Result<(), Errno> {
    let socket = call.socket();
    let locked = socket.value(Opt::BufferLock) | lock;
    socket.set_value(opt, doubled);
    socket.set_value(Opt::BufferLock, locked);
    Ok(())
}

fn send_buffer(query: &mut Query<'_>) -> Result<i32, Errno> {
    /// `net.ipv4.tcp_wmem`'s default.
    const STREAM: i32 = 16_384;
    buffer(query, Opt::SendBuffer, STREAM)
}

fn receive_buffer(query: &mut Query<'_>) -> Result<i32, Errno> {
    /// `net.ipv4.tcp_rmem`'s default.
    const STREAM: i32 = 131_072;
    buffer(query, Opt::ReceiveBuffer, STREAM)
}

fn buffer(query: &Query<'_>, opt: Opt, of_stream: i32) -> Result<i32, Errno> {
    let socket = query.socket();
    if let Some(value) = socket.value_set(opt) {
        return Ok(value as i32);
    }
    if socket.kind != crate::Kind::Stream {
        return Ok(opt.default() as i32);
    }
    // A connection's buffers grow by measurement.
    let info = query.host.tcp_info(query.now, query.id);
    Ok(info.map_or(of_stream, |info| {
        let grown = if opt == Opt::SendBuffer {
            info.send_buffer
        } else {
            info.receive_buffer
        };
        (grown.min(i32::MAX as u32 / 2) as i32 * 2).max(of_stream)
    }))
}

fn set_priority(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    if !(0..=6).contains(&value) {
        call.privileged()?;
    }
    call.socket().set_value(Opt::Priority, value.into());
    Ok(())
}

fn set_linger(call: &mut Call<'_>) -> Result<(), Errno> {
    let (Some(on), Some(seconds)) = (int_at(call.value, 0), int_at(call.value, 4)) else {
        return Err(Errno::EINVAL);
    };
    // sk_lingertime survives switching off, but nothing new is written to it then.
    let kept = lingered(call.socket().value(Opt::Linger));
    let seconds = match (on, seconds) {
        (0, _) => kept,
        (_, ..0) => FOR_EVER,
        (_, seconds) => seconds.into(),
    };
    call.socket()
        .set_value(Opt::Linger, if on == 0 { -1 - seconds } else { seconds });
    Ok(())
}

/// A negative number of seconds: `MAX_SCHEDULE_TIMEOUT`, as many seconds as the kernel's clock can count.
const FOR_EVER: i64 = i64::MAX / 250;

/// The time of an option value, on or off.
const fn lingered(value: i64) -> i64 {
    if value < 0 { -1 - value } else { value }
}

fn linger(query: &mut Query<'_>) -> Result<(), Errno> {
    let value = query.socket().value(Opt::Linger);
    query.put(&i32::from(value >= 0).to_le_bytes());
    query.put(&(lingered(value) as u32).to_le_bytes());
    Ok(())
}

fn set_low_water(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// A stream that waits for more than its buffer holds would wait for ever (`tcp_set_rcvlowat`): half of `tcp_rmem`'s maximum.
    const STREAM_MAX: i64 = 16 << 20;
    let wanted = match value {
        ..0 => i64::from(i32::MAX),
        0 => 1,
        value => value.into(),
    };
    let stream = call.socket().kind == crate::Kind::Stream;
    call.socket().set_value(
        Opt::ReceiveLowWater,
        if stream { wanted.min(STREAM_MAX) } else { wanted },
    );
    let id = call.id;
    call.host.wake(id);
    Ok(())
}

/// `sock_set_timeout`: a `struct timeval`; negative seconds do not wait at all, which is as good as a microsecond here.
fn set_timeout(call: &mut Call<'_>, opt: Opt) -> Result<(), Errno> {
    /// The kernel counts in jiffies: what it shows has been rounded up to one.
    const JIFFY: i64 = 4000;
    let (Some(seconds), Some(micros)) = (long_at(call.value, 0), long_at(call.value, 8)) else {
        return Err(Errno::EINVAL);
    };
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    let value = if seconds < 0 {
        0
    } else {
        seconds
            .saturating_mul(1_000_000)
            .saturating_add((micros + JIFFY - 1) / JIFFY * JIFFY)
    };
    call.socket().set_value(opt, value);
    Ok(())
}

fn timeout(query: &mut Query<'_>, opt: Opt) -> Result<(), Errno> {
    let micros = query.socket().value(opt);
    query.put(&(micros / 1_000_000).to_le_bytes());
    query.put(&(micros % 1_000_000).to_le_bytes());
    Ok(())
}

fn bind_to_device(call: &mut Call<'_>) -> Result<(), Errno> {
    /// `IFNAMSIZ`, less the terminating zero.
    const NAME_MAX: usize = 15;
    let name = call.value.split(|octet| *octet == 0).next().unwrap_or_default();
    let name = &name[..name.len().min(NAME_MAX)];
    let index = if name.is_empty() {
        0
    } else {
        let links = call.host.stack.links();
        let link = links
            .iter()
            .find(|link| link.name().as_bytes() == name)
            .ok_or(Errno::ENODEV)?;
        link.id().interface_index() as i32
    };
    bind_to_index(call, index)
}

fn bind_to_index(call: &mut Call<'_>, index: i32) -> Result<(), Errno> {
    // Unprivileged programs may choose a link, but not change their mind.
    if call.socket().value(Opt::Device) != 0 {
        call.privileged()?;
    }
    if index < 0 {
        return Err(Errno::EINVAL);
    }
    call.socket().set_value(Opt::Device, index.into());
    Ok(())
}

fn device(query: &mut Query<'_>) -> Result<(), Errno> {
    /// `IFNAMSIZ`.
    const NAME_SIZE: usize = 16;
    let index = query.socket().value(Opt::Device);
    if index == 0 {
        return Ok(());
    }
    if query.room < NAME_SIZE {
        return Err(Errno::EINVAL);
    }
    let links = query.host.stack.links();
    let link = links
        .iter()
        .find(|link| i64::from(link.id().interface_index()) == index)
        .ok_or(Errno::ENODEV)?;
    query.out.extend_from_slice(link.name().as_bytes());
    query.out.push(0);
    Ok(())
}

fn peer_name(query: &mut Query<'_>) -> Result<(), Errno> {
    let peer = query.host.peer_addr(query.id)?;
    let octets = crate::sockaddr::encode(peer);
    if octets.len() < query.room {
        return Err(Errno::EINVAL);
    }
    query.put(&octets);
    Ok(())
}

fn set_timestamp(call: &mut Call<'_>, name: i64, value: i32) -> Result<(), Errno> {
    let socket = call.socket();
    socket.set_value(Opt::Timestamp, if value == 0 { 0 } else { name });
    if value != 0 {
        stamping::by_names_of(socket, name);
    }
    Ok(())
}

/// Whether they were asked for by that name; who asked for nanoseconds by the newer is said to have asked for microseconds by it too
/// (`sk_getsockopt`).
fn timestamp(query: &Query<'_>, name: i64) -> i32 {
    const MICROSECONDS_NEW: i64 = 63;
    const NANOSECONDS_NEW: i64 = 64;
    let asked = query.socket().value(Opt::Timestamp);
    i32::from(asked == name || (asked, name) == (NANOSECONDS_NEW, MICROSECONDS_NEW))
}

fn lock_filter(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    if value == 0 && call.socket().has(Flag::LockFilter) {
        return Err(Errno::EPERM);
    }
    call.socket().flags.set(Flag::LockFilter, value != 0);
    Ok(())
}

fn set_pacing_rate(call: &mut Call<'_>) -> Result<(), Errno> {
    let rate = match (long_at(call.value, 0), call.number()?) {
        (Some(rate), _) => rate,
        (_, -1) => -1,
        (_, rate) => (rate as u32).into(),
    };
    call.socket().set_value(Opt::PacingRate, rate);
    Ok(())
}

/// `SO_MEMINFO`: nine numbers, of which the queues and their limits mean something here.
fn memory(query: &mut Query<'_>) -> Result<(), Errno> {
    let receive = query.host.receive_queue(query.id).unwrap_or(0) as u32;
    let send = query.host.send_queue(query.id).unwrap_or(0) as u32;
    let (receive_max, send_max) = (receive_buffer(query)? as u32, send_buffer(query)? as u32);
    for number in [receive, receive_max, send, send_max, 0, send, 0, 0, 0] {
        query.put(&number.to_le_bytes());
    }
    Ok(())
}

/// `SO_INCOMING_CPU`: what was set, or the processor of the last packet, of which a connection has had some; there is one here.
fn incoming_cpu(query: &mut Query<'_>) -> Result<i32, Errno> {
    let set = query.socket().value_set(Opt::IncomingCpu);
    let connected = !matches!(
        query.host.state(query.id),
        State::Closed | State::Listen | State::SynSent
    );
    Ok(set.map_or(if connected { 0 } else { -1 }, |value| value as i32))
}

fn cookie(query: &mut Query<'_>) -> Result<(), Errno> {
    if query.room < 8 {
        return Err(Errno::EINVAL);
    }
    query.put(&query.id.to_bits().to_le_bytes());
    Ok(())
}

pub(super) fn int_at(octets: &[u8], at: usize) -> Option<i32> {
    octets
        .get(at..)?
        .first_chunk()
        .map(|octets| i32::from_le_bytes(*octets))
}

fn long_at(octets: &[u8], at: usize) -> Option<i64> {
    octets
        .get(at..)?
        .first_chunk()
        .map(|octets| i64::from_le_bytes(*octets))
}
