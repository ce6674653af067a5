//! What the program has started and left running when it ended: the run goes on for it, whoever waits at a terminal is told why, and signals
//! that are sent to prise to end it all are meant for it; not for others below prise, which whoever executed it has started
//! ([`crate::guest::kin`]). Called by the supervisor, and by [`crate::start::program`].

use core::time::Duration;
use std::io::{IsTerminal, stderr};
use std::os::fd::AsFd;

use prise_sys::group::process_group;
use prise_sys::signal::{self, Arrived};
use prise_wire::Instant;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use crate::complaints::{name, say};
use crate::guest::Guests;
use crate::guest::kin::Kin;
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
        let left = left(&self.program.kin, &self.guests);
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

/// The processes of the run: those that are listed below prise, and guests that are known, where the kernel lists nobody.
fn left(kin: &Kin, guests: &Guests) -> Vec<u32> {
    let mut left = kin.processes();
    for process in guests.living() {
        if !left.contains(&process) {
            left.push(process);
        }
    }
    left
}

/// Passes on a signal that came when the program had ended, to whom the kernel has not told itself.
pub(crate) fn tell(kin: &Kin, guests: &Guests, arrived: Arrived) {
    let group = process_group(0).ok();
    let is_told = |process: Pid| signals::to_group(arrived) && process_group(process.as_raw_pid()).ok() == group;
    for number in left(kin, guests) {
        let Some(process) = Pid::from_raw(number.cast_signed()) else {
            continue;
        };
        let pidfd = pidfd_open(process, PidfdFlags::empty());
        // Looked at once the number's next owner cannot get what is sent.
        if !kin.is_filtered(number) || is_told(process) {
            continue;
        }
        // It may end just now.
        let _ = match pidfd {
            Ok(pidfd) => signal::pass_on_by(pidfd.as_fd(), arrived),
            // Without a descriptor for it the number has to do.
            Err(_) => signal::pass_on(number, arrived),
        };
    }
}
