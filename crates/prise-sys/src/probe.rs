//! What the kernel, and the container around this process, let prise do: each thing tried once, on this process alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::launch::pidfd_open;

/// Something that prise asks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Calls handed to a supervisor: seccomp_unotify(2), Linux 5.0, with `WAIT_KILLABLE_RECV`, Linux 5.19.
    Notification,
    /// pidfd_open(2), Linux 5.3.
    PidfdOpen,
    /// pidfd_getfd(2), Linux 5.6.
    PidfdGetfd,
    /// /proc (proc(5)), of this process's own pid namespace.
    ProcessFiles,
    /// process_vm_readv(2), Linux 3.2.
    ProcessVm,
    /// /proc/PID/mem (proc(5)), which does the same.
    MemoryFile,
    /// `MSG_OOB` on AF_UNIX streams, Linux 5.15 with `CONFIG_AF_UNIX_OOB`.
    LocalUrgent,
    /// A pidfd of a thread, Linux 6.9.
    PidfdThread,
    /// Landlock, from its second version on.
    Landlock,
    /// A user namespace of one's own.
    UserNamespace,
}

/// Tries it. The error is the kernel's.
pub fn probe(feature: Feature) -> io::Result<()> {
    match feature {
        Feature::Notification => notification(),
        Feature::PidfdOpen => pidfd_open(std::process::id(), 0).map(drop),
        Feature::PidfdGetfd => pidfd_getfd(),
        Feature::ProcessFiles => process_files(),
        Feature::ProcessVm => crate::memory::probe_vm(),
        Feature::MemoryFile => crate::memory::probe_file(),
        Feature::LocalUrgent => local_urgent(),
        Feature::PidfdThread => pidfd_open(std::process::id(), libc::O_EXCL).map(drop),
        Feature::Landlock => match crate::landlock::version() {
            0 | 1 => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
            _ => Ok(()),
        },
        Feature::UserNamespace => user_namespace(),
    }
}

/// Without a program the kernel looks at the flags first: an unknown one is `EINVAL`, a missing program `EFAULT`.
fn notification() -> io::Result<()> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the kernel reads nothing from a null pointer; nothing is installed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            core::ptr::null::<u8>(),
        )
    };
    match io::Error::last_os_error() {
        error if result < 0 && error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        error => Err(error),
    }
}

fn pidfd_getfd() -> io::Result<()> {
    let pidfd = pidfd_open(std::process::id(), 0)?;
    // SAFETY: no memory is involved.
    let fd = crate::check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), pidfd.as_raw_fd(), 0) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

/// Of another pid namespace, /proc calls this process by another number, or does not know it.
fn process_files() -> io::Result<()> {
    let own = std::fs::read_link("/proc/self")?;
    if own.as_os_str() == std::process::id().to_string().as_str() {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

fn local_urgent() -> io::Result<()> {
    let (here, _there) = UnixStream::pair()?;
    // SAFETY: one octet of a live array is read.
    crate::check(unsafe { libc::send(here.as_fd().as_raw_fd(), [0u8].as_ptr().cast(), 1, libc::MSG_OOB) }).map(drop)
}

/// In a child, which ends at once.
fn user_namespace() -> io::Result<()> {
    // SAFETY: the child makes two system calls and takes no lock.
    let child = crate::check(unsafe { libc::fork() })?;
    if child == 0 {
        // SAFETY: no memory is involved; the process ends without running anything of the parent's.
        unsafe {
            let made = libc::unshare(libc::CLONE_NEWUSER);
            libc::_exit(if made == 0 { 0 } else { crate::errno() });
        }
    }
    let mut status = 0;
    // SAFETY: the kernel writes into a live integer; the child is ours.
    crate::check(unsafe { libc::waitpid(child, &raw mut status, 0) })?;
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_what_the_tests_of_prise_need() {
        for feature in [
            Feature::Notification,
            Feature::PidfdOpen,
            Feature::PidfdGetfd,
            Feature::ProcessFiles,
            Feature::ProcessVm,
            Feature::MemoryFile,
        ] {
            probe(feature).unwrap_or_else(|error| panic!("{feature:?}: {error}"));
        }
    }
}
