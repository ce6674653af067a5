//! The program as a process: its start, its end, what stops it, and the signals that are meant for it ([`crate::start::signals`]).

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use prise_sys::group::process_group;
use prise_sys::launch::{DescriptorLimit, Launch, LaunchError, launch};
use prise_sys::seccomp::Listener;
use prise_sys::signal::{self, Arrived};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, set_child_subreaper, setrlimit, wait};
use rustix::termios::tcgetpgrp;

use crate::guest::Guests;
use crate::guest::kin::Kin;
use crate::handed::adopted::Native;
use crate::left_behind;
use crate::policy::confinement;
use crate::start::config::RunConfig;
use crate::start::filter;
use crate::start::jobs;
use crate::start::outcome::{Exit, RunError};
use crate::start::shortcut::Shortcut;
use crate::start::signals::{self, Signals};

/// What a program starts with besides what was asked for it.
#[derive(Debug)]
pub(crate) struct Footing<'a> {
    /// The signals that are meant for it.
    pub(crate) signals: Signals,
    /// Its own limit of descriptors, where prise has raised that.
    pub(crate) descriptors: Option<DescriptorLimit>,
    /// Whether its descriptors can be fetched.
    pub(crate) fetches: bool,
    /// What of its TCP streams is the kernel's without anybody being asked.
    pub(crate) native: Native,
    /// The library that it is loaded with.
    pub(crate) shortcut: Option<&'a Shortcut>,
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Program {
    pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) signals: Signals,
    /// Who is of its run.
    pub(crate) kin: Kin,
    /// How it ended.
    pub(crate) exit: Option<Exit>,
    /// Whether it is stopped.
    stopped: bool,
    /// Someone wants an end after the program's: nothing is waited for any more.
    pub(crate) hurried: bool,
}

impl Program {
    /// Starts the program of `config` under the filter.
    pub(crate) fn start(config: &RunConfig, footing: Footing<'_>) -> Result<(Self, Listener), RunError> {
        let Footing {
            signals,
            descriptors,
            fetches,
            native,
            shortcut,
        } = footing;
        let setup = |step| move |error: io::Error| RunError::Setup { step, error };
        let kin = Kin::before_start();
        // Daemons remain our descendants: Yama lets a process look at those only.
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| setup("become the reaper of the program's descendants")(error.into()))?;
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
            token: shortcut.map(Shortcut::token),
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
            environment: shortcut.map(Shortcut::environment),
        })
        .map_err(|error| launch_error(config, error))?;
        let pid = Pid::from_raw(launched.pid as i32)
            .ok_or_else(|| setup("start a process")(io::ErrorKind::InvalidData.into()))?;
        let program = Self {
            pid,
            pidfd: launched.pidfd,
            signals,
            kin,
            exit: None,
            stopped: false,
            hurried: false,
        };
        Ok((program, launched.listener))
    }

    /// Takes the status of every child that has ended; the program's, known by its number, is kept. The signal that has stopped the program
    /// since, if it still does.
    pub(crate) fn reap(&mut self) -> Option<i32> {
        let mut stop = None;
        let news = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        while let Ok(Some((pid, status))) = wait(news) {
            if status.exited() || status.signaled() {
                self.kin.forget(pid.as_raw_pid() as u32);
            }
            if pid == self.pid {
                stop = status.stopping_signal();
                self.stopped = stop.is_some();
                let code = status.exit_status().map(|code| Exit::Code(code as u8));
                self.exit = code.or_else(|| status.terminating_signal().map(Exit::Signal));
            }
        }
        stop
    }

    /// Passes signals on, and reaps the orphans that became our children.
    pub(crate) fn forward_signals(&mut self, guests: &Guests) {
        while let Some(arrived) = self.signals.next() {
            // Of signals that came together the lowest number is told first, as SIGTERM before SIGCHLD: whether the program has ended is looked at here.
            if let Some(signal) = self.reap() {
                self.stop_with_program(signal);
            }
            if arrived.signal == libc::SIGCHLD {
                continue;
            }
            if self.exit.is_none() {
                self.pass_on(arrived);
            } else if signals::stops(arrived.signal) {
                // Nobody but us is left to be stopped.
                signal::stop_by(arrived.signal);
            } else if signals::ends(arrived.signal) {
                self.hurried = true;
                left_behind::tell(&self.kin, guests, arrived);
            }
        }
    }

    fn pass_on(&mut self, arrived: Arrived) {
        if self.stopped && signals::stops(arrived.signal) {
            // It is stopped by what has not stopped prise: whoever wants that now, as a terminal's user does, shall have it.
            self.stop_by(arrived.signal);
        } else if !signals::to_group(arrived) {
            // It may end just now.
            let _ = signal::pass_on(self.pid.as_raw_pid() as u32, arrived);
        }
    }

    /// The program is stopped: so is prise, for the shell that waits for prise to know, until the shell has it go on.
    fn stop_with_program(&mut self, signal: i32) {
        // Who has stopped the program alone will continue it alone, of which a stopped prise would not hear: tools stop others so.
        if signal != libc::SIGSTOP
            || (jobs::has_sent_itself(self.pid, signal) && self.is_in_foreground() && jobs::has_shell())
        {
            self.stop_by(signal);
        }
    }

    /// Stops prise. Of a signal of the terminal's the kernel knows whether somebody is there who would have prise go on.
    fn stop_by(&mut self, signal: i32) {
        let resumed = signal::stop_by(signal);
        // Continued as well, and stopped again, it is not to be continued for the old stop's sake.
        if let Some(again) = self.reap() {
            return self.stop_with_program(again);
        }
        // A shell has its whole job go on, others perhaps prise alone.
        if resumed && self.stopped {
            self.tell(libc::SIGCONT);
        }
    }

    /// Whether the terminal is the program's, or ours.
    fn is_in_foreground(&self) -> bool {
        let terminal = std::fs::File::open("/dev/tty").ok();
        let foreground = terminal.and_then(|terminal| tcgetpgrp(terminal).ok());
        let is_foreground = |process| foreground.map(Pid::as_raw_pid) == process_group(process).ok();
        foreground.is_some() && (is_foreground(self.pid.as_raw_pid()) || is_foreground(0))
    }

    fn tell(&self, signal: i32) {
        // It may end just now.
        let _ = signal::send(self.pid.as_raw_pid() as u32, signal);
    }
}

/// Descriptors that a supervisor has before its program makes a socket, and what one call may want besides; the program shall not begin where it would
/// fail for want of them.
const DESCRIPTORS_NEEDED: usize = 24;

/// Every connection costs the supervisor a descriptor: it takes as many as it may have. What the limit was before, with which the program starts.
pub(crate) fn raise_descriptor_limit() -> Option<DescriptorLimit> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Without a value there is no limit to raise.
    let before = current.zip(maximum).map(|(soft, hard)| DescriptorLimit { soft, hard });
    if before.is_some_and(|it| it.soft < it.hard) {
        // Refused, it stays as it is.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
    before
}

/// Fails where there are too few descriptors to begin with.
pub(crate) fn require_descriptors() -> Result<(), RunError> {
    let spare = |_| std::fs::File::open("/dev/null");
    match (0..DESCRIPTORS_NEEDED).map(spare).collect::<io::Result<Vec<_>>>() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Err(RunError::Setup {
            step: "open what it needs",
            error,
        }),
        // Whether there is a /dev/null is not the question.
        _ => Ok(()),
    }
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
