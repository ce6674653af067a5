//! Starting a program under a filter, with the filter's listener in the parent's hands.
//!
//! Between fork and exec the child of a process with threads may only call what signal-safety(7) allows: everything is
//! prepared before, and the child reports over a pipe. It cannot send its listener by sendmsg(2), which is filtered and
//! which nobody answers yet; the parent fetches it by pidfd_getfd(2), then lets the child go on. Where that is refused, both
//! have one descriptor table until exec.

use core::ffi::CStr;
use core::ptr;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::landlock::Ruleset;
use crate::seccomp::{self, Listener, Program};
use crate::signal::SignalSet;

/// A program to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Looked up in `PATH` when it holds no slash (execvp(3)).
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub args: &'a [CString],
    /// What its calls are judged by.
    pub filter: &'a Program,
    /// The signals that it starts with blocked.
    pub mask: &'a SignalSet,
    /// Whether `SIGXFSZ` ends it, which the caller ignores ([`crate::signal::ignore`]).
    pub file_limit_ends: bool,
    /// What it starts with; `None` inherits the caller's.
    pub descriptors: Option<DescriptorLimit>,
    /// What it is confined by, where it is.
    pub confinement: Option<&'a Confinement>,
    /// Whether the listener can be fetched by pidfd_getfd(2). Else the child begins with the parent's own descriptor table,
    /// in which the listener then lies, and leaves it by execve(2).
    pub fetches: bool,
    /// The lines of its environment; `None` inherits the caller's.
    pub environment: Option<&'a [CString]>,
}

/// How many descriptors a process may have (`RLIMIT_NOFILE`).
#[derive(Debug, Clone, Copy)]
pub struct DescriptorLimit {
    /// The limit itself.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// The lines of this process's environment, whatever they are.
pub fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut lines = Vec::new();
    // SAFETY: nothing of this process changes its environment (`std::env::set_var` is unsafe, and nowhere); the list ends with a null pointer.
    unsafe {
        let mut line = environ;
        while !line.is_null() && !(*line).is_null() {
            lines.push(CStr::from_ptr(*line).to_owned());
            line = line.add(1);
        }
    }
    lines
}

