//! The Linux system interface: the crate that holds prise's unsafe code (all but one C interface, in `prise-drill`).
//!
//! Only what neither `std` nor `rustix` reaches safely: each module says which calls it stands for.

use std::io;

mod closed;
pub mod epoll;
pub mod group;
pub mod heap;
pub mod inet;
pub mod inet_diag;
pub mod inherited;
pub mod interface;
pub mod landlock;
pub mod launch;
pub mod memory;
pub mod name_space;
pub mod owner;
pub mod packet;
pub mod probe;
pub mod resolve;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod sock_diag;
pub mod sockopt;
pub mod trap;
pub mod tun;
pub mod udp;
pub mod unix;
pub mod unix_diag;
pub mod write_hint;

/// The calling thread's errno.
fn errno() -> i32 {
    // SAFETY: glibc's and musl's errno location is always valid for the calling thread.
    unsafe { *libc::__errno_location() }
}

/// A system call's result: negative is an error, found in errno.
fn check<T: PartialOrd + Default>(result: T) -> io::Result<T> {
    if result < T::default() {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
