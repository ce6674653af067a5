//! Whether a signal waits for a thread that is blocked in a judged call.
//!
//! Such a call must be answered with `ERESTARTSYS`, whereupon the kernel runs the handler and restarts the call or lets it
//! fail with `EINTR`. Without a signal pending *for that thread* the raw 512 would reach the program. A signal sent to a
//! thread is certain. One sent to a process is taken by one of its threads, which the kernel chooses and does not tell:
//! the first thread, unless it blocks the signal or is about to handle another. So a signal to a process with threads counts
//! for the first thread when it is still pending at the third look, and for the others at the sixth, with `EINTR`, which a
//! program can always be told: nobody else is taking it.

use std::fs::File;
use std::io::{self, Read};

/// What is to be done for a waiting call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing.
    Nothing,
    /// A signal waits for this very thread.
    Certain,
    /// A signal waits for one of the process's threads, most likely this one: it is the first.
    Likely,
    /// A signal waits for one of the process's threads, perhaps this one.
    Possible,
}

/// Looks at /proc/TID/status (proc(5)). A thread that is gone has nothing pending; its call will be found void.
pub(crate) fn look(tid: u32) -> Pending {
    status(tid).map_or(Pending::Nothing, |status| judge(&status))
}

/// Waiting calls are looked at all the time: one read(2) has it all, but of a process with very many groups.
fn status(tid: u32) -> io::Result<String> {
    let path = format!("/proc/{tid}/status");
    let mut front = [0; 4096];
    let len = File::open(&path)?.read(&mut front)?;
    if len == front.len() {
        return std::fs::read_to_string(path);
    }
    Ok(String::from_utf8_lossy(&front[..len]).into_owned())
}

fn judge(status: &str) -> Pending {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.strip_prefix(':')?.trim())
    };
    let set = |name: &str| {
        field(name)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    };
    let wanted = !set("SigBlk") & !set("SigIgn");
    if set("SigPnd") & wanted != 0 {
        return Pending::Certain;
    }
    if set("ShdPnd") & wanted == 0 {
        return Pending::Nothing;
    }
    match (field("Threads"), field("Pid") == field("Tgid")) {
        (Some("1"), _) => Pending::Certain,
        (_, true) => Pending::Likely,
        (_, false) => Pending::Possible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: u32, threads: u32, thread_pending: u64, process_pending: u64, blocked: u64, ignored: u64) -> String {
        format!(
            "Name:\tx\nTgid:\t7\nPid:\t{pid}\nThreads:\t{threads}\nSigQ:\t0/9\nSigPnd:\t{thread_pending:016x}\nShdPnd:\t{process_pending:016x}\n\
             SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t0000000000000000\n"
        )
    }

    #[test]
    fn only_signals_that_are_neither_blocked_nor_ignored_count() {
        assert_eq!(judge(&status(7, 1, 2, 0, 0, 0)), Pending::Certain);
        assert_eq!(judge(&status(7, 1, 2, 0, 2, 0)), Pending::Nothing);
        assert_eq!(judge(&status(7, 1, 2, 4, 2, 4)), Pending::Nothing);
        assert_eq!(judge(&status(7, 1, 0, 4, 2, 2)), Pending::Certain);
    }

    #[test]
    fn a_signal_to_a_process_with_threads_may_be_anothers() {
        assert_eq!(judge(&status(7, 3, 0, 4, 0, 0)), Pending::Likely);
        assert_eq!(judge(&status(8, 3, 0, 4, 0, 0)), Pending::Possible);
        assert_eq!(judge(&status(8, 3, 4, 0, 0, 0)), Pending::Certain);
        assert_eq!(judge(""), Pending::Nothing);
    }
}