/// Whether a file may be executed: a security module or `vm.memfd_noexec` can forbid it.
pub fn is_executable(file: BorrowedFd<'_>) -> bool {
    const OCTETS: usize = 1;
    // SAFETY: a place of the kernel's choice, which is given back and never looked at.
    unsafe {
        let (access, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        let place = libc::mmap(ptr::null_mut(), OCTETS, access, flags, file.as_raw_fd(), 0);
        place != libc::MAP_FAILED && libc::munmap(place, OCTETS) == 0
    }
}

/// What keeps a program away from processes that are not its own, this one among them.
#[derive(Debug)]
pub struct Confinement {
    /// The domain that it enters, where the kernel knows such.
    pub domain: Option<Ruleset>,
}

/// Capabilities (linux/capability.h) that could undo a confinement: what is root keeps the others. In a user namespace of
/// its own a program still has all of them, over what belongs to that namespace.
const CAPABILITIES_DROPPED: [libc::c_ulong; 9] = [
    12, // CAP_NET_ADMIN
    13, // CAP_NET_RAW
    16, // CAP_SYS_MODULE
    17, // CAP_SYS_RAWIO
    19, // CAP_SYS_PTRACE
    21, // CAP_SYS_ADMIN
    27, // CAP_MKNOD
    38, // CAP_PERFMON
    39, // CAP_BPF
];

/// A program that runs under its filter.
#[derive(Debug)]
pub struct Launched {
    /// Its process.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// Where its calls, and those of all its descendants, arrive.
    pub listener: Listener,
}

/// Why the program does not run.
#[derive(Debug)]
pub enum LaunchError {
    /// A step of the set-up failed; the phrase follows "cannot".
    Step(&'static str, io::Error),
    /// execve(2) failed.
    Exec(io::Error),
}

/// What the child tells its parent: a word and its value.
const LISTENER: i32 = 1;
const PRIVILEGES_FAILED: i32 = 2;
const FILTER_FAILED: i32 = 3;
const EXEC_FAILED: i32 = 4;
const DOMAIN_FAILED: i32 = 5;

/// Starts the program and returns once it has been executed, or could not be.
pub fn launch(launch: &Launch<'_>) -> Result<Launched, LaunchError> {
    let mut argv: Vec<*const libc::c_char> = launch.args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(ptr::null());
    let mut environment: Vec<*const libc::c_char> = Vec::new();
    if let Some(lines) = launch.environment {
        environment.extend(lines.iter().map(|it| it.as_ptr()));
        environment.push(ptr::null());
    }
    let (mut reports, report) = io::pipe().map_err(|error| LaunchError::Step("make a pipe", error))?;
    let (go_ahead, mut release) = io::pipe().map_err(|error| LaunchError::Step("make a pipe", error))?;

    // SAFETY: the child only calls async-signal-safe functions and then executes or exits; see `child`.
    let pid = unsafe {
        if launch.fetches {
            libc::fork()
        } else {
            fork_with_descriptors()
        }
    };
    let pid = crate::check(pid).map_err(|error| LaunchError::Step("start a process", error))?;
    if pid == 0 {
        child(
            launch,
            (&argv, &environment),
            report.as_raw_fd(),
            go_ahead.as_raw_fd(),
            release.as_raw_fd(),
        );
    }
    drop((report, go_ahead));

    let outcome = hand_over(pid, launch, &mut reports, &mut release);
    if outcome.is_err() {
        // The child sees its pipe end and leaves by itself; it is ours to reap.
        drop(release);
        // SAFETY: the status is not asked for; the child is ours and not yet waited for.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    }
    outcome
}

/// fork(2) with one descriptor table for both (`CLONE_FILES`) until the child has executed its program or ended, for which the
/// parent waits (`CLONE_VFORK`).
///
/// # Safety
///
/// As fork(2) in a process with threads: the child may only do what signal-safety(7) allows. What it closes is closed here too.
unsafe fn fork_with_descriptors() -> i32 {
    let flags = libc::CLONE_FILES | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: without CLONE_VM both go on with memory of their own, on their own copies of the stack.
    unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) as i32 }
}

fn hand_over(
    pid: i32,
    launch: &Launch<'_>,
    reports: &mut io::PipeReader,
    release: &mut io::PipeWriter,
) -> Result<Launched, LaunchError> {
    let lost = || LaunchError::Step("prepare the program", io::ErrorKind::BrokenPipe.into());
    let (word, value) = next_report(reports).ok_or_else(lost)?;
    let error = || io::Error::from_raw_os_error(value);
    match word {
        LISTENER => (),
        DOMAIN_FAILED => return Err(LaunchError::Step("enter the Landlock domain", error())),
        PRIVILEGES_FAILED => return Err(LaunchError::Step("give up new privileges", error())),
        _ => return Err(LaunchError::Step("install the seccomp filter", error())),
    }
    let pidfd = pidfd_open(pid as u32, 0).map_err(|error| LaunchError::Step("watch the program", error))?;
    let listener = if launch.fetches {
        // SAFETY: no memory is involved.
        let listener = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), value, 0) };
        if listener < 0 {
            let error = io::Error::last_os_error();
            return Err(LaunchError::Step("fetch the seccomp listener (pidfd_getfd)", error));
        }
        listener as i32
    } else {
        value
    };
    // SAFETY: the descriptor is new and owned by nobody else. The kernel has set its close-on-exec flag.
    let listener = Listener::new(unsafe { OwnedFd::from_raw_fd(listener) });
    if launch.confinement.is_some() {
        // From here on this process is nobody's to trace but root's; before the program's first instruction.
        // SAFETY: no memory is involved.
        crate::check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
            .map_err(|error| LaunchError::Step("close prise to tracers", error))?;
    }
    if launch.fetches {
        release.write_all(&[1]).map_err(|_| lost())?;
    }
    // The pipe closes with exec; a word on it is exec's failure.
    match next_report(reports) {
        None => Ok(Launched {
            pid: pid as u32,
            pidfd,
            listener,
        }),
        Some((_, errno)) => Err(LaunchError::Exec(io::Error::from_raw_os_error(errno))),
    }
}

