//! TUN devices (the kernel's Documentation/networking/tuntap.rst): a descriptor that carries bare IP packets, each
//! behind a virtio-net header that says what is still to be done to it.

use crate::check;
use crate::interface::InterfaceName;
use core::ffi::{c_int, c_short, c_uint};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// What the kernel may leave undone on packets that it hands over, and what it takes undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunOffload {
    /// Nothing: every packet is one of the wire.
    None,
    /// Checksums and trains of TCP segments.
    Tcp,
    /// Also trains of UDP datagrams (Linux 6.2).
    TcpAndUdp,
}

/// An open TUN device, not blocking.
#[derive(Debug)]
pub struct Tun {
    /// Reads and writes one packet at a time, each behind a virtio-net header of ten octets.
    pub file: File,
    /// What the kernel granted.
    pub offload: TunOffload,
}

/// What the frames of a device begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ethernet (`IFF_TAP`).
    Ethernet,
    /// IP (`IFF_TUN`).
    Ip,
}

/// Makes the device `name` in the caller's network name space, with that number, not blocking: it reads and writes one frame at
/// a time, without any header before it. Needs `CAP_NET_ADMIN`. `ResourceBusy`: another device has the number.
pub fn create(name: InterfaceName, kind: Kind, index: u32) -> io::Result<File> {
    let file = open_control()?;
    let index = c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: TUNSETIFINDEX reads one number, which is live.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFINDEX, &raw const index) })?;
    let kind = match kind {
        Kind::Ethernet => libc::IFF_TAP,
        Kind::Ip => libc::IFF_TUN,
    };
    attach(&file, name, kind | libc::IFF_NO_PI)?;
    Ok(file)
}

/// Attaches to the TUN device `name`, which is created if it does not exist and the caller may do that.
pub fn open(name: InterfaceName) -> io::Result<Tun> {
    let file = open_control()?;
    attach(&file, name, libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR)?;
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    let offload = if set_offload(&file, tcp | udp).is_ok() {
        TunOffload::TcpAndUdp
    } else if set_offload(&file, tcp).is_ok() {
        TunOffload::Tcp
    } else {
        TunOffload::None
    };
    Ok(Tun { file, offload })
}

fn open_control() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
}

fn attach(file: &File, name: InterfaceName, flags: c_int) -> io::Result<()> {
    let mut request = name.request();
    request.ifr_ifru.ifru_flags = flags as c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is live.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(())
}

fn set_offload(file: &File, features: c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number of flags and touches no memory.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) })?;
    Ok(())
}
