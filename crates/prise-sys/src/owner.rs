//! Who is told by a signal that a file can be read or written (`O_ASYNC`), and by which signal: `F_SETOWN_EX` and `F_SETSIG` (fcntl(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// linux/fcntl.h; libc does not name them everywhere.
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;
const F_SETOWN_EX: libc::c_int = 15;
const F_GETOWN_EX: libc::c_int = 16;

/// `struct f_owner_ex`: a thread, a process or a group of processes.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// The owner of a file, of id 0 if there is none.
fn of(file: BorrowedFd<'_>) -> io::Result<Owner> {
    let mut owner = Owner::default();
    // SAFETY: the kernel writes one such structure.
    crate::check(unsafe { libc::fcntl(file.as_raw_fd(), F_GETOWN_EX, &raw mut owner) })?;
    Ok(owner)
}

/// Gives a file the owner and the signal of another. `EPERM` or `ESRCH` if the owner cannot be named, because it is gone or of another
/// name space.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let owner = of(from)?;
    if owner.id != 0 {
        // SAFETY: the kernel reads one such structure.
        crate::check(unsafe { libc::fcntl(to.as_raw_fd(), F_SETOWN_EX, &raw const owner) })?;
    }
    // SAFETY: nothing is passed by a pointer.
    let signal = crate::check(unsafe { libc::fcntl(from.as_raw_fd(), F_GETSIG) })?;
    // SAFETY: as before.
    crate::check(unsafe { libc::fcntl(to.as_raw_fd(), F_SETSIG, signal) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn a_copy_has_the_owner_and_the_signal_of_the_other() {
        let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        copy(from.as_fd(), to.as_fd()).unwrap();
        assert_eq!(of(to.as_fd()).unwrap().id, 0);
        let own = std::process::id().cast_signed();
        // SAFETY: nothing is passed by a pointer.
        unsafe {
            assert_eq!(libc::fcntl(from.as_raw_fd(), libc::F_SETOWN, own), 0);
            assert_eq!(libc::fcntl(from.as_raw_fd(), F_SETSIG, libc::SIGUSR1), 0);
        }
        copy(from.as_fd(), to.as_fd()).unwrap();
        assert_eq!(of(to.as_fd()).unwrap(), of(from.as_fd()).unwrap());
        assert_eq!(of(to.as_fd()).unwrap().id, own);
        // SAFETY: as before.
        assert_eq!(unsafe { libc::fcntl(to.as_raw_fd(), F_GETSIG) }, libc::SIGUSR1);
    }
}
