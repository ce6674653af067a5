//! Packet sockets (packet(7)): the frames of an Ethernet interface, each behind a virtio-net header; and those that show frames to
//! others' packet sockets.

use crate::check;
use crate::interface::{self, InterfaceName};
use crate::sockopt;
use core::ffi::c_int;
use core::mem::size_of;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An open packet socket on one interface, not blocking.
#[derive(Debug)]
pub struct PacketSocket {
    /// Reads and writes one frame at a time, each behind a virtio-net header of ten octets. `File`, because a packet
    /// socket that is bound needs nothing but read and write.
    pub file: File,
    /// The interface's link address.
    pub mac: [u8; 6],
    /// The interface's MTU.
    pub mtu: u32,
}

/// Opens a packet socket on the Ethernet interface `name`, for all protocols and for frames to any address (the
/// interface is made promiscuous, since the stack has an address of its own). Frames that others send out of the
/// interface are not seen.
pub fn open(name: InterfaceName) -> io::Result<PacketSocket> {
    let socket = unbound()?;
    let fd = socket.as_fd();
    let index = interface::index(fd, name)?;
    let mtu = interface::mtu(fd, name)?;
    let Some(mac) = interface::mac(fd, name)? else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "not an Ethernet interface"));
    };
    let on: c_int = 1;
    set_option(fd, libc::PACKET_VNET_HDR, &on)?;
    set_option(fd, libc::PACKET_IGNORE_OUTGOING, &on)?;
    let promiscuous = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(fd, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)?;
    bind(fd, libc::ETH_P_ALL as u16, index)?;
    Ok(PacketSocket {
        file: File::from(socket),
        mac,
        mtu,
    })
}

/// Sets a `SOL_PACKET` option; `T` is the plain structure or number that packet(7) names for it.
fn set_option<T: Copy>(socket: BorrowedFd<'_>, name: c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the option value is live and its size is passed; the descriptor is borrowed, so it is open.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            core::ptr::from_ref(value).cast(),
            len,
        )
    })?;
    Ok(())
}

/// A socket that receives nothing (protocol 0) before it is bound.
fn unbound() -> io::Result<OwnedFd> {
    socket(libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
}

/// socket(2) of the family, in the caller's network name space, with whatever type, flags and protocol: the kernel's own
/// socket, and its own errors.
pub fn socket(kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes numbers and touches no memory.
    let raw = check(unsafe { libc::socket(libc::AF_PACKET, kind, protocol) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A socket that sends frames by every interface of the caller's network name space, each marked (`SO_MARK`), and receives none.
/// Needs `CAP_NET_ADMIN` or, since Linux 5.17, `CAP_NET_RAW`.
pub fn sender(mark: u32) -> io::Result<OwnedFd> {
    let socket = unbound()?;
    sockopt::set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes())?;
    Ok(socket)
}

/// Sends a frame: its octets, with the header of the interface's link layer, which tells the kernel of the protocol (Linux 5.1; of TUN
/// devices 5.8).
pub fn send(socket: BorrowedFd<'_>, index: u32, frame: &[u8]) -> io::Result<()> {
    let address = address(0, index as c_int);
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads a live slice and a live address of the lengths that are passed; the socket is borrowed, so it is open.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            len,
        )
    };
    check(sent)?;
    Ok(())
}

/// A socket that hears what is sent by an interface of the caller's network name space, but for what has that mark; not
/// blocking, with room for `room` octets where the caller may have it.
pub fn overhear(index: u32, but_mark: u32, room: u32) -> io::Result<OwnedFd> {
    let socket = unbound()?;
    let fd = socket.as_fd();
    let ancillary = |at: c_int| (libc::SKF_AD_OFF + at).cast_unsigned();
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let ret = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(load, 0, 0, ancillary(libc::SKF_AD_PKTTYPE)),
        step(equal, 0, 3, PACKET_OUTGOING),
        step(load, 0, 0, ancillary(libc::SKF_AD_MARK)),
        step(equal, 1, 0, but_mark),
        step(ret, 0, 0, u32::MAX),
        step(ret, 0, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the kernel reads a live `sock_fprog`, which names live instructions and how many; the socket is borrowed, so it is open.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            len,
        )
    })?;
    // Without the privilege it has the room that everybody has.
    let _ = sockopt::set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &room.to_ne_bytes());
    bind(fd, libc::ETH_P_ALL as u16, index as c_int)?;
    Ok(socket)
}

/// The next frame and the number of the interface by which it was sent; the frame is cut where the buffer ends. None if there is none.
pub fn receive<'a>(socket: BorrowedFd<'_>, buffer: &'a mut [u8]) -> io::Result<Option<(u32, &'a [u8])>> {
    let mut from = address(0, 0);
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes into a live buffer and a live address, no more than the lengths that are passed, and a live length.
    let got = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
            (&raw mut from).cast(),
            &raw mut len,
        )
    };
    match check(got) {
        Ok(len) => Ok(Some((from.sll_ifindex.cast_unsigned(), &buffer[..len.cast_unsigned()]))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many frames had no room in the socket since this was asked last (`PACKET_STATISTICS`).
pub fn lost(socket: BorrowedFd<'_>) -> io::Result<u32> {
    const ROOM: usize = size_of::<libc::tpacket_stats>();
    let told = sockopt::get(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, ROOM)?;
    let drops = told.get(core::mem::offset_of!(libc::tpacket_stats, tp_drops)..);
    let drops = drops.and_then(|octets| octets.first_chunk());
    Ok(drops.map_or(0, |drops| u32::from_ne_bytes(*drops)))
}

/// `PACKET_OUTGOING` (linux/if_packet.h), as a number of a filter.
const PACKET_OUTGOING: u32 = 4;

fn address(protocol: u16, index: c_int) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn bind(socket: BorrowedFd<'_>, protocol: u16, index: c_int) -> io::Result<()> {
    let address = address(protocol, index);
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is live and its size is passed; the descriptor is borrowed, so it is open.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}
