//! Packet sockets (packet(7)): the frames of an Ethernet interface, each behind a virtio-net header.

use crate::check;
use crate::interface::{self, InterfaceName};
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
    // Protocol 0: nothing is received before the socket is bound to its interface.
    // SAFETY: `socket` takes numbers and touches no memory.
    let raw = check(unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    })?;
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
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
    bind(fd, index)?;
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

fn bind(socket: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is live and its size is passed; the descriptor is borrowed, so it is open.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}
