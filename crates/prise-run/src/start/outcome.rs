//! How a run ends: with its program's own end, or before the program began.

use core::net::IpAddr;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit};

use crate::start::config::Publish;
use crate::start::probe::{Feature, remedy, yama_remedy};

/// The program's end, which becomes prise's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status, as `WEXITSTATUS` gives it.
    Code(u8),
    /// This signal ended it, as `WTERMSIG` gives it.
    Signal(i32),
}

impl Exit {
    /// Ends this process as the program ended: whoever waits for it sees the same signal. Returns the exit status that is
    /// left to give, the program's own or, where the signal did not end us, the number that shells use for it.
    pub fn pass_on(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => {
                // The program has dumped its core if it was to; ours would tell nothing.
                let none = Rlimit {
                    current: Some(0),
                    maximum: Some(0),
                };
                let _ = rustix::process::setrlimit(Resource::Core, none);
                prise_sys::signal::end_by(signal);
                u8::try_from(128 + signal).unwrap_or(u8::MAX)
            }
        }
    }
}

/// Why the program was not run. Each says, by [`core::fmt::Display`], what to do next.
#[derive(Debug)]
pub enum RunError {
    /// No file of that name, in `PATH` or where it was said to be.
    ProgramNotFound(OsString),
    /// The file is there and cannot be executed.
    ProgramNotExecutable {
        /// As it was asked for.
        program: OsString,
        /// What execve(2) answered.
        error: io::Error,
    },
    /// A published port could not be opened on the host.
    Publish {
        /// The one that failed.
        publish: Publish,
        /// What bind(2) or listen(2) answered.
        error: io::Error,
    },
    /// The capture file could not be opened.
    Capture {
        /// As it was asked for.
        file: PathBuf,
        /// What open(2) answered.
        error: io::Error,
    },
    /// The kernel, or the container, lacks or refuses what prise needs.
    Missing {
        /// What.
        feature: Feature,
        /// What the kernel answered.
        error: io::Error,
    },
    /// Yama lets prise look into no program.
    Yama {
        /// `kernel.yama.ptrace_scope`.
        scope: u32,
    },
    /// This is a run within a run, and options were given that only an outermost run can have.
    Nested {
        /// The outer run's supervisor.
        supervisor: u32,
    },
    /// `--allow` and `--deny` where pidfd_getfd(2) is refused: sockets that are not ours could not be judged.
    PolicyNeedsDescriptors,
    /// Another supervisor than prise has the calls of this process.
    Supervised,
    /// The device of `--link tun:NAME` could not be opened.
    Device {
        /// Its name.
        name: String,
        /// What the kernel answered.
        error: io::Error,
    },
    /// An option that is not judged, or not recorded, on the link that was chosen.
    NeedsHostLink {
        /// The option, as the command line spells it.
        option: &'static str,
    },
    /// A standard stream is a socket that a policy could not judge.
    StandardSocket {
        /// Its number.
        fd: i32,
    },
    /// The audit file could not be opened.
    Audit {
        /// As it was asked for.
        file: PathBuf,
        /// What open(2) answered.
        error: io::Error,
    },
    /// Something that was asked for does not exist in this version; never ignored, because the program would then run
    /// in another world than the one that was asked for.
    Unavailable {
        /// The option, as the command line spells it.
        option: &'static str,
    },
    /// The kernel refused a step of the set-up.
    Setup {
        /// The step, as a phrase that follows "cannot": "install the seccomp filter".
        step: &'static str,
        /// What the kernel answered.
        error: io::Error,
    },
}

