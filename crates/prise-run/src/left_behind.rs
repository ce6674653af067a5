//! What the program has started and left running when it ended: the run goes on for it, whoever waits at a terminal is told why, and signals
//! that are sent to prise to end it all are meant for it. Called by the supervisor, and by [`crate::start::program`].

use core::time::Duration;
use std::io::{IsTerminal, stderr};

use prise_sys::signal::{self, Arrived};
use prise_wire::Instant;
use rustix::process::{Pid, getpgid, getpgrp, getpid};

use crate::complaints::{name, say};
use crate::guest::descendants;
use crate::start::signals;
use crate::supervisor::Supervisor;

/// Most that stays is on its way out: a shell's last pipe, a helper that looks whether its parent is there.
const PATIENCE: Duration = Duration::from_secs(1);

impl Supervisor {
    /// The program has ended.
    pub(crate) fn expect_left_behind(&mut self) {
        // Whoever reads a file or a pipe wants the program's words, and waits for its end anyway.
        self.tell_of_left_behind = (!self.guests_gone && stderr().is_terminal()).then(|| self.now + PATIENCE);
    }

    /// Says once why prise is still there.
    pub(crate) fn look_at_left_behind(&mut self) {
        if self.tell_of_left_behind.is_none_or(|at| at > self.now) {
            return;
        }
        self.tell_of_left_behind = None;
        let left = descendants(std::process::id());
        let (Some(&first), false) = (left.first(), self.guests_gone) else {
            return;
        };
        let others = match left.len() - 1 {
            0 => String::new(),
            1 => " and another process".to_owned(),
            more => format!(" and {more} other processes"),
        };
        say(format_args!(
            "the program has ended; its run goes on for {} ({first}){others}, which it has started: to end them, kill {}",
            name(first),
            getpid().as_raw_pid()
        ));
    }

    /// When that is to be said.
    pub(crate) fn left_behind_due(&self) -> Option<Instant> {
        self.tell_of_left_behind
    }
}

/// Passes on a signal that came when the program had ended, to whom the kernel has not told itself.
pub(crate) fn tell(arrived: Arrived) {
    let group = getpgrp();
    let is_told = |process: u32| {
        let process = i32::try_from(process).ok().and_then(Pid::from_raw);
        signals::to_group(arrived) && getpgid(process).is_ok_and(|it| it == group)
    };
    for process in descendants(std::process::id()) {
        if !is_told(process) {
            // It may end just now.
            let _ = signal::send(process, arrived.signal);
        }
    }
}
