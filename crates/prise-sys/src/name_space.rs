//! Network name spaces (network_namespaces(7)): one of one's own, and what is done in it.

use crate::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

/// A network name space that ends with its last descriptor: this one, a process or a socket in it.
#[derive(Debug)]
pub struct NetworkSpace(OwnedFd);

impl NetworkSpace {
    /// A new one, in which there is a `lo` that is down and, where `net.core.fb_tunnels_only_for_init_net` is 0, a fallback device of each
    /// kind of tunnel that the kernel has (tunl0, sit0, …). Needs `CAP_SYS_ADMIN`.
    pub fn new() -> io::Result<Self> {
        on_own_thread(|| {
            // SAFETY: only numbers are passed; the thread ends with this function, and no other is concerned.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
        })
    }

    /// Does something in it. What it opens there (sockets, devices, files of /proc/net) stays there.
    ///
    /// Its own errors are those of setns(2), and of the thread that calls it.
    pub fn within<T: Send, E: From<io::Error> + Send>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<T, E> {
        on_own_thread(|| {
            // SAFETY: the descriptor is borrowed, so it is open; the thread ends with this function, and no other is concerned.
            check(unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) })?;
            work()
        })
    }
}

/// A thread's name space is its own: one that ends need not find back.
fn on_own_thread<T: Send, E: From<io::Error> + Send>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::Other).into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_a_name_space_of_ones_own_is_not_done_outside() {
        let name = || std::fs::read_link("/proc/thread-self/ns/net");
        let Ok(space) = NetworkSpace::new() else {
            eprintln!("skipped: no network name space can be made here (CAP_SYS_ADMIN)");
            return;
        };
        let before = name().unwrap();
        let within = space.within(name).unwrap();
        assert_ne!(within, before);
        assert_eq!(space.within(name).unwrap(), within);
        assert_eq!(name().unwrap(), before);
    }
}
