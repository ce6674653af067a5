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
