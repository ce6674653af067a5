//! `IPPROTO_TCP`: `tcp(7)`, `do_tcp_setsockopt`, `do_tcp_getsockopt`.

use prise_stack::State;

use super::{Call, Entry, Get, On, Opt, Query, Set, entry, flag, number, signature, tcp_info};
use crate::Errno;
use crate::settings::CONGESTION;
use crate::socket::Flag;

const NO: Get = Get::Refuse(Errno::ENOPROTOOPT);
const INVALID: Get = Get::Refuse(Errno::EINVAL);
/// `struct tcp_repair_window`.
const WINDOW_LEN: usize = 20;
/// Connection repair is for checkpointing, and for the superuser.
const REPAIR: Set = Set::ReadOnly(Errno::EPERM);

pub(super) const TABLE: &[Entry] = &[
    entry(1, On::TCP, Set::Number(set_no_delay), Get::Flag(Flag::NoDelay)),
    entry(2, On::TCP, Set::Number(set_max_segment), Get::Number(max_segment)),
    flag(3, On::TCP, Flag::Cork),
    number(4, On::TCP, Opt::KeepIdle, 1, 32_767),
    number(5, On::TCP, Opt::KeepInterval, 1, 32_767),
    number(6, On::TCP, Opt::KeepCount, 1, 127),
    number(7, On::TCP, Opt::SynCount, 1, 127),
    entry(8, On::TCP, Set::Number(set_linger2), Get::Value(Opt::Linger2)),
    entry(9, On::TCP, Set::Number(set_defer_accept), Get::Number(defer_accept)),
    entry(10, On::TCP, Set::Number(set_window_clamp), Get::Number(window_clamp)),
    entry(11, On::TCP, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Octets(info)),
    entry(12, On::TCP, Set::Number(set_quick_ack), Get::Number(quick_ack)),
    entry(13, On::TCP, Set::Octets(set_congestion), Get::Octets(congestion)),
    entry(14, On::TCP, Set::Octets(signature::set), NO),
    entry(32, On::TCP, Set::Octets(signature::set_extended), NO),
    entry(16, On::TCP, Set::Strict(Flag::ThinLinear), Get::Flag(Flag::ThinLinear)),
    // TCP_THIN_DUPACK: checked and forgotten, on Linux too since RACK.
    entry(
        17,
        On::TCP,
        Set::Number(|_, value| {
            if matches!(value, 0 | 1) {
                Ok(())
            } else {
                Err(Errno::EINVAL)
            }
        }),
        Get::Fixed(0),
    ),
    number(18, On::TCP, Opt::UserTimeout, 0, i32::MAX),
    entry(19, On::TCP, REPAIR, Get::Fixed(0)),
    entry(20, On::TCP, REPAIR, INVALID),
    // TCP_QUEUE_SEQ: there is no queue under repair.
    entry(
        21,
        On::TCP,
        Set::Number(|call, _| {
            Err(if call.host.state(call.id) == State::Closed {
                Errno::EINVAL
            } else {
                Errno::EPERM
            })
        }),
        INVALID,
    ),
    entry(22, On::TCP, Set::Refuse(Errno::EINVAL), NO),
    // TCP_REPAIR_WINDOW: the length is looked at first.
    entry(
        29,
        On::TCP,
        REPAIR,
        Get::Octets(|query| {
            Err(if query.room == WINDOW_LEN {
                Errno::EPERM
            } else {
                Errno::EINVAL
            })
        }),
    ),
    entry(23, On::TCP, Set::Number(set_fast_open), Get::Value(Opt::FastOpenQueue)),
    // TCP_TIMESTAMP: the clock of the timestamp option.
    entry(
        24,
        On::TCP,
        REPAIR,
        Get::Number(|query| Ok(query.now.as_millis() as u32 as i32)),
    ),
    number(25, On::TCP, Opt::NotSentLowWater, i32::MIN, i32::MAX),
    // TCP_CC_INFO: neither CUBIC nor NewReno has any.
    entry(26, On::TCP, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Nothing),
    number(27, On::TCP, Opt::SaveSyn, 0, 2),
    entry(28, On::TCP, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Nothing),
    entry(
        30,
        On::TCP,
        Set::Number(set_fast_open_connect),
        Get::Flag(Flag::FastOpenConnect),
    ),
    entry(
        31,
        On::TCP,
        Set::Octets(|call| {
            Err(if call.value.is_empty() {
                Errno::EINVAL
            } else {
                Errno::ENOENT
            })
        }),
        Get::Nothing,
    ),
    entry(33, On::TCP, Set::Octets(set_fast_open_key), Get::Octets(fast_open_key)),
    entry(
        34,
        On::TCP,
        Set::Number(|call, value| match (value, call.state()) {
            (0 | 1, State::Closed | State::Listen) => {
                call.socket().flags.set(Flag::FastOpenNoCookie, value == 1);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }),
        Get::Flag(Flag::FastOpenNoCookie),
    ),
    // TCP_ZEROCOPY_RECEIVE: programs fall back to copying.
    entry(35, On::TCP, Set::ReadOnly(Errno::ENOPROTOOPT), INVALID),
    entry(36, On::TCP, Set::Strict(Flag::InQueue), Get::Flag(Flag::InQueue)),
    // No link of a run has a queue that looks at times of leaving (sch_fq), without which Linux keeps it, too, and nothing else.
    number(37, On::TCP, Opt::TransmitDelay, 0, (1 << 28) - 1),
    // TCP_IS_MPTCP: it never is.
    entry(43, On::TCP, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Fixed(0)),
    entry(
        44,
        On::TCP,
        Set::Number(|call, value| match value {
            1000..=120_000 => {
                call.socket().set_value(Opt::RtoMax, in_jiffies(value.into(), 4));
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }),
        Get::Value(Opt::RtoMax),
    ),
    entry(
        45,
        On::TCP,
        Set::Number(|call, value| set_micros(call, Opt::RtoMin, value)),
        Get::Value(Opt::RtoMin),
    ),
    entry(
        46,
        On::TCP,
        Set::Number(|call, value| set_micros(call, Opt::DelayedAckMax, value)),
        Get::Value(Opt::DelayedAckMax),
    ),
    // TCP_AO_REPAIR.
    entry(42, On::TCP, REPAIR, Get::Refuse(Errno::EPERM)),
];

impl Call<'_> {
    fn state(&self) -> State {
        self.host.state(self.id)
    }
}

/// The kernel keeps times in jiffies, of which `jiffy` is one, and shows what it has kept.
const fn in_jiffies(value: i64, jiffy: i64) -> i64 {
    (value + jiffy - 1) / jiffy * jiffy
}

/// From `TCP_TIMEOUT_MIN`, two jiffies, to `TCP_RTO_MIN`, 200 ms.
fn set_micros(call: &mut Call<'_>, opt: Opt, value: i32) -> Result<(), Errno> {
    const JIFFY: i64 = 4000;
    let value = in_jiffies(value.into(), JIFFY);
    if !(2 * JIFFY..=200_000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    call.socket().set_value(opt, value);
    Ok(())
}

/// 0 goes back to what the path gives.
fn set_max_segment(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// `TCP_MIN_MSS`.
    const MIN: i32 = 88;
    /// `MAX_TCP_WINDOW`.
    const MAX: i32 = 32_767;
    if value != 0 && !(MIN..=MAX).contains(&value) {
        return Err(Errno::EINVAL);
    }
    call.socket().set_value(Opt::MaxSegment, value.into());
    Ok(())
}

/// Of a connection, the segment size in use; before that what was set, or the least that everybody must accept.
fn max_segment(query: &mut Query<'_>) -> Result<i32, Errno> {
    /// RFC 9293 §3.7.1, as Linux's `tcp_init_sock` has it.
    const DEFAULT: i32 = 536;
    /// What time stamps take (RFC 7323), which a SYN always has.
    const STAMPS: i32 = 12;
    if query.host.state(query.id) == State::SynSent {
        return Ok(DEFAULT - STAMPS);
    }
    if let Some(info) = query.host.tcp_info(query.now, query.id) {
        return Ok(info.send_mss as i32);
    }
    Ok(match query.socket().value(Opt::MaxSegment) {
        0 => DEFAULT,
        set => set as i32,
    })
}

/// Negative: no FIN-WAIT-2 at all for orphans; 0: as the host has it; at most two minutes.
fn set_linger2(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// `TCP_FIN_TIMEOUT_MAX`.
    const MAX: i32 = 120;
    match value {
        0 => call.socket().unset_value(Opt::Linger2),
        value => call.socket().set_value(Opt::Linger2, value.clamp(-1, MAX).into()),
    }
    Ok(())
}

/// The kernel counts the wait for the first data in retransmissions of the SYN-ACK: after 1, 3, 7 … seconds, at most two minutes apart.
fn defer_accept_periods() -> impl Iterator<Item = (i64, i32)> {
    const RTO_MAX: i32 = 120;
    (1..=255).scan((0, 1), |(elapsed, timeout), count| {
        *elapsed += *timeout;
        *timeout = (*timeout * 2).min(RTO_MAX);
        Some((count, *elapsed))
    })
}

fn set_defer_accept(call: &mut Call<'_>, seconds: i32) -> Result<(), Errno> {
    let count = if seconds <= 0 {
        0
    } else {
        defer_accept_periods()
            .find(|(_, elapsed)| *elapsed >= seconds)
            .map_or(255, |(count, _)| count)
    };
    call.socket().set_value(Opt::DeferAccept, count);
    Ok(())
}

fn defer_accept(query: &mut Query<'_>) -> Result<i32, Errno> {
    let count = query.socket().value(Opt::DeferAccept);
    Ok(defer_accept_periods()
        .find(|(at, _)| *at == count)
        .map_or(0, |(_, elapsed)| elapsed))
}

/// Of a connection whose program has set none, what its buffer allows.
fn window_clamp(query: &mut Query<'_>) -> Result<i32, Errno> {
    let set = query.socket().value(Opt::WindowClamp) as i32;
    if set != 0 {
        return Ok(set);
    }
    let info = query.host.tcp_info(query.now, query.id);
    Ok(info.map_or(0, |info| info.receive_buffer as i32))
}

fn set_window_clamp(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    /// Half of `SOCK_MIN_RCVBUF`.
    const MIN: i32 = 1152;
    let value = match value {
        0 if call.state() == State::Closed => 0,
        0 => return Err(Errno::EINVAL),
        value => value.max(MIN),
    };
    call.socket().set_value(Opt::WindowClamp, value.into());
    Ok(())
}

fn info(query: &mut Query<'_>) -> Result<(), Errno> {
    let state = query.host.state(query.id);
    let snapshot = query.host.tcp_info(query.now, query.id);
    let backlog = query.host.info(query.id).filter(|_| state == State::Listen);
    let octets = tcp_info::encode(
        state,
        snapshot.as_ref(),
        backlog.map(|info| (info.receive_queue, info.send_queue)),
    );
    query.put(&octets);
    Ok(())
}

/// `TCP_CA_NAME_MAX`.
const NAME_SIZE: usize = 16;

fn set_congestion(call: &mut Call<'_>) -> Result<(), Errno> {
    if call.value.is_empty() {
        return Err(Errno::EINVAL);
    }
    let given = &call.value[..call.value.len().min(NAME_SIZE - 1)];
    let name = given.split(|octet| *octet == 0).next().unwrap_or_default();
    let index = CONGESTION
        .iter()
        .position(|known| known.0.as_bytes() == name)
        .ok_or(Errno::ENOENT)?;
    call.socket().set_value(Opt::Congestion, index as i64);
    Ok(())
}

fn congestion(query: &mut Query<'_>) -> Result<(), Errno> {
    let chosen = query
        .socket()
        .value_set(Opt::Congestion)
        .and_then(|index| CONGESTION.get(index as usize))
        .map(|known| known.1);
    // Where the program has not chosen, its connection says what link and host have.
    let running = chosen
        .or_else(|| query.host.tcp_info(query.now, query.id).map(|info| info.congestion))
        .unwrap_or_else(|| query.host.stack().congestion());
    let mut name = [0; NAME_SIZE];
    if let Some((known, _)) = CONGESTION.iter().find(|known| known.1 == running) {
        name[..known.len()].copy_from_slice(known.as_bytes());
    }
    query.put(&name);
    Ok(())
}

fn set_fast_open(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    if value < 0 || !matches!(call.state(), State::Closed | State::Listen) {
        return Err(Errno::EINVAL);
    }
    let length = value.min(crate::SOMAXCONN as i32);
    call.socket().set_value(Opt::FastOpenQueue, length.into());
    Ok(())
}

fn set_fast_open_connect(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    if !matches!(value, 0 | 1) {
        return Err(Errno::EINVAL);
    }
    if !call.host.is_fast_open_client() {
        return Err(Errno::EOPNOTSUPP);
    }
    if call.state() != State::Closed {
        return Err(Errno::EINVAL);
    }
    call.socket().flags.set(Flag::FastOpenConnect, value == 1);
    Ok(())
}

/// Not only kept: each call that sets it sends what is held.
fn set_no_delay(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    let (now, s) = (call.now, call.id);
    call.socket().flags.set(Flag::NoDelay, value != 0);
    if let Some(id) = call.host.connection(s).filter(|_| value != 0) {
        call.host.stack.tcp_push(now, id);
    }
    Ok(())
}

/// Not only kept: each call sends what is owed, or begins to delay.
fn set_quick_ack(call: &mut Call<'_>, value: i32) -> Result<(), Errno> {
    let (now, s) = (call.now, call.id);
    call.socket().set_value(Opt::QuickAck, i64::from(value != 0));
    if let Some(id) = call.host.connection(s) {
        call.host.stack.tcp_set_quick_ack(now, id, value.into());
    }
    Ok(())
}

/// What was set does not last: the exchange decides.
fn quick_ack(query: &mut Query<'_>) -> Result<i32, Errno> {
    Ok(match query.host.connection(query.id) {
        Some(id) => query.host.stack.tcp_quick_ack(id).into(),
        None => query.socket().value(Opt::QuickAck) as i32,
    })
}

fn set_fast_open_key(call: &mut Call<'_>) -> Result<(), Errno> {
    if !matches!(call.value.len(), 16 | 32) {
        return Err(Errno::EINVAL);
    }
    let key = call.value.to_vec();
    call.socket().extra_mut().fast_open_key = key;
    Ok(())
}

fn fast_open_key(query: &mut Query<'_>) -> Result<(), Errno> {
    if let Some(extra) = &query.socket().extra {
        let key = extra.fast_open_key.clone();
        query.put(&key);
    }
    Ok(())
}
