//! The program as a process: its start, its end, and the signals that are meant for it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use prise_sys::launch::{Launch, LaunchError, launch};
use prise_sys::seccomp::Listener;
use prise_sys::signal::{self, Blocked, SignalFd, SignalSet};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process, set_child_subreaper, setrlimit, wait,
};

use crate::guest::Guests;
use crate::handed::adopted::Native;
use crate::policy::confinement;
use crate::start::config::RunConfig;
use crate::start::filter;
use crate::start::outcome::{Exit, RunError};

/// Signals that are passed on to the program. Those that stop a process are not among them: a terminal stops the whole
/// foreground group, prise with it.
const FORWARDED: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGIO,
    libc::SIGPWR,
];

/// The signals that are meant for the program, kept from prise's own threads: taken before any is started.
#[derive(Debug)]
pub(crate) struct Signals {
    arrived: SignalFd,
    blocked: Blocked,
    /// Whether a file that grows too large ends the program (`SIGXFSZ`), though not prise: its guests would get no answers any more.
    file_limit_ends: bool,
}

impl Signals {
    pub(crate) fn take() -> Result<Self, RunError> {
        let setup = |error| RunError::Setup {
            step: "receive signals",
            error,
        };
        let mut taken = FORWARDED.to_vec();
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
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Program {
    pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) signals: Signals,
    /// How it ended.
    pub(crate) exit: Option<Exit>,
    /// Someone wants an end after the program's: nothing is waited for any more.
    pub(crate) hurried: bool,
}

impl Program {
    /// Starts the program of `config` under the filter.
    pub(crate) fn start(
        config: &RunConfig,
        signals: Signals,
        fetches: bool,
        native: Native,
    ) -> Result<(Self, Listener), RunError> {
        let setup = |step| move |error: io::Error| RunError::Setup { step, error };
        // Daemons remain our descendants: Yama lets a process look at those only.
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| setup("become the reaper of the program's descendants")(error.into()))?;
        let descriptors = raise_descriptor_limit();
        let text = |text: &OsStr| CString::new(text.as_bytes());
        let not_found = || RunError::ProgramNotFound(config.program.clone());
        let program = text(&config.program).map_err(|_| not_found())?;
        let mut args = vec![program.clone()];
        for arg in &config.args {
            let nul = |_| setup("pass an argument")(io::ErrorKind::InvalidInput.into());
            args.push(text(arg).map_err(nul)?);
        }
        let confinement = confinement::prepare(config)?;
        let asked = filter::Asked {
            hostname: config.hostname.is_some(),
            proc_net: config.proc_net,
            native,
        };
        let launched = launch(&Launch {
            program: &program,
            args: &args,
            filter: &filter::program(confinement.as_ref(), asked),
            mask: signals.blocked.before(),
            file_limit_ends: signals.file_limit_ends,
            descriptors,
            confinement: confinement.as_ref(),
            fetches,
        })
        .map_err(|error| launch_error(config, error))?;
        let pid = Pid::from_raw(launched.pid as i32)
            .ok_or_else(|| setup("start a process")(io::ErrorKind::InvalidData.into()))?;
        let program = Self {
            pid,
            pidfd: launched.pidfd,
            signals,
            exit: None,
            hurried: false,
        };
        Ok((program, launched.listener))
    }

    /// Takes the status of every child that has ended; the program's, known by its number, is kept.
    pub(crate) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.pid {
                let code = status.exit_status().map(|code| Exit::Code(code as u8));
                self.exit = code.or_else(|| status.terminating_signal().map(Exit::Signal));
            }
        }
    }

    /// Passes signals on, and reaps the orphans that became our children.
    pub(crate) fn forward_signals(&mut self, guests: &mut Guests) {
        while let Ok(Some(arrived)) = self.signals.arrived.read() {
            if arrived.signal == libc::SIGCHLD {
                self.reap();
                continue;
            }
            // The terminal has sent it to the program too.
            if !arrived.by_kernel {
                self.pass_on(arrived.signal, guests);
            } else if self.exit.is_some() {
                self.hurried = true;
            }
        }
    }

    fn pass_on(&mut self, number: i32, guests: &mut Guests) {
        let Some(signal) = Signal::from_named_raw(number) else {
            return;
        };
        if self.exit.is_none() {
            // It may end just now.
            let _ = kill_process(self.pid, signal);
            return;
        }
        // The program has ended; what it left behind is meant.
        self.hurried = true;
        let known: Vec<u32> = guests.known().collect();
        for tid in known {
            let process = guests.process(tid);
            if let Some(pid) = Pid::from_raw(process as i32) {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Every connection costs the supervisor a descriptor: it takes as many as it may have. The program starts with the
/// limit that prise was started with.
fn raise_descriptor_limit() -> Option<(u64, u64)> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Without a value there is no limit to raise.
    let (soft, hard) = (current?, maximum?);
    if soft < hard {
        // Refused, it stays as it is.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
    Some((soft, hard))
}

fn launch_error(config: &RunConfig, error: LaunchError) -> RunError {
    match error {
        LaunchError::Step(_, error) if error.kind() == io::ErrorKind::ResourceBusy => RunError::Supervised,
        LaunchError::Step(step, error) => RunError::Setup { step, error },
        LaunchError::Exec(error) => exec_error(config, error),
    }
}

/// Why execvp(3) did not find or execute the program.
pub(crate) fn exec_error(config: &RunConfig, error: io::Error) -> RunError {
    let not_found = || RunError::ProgramNotFound(config.program.clone());
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(),
        // execvp(3) says so too of a directory in PATH that it may not enter.
        io::ErrorKind::PermissionDenied if !is_found(&config.program) => not_found(),
        _ => RunError::ProgramNotExecutable {
            program: config.program.clone(),
            error,
        },
    }
}

/// Whether there is a file of that name where execvp(3) looks.
fn is_found(program: &OsStr) -> bool {
    if program.as_bytes().contains(&b'/') {
        return true;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}
