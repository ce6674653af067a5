//! What AF_UNIX sockets can tell that `rustix` does not reach: unix(7), sockios.h.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What this end has sent and the other has not read yet, in the kernel's own accounting (buffers with their overhead):
/// 0 when all was read. `SIOCOUTQ`.
pub fn unread_by_peer(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    crate::check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
    Ok(count as usize)
}

/// How many octets wait to be read: of a stream all, of datagrams the first one's. `SIOCINQ`.
pub fn readable(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    crate::check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(count as usize)
}

/// connect(2) with an address as the octets of its structure, whatever its family.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `address.len()` octets of a live slice.
    crate::check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// A message with its parts as octets: an address (none if empty), data, and control data in the kernel's layout, whose
/// descriptors are the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where it goes.
    pub address: &'a [u8],
    /// What it says.
    pub data: &'a [u8],
    /// What goes with it (cmsg(3)).
    pub control: &'a [u8],
}

/// sendmsg(2). How many octets were taken.
pub fn send_message(socket: BorrowedFd<'_>, message: Message<'_>, flags: i32) -> io::Result<usize> {
    let mut data = libc::iovec {
        iov_base: message.data.as_ptr().cast_mut().cast(),
        iov_len: message.data.len(),
    };
    let or_null = |octets: &[u8]| {
        if octets.is_empty() {
            core::ptr::null_mut()
        } else {
            octets.as_ptr().cast_mut().cast()
        }
    };
    // SAFETY: a structure of integers and pointers may be all zeros.
    let mut header: libc::msghdr = unsafe { core::mem::zeroed() };
    header.msg_name = or_null(message.address);
    header.msg_namelen = message.address.len() as libc::socklen_t;
    header.msg_iov = &raw mut data;
    header.msg_iovlen = 1;
    header.msg_control = or_null(message.control);
    header.msg_controllen = message.control.len();
    // SAFETY: the kernel only reads what the header points to: live slices of those lengths.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn queues_are_counted_at_both_ends() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.write_all(b"abc").unwrap();
        assert_eq!(readable(there.as_fd()).unwrap(), 3);
        assert!(unread_by_peer(here.as_fd()).unwrap() > 0);
        there.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(unread_by_peer(here.as_fd()).unwrap(), 0);
    }
}
