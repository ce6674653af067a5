//! Options of IPv4 as programs set, send and receive them (`ip(7)`: `IP_OPTIONS`, `IP_RECVOPTS`, `IP_RETOPTS`; RFC 791 §3.1).
//!
//! Checked as Linux checks them (`ip_options_compile`). Routes are recorded; source routes, which hosts do not honour (RFC 7126), and time
//! stamps are refused.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use prise_wire::ipv4::{
    self, OPTION_END, OPTION_NOP, OPTION_RECORD_ROUTE, OPTION_ROUTER_ALERT, OPTIONS_MAX, ROUTE_POINTER_MIN,
};
use prise_wire::{Body, Ipv4Options};

use crate::socket::Socket;
use crate::{Control, Errno};

/// Octets as a program gives them, filled up to whole words with ends of the list.
pub(crate) fn given(octets: &[u8]) -> Result<Ipv4Options, Errno> {
    if octets.len() > OPTIONS_MAX {
        return Err(Errno::EINVAL);
    }
    Ok(Ipv4Options::padded(octets))
}

/// Whether a program may send them.
pub(crate) fn check(options: &Ipv4Options, privileged: bool) -> Result<(), Errno> {
    let mut rest: &[u8] = options;
    loop {
        let after = match *rest {
            [] | [OPTION_END, ..] => return Ok(()),
            [OPTION_NOP, ref after @ ..] => after,
            [kind, len, ..] if len >= 2 && usize::from(len) <= rest.len() => {
                let (option, after) = rest.split_at(len.into());
                let well = match kind {
                    OPTION_RECORD_ROUTE => is_route(option),
                    OPTION_ROUTER_ALERT => len >= 4,
                    ipv4::OPTION_TIMESTAMP | ipv4::OPTION_LOOSE_SOURCE_ROUTE | ipv4::OPTION_STRICT_SOURCE_ROUTE => {
                        false
                    }
                    _ => privileged,
                };
                if !well {
                    return Err(Errno::EINVAL);
                }
                after
            }
            _ => return Err(Errno::EINVAL),
        };
        rest = after;
    }
}

/// Whether a record of a route has a pointer to a place in it, or is full.
fn is_route(option: &[u8]) -> bool {
    let (len, pointer) = (option.len(), option.get(2).copied().unwrap_or(0));
    pointer >= ROUTE_POINTER_MIN && (usize::from(pointer) > len || usize::from(pointer) + 3 <= len)
}

/// What a message carries: its control data's, or its socket's, with its sender in the route that is recorded.
pub(super) fn outgoing(socket: &Socket, control: &Control, source: IpAddr) -> Ipv4Options {
    let IpAddr::V4(source) = source else {
        return Ipv4Options::NONE;
    };
    let mut options = control
        .options
        .or_else(|| socket.ip_options())
        .unwrap_or(Ipv4Options::NONE);
    options.record_route(source);
    options
}

/// The options of a packet that begins with its header.
pub(super) fn of(packet: &Body) -> Option<Box<Ipv4Options>> {
    let header: Vec<u8> = packet.slice(0, ipv4::HEADER_MAX).to_vec();
    let len = usize::from(header.first()? & 0x0f) * 4;
    let octets = header.get(ipv4::HEADER_LEN..len).filter(|octets| !octets.is_empty())?;
    Some(Box::new(Ipv4Options::copy_from(octets)))
}
