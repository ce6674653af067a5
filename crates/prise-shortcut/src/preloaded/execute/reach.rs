//! Whether a new program will find the library by its path.

use crate::chart;
use crate::file::{AT_EMPTY_PATH, File, Looked, look};
use crate::kernel::{AT_FDCWD, CAPGET, GETEGID, GETEUID, PRCTL, call};

/// Whether the new program will find the library by its path, of which the dynamic linker would complain to standard error: this process does, as
/// the supervisor's user and group, whose the file is, and executing takes nothing away by which it does.
pub(super) fn is_found() -> bool {
    // SAFETY: the chart's fields, which nobody writes; no memory is involved else.
    unsafe {
        let user = call(GETEUID, [0; 6]) as u32;
        let group = call(GETEGID, [0; 6]) as u32;
        // In another name space of processes its number may be another one's.
        let is_library = |it: Looked| it.file == (*chart()).library && (it.user, it.group) == (user, group);
        let library = File::open(AT_FDCWD, (&raw const (*chart()).path).cast(), 0);
        let looked = library.and_then(|it| look(it.number(), c"".as_ptr().cast(), AT_EMPTY_PATH));
        looked.is_some_and(is_library) && keeps_capabilities(user)
    }
}

/// Whether who executes keeps what capabilities have to do with finding the library: the supervisor's may be no more than a process's own, unless that
/// may trace everybody (`cap_ptrace_access_check`, security/commoncap.c).
fn keeps_capabilities(user: u32) -> bool {
    const ROOT: u32 = 0;
    const SYS_PTRACE: u32 = 19;
    const PR_CAPBSET_READ: usize = 23;
    const PR_GET_SECUREBITS: usize = 27;
    const SECBIT_NOROOT: isize = 1;
    /// `_LINUX_CAPABILITY_VERSION_3` (linux/capability.h), of two parts of 32.
    const VERSION: u32 = 0x2008_0522;
    let (header, mut parts) = ([VERSION, 0], [[0u32; 3]; 2]);
    // SAFETY: the kernel reads two integers and fills six.
    let asked = unsafe {
        call(
            CAPGET,
            [header.as_ptr() as usize, parts.as_mut_ptr() as usize, 0, 0, 0, 0],
        )
    };
    let [[low, ..], [high, ..]] = parts;
    let effective = u64::from(high) << 32 | u64::from(low);
    if asked != 0 || user != ROOT {
        return asked == 0 && effective == 0;
    }
    let needed = match effective & 1 << SYS_PTRACE {
        0 => effective,
        traces => traces,
    };
    // SAFETY: no memory is involved.
    let prctl = |option, value: u32| unsafe { call(PRCTL, [option, value as usize, 0, 0, 0, 0]) };
    let is_bound = |it: u32| needed & 1 << it == 0 || prctl(PR_CAPBSET_READ, it) == 1;
    prctl(PR_GET_SECUREBITS, 0) & SECBIT_NOROOT == 0 && (0..u64::BITS).all(is_bound)
}
