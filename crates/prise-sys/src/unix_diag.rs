//! What an AF_UNIX socket is bound to, asked of the kernel (sock_diag(7), linux/unix_diag.h): the truth that no other
//! process can change in between.

use core::mem::size_of;
use std::io;

use crate::sock_diag::{SockDiag, half, word};

/// linux/unix_diag.h.
const UDIAG_SHOW_NAME: u32 = 1;
const UDIAG_SHOW_VFS: u32 = 2;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
/// `struct unix_diag_msg`.
const MESSAGE_LEN: usize = 16;

/// A socket, by the numbers that fstat(2) and `SO_COOKIE` give. The cookie is never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketKey {
    /// Its inode in sockfs.
    pub inode: u32,
    /// Its cookie.
    pub cookie: u64,
}

/// What it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    None,
    /// An abstract name, without the zero in front.
    Abstract(Vec<u8>),
    /// A file.
    File {
        /// The device of its file system, as /proc/PID/mountinfo has it: major, minor.
        device: (u32, u32),
        /// The lower half of its inode's number.
        inode: u32,
    },
}

/// A way to ask.
#[derive(Debug)]
pub struct UnixDiag(SockDiag);

impl UnixDiag {
    /// Opens it, for the caller's network namespace.
    pub fn open() -> io::Result<Self> {
        SockDiag::open().map(Self)
    }

    /// What the socket is bound to; `None` where there is no such socket (any more).
    pub fn binding(&self, socket: SocketKey) -> io::Result<Option<Binding>> {
        // struct unix_diag_req: family, protocol and padding; states; inode; what to show; cookie.
        let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
        request.extend_from_slice(&u32::MAX.to_ne_bytes());
        request.extend_from_slice(&socket.inode.to_ne_bytes());
        request.extend_from_slice(&(UDIAG_SHOW_NAME | UDIAG_SHOW_VFS).to_ne_bytes());
        request.extend_from_slice(&(socket.cookie as u32).to_ne_bytes());
        request.extend_from_slice(&((socket.cookie >> 32) as u32).to_ne_bytes());
        self.0.ask(&request)?.map(|message| parse(&message)).transpose()
    }
}

fn parse(message: &[u8]) -> io::Result<Binding> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let mut rest = message.get(MESSAGE_LEN..).ok_or_else(malformed)?;
    let (mut name, mut file) = (None, None);
    while rest.len() >= 2 * size_of::<u16>() {
        let (len, kind) = (half(rest, 0).unwrap_or(0), half(rest, 2).unwrap_or(0));
        let len = usize::from(len);
        let data = rest.get(4..len).ok_or_else(malformed)?;
        match kind {
            UNIX_DIAG_NAME => name = Some(data.to_vec()),
            UNIX_DIAG_VFS => file = word(data, 0).zip(word(data, 4)),
            _ => (),
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(match (name, file) {
        // The kernel's own dev_t: twenty bits of minor number.
        (_, Some((inode, device))) => Binding::File {
            device: (device >> 20, device & 0xf_ffff),
            inode,
        },
        (Some(name), None) if name.first() == Some(&0) => Binding::Abstract(name[1..].to_vec()),
        _ => Binding::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

    fn key(fd: &impl AsRawFd) -> SocketKey {
        let mut cookie = 0u64;
        let mut len = 8;
        // SAFETY: the kernel writes eight octets into a live integer, and the length.
        let result = unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut len,
            )
        };
        assert_eq!(result, 0);
        let inode = std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            .unwrap()
            .ino() as u32;
        SocketKey { inode, cookie }
    }

    #[test]
    fn bindings_are_told_as_long_as_the_socket_lives() {
        let diag = UnixDiag::open().unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        assert_eq!(diag.binding(key(&unbound)).unwrap(), Some(Binding::None));

        let name = format!("prise-diag-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let listener_key = key(&listener);
        assert_eq!(
            diag.binding(listener_key).unwrap(),
            Some(Binding::Abstract(name.into_bytes()))
        );
        drop(listener);
        assert_eq!(diag.binding(listener_key).unwrap(), None);

        let path = std::env::temp_dir().join(format!("prise-diag-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let file = std::fs::symlink_metadata(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let Some(Binding::File { inode, .. }) = diag.binding(key(&listener)).unwrap() else {
            panic!("not a file");
        };
        assert_eq!(inode, file.ino() as u32);
    }
}
