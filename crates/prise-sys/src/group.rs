//! Process groups and sessions as plain numbers: those that begin beyond the caller's PID namespace are 0 (pid_namespaces(7)), which rustix's do not allow.

use std::io;

/// The group of a process, or of the caller for 0 (getpgid(2)).
pub fn process_group(process: i32) -> io::Result<i32> {
    // SAFETY: no memory is involved.
    crate::check(unsafe { libc::getpgid(process) })
}

/// The session of a process, or of the caller for 0 (getsid(2)).
pub fn session(process: i32) -> io::Result<i32> {
    // SAFETY: no memory is involved.
    crate::check(unsafe { libc::getsid(process) })
}
