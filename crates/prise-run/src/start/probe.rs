//! What this machine lacks for prise, in words that say what to do: asked before anything is started, and by
//! `prise doctor`.

use std::io;

use prise_sys::memory;
pub use prise_sys::probe::Feature;
use prise_sys::probe::probe;

use crate::start::outcome::RunError;

/// Everything that is asked, in the order in which it is told.
pub const FEATURES: [Feature; 10] = [
    Feature::Notification,
    Feature::PidfdOpen,
    Feature::PidfdGetfd,
    Feature::ProcessFiles,
    Feature::ProcessVm,
    Feature::MemoryFile,
    Feature::LocalUrgent,
    Feature::PidfdThread,
    Feature::Landlock,
    Feature::UserNamespace,
];

/// What one feature is to prise here.
#[derive(Debug)]
pub struct Finding {
    /// Which.
    pub feature: Feature,
    /// The kernel's refusal, if it is not there.
    pub missing: Option<io::Error>,
}

/// Asks for everything, as `prise doctor` does.
pub fn findings() -> Vec<Finding> {
    let finding = |feature| Finding {
        feature,
        missing: probe(feature).err(),
    };
    FEATURES.map(finding).into()
}

impl Finding {
    /// Whether no program can be run because of it. Of the two ways to memory one is enough.
    pub fn is_fatal(&self) -> bool {
        self.missing.is_some() && is_needed(self.feature)
    }

    /// What its absence means here, and what to do about it; none if it is there.
    pub fn remedy(&self) -> Option<String> {
        let error = self.missing.as_ref()?;
        Some(match self.feature {
            Feature::ProcessVm if !self.is_fatal() => {
                "prise reads them through /proc/PID/mem; --cap-add=SYS_PTRACE allows the faster way".to_owned()
            }
            Feature::MemoryFile if !self.is_fatal() => "nothing is lost: process_vm_readv serves".to_owned(),
            feature => remedy(feature, error),
        })
    }
}

/// Whether nothing goes without it.
fn is_needed(feature: Feature) -> bool {
    match feature {
        Feature::Notification | Feature::PidfdOpen | Feature::ProcessFiles => true,
        Feature::ProcessVm => probe(Feature::MemoryFile).is_err(),
        Feature::MemoryFile => probe(Feature::ProcessVm).is_err(),
        Feature::PidfdGetfd
        | Feature::LocalUrgent
        | Feature::PidfdThread
        | Feature::Landlock
        | Feature::UserNamespace => false,
    }
}

/// What is needed for a run; chooses among the ways there are. Whether programs' descriptors can be fetched.
pub(crate) fn require() -> Result<bool, RunError> {
    for feature in [Feature::Notification, Feature::PidfdOpen, Feature::ProcessFiles] {
        probe(feature).map_err(|error| RunError::Missing { feature, error })?;
    }
    if let Err(error) = probe(Feature::ProcessVm) {
        let missing = |_| RunError::Missing {
            feature: Feature::ProcessVm,
            error,
        };
        probe(Feature::MemoryFile).map_err(missing)?;
        memory::use_files();
    }
    match yama() {
        Some(scope) if scope >= 2 && !rustix::process::geteuid().is_root() => Err(RunError::Yama { scope }),
        _ => Ok(probe(Feature::PidfdGetfd).is_ok()),
    }
}

/// `kernel.yama.ptrace_scope`, where there is Yama.
fn yama() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    text.trim().parse().ok()
}

/// What it is for, as `prise doctor` lists it.
pub fn purpose(feature: Feature) -> &'static str {
    match feature {
        Feature::Notification => "seccomp user notification with WAIT_KILLABLE_RECV: calls on sockets reach prise",
        Feature::PidfdOpen => "pidfd_open: prise knows its programs",
        Feature::PidfdGetfd => "pidfd_getfd: prise sees which socket a call is about",
        Feature::ProcessFiles => "/proc: prise finds the threads and descriptors of programs",
        Feature::ProcessVm => "process_vm_readv: prise reads the arguments of calls",
        Feature::MemoryFile => "/proc/PID/mem: the same, more slowly",
        Feature::LocalUrgent => "MSG_OOB on AF_UNIX: urgent octets",
        Feature::PidfdThread => "pidfds of threads: threads with descriptors of their own",
        Feature::Landlock => "Landlock: --allow and --deny keep programs away from your other processes",
        Feature::UserNamespace => "user namespaces: not needed by prise, but by programs that sandbox themselves",
    }
}

/// What to do about a feature that is missing.
pub(crate) fn remedy(feature: Feature, error: &io::Error) -> String {
    const NEWER: &str = "prise needs Linux 5.19 or newer";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    // A kernel without a call says ENOSYS, and so do some containers (podman); EPERM is always somebody's decision.
    let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
    match feature {
        Feature::Notification if is_refused => {
            "seccomp(2) is refused here, most likely by a container's own seccomp profile; start the container with \
             --security-opt seccomp=unconfined, or with a profile that allows seccomp"
                .to_owned()
        }
        Feature::Notification => format!(
            "this kernel ({release}) cannot hand calls to a supervisor and wait through signals (seccomp user \
             notification, WAIT_KILLABLE_RECV); {NEWER}"
        ),
        Feature::PidfdOpen if is_refused => {
            "pidfd_open is refused here, most likely by a container's seccomp profile; start the container with \
             --security-opt seccomp=unconfined"
                .to_owned()
        }
        Feature::PidfdOpen => {
            format!("this kernel ({release}) or container has no pidfd_open; {NEWER}")
        }
        // Docker's default profile.
        Feature::PidfdGetfd => {
            "prise keeps programs' sockets instead: no connection is the host kernel's own, resets show as ends of file, \
             and --allow and --deny are refused; start the container with --cap-add=SYS_PTRACE for all of it"
                .to_owned()
        }
        Feature::ProcessFiles => {
            "/proc is not mounted here, or is that of another pid namespace; mount one: mount -t proc proc /proc, or in \
             bubblewrap --proc /proc"
                .to_owned()
        }
        Feature::ProcessVm | Feature::MemoryFile => {
            "the memory of programs cannot be read, neither by process_vm_readv nor through /proc/PID/mem; start the \
             container with --cap-add=SYS_PTRACE, and see that /proc is mounted"
                .to_owned()
        }
        Feature::LocalUrgent => {
            "sending urgent octets (MSG_OOB) will fail; a kernel with CONFIG_AF_UNIX_OOB has them".to_owned()
        }
        Feature::PidfdThread => {
            "threads with a descriptor table of their own are not seen right; Linux 6.9 has them".to_owned()
        }
        Feature::Landlock => {
            "under --allow and --deny programs cannot trace each other, and your other processes are protected by Yama \
             only; enable Landlock (lsm=landlock,…)"
                .to_owned()
        }
        Feature::UserNamespace => "browsers and the like may need --no-sandbox here".to_owned(),
    }
}

/// What to do about Yama.
pub(crate) fn yama_remedy(scope: u32) -> &'static str {
    if scope == 2 {
        "kernel.yama.ptrace_scope is 2, which lets only root look into programs; run prise as root, or have an \
         administrator set it to 1: sysctl kernel.yama.ptrace_scope=1"
    } else {
        "kernel.yama.ptrace_scope is 3, which lets nobody look into programs until the next boot; boot with \
         kernel.yama.ptrace_scope=1"
    }
}
