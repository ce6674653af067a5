//! What the supervisor says by itself while a program runs, each once: who is not served, why, and what would help.

use core::fmt::Display;
use core::time::Duration;
use std::io::Write;

use crate::supervisor::Supervisor;
use crate::world::mirror::OpenError;

/// Descriptors that one call may want of the supervisor at once, and more: both ends of a socket, copies of the program's, the task, a file of /proc.
pub(crate) const AT_ONCE: usize = 8;

/// What was spoken of already.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    closed: bool,
    foreign: bool,
    exhausted: bool,
    packet_sockets: bool,
    unseen: bool,
}

/// prise's own words, on standard error. Where that is closed, or a pipe that nobody reads, there is nobody to tell.
pub(crate) fn say(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "prise: {message}");
}

impl Supervisor {
    /// A program that cannot be looked at.
    pub(crate) fn complain_of_closed(&mut self, tid: u32) {
        if !core::mem::replace(&mut self.complaints.closed, true) {
            let name = name(tid);
            say(format_args!(
                "{name} (process {tid}) does not let itself be looked at and gets no sockets: its file may be executed and not \
                 read, or it has changed its user; make the file readable, or run prise as root"
            ));
        }
    }

    /// A program of another architecture's calls.
    pub(crate) fn complain_of_foreign(&mut self, tid: u32) {
        if !core::mem::replace(&mut self.complaints.foreign, true) {
            let name = name(tid);
            say(format_args!(
                "{name} (process {tid}) makes 32-bit system calls, which prise cannot judge and which fail; run a 64-bit build \
                 of it"
            ));
        }
    }

    /// A program may have packet sockets, and the machine does not let prise make any.
    pub(crate) fn complain_of_packet_sockets(&mut self, error: &OpenError) {
        if !core::mem::replace(&mut self.complaints.packet_sockets, true) {
            say(format_args!("programs get no packet sockets (EPERM): {error}"));
        }
    }

    /// A program looks at packets, and not all connections have any.
    pub(crate) fn tell_of_unseen_connections(&mut self) {
        if !core::mem::replace(&mut self.complaints.unseen, true) {
            say("packet sockets do not see connections that the host's kernel carries; with --no-join there are none");
        }
    }

    /// Whether the descriptors are gone that a call failed for want of: they may be wanting in the program, too.
    pub(crate) fn is_exhausted(&self) -> bool {
        let spare: Result<Vec<_>, _> = (0..AT_ONCE).map(|_| rustix::io::dup(&self.calls)).collect();
        spare.is_err()
    }

    /// A call failed because the supervisor has no more descriptors.
    pub(crate) fn complain_of_exhaustion(&mut self) {
        if self.complaints.exhausted {
            return;
        }
        self.complaints.exhausted = true;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        say(format_args!(
            "the limit{limit} open files is reached, and sockets cannot be made; every connection takes one of prise too: raise \
             it (ulimit -Hn, or nofile in limits.conf) and start again"
        ));
    }
}

/// The program has gone, and what it wrote does not get to where it should.
pub(crate) fn complain_of_loss(connections: usize, octets: usize, after: Duration) {
    say(format_args!(
        "{connections} connections are given up, whose peers have acknowledged nothing for {} s; of what the program has written {octets} octets \
         are lost",
        after.as_secs()
    ));
}

/// What a task calls itself, be it octets that a terminal would obey (`PR_SET_NAME` takes any).
pub(crate) fn name(tid: u32) -> String {
    let name = std::fs::read(format!("/proc/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_nothing_to_a_terminal() {
        let named = std::thread::Builder::new().name("a\x1b[31m b".to_owned());
        let heard = named.spawn(|| name(rustix::thread::gettid().as_raw_pid() as u32));
        assert_eq!(heard.unwrap().join().unwrap(), "a\\u{1b}[31m b");
    }
}
