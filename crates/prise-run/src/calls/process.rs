//! Calls about the process itself that a run has to know of: prctl(2) where a program would close itself to the
//! supervisor, and uname(2) where the guest has a name of its own.

use std::collections::HashMap;

use prise_socket::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::guest::notify::{Answer, Call, DONE, Judged};
use crate::supervisor::Supervisor;

/// Processes that asked to be closed, remembered before those that have ended are looked for.
const CLOSED_MAX: usize = 256;

/// `struct new_utsname` (linux/utsname.h): six texts of 65 octets.
const TEXT_LEN: usize = 65;

/// The program that a process executes, as far as it can be told from the next one: where its stack begins. Another one
/// begins open again.
type Program = u64;

/// The processes that asked to be closed to others (`PR_SET_DUMPABLE`), and were told so.
#[derive(Debug, Default)]
pub(crate) struct Closed(HashMap<u32, Program>);

fn program_of(process: u32) -> Option<Program> {
    /// `startstack` of /proc/PID/stat (proc(5)), counted from the state, which follows the name in parentheses.
    const START_STACK: usize = 25;
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(START_STACK)?.parse().ok()
}

impl Closed {
    fn insert(&mut self, process: u32) {
        if self.0.len() >= CLOSED_MAX {
            self.0
                .retain(|&process, program| program_of(process).is_some_and(|now| now == *program));
        }
        if let Some(program) = program_of(process) {
            self.0.insert(process, program);
        }
    }

    fn contains(&self, process: u32) -> bool {
        self.0
            .get(&process)
            .is_some_and(|program| program_of(process) == Some(*program))
    }
}

impl Supervisor {
    /// `PR_SET_DUMPABLE` and `PR_GET_DUMPABLE`. The kernel would keep the supervisor from looking into a process that is
    /// not dumpable (unless it is root), and the program would be without sockets. So it is told that it is closed, gets
    /// the part of it that can be had, that it dumps no core, and stays open to others of its user.
    pub(super) fn prctl(&mut self, call: &Call) -> Judged {
        if call.int(0) == libc::PR_SET_SECCOMP {
            return Ok(self.seccomp());
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Answer::Native);
        }
        let process = self.guests.process(call.tid);
        match (call.int(0), call.args[1]) {
            (libc::PR_GET_DUMPABLE, _) => Ok(Answer::Value(i64::from(!self.closed.contains(process)))),
            (_, 0) => {
                self.closed.insert(process);
                without_core(process);
                DONE
            }
            (_, 1) => {
                self.closed.0.remove(&process);
                DONE
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// A filter of the program's own, which may end it for calls that the preloaded library makes beside connect(2) and accept(2).
    pub(super) fn seccomp(&mut self) -> Answer {
        self.close_library();
        Answer::Native
    }

    /// uname(2), with the guest's own name.
    pub(super) fn uname(&mut self, call: &Call) -> Judged {
        let host = rustix::system::uname();
        let name = self.hostname.as_deref().map(str::as_bytes);
        let texts = [
            host.sysname().to_bytes(),
            name.unwrap_or(host.nodename().to_bytes()),
            host.release().to_bytes(),
            host.version().to_bytes(),
            host.machine().to_bytes(),
            host.domainname().to_bytes(),
        ];
        let mut octets = [0; TEXT_LEN * 6];
        for (place, text) in octets.chunks_exact_mut(TEXT_LEN).zip(texts) {
            let len = text.len().min(TEXT_LEN - 1);
            place[..len].copy_from_slice(&text[..len]);
        }
        call.memory().write(call.args[0], &octets)?;
        DONE
    }
}

/// No core of the process is dumped from now on. Where that is refused the process has changed its user, and is the
/// kernel's to close.
fn without_core(process: u32) {
    let Some(pid) = Pid::from_raw(process as i32) else {
        return;
    };
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = prlimit(Some(pid), Resource::Core, none);
}
