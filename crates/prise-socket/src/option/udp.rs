//! `IPPROTO_UDP`: `udp(7)`, `udp_lib_setsockopt`, `udp_lib_getsockopt`.

use super::{Entry, Get, On, Opt, Set, entry, flag, number};
use crate::Errno;
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
    // UDP-Lite's coverage.
    entry(10, ON, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Fixed(0)),
    entry(11, ON, Set::ReadOnly(Errno::ENOPROTOOPT), Get::Fixed(0)),
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
