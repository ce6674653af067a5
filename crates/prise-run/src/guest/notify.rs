//! A judged call and its answer.

use prise_socket::Errno;
use prise_sys::seccomp::{ARCH_X86_64, Notification};

use crate::guest::Memory;

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// Names it towards the kernel.
    pub(crate) id: u64,
    /// The thread that waits.
    pub(crate) tid: u32,
    /// The system call.
    pub(crate) number: i64,
    /// Its registers.
    pub(crate) args: [u64; 6],
}

impl Call {
    /// The descriptor that it is about: its first argument, of which the kernel looks at the lower half.
    pub(crate) fn fd(&self) -> i32 {
        self.args[0] as i32
    }

    /// An argument that is an `int`.
    pub(crate) fn int(&self, index: usize) -> i32 {
        self.args[index] as i32
    }

    /// The caller's memory.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.tid)
    }
}

/// The number of every call of another architecture.
pub(crate) const FOREIGN: i64 = -1;

impl From<Notification> for Call {
    fn from(notification: Notification) -> Self {
        Self {
            id: notification.id,
            tid: notification.tid,
            number: if notification.arch == ARCH_X86_64 {
                i64::from(notification.number)
            } else {
                FOREIGN
            },
            args: notification.args,
        }
    }
}

/// What a call is answered with, unless it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It returns this.
    Value(i64),
    /// The kernel executes it, as it stands. Only where nothing was judged but what the registers say, or where every
    /// outcome is harmless: its memory may have changed meanwhile.
    Native,
    /// It was answered already, or waits, or nobody waits any more.
    Settled,
    /// It has had its part of the turn and is not done ([`crate::waiting::slices`]).
    Unfinished,
}

/// What became of a call.
pub(crate) type Judged = Result<Answer, Errno>;

/// It succeeded, and returns nothing else.
pub(crate) const DONE: Judged = Ok(Answer::Value(0));

/// `ERESTARTSYS` (linux/errno.h): never seen by a program; the kernel turns it into a restarted call or `EINTR`.
pub(crate) const ERESTARTSYS: i32 = 512;

/// What the kernel answered the supervisor, as it would have answered the program.
pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error()).unwrap_or(Errno::EIO)
}

/// The same of the standard library's errors.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().and_then(Errno::from_raw).unwrap_or(Errno::EIO)
}