impl RunError {
    /// The exit status of prise: 127 and 126 as shells and env(1) say it, 125 where prise itself failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ProgramNotFound(_) => 127,
            Self::ProgramNotExecutable { .. } => 126,
            Self::Publish { .. }
            | Self::Capture { .. }
            | Self::Audit { .. }
            | Self::StandardSocket { .. }
            | Self::Missing { .. }
            | Self::Yama { .. }
            | Self::Nested { .. }
            | Self::Supervised
            | Self::PolicyNeedsDescriptors
            | Self::NeedsHostLink { .. }
            | Self::Device { .. }
            | Self::Unavailable { .. }
            | Self::Setup { .. } => 125,
        }
    }
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::ProgramNotFound(program) => {
                let program = program.display();
                write!(
                    f,
                    "{program}: no such program; check its spelling and PATH, or give its path"
                )
            }
            Self::ProgramNotExecutable { program, error } => {
                write!(
                    f,
                    "{}: cannot be executed ({error}); check its permissions and format",
                    program.display()
                )
            }
            Self::Publish { publish, error } => write_publish(f, *publish, error),
            Self::Capture { file, error } => {
                write!(
                    f,
                    "{}: cannot be written ({error}); name another file for --capture",
                    file.display()
                )
            }
            Self::Missing { feature, error } => write!(f, "{} ({error})", remedy(*feature, error)),
            Self::Yama { scope } => f.write_str(yama_remedy(*scope)),
            Self::Nested { supervisor } => write!(
                f,
                "this is a run within the run of process {supervisor}, and has its sockets; give the options to that one, \
                 or leave them out"
            ),
            Self::Supervised => f.write_str(
                "another supervisor already has the system calls of this process (seccomp user notification), and the \
                 kernel allows one; start prise outside of it",
            ),
            Self::PolicyNeedsDescriptors => f.write_str(
                "--allow and --deny cannot be enforced here, because pidfd_getfd is refused, as Docker's default seccomp profile \
                 does; start the container with --cap-add=SYS_PTRACE, or run without them",
            ),
            Self::NeedsHostLink { option } => {
                write!(
                    f,
                    "{option} needs --link host, the default: without a gateway there is nobody to do it"
                )
            }
            Self::Device { name, error } => write!(
                f,
                "{name}: cannot be opened ({error}); have an administrator make it for you: ip tuntap add dev {name} mode \
                 tun user $USER; ip address add 10.0.2.2/24 dev {name}; ip link set {name} up"
            ),
            Self::StandardSocket { fd } => {
                let stream = ["input", "output", "error"].get(*fd as usize).unwrap_or(&"stream");
                write!(
                    f,
                    "standard {stream} is a socket of the network, which --allow and --deny cannot judge; put a pipe in its \
                     place, such as: prise run ... | cat"
                )
            }
            Self::Audit { file, error } => {
                write!(
                    f,
                    "{}: cannot be written ({error}); name another file for --audit",
                    file.display()
                )
            }
            Self::Unavailable { option } => {
                write!(f, "{option} is not available in this version of prise; run without it")
            }
            Self::Setup { step, error } => {
                write!(f, "cannot {step}: {error}")?;
                match error.raw_os_error() {
                    Some(libc::EMFILE) => f.write_str("; prise needs some 30 open files, and one more for each connection: ulimit -n 1024"),
                    Some(libc::EAGAIN) => f.write_str("; you have as many processes as you may: end some, or raise the limit (ulimit -u, pids.max of a container)"),
                    Some(libc::ENFILE) => f.write_str("; the machine has no more: end what has many files open"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl core::error::Error for RunError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::ProgramNotFound(_)
            | Self::StandardSocket { .. }
            | Self::Yama { .. }
            | Self::Nested { .. }
            | Self::Supervised
            | Self::PolicyNeedsDescriptors
            | Self::NeedsHostLink { .. }
            | Self::Unavailable { .. } => None,
            Self::ProgramNotExecutable { error, .. }
            | Self::Publish { error, .. }
            | Self::Capture { error, .. }
            | Self::Audit { error, .. }
            | Self::Device { error, .. }
            | Self::Missing { error, .. }
            | Self::Setup { error, .. } => Some(error),
        }
    }
}

fn write_publish(f: &mut core::fmt::Formatter<'_>, publish: Publish, error: &io::Error) -> core::fmt::Result {
    write!(f, "port {} cannot be published ({error}); ", publish.host_port)?;
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            write!(
                f,
                "end the program that has it, or publish another: -p PORT:{}",
                publish.guest_port
            )
        }
        io::ErrorKind::PermissionDenied => {
            write!(
                f,
                "ports below 1024 belong to root, publish another: -p PORT:{}",
                publish.guest_port
            )
        }
        io::ErrorKind::AddrNotAvailable => write!(f, "name an address of this machine, or none for its loopback"),
        _ => match (error.raw_os_error(), publish.host_address) {
            (Some(libc::EMFILE | libc::ENFILE), _) => {
                write!(
                    f,
                    "each published port takes open files of prise's: publish fewer, or raise the limit: ulimit -Hn"
                )
            }
            (Some(libc::EINVAL), Some(IpAddr::V6(address))) if address.is_unicast_link_local() => {
                write!(
                    f,
                    "link-local addresses belong to a link each: name another address of this machine, or [::]"
                )
            }
            _ => write!(f, "publish another: -p PORT:{}", publish.guest_port),
        },
    }
}
