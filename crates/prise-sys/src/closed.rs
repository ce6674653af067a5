//! Which standard descriptors this process was started without.
//!
//! Rust's runtime opens /dev/null in their place before `main` begins, so that no file gets such a number by accident. A
//! program that this one starts shall begin without them too: they are looked at before the runtime does that.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A bit for each of the descriptors 0 to 2.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Called by the dynamic loader, or the start-up code, before the runtime.
#[used]
// SAFETY: the section holds pointers to functions that are called in order before `main`; this one is such a function.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for fd in 0..3u8 {
        // SAFETY: no memory is involved.
        if unsafe { libc::fcntl(fd.into(), libc::F_GETFD) } < 0 {
            CLOSED.fetch_or(1 << fd, Relaxed);
        }
    }
}

/// Closes them again when a program is executed. Takes no lock and allocates nothing: fit for a child between fork and exec.
pub(crate) fn close_on_exec() {
    let closed = CLOSED.load(Relaxed);
    for fd in (0..3).filter(|fd| closed & 1 << fd != 0) {
        // SAFETY: no memory is involved; the number is that of the runtime's /dev/null.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
