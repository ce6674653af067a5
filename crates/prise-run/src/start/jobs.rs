//! What /proc tells of a job's stops.

use std::fs;

use prise_sys::group::{process_group, session};
use rustix::process::{Pid, getpid};

use crate::guest::status_field;

/// Whether the process, which is stopped, has sent `signal` to itself: one of its threads is then on its way out of that call.
pub(crate) fn has_sent_itself(process: Pid, signal: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_pid()));
    let calls = threads
        .into_iter()
        .flatten()
        .flatten()
        .map(|thread| fs::read_to_string(thread.path().join("syscall")));
    calls.flatten().any(|call| sends(&call, signal))
}

/// Whether a call, as /proc/PID/syscall shows it (proc_pid_syscall(5)), sends `signal`.
fn sends(call: &str, signal: i32) -> bool {
    let mut words = call.split_whitespace();
    let at = match words.next().and_then(|number| number.parse().ok()) {
        Some(libc::SYS_kill | libc::SYS_tkill | libc::SYS_rt_sigqueueinfo | libc::SYS_pidfd_send_signal) => 1,
        Some(libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo) => 2,
        _ => return false,
    };
    let argument = words
        .nth(at)
        .and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    // An int, by its lower half.
    argument.is_some_and(|argument| argument as i32 == signal)
}

/// Whether somebody is there who could continue this process's group: a parent of the same session in another group (setpgid(2) of orphaned groups). Of the group's
/// members only those are looked at that lead up to there.
pub(crate) fn has_shell() -> bool {
    let (own_group, own_session) = (process_group(0).ok(), session(0).ok());
    let ancestors = std::iter::successors(Some(getpid()), |&process| parent(process));
    let mut ancestors = ancestors.skip(1).map(Pid::as_raw_pid);
    let outside = ancestors.find(|&process| process_group(process).ok() != own_group);
    outside.is_some_and(|process| session(process).ok() == own_session)
}

fn parent(process: Pid) -> Option<Pid> {
    Pid::from_raw(status_field(process.as_raw_pid(), "PPid:")?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_sends_a_signal_is_told_from_others() {
        let call = |number, args: &str| format!("{number} {args} 0x7ffd3c 0x7f11\n");
        let (own, all) = ("0x4d2 0x13 0x0 0x0 0x0 0x0", "0x4d2 0x4d2 0x13 0x0 0x0 0x0");
        assert!(sends(&call(libc::SYS_kill, own), libc::SIGSTOP));
        assert!(sends(&call(libc::SYS_tgkill, all), libc::SIGSTOP));
        assert!(!sends(&call(libc::SYS_tgkill, own), libc::SIGSTOP));
        assert!(!sends(&call(libc::SYS_kill, own), libc::SIGTSTP));
        assert!(!sends(&call(libc::SYS_read, own), libc::SIGSTOP));
        assert!(!sends("running\n", libc::SIGSTOP) && !sends("-1 0x7ffd3c 0x7f11\n", libc::SIGSTOP));
    }
}
