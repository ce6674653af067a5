//! The run's end of `prise ss`: an abstract socket that answers this user with a [`Report`].

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use crate::report::{Report, abstract_name};

/// Whoever asked and does not read is given up after this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where questions arrive. Goes away with the process: an abstract name leaves nothing in any directory.
#[derive(Debug)]
pub struct Answers {
    listener: UnixListener,
}

impl Answers {
    /// Opens the socket of this process, for this user.
    pub fn open() -> io::Result<Self> {
        let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
        let listener = UnixListener::bind_addr(&UnixAddr::from_abstract_name(abstract_name(uid, pid))?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Answers everyone who waits. The report is made only where somebody of this user asks.
    ///
    /// It is written by a thread of its own: a reader that stops must not stop the supervisor.
    pub fn give(&self, report: impl Fn() -> Report) {
        // An error is either that nobody waits (any more), or passes with the load that caused it.
        while let Ok((stream, _)) = self.listener.accept() {
            if !is_ours(&stream) {
                continue;
            }
            let Ok(text) = serde_json::to_vec(&report()) else {
                continue;
            };
            let written = thread::Builder::new()
                .name("answer".to_owned())
                .spawn(move || write(stream, &text));
            if let Err(error) = written {
                tracing::warn!(%error, "a question of prise ss is left without answer");
            }
        }
    }
}

impl AsFd for Answers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Abstract names have no owner and no mode: the kernel's word for the peer's user is what protects the answer.
fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

fn write(mut stream: UnixStream, text: &[u8]) {
    // Whoever asked has gone if any of this fails.
    let _ = stream
        .set_write_timeout(Some(WRITE_TIMEOUT))
        .and_then(|()| stream.write_all(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{self, MemoryEntry};

    #[test]
    fn a_question_of_the_same_user_is_answered_with_the_report() {
        let answers = Answers::open().unwrap();
        let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
        assert!(
            report::running(uid).unwrap().contains(&pid),
            "the run is listed while it is open"
        );
        let asking = thread::spawn(move || report::ask(uid, pid));
        let expected = Report {
            supervisor: pid,
            command: vec!["true".into()],
            sockets: Vec::new(),
            memory: MemoryEntry::default(),
            strangers: 0,
        };
        let mut poll = [rustix::event::PollFd::new(&answers, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut poll, None).unwrap();
        answers.give(|| expected.clone());
        assert_eq!(asking.join().unwrap().unwrap(), expected);
        drop(answers);
        assert!(
            !report::running(uid).unwrap().contains(&pid),
            "and leaves nothing when it is closed"
        );
    }
}
