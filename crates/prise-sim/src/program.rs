//! Programs: what runs on a host of a world and uses its sockets.

use crate::trace::Trace;
use prise_socket::{Host, Readiness, SocketId};
use prise_wire::Instant;
use std::fmt;

/// A small event-driven program. It never waits: it is called when there is something to do.
pub trait Program: fmt::Debug + Send {
    /// What it is, for reports.
    fn name(&self) -> &'static str;
    /// How far it has come, for reports.
    fn progress(&self) -> String;
    /// Called once.
    fn start(&mut self, io: &mut Io<'_>);
    /// A socket that the program has claimed has become ready.
    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, readiness: Readiness);
    /// Nobody needs the program any more: it closes what it does not need to finish what it has begun.
    fn stop(&mut self, io: &mut Io<'_>) {
        io.done();
    }
    /// An instant asked for with [`Io::wake_at`] has come.
    fn tick(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }
}

/// What a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is more to do.
    Running,
    /// All that it wanted has happened.
    Done,
    /// Something has happened that must not.
    Failed(String),
}

/// What a program acts through: its host, the time, and ways to be called again.
#[derive(Debug)]
pub struct Io<'a> {
    /// What time it is.
    pub now: Instant,
    /// The host it runs on.
    pub host: &'a mut Host,
    name: &'a str,
    trace: &'a mut Trace,
    outcome: Outcome,
}

/// What a call of a program asks of the world.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) claimed: Vec<SocketId>,
    pub(crate) closed: Vec<SocketId>,
    pub(crate) timers: Vec<Instant>,
    pub(crate) verdict: Option<Verdict>,
}

impl<'a> Io<'a> {
    pub(crate) fn new(now: Instant, host: &'a mut Host, name: &'a str, trace: &'a mut Trace) -> Self {
        let outcome = Outcome::default();
        Self {
            now,
            host,
            name,
            trace,
            outcome,
        }
    }

    pub(crate) fn finish(self) -> Outcome {
        self.outcome
    }

    /// From now on the program is told when this socket becomes ready.
    pub fn claim(&mut self, socket: SocketId) {
        self.outcome.claimed.push(socket);
    }

    /// Closes a socket; the program hears no more of it.
    pub fn close(&mut self, socket: SocketId) {
        self.outcome.closed.push(socket);
        self.host.close(self.now, socket);
    }

    /// Asks for [`Program::tick`] at `at`.
    pub fn wake_at(&mut self, at: Instant) {
        self.outcome.timers.push(at);
    }

    /// The program is done.
    pub fn done(&mut self) {
        self.outcome.verdict.get_or_insert(Verdict::Done);
    }

    /// Something has happened that must not.
    pub fn fail(&mut self, why: String) {
        self.note(|| format!("FAILED: {why}"));
        self.outcome.verdict = Some(Verdict::Failed(why));
    }

    /// Writes a line into the trace.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, self.name, line);
    }
}
