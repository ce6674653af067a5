//! The hint that a file carries about how long what is written to it will live: `F_SET_RW_HINT` and `F_GET_RW_HINT` (fcntl(2)).
//!
//! It belongs to the inode, so that every descriptor of a file shares it for as long as the file lives. Only block devices look at it;
//! on a socket it is a mark that nothing else touches.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// linux/fcntl.h; libc does not name them everywhere.
const F_GET_RW_HINT: libc::c_int = 1035;
const F_SET_RW_HINT: libc::c_int = 1036;

/// Gives a file the hint, 0 to 5 (linux/fcntl.h, `RWH_WRITE_LIFE_NOT_SET` to `RWH_WRITE_LIFE_EXTREME`). `EPERM` if it is another user's.
pub fn set(file: BorrowedFd<'_>, hint: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one integer.
    crate::check(unsafe { libc::fcntl(file.as_raw_fd(), F_SET_RW_HINT, &raw const hint) }).map(drop)
}

/// The hint that a file has; 0 if none was given.
pub fn get(file: BorrowedFd<'_>) -> io::Result<u64> {
    let mut hint = 0;
    // SAFETY: the kernel writes one integer.
    crate::check(unsafe { libc::fcntl(file.as_raw_fd(), F_GET_RW_HINT, &raw mut hint) })?;
    Ok(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn a_hint_is_seen_through_every_descriptor_of_a_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let copy = socket.try_clone().unwrap();
        assert_eq!(get(copy.as_fd()).unwrap(), 0);
        set(socket.as_fd(), 5).unwrap();
        assert_eq!(get(copy.as_fd()).unwrap(), 5);
        assert!(set(socket.as_fd(), 99).is_err());
    }
}
