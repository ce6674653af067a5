//! The slice of processor time that the calling thread asks for: sched_setattr(2).

use std::io;
use std::time::Duration;

/// Has the calling thread run in slices so short (Linux 6.12; 0.1 to 100 ms): its share stays what it is, but when it wakes it runs before
/// threads with longer slices have used up theirs. Needs no privilege. Earlier kernels take the wish and heed it not.
///
/// `EINVAL` for a thread that is not scheduled by fair shares (`SCHED_OTHER`, `SCHED_BATCH`).
pub fn ask_for_slice(slice: Duration) -> io::Result<()> {
    const THIS_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: an all-zero `sched_attr` is a valid one.
    let mut attributes: libc::sched_attr = unsafe { core::mem::zeroed() };
    let size = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: the kernel writes at most `size` octets of the structure.
    crate::check(unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            THIS_THREAD,
            &raw mut attributes,
            size,
            NO_FLAGS,
        )
    })?;
    if ![libc::SCHED_OTHER, libc::SCHED_BATCH].contains(&(attributes.sched_policy as i32)) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    attributes.sched_runtime = slice.as_nanos() as u64;
    // SAFETY: the kernel reads the structure, whose size it holds.
    crate::check(unsafe { libc::syscall(libc::SYS_sched_setattr, THIS_THREAD, &raw const attributes, NO_FLAGS) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_fair_shares_may_ask_and_keeps_its_nice_value() {
        // SAFETY: getpriority(2) touches no memory.
        let nice = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = nice();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ask_for_slice(Duration::from_micros(100)).unwrap();
                assert_eq!(nice(), before);
            });
        });
    }
}
