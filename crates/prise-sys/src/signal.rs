//! Signals as data: a mask that is restored, and signalfd(2); and a signal that does nothing but interrupt.

use core::mem::{MaybeUninit, size_of};
use core::time::Duration;
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

/// Stops this process by `signal` (`SIGSTOP`, `SIGTSTP`, `SIGTTIN`, `SIGTTOU`), as if nobody had ever ignored or blocked it, until `SIGCONT`, which is taken
/// if the caller has it blocked. Returns whether there was one: the kernel does not stop a process of an orphaned group by a signal of
/// the terminal.
pub fn stop_by(signal: i32) -> bool {
    let (only, on) = (SignalSet::of(&[signal]), SignalSet::of(&[libc::SIGCONT]));
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: no handler is installed, only the default action and then what was; the sets and the time are initialised; raise takes a
    // number.
    unsafe {
        let action = libc::signal(signal, libc::SIG_DFL);
        let mut before = MaybeUninit::uninit();
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only.0, before.as_mut_ptr());
        libc::raise(signal);
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut());
        libc::signal(signal, action);
        libc::sigtimedwait(&raw const on.0, core::ptr::null_mut(), &raw const at_once) == libc::SIGCONT
    }
}

/// Sends `signal` to a process (kill(2)).
pub fn send(process: u32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    crate::check(unsafe { libc::kill(process as i32, signal) }).map(drop)
}

/// The numbers of the signals that have no meaning of their own, without those that the C library keeps for itself.
pub fn real_time() -> core::ops::RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel itself sent it, as a terminal does to its whole foreground group, or a timer, rather than a process.
    pub by_kernel: bool,
    /// The sender's process, or 0.
    pub sender: u32,
    /// The sender's user.
    pub user: u32,
    /// What the sender gave it to carry (sigqueue(3)).
    pub value: Option<u64>,
}

/// A `siginfo_t` of sigqueue(3) (`_rt` in asm-generic/siginfo.h): fields after those are not looked at.
#[repr(C)]
struct Queued {
    signal: i32,
    errno: i32,
    code: i32,
    aligned: i32,
    process: u32,
    user: u32,
    value: u64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>());

impl Queued {
    /// None where no value is carried.
    fn of(arrived: Arrived) -> Option<Self> {
        Some(Self {
            signal: arrived.signal,
            errno: 0,
            code: libc::SI_QUEUE,
            aligned: 0,
            process: arrived.sender,
            user: arrived.user,
            value: arrived.value?,
            rest: [0; 12],
        })
    }
}

/// Sends a process the signal that came, with the value that it carries and who sent that (rt_sigqueueinfo(2)).
pub fn pass_on(process: u32, arrived: Arrived) -> io::Result<()> {
    let Some(info) = Queued::of(arrived) else {
        return send(process, arrived.signal);
    };
    let signal = arrived.signal;
    // SAFETY: the kernel reads a `siginfo_t`, which is as large as this and initialised.
    let sent = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process as i32, signal, &raw const info) };
    crate::check(sent).map(drop)
}

/// The same by a descriptor of the process's (pidfd_send_signal(2)), which never means another one.
pub fn pass_on_by(pidfd: BorrowedFd<'_>, arrived: Arrived) -> io::Result<()> {
    let info = Queued::of(arrived);
    let info = info.as_ref().map_or(core::ptr::null(), |info| &raw const *info);
    let (pidfd, signal) = (pidfd.as_raw_fd(), arrived.signal);
    // SAFETY: the kernel reads a `siginfo_t`, which is as large as this, initialised and alive here, or nothing where the pointer is null.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, 0) };
    crate::check(sent).map(drop)
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
            user: info.ssi_uid,
            value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_ptr),
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A timer that interrupts the thread that has made it (timer_create(2), `SIGEV_THREAD_ID`): a call that would wait ends with `EINTR`.
#[derive(Debug)]
pub struct Interrupts {
    /// A pointer by type alone, and so the thread's own.
    timer: libc::timer_t,
}

impl Interrupts {
    /// Makes it, for the calling thread. `SIGPIPE` is taken for this, in the whole process: almost all others are passed on to the program, and a
    /// handler that does nothing is to who writes where nobody reads what ignoring it was.
    pub fn of_this_thread() -> io::Result<Self> {
        let signal = libc::SIGPIPE;
        let only = SignalSet::of(&[signal]);
        // SAFETY: the set is initialised; nothing is written. Whoever started us may have blocked it.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only.0, core::ptr::null_mut()) };
        // SAFETY: all zeros is a valid `sigaction`: no flags (above all no `SA_RESTART`), an empty mask.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = do_nothing as *const () as libc::sighandler_t;
        // SAFETY: the structure is initialised, and the handler touches nothing.
        crate::check(unsafe { libc::sigaction(signal, &raw const action, core::ptr::null_mut()) })?;
        // SAFETY: all zeros is a valid `sigevent`.
        let mut event: libc::sigevent = unsafe { core::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        // SAFETY: takes nothing.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer: libc::timer_t = core::ptr::null_mut();
        // SAFETY: the event is initialised; the timer's name is written.
        crate::check(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) })?;
        Ok(Self { timer })
    }

    /// Makes a call, interrupted at this interval, again and again: the first one may come before the call waits.
    pub fn every<T>(&self, interval: Duration, call: impl FnOnce() -> T) -> T {
        self.set(interval);
        let made = call();
        self.set(Duration::ZERO);
        made
    }

    /// Zero stops it.
    fn set(&self, interval: Duration) {
        let each = libc::timespec {
            tv_sec: interval.as_secs() as libc::time_t,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_interval: each,
            it_value: each,
        };
        // SAFETY: the timer is ours until it is dropped; the times are initialised. With these it cannot fail.
        unsafe { libc::timer_settime(self.timer, 0, &raw const times, core::ptr::null_mut()) };
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and nobody has it after this.
        unsafe { libc::timer_delete(self.timer) };
    }
}

extern "C" fn do_nothing(_: i32) {}

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

    #[test]
    fn a_call_that_would_wait_for_ever_is_interrupted_and_the_next_one_is_not() {
        let interrupts = Interrupts::of_this_thread().unwrap();
        // SAFETY: no memory is involved.
        let paused = interrupts.every(Duration::from_millis(1), || unsafe { libc::pause() });
        assert_eq!((paused, crate::errno()), (-1, libc::EINTR));
        let limit = libc::timespec {
            tv_sec: 0,
            tv_nsec: 5_000_000,
        };
        // SAFETY: the time is initialised; nothing is written.
        let slept = unsafe { libc::nanosleep(&raw const limit, core::ptr::null_mut()) };
        assert_eq!(slept, 0, "stopped");
    }
}
