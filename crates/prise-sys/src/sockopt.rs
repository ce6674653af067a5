//! Socket options by their numbers (`setsockopt(2)`, `getsockopt(2)`), and the queue of a TCP socket that tcp(7) tells by
//! ioctl: for programs that name options in data, where `rustix`'s typed functions do not reach.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `setsockopt(2)` with the octets of the value.
pub fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `value.len()` octets of a live slice.
    crate::check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `getsockopt(2)` into room for so many octets; answers those that the kernel wrote.
pub fn get(socket: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0_u8; room];
    let mut len = room as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets into a live buffer of that length, and the length into `len`.
    crate::check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len)
    })?;
    value.truncate(len as usize);
    Ok(value)
}

/// Octets of a TCP socket's send queue that were never sent: tcp(7) `SIOCOUTQNSD`.
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    /// linux/sockios.h; libc does not name it.
    const SIOCOUTQNSD: libc::c_ulong = 0x894b;
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    crate::check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD, &raw mut count) })?;
    Ok(count as usize)
}

/// Octets of a stream that have not arrived: tcp(7) `SIOCOUTQ`, unix(7).
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    crate::check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
    Ok(count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn an_option_that_was_set_is_read_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let on = 1_i32.to_ne_bytes();
        set(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &on).unwrap();
        let value = get(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 64).unwrap();
        assert_eq!(value, on);
        assert!(set(stream.as_fd(), libc::IPPROTO_TCP, 9999, &on).is_err());
        assert_eq!(unsent(stream.as_fd()).unwrap(), 0);
        assert_eq!(unacknowledged(stream.as_fd()).unwrap(), 0);
    }
}
