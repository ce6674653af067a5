//! Calls of accept(2) that were left to the kernel ([`crate::handed::plain`], [`crate::handed::direct_accept`]) and come late.
//!
//! Once the supervisor is told to let a call through, nobody knows when its thread is given a processor. Where that takes too long, or its client
//! is given to another, the supervisor accepts itself, and the thread may then find whom poll(2) has just shown to the supervisor, whose own
//! accept(2) of a listener that blocks would wait for the next client, and everybody with it. Only there it has itself interrupted.

use core::time::Duration;
use std::os::fd::OwnedFd;

use prise_sys::signal::Interrupts;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno as E;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};

/// How long everybody waits where a call comes late, at the least: what it takes to find that nobody is there.
const WAITS: Duration = Duration::from_millis(1);

/// Threads whose calls have perhaps not found anybody yet.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// Each once.
    threads: Vec<u32>,
}

impl Late {
    /// The supervisor accepts though a thread has perhaps not.
    pub(crate) fn note(&mut self, tid: u32) {
        if !self.threads.contains(&tid) {
            self.threads.push(tid);
        }
    }

    /// A thread calls again: its last call is over.
    pub(crate) fn has_returned(&mut self, tid: u32) {
        self.threads.retain(|&it| it != tid);
    }

    /// Whether there is any.
    pub(crate) fn may_come(&mut self, has_gone_on: impl Fn(u32) -> bool) -> bool {
        self.threads.retain(|&tid| !has_gone_on(tid));
        !self.threads.is_empty()
    }
}

/// Whether a thread is seen waiting for something else than the end of accept(2), or is gone (`/proc/TID/syscall`, proc(5)). The
/// supervisor may look into whom it serves.
pub(crate) fn has_gone_on(tid: u32) -> bool {
    let Ok(line) = std::fs::read_to_string(format!("/proc/{tid}/syscall")) else {
        // Closed to us, it cannot be told.
        return !std::path::Path::new(&format!("/proc/{tid}")).exists();
    };
    let number = line.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    // One that runs has no number here.
    number.is_some_and(|number: i64| number != libc::SYS_accept && number != libc::SYS_accept4)
}

/// accept(2) where somebody else may be first: `EINTR` if so.
pub(crate) fn accept_beside_others(
    interrupts: &mut Option<Interrupts>,
    listener: &OwnedFd,
    flags: SocketFlags,
) -> Result<(OwnedFd, Option<SocketAddrAny>), E> {
    let accept = || acceptfrom_with(listener, flags);
    if fcntl_getfl(listener)?.contains(OFlags::NONBLOCK) {
        return accept();
    }
    if interrupts.is_none() {
        *interrupts = Interrupts::of_this_thread().ok();
    }
    match interrupts {
        Some(interrupts) => interrupts.every(WAITS, accept),
        // Without a timer it is the old risk, of microseconds.
        None => accept(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_blocks_and_has_nobody_is_left_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let listener = OwnedFd::from(listener);
        let mut interrupts = None;
        let mut accept = || accept_beside_others(&mut interrupts, &listener, SocketFlags::CLOEXEC);
        assert_eq!(accept().map(|_| ()), Err(E::INTR), "somebody else was first");
        let _client = std::net::TcpStream::connect(at).unwrap();
        assert!(accept().is_ok());
        assert_eq!(accept().map(|_| ()), Err(E::INTR));
    }

    #[test]
    fn a_thread_is_late_until_it_calls_again_or_is_seen_at_something_else() {
        let mut late = Late::default();
        assert!(!late.may_come(|_| false));
        for tid in [7, 8, 7] {
            late.note(tid);
        }
        late.has_returned(7);
        assert!(late.may_come(|tid| tid == 7));
        assert!(!late.may_come(|tid| tid == 8));
        assert!(!late.may_come(|_| false), "once seen, it has gone on");
    }

    #[test]
    fn a_thread_that_waits_for_something_else_has_gone_on() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (tell, tid) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            let _ = wait.recv();
        });
        let tid = u32::try_from(tid.recv().unwrap()).unwrap();
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while !has_gone_on(tid) {
            assert!(std::time::Instant::now() < patience, "it waits for the channel");
            std::thread::yield_now();
        }
        drop(go);
        thread.join().unwrap();
    }

    #[test]
    fn a_thread_that_runs_has_perhaps_not_gone_on() {
        let (tell, tid) = std::sync::mpsc::channel();
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let until = runs.clone();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            while until.load(std::sync::atomic::Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        });
        let tid = u32::try_from(tid.recv().unwrap()).unwrap();
        // Having told, it may have some call to return from.
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while has_gone_on(tid) {
            assert!(std::time::Instant::now() < patience, "it runs");
            std::thread::yield_now();
        }
        runs.store(false, std::sync::atomic::Ordering::Relaxed);
        thread.join().unwrap();
    }
}
