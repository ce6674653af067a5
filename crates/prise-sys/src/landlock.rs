//! Landlock (landlock(7)): a domain that a program and its descendants never leave.
//!
//! Used for what every domain brings with it, whatever it restricts: whoever is in it may trace (ptrace(2), and with it
//! process_vm_readv(2), pidfd_getfd(2), /proc/PID/mem) only processes of the same domain; and for two scopes that newer
//! kernels add: signals, and connections to abstract AF_UNIX names.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// linux/landlock.h.
const CREATE_RULESET_VERSION: u32 = 1;
const ACCESS_FS_MAKE_BLOCK: u64 = 1 << 11;
const ACCESS_FS_REFER: u64 = 1 << 13;
const ACCESS_NET_BIND_TCP: u64 = 1;
const ACCESS_NET_CONNECT_TCP: u64 = 2;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 2;
const RULE_PATH_BENEATH: i32 = 1;

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// A domain that can be entered.
#[derive(Debug)]
pub struct Ruleset {
    fd: OwnedFd,
    /// Whether signals and abstract names beyond the domain are out of reach.
    scopes: bool,
}

/// The version of Landlock that the kernel has enabled; 0 for none.
pub fn version() -> u32 {
    // SAFETY: with this flag no memory is read.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            core::ptr::null::<RulesetAttr>(),
            0usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

impl Ruleset {
    /// A domain that restricts as little as the kernel's version permits. `None` where there is no Landlock, or only its
    /// first version, in which every domain forbids to move files between directories.
    pub fn new() -> io::Result<Option<Self>> {
        let version = version();
        let net = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP;
        let fs = ACCESS_FS_MAKE_BLOCK | ACCESS_FS_REFER;
        let scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
        let (handled_access_fs, handled_access_net, scoped, len) = match version {
            0 | 1 => return Ok(None),
            2 | 3 => (fs, 0, 0, 8),
            // Nobody in the domain has a TCP socket of the kernel's; should one turn up, it leads nowhere.
            4 | 5 => (0, net, 0, 16),
            _ => (0, net, scoped, 24),
        };
        let attr = RulesetAttr {
            handled_access_fs,
            handled_access_net,
            scoped,
        };
        // SAFETY: the kernel reads `len` octets of a live structure of at least that length.
        let fd = crate::check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, len, 0) })?;
        // SAFETY: the descriptor is new and owned by nobody else; the kernel has set its close-on-exec flag.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        if handled_access_fs != 0 {
            allow_everywhere(&fd, handled_access_fs)?;
        }
        Ok(Some(Self {
            fd,
            scopes: attr.scoped != 0,
        }))
    }

    /// Whether signals and abstract names beyond the domain are out of reach.
    pub fn scopes(&self) -> bool {
        self.scopes
    }

    /// Puts the calling thread into the domain. Called between fork and exec: allocates nothing. The error is an errno.
    pub(crate) fn enter(&self) -> Result<(), i32> {
        // SAFETY: no memory is involved.
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.fd.as_raw_fd(), 0) };
        if result < 0 { Err(crate::errno()) } else { Ok(()) }
    }
}

fn allow_everywhere(ruleset: &OwnedFd, access: u64) -> io::Result<()> {
    let root = std::fs::File::open("/")?;
    let rule = PathBeneathAttr {
        allowed_access: access,
        parent_fd: root.as_raw_fd(),
    };
    // SAFETY: the kernel reads one live structure.
    crate::check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const rule,
            0,
        )
    })
    .map(drop)
}
