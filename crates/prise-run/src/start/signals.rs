//! The signals that are meant for the program though prise gets them, because prise is the process that others know.
//!
//! A terminal sends its signals to the whole foreground group, the program among it; what a process sends to prise, or a timer that prise has
//! inherited from who executed it, is passed on. So it is
//! with the signals that stop a process: the program decides whether it stops (signal(7)), and prise stops if it does
//! ([`crate::start::program`]), as a shell's job.

use std::os::fd::{AsFd, BorrowedFd};

use prise_sys::signal::{self, Arrived, Blocked, SignalFd, SignalSet};

use crate::start::outcome::RunError;

/// Signals with a name that are passed on to the program. Not among them are those that nobody can take (`SIGKILL`, `SIGSTOP`), that a fault
/// of prise's own raises (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`, `SIGSYS`, `SIGTRAP`), or that prise's own calls raise (`SIGPIPE`, `SIGXFSZ`).
const FORWARDED: [i32; 20] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGABRT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGSTKFLT,
    libc::SIGWINCH,
    libc::SIGURG,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCONT,
];

/// The signals that are meant for the program, kept from prise's own threads: taken before any is started.
#[derive(Debug)]
pub(crate) struct Signals {
    arrived: SignalFd,
    pub(crate) blocked: Blocked,
    /// Whether a file that grows too large ends the program (`SIGXFSZ`), though not prise: its guests would get no answers any more.
    pub(crate) file_limit_ends: bool,
}

impl Signals {
    pub(crate) fn take() -> Result<Self, RunError> {
        let setup = |error| RunError::Setup {
            step: "receive signals",
            error,
        };
        let mut taken = FORWARDED.to_vec();
        taken.extend(signal::real_time());
        taken.push(libc::SIGCHLD);
        let taken = SignalSet::of(&taken);
        let blocked = Blocked::new(&taken).map_err(setup)?;
        let arrived = SignalFd::new(&taken).map_err(setup)?;
        Ok(Self {
            arrived,
            blocked,
            file_limit_ends: signal::ignore(libc::SIGXFSZ),
        })
    }

    /// The next signal that came, if any.
    pub(crate) fn next(&self) -> Option<Arrived> {
        self.arrived.read().ok().flatten()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

/// Whether the kernel, where it sends the signal, sends it to a whole group: for a terminal, or to what nobody could continue any more.
pub(crate) fn to_group(arrived: Arrived) -> bool {
    let for_groups = matches!(
        arrived.signal,
        libc::SIGINT | libc::SIGQUIT | libc::SIGHUP | libc::SIGCONT | libc::SIGWINCH
    );
    arrived.by_kernel && (for_groups || stops(arrived.signal))
}

/// Whether a signal by itself stops a process.
pub(crate) fn stops(signal: i32) -> bool {
    matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}

/// Whether a signal by itself ends a process.
pub(crate) fn ends(signal: i32) -> bool {
    !stops(signal) && !matches!(signal, libc::SIGCONT | libc::SIGWINCH | libc::SIGURG)
}
