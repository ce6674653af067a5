//! The descriptors that this process was started with: what they are, and how to keep a program from having them.

use std::io;
use std::os::fd::RawFd;

/// The device of `/dev/net/tun` (Documentation/admin-guide/devices.txt).
const TUN_DEVICE: (u32, u32) = (10, 200);

/// A way into a network, or into another process, that a descriptor may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// A socket of this family (`AF_*`).
    Socket(i32),
    /// A kernel object without a file: a ring of io_uring(7), a pidfd, an epoll set of sockets, …
    Anonymous,
    /// A device that carries packets.
    PacketDevice,
    /// A file, a directory, a pipe, a terminal.
    Harmless,
}

/// The descriptors that a program started now would have, standard streams included.
pub fn list() -> io::Result<Vec<RawFd>> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // SAFETY: no memory is involved; a number that is no descriptor (any more) is an error.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            inherited.push(fd);
        }
    }
    Ok(inherited)
}

/// What a descriptor is.
pub fn nature(fd: RawFd) -> io::Result<Nature> {
    // SAFETY: a structure of integers may be all zeros.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel writes into a live structure of the right type.
    crate::check(unsafe { libc::fstat(fd, &raw mut status) })?;
    let device = (libc::major(status.st_rdev), libc::minor(status.st_rdev));
    Ok(match status.st_mode & libc::S_IFMT {
        libc::S_IFSOCK => Nature::Socket(domain(fd)?),
        libc::S_IFCHR if device == TUN_DEVICE => Nature::PacketDevice,
        // What has no type has no file.
        0 => Nature::Anonymous,
        _ => Nature::Harmless,
    })
}

fn domain(fd: RawFd) -> io::Result<i32> {
    let mut domain: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets into a live integer.
    crate::check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &raw mut len,
        )
    })?;
    Ok(domain)
}

/// Programs that are started from now on do not have it.
pub fn withhold(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is involved; nothing is closed, so whoever owns the descriptor keeps it.
    crate::check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_are_told_apart() {
        let (socket, _peer) = UnixStream::pair().unwrap();
        assert_eq!(nature(socket.as_raw_fd()).unwrap(), Nature::Socket(libc::AF_UNIX));
        let internet = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(nature(internet.as_raw_fd()).unwrap(), Nature::Socket(libc::AF_INET));
        let file = std::fs::File::open("/").unwrap();
        assert_eq!(nature(file.as_raw_fd()).unwrap(), Nature::Harmless);
        // SAFETY: no memory is involved; closed below.
        let event = unsafe { libc::eventfd(0, 0) };
        assert_eq!(nature(event).unwrap(), Nature::Anonymous);
        assert!(list().unwrap().contains(&event));
        withhold(event).unwrap();
        assert!(!list().unwrap().contains(&event));
        // SAFETY: ours, and used by nobody else.
        unsafe { libc::close(event) };
    }
}
