//! `IPPROTO_UDP` and `IPPROTO_UDPLITE`: `udp(7)`, `udplite(7)`, `udp_lib_setsockopt`, `udp_lib_getsockopt`.

use super::{Call, Entry, Get, On, Opt, Set, entry, flag, number};
use crate::Errno;
use crate::protocol;
use crate::socket::Flag;

const ON: On = On::UDP;

pub(super) const TABLE: &[Entry] = &[
    entry(
        1,
        ON,
        Set::Number(|call, value| {
            call.socket().flags.set(Flag::UdpCork, value != 0);
            if value == 0 {
                call.host.push_corked(call.now, call.id)
            } else {
                Ok(())
            }
        }),
        Get::Flag(Flag::UdpCork),
    ),
    // UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV.
    entry(
        10,
        ON,
        Set::Number(|call, value| set_coverage(call, Opt::SendCoverage, value)),
        Get::Value(Opt::SendCoverage),
    ),
    entry(
        11,
        ON,
        Set::Number(|call, value| set_coverage(call, Opt::ReceiveCoverage, value)),
        Get::Value(Opt::ReceiveCoverage),
    ),
    // UDP_ENCAP: nothing is encapsulated.
    entry(
        100,
        ON,
        Set::Number(|_, value| if value == 0 { Ok(()) } else { Err(Errno::ENOPROTOOPT) }),
        Get::Fixed(0),
    ),
    flag(101, ON, Flag::NoCheck6Tx),
    flag(102, ON, Flag::NoCheck6Rx),
    number(103, ON, Opt::UdpSegment, 0, 65_535),
    flag(104, ON, Flag::UdpGro),
];

/// At least the header, at most what 16 bits can say; 0 is everything.
fn set_coverage(call: &mut Call<'_>, opt: Opt, value: i32) -> Result<(), Errno> {
    const HEADER: i32 = 8;
    if call.socket().protocol != protocol::UDP_LITE {
        return Err(Errno::ENOPROTOOPT);
    }
    let octets = match value {
        0 => 0,
        value => value.clamp(HEADER, i32::from(u16::MAX)),
    };
    call.socket().set_value(opt, octets.into());
    Ok(())
}