fn next_report(reports: &mut io::PipeReader) -> Option<(i32, i32)> {
    let mut octets = [0; 8];
    reports.read_exact(&mut octets).ok()?;
    let (word, value) = octets.split_at(4);
    Some((
        i32::from_ne_bytes(word.try_into().ok()?),
        i32::from_ne_bytes(value.try_into().ok()?),
    ))
}

/// A descriptor for the process (pidfd_open(2)), close-on-exec.
pub(crate) fn pidfd_open(pid: u32, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = crate::check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The child's way from fork to exec. Allocates nothing, takes no lock, never returns.
fn child(
    launch: &Launch<'_>,
    (argv, environment): (&[*const libc::c_char], &[*const libc::c_char]),
    report: i32,
    go_ahead: i32,
    release: i32,
) -> ! {
    // SAFETY: only async-signal-safe calls; every pointer is to memory prepared before the fork and alive.
    unsafe {
        if launch.fetches {
            // Its own copy of the writing end would hide the parent's death from it.
            libc::close(release);
        } else {
            // Nothing may be closed in a table that is the parent's too: its death is told by a signal.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        // Rust ignores SIGPIPE in its own process; the program starts as any other does.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if launch.file_limit_ends {
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const launch.mask.0, ptr::null_mut());
        if let Some(DescriptorLimit { soft, hard }) = launch.descriptors {
            let limit = libc::rlimit {
                rlim_cur: soft,
                rlim_max: hard,
            };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    crate::closed::close_on_exec();
    match confine(launch.confinement).and_then(|()| install(launch.filter)) {
        Ok(listener) => {
            say(report, LISTENER, listener);
            let mut octet = 0u8;
            // SAFETY: one octet is read into a live variable; the listener's number is this function's own.
            unsafe {
                if launch.fetches {
                    // An end of file instead of the octet: the parent has given up.
                    if libc::read(go_ahead, (&raw mut octet).cast(), 1) != 1 {
                        libc::_exit(127);
                    }
                    libc::close(listener);
                } else {
                    // The parent goes on when this process has executed the program or ended.
                    libc::prctl(libc::PR_SET_PDEATHSIG, 0);
                }
                match launch.environment {
                    Some(_) => libc::execvpe(launch.program.as_ptr(), argv.as_ptr(), environment.as_ptr()),
                    None => libc::execvp(launch.program.as_ptr(), argv.as_ptr()),
                };
            }
            say(report, EXEC_FAILED, crate::errno());
        }
        Err((word, errno)) => say(report, word, errno),
    }
    // SAFETY: ends the process without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Gives up what could undo the confinement, and enters the domain.
fn confine(confinement: Option<&Confinement>) -> Result<(), (i32, i32)> {
    let Some(confinement) = confinement else {
        return Ok(());
    };
    // SAFETY: no memory is involved.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err((PRIVILEGES_FAILED, crate::errno()));
    }
    for capability in CAPABILITIES_DROPPED {
        // Who may not drop it does not have it; an older kernel does not know it.
        // SAFETY: no memory is involved.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    match &confinement.domain {
        Some(domain) => domain.enter().map_err(|errno| (DOMAIN_FAILED, errno)),
        None => Ok(()),
    }
}

/// Who has `CAP_SYS_ADMIN` installs without giving up new privileges, so that set-user-ID programs keep working.
fn install(filter: &Program) -> Result<i32, (i32, i32)> {
    match seccomp::install(filter) {
        Err(libc::EACCES) => (),
        result => return result.map_err(|errno| (FILTER_FAILED, errno)),
    }
    // SAFETY: no memory is involved.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err((PRIVILEGES_FAILED, crate::errno()));
    }
    seccomp::install(filter).map_err(|errno| (FILTER_FAILED, errno))
}

fn say(report: i32, word: i32, value: i32) {
    let octets = [word, value];
    // SAFETY: eight octets of a live array are written; a pipe takes so few at once or not at all.
    unsafe { libc::write(report, octets.as_ptr().cast(), 8) };
}
