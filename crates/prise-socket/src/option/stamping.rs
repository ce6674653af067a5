//! `SO_TIMESTAMPING` and `SO_TXTIME`: `sock_set_timestamping`, `sock_get_timeout`'s neighbors in `sk_setsockopt`.

use super::socket::int_at;
use super::{Call, Opt, Query};
use crate::socket::Socket;
use crate::transmit_stamp::{NUMBERED, OF_SENDING};
use crate::{Errno, Kind};

/// `SO_TIMESTAMPING` by its newer number, which its control data then has, too.
const NEW_NAME: i32 = 65;
/// Set beside the program's flags: the newer number was used.
pub(crate) const BY_NEW_NAME: i64 = 1 << 32;
/// `SOF_TIMESTAMPING_MASK` of Linux 6.18.
const KNOWN: i32 = (1 << 19) - 1;
/// `SOF_TIMESTAMPING_OPT_CMSG`.
pub(crate) const WITH_CONTROL: i64 = 1 << 10;
/// `SOF_TIMESTAMPING_OPT_TSONLY`.
pub(crate) const STAMP_ONLY: i64 = 1 << 11;
/// `SOF_TIMESTAMPING_OPT_STATS`: goes with `OPT_TSONLY` only.
const STATISTICS: i32 = 1 << 12;
/// `SOF_TIMESTAMPING_BIND_PHC`: a clock of hardware, and no link of ours has one.
const HARDWARE_CLOCK: i32 = 1 << 15;
/// `SOF_TIMESTAMPING_OPT_ID_TCP`: goes with `OPT_ID` only.
const NUMBERED_TCP: i32 = 1 << 16;

/// Stamps by hardware may be asked for, and none come where there is no such hardware. Those of a stream's sends are refused where its sends
/// are not seen, rather than never told.
pub(super) fn set(call: &mut Call<'_>, name: i32, value: i32) -> Result<(), Errno> {
    let is_numbered = i64::from(value) & NUMBERED != 0;
    if value & !KNOWN != 0 || value & NUMBERED_TCP != 0 && !is_numbered {
        return Err(Errno::EINVAL);
    }
    let was_numbered = call.socket().value(Opt::Timestamping) & NUMBERED != 0;
    if call.socket().kind == Kind::Stream {
        if i64::from(value) & OF_SENDING != 0 && !call.host.tells_zero_copies(call.id) {
            return Err(Errno::EINVAL);
        }
        if is_numbered && !was_numbered {
            let (now, id) = (call.now, call.id);
            call.host.number_octets(now, id)?;
        }
    } else if is_numbered && !was_numbered {
        call.socket().set_value(Opt::StampBase, 0);
    }
    if value & STATISTICS != 0 && i64::from(value) & STAMP_ONLY == 0 {
        return Err(Errno::EINVAL);
    }
    if value & HARDWARE_CLOCK != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_new = name == NEW_NAME;
    let by_new_name = if is_new { BY_NEW_NAME } else { 0 };
    let socket = call.socket();
    socket.set_value(Opt::Timestamping, i64::from(value) | by_new_name);
    let others = NAMES
        .into_iter()
        .find(|names| names.contains(&socket.value(Opt::Timestamp)));
    if let Some(names) = others {
        socket.set_value(Opt::Timestamp, names[usize::from(is_new)]);
    }
    Ok(())
}

/// `SO_TIMESTAMP` and `SO_TIMESTAMPNS` by their older and their newer numbers. One flag says for all options of stamps which are meant
/// (`SOCK_TSTAMP_NEW`): the one that is set last.
const NAMES: [[i64; 2]; 2] = [[29, 63], [35, 64]];

/// `SO_TIMESTAMP` or `SO_TIMESTAMPNS` was set by `name`.
pub(super) fn by_names_of(socket: &mut Socket, name: i64) {
    if let Some(flags) = socket.value_set(Opt::Timestamping) {
        let is_new = NAMES.iter().any(|names| names[1] == name);
        let by_new_name = if is_new { BY_NEW_NAME } else { 0 };
        socket.set_value(Opt::Timestamping, flags & !BY_NEW_NAME | by_new_name);
    }
}

/// The flags and, as a `struct so_timestamping` has it, the hardware clock that is bound: none. By the newer number none where another of the
/// older ones was set since.
pub(super) fn get(query: &mut Query<'_>, name: i32) -> Result<(), Errno> {
    let flags = match query.socket().value(Opt::Timestamping) {
        flags if name == NEW_NAME && flags & BY_NEW_NAME == 0 => 0,
        flags => flags & !BY_NEW_NAME,
    };
    query.put(&flags.to_le_bytes());
    Ok(())
}

/// Set beside the numbers of `SO_TXTIME`: it was set.
pub(crate) const TIMED: i64 = 1 << 63;

/// `SO_TXTIME`: a clock and flags. Datagrams leave at once whatever time they carry, as they do where no queue of the link's goes by it.
pub(super) fn set_transmit_time(call: &mut Call<'_>) -> Result<(), Errno> {
    /// `CLOCK_REALTIME`, `CLOCK_MONOTONIC`, `CLOCK_TAI`.
    const CLOCKS: [i32; 3] = [0, MONOTONIC, 11];
    const MONOTONIC: i32 = 1;
    /// `SOF_TXTIME_DEADLINE_MODE`, `SOF_TXTIME_REPORT_ERRORS`.
    const FLAGS: i32 = 3;
    let (8, Some(clock), Some(flags)) = (call.value.len(), int_at(call.value, 0), int_at(call.value, 4)) else {
        return Err(Errno::EINVAL);
    };
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if clock != MONOTONIC && !call.is_privileged() {
        return Err(Errno::EPERM);
    }
    if !CLOCKS.contains(&clock) {
        return Err(Errno::EINVAL);
    }
    let both = i64::from(flags) << 32 | i64::from(clock);
    call.socket().set_value(Opt::TransmitTime, both | TIMED);
    Ok(())
}

pub(super) fn transmit_time(query: &mut Query<'_>) -> Result<(), Errno> {
    let both = query.socket().value(Opt::TransmitTime) & !TIMED;
    query.put(&both.to_le_bytes());
    Ok(())
}
