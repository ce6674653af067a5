//! The kernel's network interfaces by name (netdevice(7)): what links ask of them.

use crate::check;
use core::ffi::{c_int, c_short};
use core::mem;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The name of an interface as the kernel takes it: 1 to 15 octets, none of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceName([u8; libc::IFNAMSIZ]);

impl InterfaceName {
    /// `InvalidInput` if the kernel could not have an interface of this name.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut octets = [0; libc::IFNAMSIZ];
        if name.is_empty() || name.len() >= octets.len() || name.contains('\0') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an interface's name has 1 to 15 octets",
            ));
        }
        octets[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self(octets))
    }

    /// A request about this interface whose other fields are zero.
    pub(crate) fn request(self) -> libc::ifreq {
        // SAFETY: an `ifreq` is octets, numbers and addresses; all of them may be zero.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.0) {
            *to = from.cast_signed();
        }
        request
    }
}

/// Asks the kernel about an interface through any socket.
fn ask(socket: BorrowedFd<'_>, name: InterfaceName, question: libc::Ioctl) -> io::Result<libc::ifreq> {
    let mut request = name.request();
    exchange(socket, question, &mut request)?;
    Ok(request)
}

fn exchange(socket: BorrowedFd<'_>, question: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: each question passed here reads and writes one `ifreq`, which is live; the socket is borrowed, so it is
    // open.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), question, core::ptr::from_mut(request)) })?;
    Ok(())
}

/// Sets the interface's MTU (`SIOCSIFMTU`).
pub fn set_mtu(socket: BorrowedFd<'_>, name: InterfaceName, mtu: u32) -> io::Result<()> {
    let mut request = name.request();
    request.ifr_ifru.ifru_mtu = c_int::try_from(mtu).map_err(|_| io::ErrorKind::InvalidInput)?;
    exchange(socket, libc::SIOCSIFMTU, &mut request)
}

/// Sets the Ethernet address of an interface (`SIOCSIFHWADDR`).
pub fn set_mac(socket: BorrowedFd<'_>, name: InterfaceName, mac: [u8; 6]) -> io::Result<()> {
    let mut request = name.request();
    let mut address = libc::sockaddr {
        sa_family: libc::ARPHRD_ETHER,
        sa_data: [0; 14],
    };
    for (to, from) in address.sa_data.iter_mut().zip(mac) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_hwaddr = address;
    exchange(socket, libc::SIOCSIFHWADDR, &mut request)
}

/// Sets the interface up (`SIOCSIFFLAGS`).
pub fn set_up(socket: BorrowedFd<'_>, name: InterfaceName) -> io::Result<()> {
    let mut request = ask(socket, name, libc::SIOCGIFFLAGS)?;
    // SAFETY: the kernel has filled in `ifru_flags`; every bit pattern is a number.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as c_short;
    exchange(socket, libc::SIOCSIFFLAGS, &mut request)
}

/// Takes its IPv4 address from an interface (`SIOCSIFADDR` with the unspecified address). `socket` is one of IPv4's.
pub fn take_ipv4_address(socket: BorrowedFd<'_>, name: InterfaceName) -> io::Result<()> {
    let mut request = name.request();
    request.ifr_ifru.ifru_addr = libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: [0; 14],
    };
    exchange(socket, libc::SIOCSIFADDR, &mut request)
}

/// The interface's MTU (`SIOCGIFMTU`).
pub fn mtu(socket: BorrowedFd<'_>, name: InterfaceName) -> io::Result<u32> {
    let request = ask(socket, name, libc::SIOCGIFMTU)?;
    // SAFETY: the kernel has filled in `ifru_mtu`; every bit pattern is a number.
    let mtu: c_int = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(u32::try_from(mtu).unwrap_or(0))
}

/// The interface's number (`SIOCGIFINDEX`).
pub fn index(socket: BorrowedFd<'_>, name: InterfaceName) -> io::Result<c_int> {
    let request = ask(socket, name, libc::SIOCGIFINDEX)?;
    // SAFETY: the kernel has filled in `ifru_ifindex`; every bit pattern is a number.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The interface's link address (`SIOCGIFHWADDR`); `None` if it is not Ethernet.
pub fn mac(socket: BorrowedFd<'_>, name: InterfaceName) -> io::Result<Option<[u8; 6]>> {
    let request = ask(socket, name, libc::SIOCGIFHWADDR)?;
    // SAFETY: the kernel has filled in `ifru_hwaddr`, a plain `sockaddr`.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let octets = core::array::from_fn(|i| address.sa_data[i].cast_unsigned());
    Ok((address.sa_family == libc::ARPHRD_ETHER).then_some(octets))
}
