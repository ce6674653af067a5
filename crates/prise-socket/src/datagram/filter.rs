//! `SO_ATTACH_FILTER` and `SO_ATTACH_REUSEPORT_CBPF` (`socket(7)`, linux/filter.h) on datagram, ping and raw sockets.
//!
//! A filter is asked when a message is about to be received, not when it arrives: what came before the filter was attached is judged by it
//! too. A program that wants nothing else (libpcap's way: a filter that refuses all, a drain, the filter) sees no difference.

use alloc::sync::Arc;
use alloc::vec::Vec;

use core::net::{IpAddr, SocketAddr};

use prise_stack::bpf::{Packet, Program};
use prise_wire::Instant;

use super::receive::Message;
use crate::socket::{Flag, Socket, Transport};
use crate::{Errno, Host, Kind, SocketId};

/// Octets before the network header: an Ethernet header.
const LINK_HEADER: usize = 14;
const UDP_HEADER: usize = 8;

impl Host {
    /// `SO_ATTACH_FILTER`: `program` is the array that `struct sock_fprog` points to.
    ///
    /// # Errors
    /// `EPERM` after `SO_LOCK_FILTER`, `EINVAL` for a program that is none, `ENOPROTOOPT` for streams, whose segments nobody filters.
    pub fn attach_filter(&mut self, s: SocketId, program: &[u8]) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        if socket.kind == Kind::Stream {
            return Err(Errno::ENOPROTOOPT);
        }
        if socket.has(Flag::LockFilter) {
            return Err(Errno::EPERM);
        }
        let program = Program::new(program).map_err(|_| Errno::EINVAL)?;
        socket.extra_mut().filter = Some(Arc::new(program));
        self.wake(s);
        Ok(())
    }

    /// `SO_GET_FILTER`: the program that was attached, as it was given.
    pub fn filter(&self, s: SocketId) -> Result<Option<Vec<u8>>, Errno> {
        let extra = self.socket_ref(s)?.extra.as_ref();
        let program = extra.and_then(|extra| extra.filter.as_ref());
        Ok(program.map(|program| program.octets()))
    }

    /// `SO_DETACH_FILTER`.
    pub(crate) fn detach_filter(&mut self, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        if socket.has(Flag::LockFilter) {
            return Err(Errno::EPERM);
        }
        let had = socket.extra.as_mut().and_then(|extra| extra.filter.take());
        had.map(drop).ok_or(Errno::ENOENT)
    }

    /// `SO_ATTACH_REUSEPORT_CBPF`.
    ///
    /// # Errors
    /// As [`Host::attach_filter`]; `EINVAL` too for a socket without `SO_REUSEPORT`.
    pub fn attach_chooser(&mut self, now: Instant, s: SocketId, program: &[u8]) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        if !socket.is_udp() {
            return Err(Errno::ENOPROTOOPT);
        }
        if socket.has(Flag::LockFilter) {
            return Err(Errno::EPERM);
        }
        let program = Program::new(program).map_err(|_| Errno::EINVAL)?;
        if !socket.has(Flag::ReusePort) {
            return Err(Errno::EINVAL);
        }
        socket.extra_mut().chooser = Some(Arc::new(program));
        self.reconfigure(now, s);
        Ok(())
    }

    /// `SO_DETACH_REUSEPORT_BPF`.
    pub(crate) fn detach_chooser(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        if !socket.has(Flag::ReusePort) {
            return Err(Errno::EINVAL);
        }
        let had = socket.extra.as_mut().and_then(|extra| extra.chooser.take());
        had.ok_or(Errno::ENOENT)?;
        if let Transport::Udp(id) = socket.transport {
            self.stack.udp_set_chooser(id, None);
        }
        self.reconfigure(now, s);
        Ok(())
    }
}

impl Socket {
    /// How many octets of a message the filter keeps; none: nothing of it.
    pub(super) fn kept(&self, message: &Message) -> Option<usize> {
        let Some(filter) = self.extra.as_ref().and_then(|extra| extra.filter.as_deref()) else {
            return Some(usize::MAX);
        };
        let header = if self.is_udp() { UDP_HEADER } else { 0 };
        match filter.run(&seen(self, message).packet(message)) {
            0 => None,
            kept => Some((kept as usize).saturating_sub(header)),
        }
    }
}

/// A message with its headers.
struct Seen {
    octets: Vec<u8>,
    data: usize,
    payload: usize,
}

impl Seen {
    fn packet(&self, message: &Message) -> Packet<'_> {
        let ports = u32::from(message.src.port()) << 16 | u32::from(message.dst.port());
        Packet {
            octets: &self.octets,
            network: LINK_HEADER,
            data: self.data,
            payload: self.payload,
            protocol: ethernet_type(message.src),
            interface: message.link.interface_index(),
            hash: ports.wrapping_mul(0x9e37_79b1) | 1,
        }
    }
}

const fn ethernet_type(src: SocketAddr) -> u16 {
    if src.is_ipv4() { 0x0800 } else { 0x86dd }
}

/// Of a raw IPv4 message the header is there; all other headers are made up from what is known of them.
fn seen(socket: &Socket, message: &Message) -> Seen {
    let payload = message.payload.to_vec();
    let mut octets = alloc::vec![0; LINK_HEADER - 2];
    octets.extend_from_slice(&ethernet_type(message.src).to_be_bytes());
    if socket.kind == Kind::Raw && message.src.is_ipv4() {
        let header = payload.first().map_or(0, |first| usize::from(first & 0xf) * 4);
        octets.extend_from_slice(&payload);
        return Seen {
            octets,
            data: LINK_HEADER,
            payload: LINK_HEADER + header,
        };
    }
    let transport = if socket.is_udp() { UDP_HEADER } else { 0 };
    network_header(&mut octets, socket.protocol, message, transport + payload.len());
    let data = octets.len();
    if socket.is_udp() {
        for number in [
            message.src.port(),
            message.dst.port(),
            (UDP_HEADER + payload.len()) as u16,
            0,
        ] {
            octets.extend_from_slice(&number.to_be_bytes());
        }
    }
    octets.extend_from_slice(&payload);
    Seen {
        octets,
        data,
        payload: data + transport,
    }
}

fn network_header(octets: &mut Vec<u8>, protocol: u8, message: &Message, len: usize) {
    match (message.src.ip(), message.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            octets.extend_from_slice(&[0x45, message.tos]);
            octets.extend_from_slice(&((20 + len) as u16).to_be_bytes());
            octets.extend_from_slice(&[0, 0, 0x40, 0, message.hop_limit, protocol, 0, 0]);
            octets.extend_from_slice(&src.octets());
            octets.extend_from_slice(&dst.octets());
        }
        (src, dst) => {
            let word = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let first = 0x6000_0000 | u32::from(message.tos) << 20 | message.flow_label;
            octets.extend_from_slice(&first.to_be_bytes());
            octets.extend_from_slice(&(len as u16).to_be_bytes());
            octets.extend_from_slice(&[protocol, message.hop_limit]);
            octets.extend_from_slice(&word(src).octets());
            octets.extend_from_slice(&word(dst).octets());
        }
    }
}
