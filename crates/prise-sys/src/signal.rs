//! Signals as data: a mask that is restored, and signalfd(2).

use core::mem::{MaybeUninit, size_of};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(pub(crate) libc::sigset_t);

impl core::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set()
            .entries((1..=64).filter(|&signal| self.contains(signal)))
            .finish()
    }
}

impl SignalSet {
    /// The set of these signals; numbers that are no signals are left out.
    pub fn of(signals: &[i32]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the whole set.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for &signal in signals {
            // SAFETY: the set is initialised; a number out of range is refused and changes nothing.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        Self(set)
    }

    /// Whether `signal` is in the set.
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: the set is initialised.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }
}

/// Signals that the calling thread does not take, until this is dropped.
#[derive(Debug)]
pub struct Blocked {
    before: SignalSet,
    /// A mask belongs to a thread.
    _not_send: core::marker::PhantomData<*const ()>,
}

impl Blocked {
    /// Blocks `signals` in the calling thread, beside those it blocks already.
    pub fn new(signals: &SignalSet) -> io::Result<Self> {
        let mut before = SignalSet::of(&[]);
        // SAFETY: both sets are initialised; the second is written.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals.0, &raw mut before.0) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        Ok(Self {
            before,
            _not_send: core::marker::PhantomData,
        })
    }

    /// The mask before, which a child shall have.
    pub fn before(&self) -> &SignalSet {
        &self.before
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is initialised; nothing is written.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before.0, core::ptr::null_mut()) };
    }
}

/// Ends this process by `signal`, as if nobody had ever ignored or blocked it. Returns where the signal's own action is not
/// to end a process, or where there is no such signal.
pub fn end_by(signal: i32) {
    let only = SignalSet::of(&[signal]);
    // SAFETY: no handler is installed, only the default action; the mask's set is initialised; raise takes a number.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only.0, core::ptr::null_mut());
        libc::raise(signal);
    }
}

/// Whether `signal` is ignored by this process from now on though it was not before.
pub fn ignore(signal: i32) -> bool {
    // SAFETY: no handler is installed; a number that is no signal's is refused and changes nothing.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    before != libc::SIG_IGN && before != libc::SIG_ERR
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel itself sent it, as a terminal does to its whole foreground group, rather than a process.
    pub by_kernel: bool,
    /// The sender's process, or 0.
    pub sender: u32,
}

/// Blocked signals, read from a descriptor.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// A non-blocking descriptor for `signals`, which should be blocked.
    pub fn new(signals: &SignalSet) -> io::Result<Self> {
        // SAFETY: the set is initialised.
        let fd =
            crate::check(unsafe { libc::signalfd(-1, &raw const signals.0, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })?;
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that came, if any.
    pub fn read(&self) -> io::Result<Option<Arrived>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` octets into the structure.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if read < 0 {
            return match crate::errno() {
                libc::EAGAIN | libc::EINTR => Ok(None),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
        }
        // SAFETY: integers only, all initialised: zeroed first, then overwritten by the kernel.
        let info = unsafe { info.assume_init() };
        Ok(Some(Arrived {
            signal: info.ssi_signo as i32,
            by_kernel: info.ssi_code == libc::SI_KERNEL,
            sender: info.ssi_pid,
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `signal` to one thread (tgkill(2)).
pub fn send_to_thread(process: u32, thread: u32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    crate::check(unsafe { libc::syscall(libc::SYS_tgkill, process as i32, thread as i32, signal) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_from_its_descriptor() {
        let set = SignalSet::of(&[libc::SIGUSR1]);
        let blocked = Blocked::new(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        assert_eq!(fd.read().unwrap(), None);
        // SAFETY: no memory is involved.
        let thread = unsafe { libc::gettid() } as u32;
        send_to_thread(std::process::id(), thread, libc::SIGUSR1).unwrap();
        let arrived = fd.read().unwrap().unwrap();
        assert_eq!(
            (arrived.signal, arrived.by_kernel, arrived.sender),
            (libc::SIGUSR1, false, std::process::id())
        );
        assert!(!blocked.before().contains(libc::SIGUSR1));
    }
}
