//! Which AF_UNIX names lead to a socket of the run's own: under a policy, nobody else's may be reached.
//!
//! A guest binds as it likes; that leads nowhere. What a name leads to is asked of the kernel when somebody connects to
//! it: the sockets that guests have bound, known by a number that is never given out twice, tell what they are bound to
//! (sock_diag(7)). So nothing depends on a path meaning the same a moment later.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use prise_sys::unix_diag::{Binding, SocketKey, UnixDiag};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, fstat, openat, openat2, statx};
use rustix::net::sockopt;

/// Bound sockets remembered before the closed ones among them are looked for.
const PRUNE_AT: usize = 256;

/// The sockets that guests have bound.
#[derive(Debug)]
pub(crate) struct LocalSockets {
    diag: UnixDiag,
    /// What each is bound to, once it was asked and had something to tell: that never changes.
    bound: HashMap<SocketKey, Option<Binding>>,
    prune_at: usize,
}

/// A place in the file system, held: it cannot come to mean another.
#[derive(Debug)]
pub(crate) struct Place {
    fd: OwnedFd,
    binding: Binding,
}

impl Place {
    /// Follows a path as the task would: from its own root, or its working directory.
    pub(crate) fn find(tid: u32, path: &[u8]) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let directory = |name: &str| {
            openat(
                CWD,
                format!("/proc/{tid}/{name}"),
                flags | OFlags::DIRECTORY,
                Mode::empty(),
            )
        };
        let fd = if path.first() == Some(&b'/') {
            openat2(directory("root")?, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?
        } else {
            openat(directory("cwd")?, path, flags, Mode::empty())?
        };
        let inode = fstat(&fd)?.st_ino as u32;
        let device = device_of(&fd)?;
        Ok(Self {
            fd,
            binding: Binding::File { device, inode },
        })
    }

    /// Its address, for calls of the supervisor's own.
    pub(crate) fn address(&self) -> Vec<u8> {
        address(format!("/proc/self/fd/{}\0", self.fd.as_raw_fd()).as_bytes())
    }
}

/// `struct sockaddr_un` with this path or abstract name.
fn address(path: &[u8]) -> Vec<u8> {
    let mut octets = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    octets.extend_from_slice(path);
    octets
}

/// The device of the file system that holds it, which is not always the file's own (btrfs, overlayfs): the mount knows.
fn device_of(fd: &OwnedFd) -> io::Result<(u32, u32)> {
    let mount = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let device = table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        if fields.next()?.parse::<u64>().ok()? != mount {
            return None;
        }
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    // In a mount namespace of the guest's own the mount is not listed here; the file's device is right nearly everywhere.
    device.map_or_else(
        || {
            let device = fstat(fd)?.st_dev;
            Ok((libc::major(device), libc::minor(device)))
        },
        Ok,
    )
}

impl LocalSockets {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            diag: UnixDiag::open()?,
            bound: HashMap::new(),
            prune_at: PRUNE_AT,
        })
    }

    /// A guest is about to bind the socket.
    pub(crate) fn enter(&mut self, socket: impl AsFd) {
        let (Ok(status), Ok(cookie)) = (fstat(&socket), sockopt::socket_cookie(&socket)) else {
            return;
        };
        let key = SocketKey {
            inode: status.st_ino as u32,
            cookie,
        };
        // What is bound already came from elsewhere with its name, as a connection that a service manager has accepted:
        // to bind it once more makes nothing the run's own.
        if !matches!(self.diag.binding(key), Ok(Some(Binding::None))) {
            return;
        }
        self.bound.entry(key).or_insert(None);
        if self.bound.len() >= self.prune_at {
            let diag = &self.diag;
            self.bound.retain(|&key, _| matches!(diag.binding(key), Ok(Some(_))));
            self.prune_at = self.bound.len() * 2 + PRUNE_AT;
        }
    }

    /// Whether that place is a socket of the run's own that lives.
    pub(crate) fn has_place(&mut self, place: &Place) -> bool {
        self.has(&place.binding)
    }

    /// Whether an abstract name, without the zero in front, is that of a socket of the run's own that lives.
    pub(crate) fn has_name(&mut self, name: &[u8]) -> bool {
        self.has(&Binding::Abstract(name.to_vec()))
    }

    fn has(&mut self, wanted: &Binding) -> bool {
        let diag = &self.diag;
        self.bound.iter_mut().any(|(&key, known)| {
            if known.as_ref().is_some_and(|known| known != wanted) {
                return false;
            }
            // Asked again each time: a closed socket's name may be anybody's.
            let Ok(Some(binding)) = diag.binding(key) else {
                return false;
            };
            let is_it = binding == *wanted;
            if binding != Binding::None {
                *known = Some(binding);
            }
            is_it
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, socket};
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_places_that_a_guest_has_bound_are_its_own() {
        let directory = std::env::temp_dir().join(format!("prise-local-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut sockets = LocalSockets::new().unwrap();
        let (ours, theirs) = (directory.join("ours"), directory.join("theirs"));
        let stranger = UnixListener::bind(&theirs).unwrap();
        sockets.enter(&stranger);
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        sockets.enter(&listener);
        bind(&listener, &SocketAddrUnix::new(&ours).unwrap()).unwrap();
        let tid = std::process::id();
        let find = |path: &std::path::Path| Place::find(tid, path.as_os_str().as_encoded_bytes()).unwrap();
        let (at_ours, at_theirs) = (find(&ours), find(&theirs));
        assert!(sockets.has_place(&at_ours));
        assert!(!sockets.has_place(&at_theirs));
        // The name may come to mean another file; the place does not.
        std::fs::rename(&theirs, &ours).unwrap();
        assert!(sockets.has_place(&at_ours));
        assert!(!sockets.has_place(&find(&ours)));
        drop(listener);
        assert!(!sockets.has_place(&at_ours));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
