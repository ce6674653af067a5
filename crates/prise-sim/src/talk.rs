//! One end of a conversation over a stream: what it sends and when, what it must receive, and how fast it reads.
//!
//! Every workload on streams is two [`Plan`]s; this is the one engine that carries them out. The octets of each direction
//! are a [`Pattern`], so that every octet received is checked, and none is kept.

use crate::pattern::Pattern;
use crate::program::Io;
use crate::random::Random;
use prise_socket::{Errno, Flags, How, SocketId, State};
use prise_wire::{Instant, Payload};
use std::time::Duration;

/// One thing that an end does with its sending half, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends so many octets.
    Write(u64),
    /// Goes on when so many octets have been received in all.
    AwaitRead(u64),
    /// Goes on when the peer has finished sending.
    AwaitEnd,
    /// Goes on after a while.
    Pause(Duration),
    /// Finishes sending.
    Shutdown,
}

/// How an end reads: as fast as it can, or at most so much at a time and so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Octets read at once at most.
    pub octets: usize,
    /// Time between two reads.
    pub every: Duration,
}

/// What an end of a conversation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it does with its sending half, in order.
    pub steps: Vec<Step>,
    /// How many octets it must receive.
    pub expect: u64,
    /// Whether it waits for the end of what it receives before it closes, and for nothing less.
    pub await_end: bool,
    /// How it reads; none for as fast as it can.
    pub pace: Option<Pace>,
    /// The most it hands over at once; each time a random number up to this.
    pub write_most: usize,
}

impl Plan {
    /// Sends `send` octets and finishes; receives `expect` octets and the end. Both at once.
    pub fn exchange(send: u64, expect: u64) -> Self {
        Self {
            steps: vec![Step::Write(send), Step::Shutdown],
            expect,
            await_end: true,
            pace: None,
            write_most: 64 * 1024,
        }
    }

    /// With these steps instead.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }

    /// Reading no faster than this.
    #[must_use]
    pub fn with_pace(mut self, pace: Option<Pace>) -> Self {
        self.pace = pace;
        self
    }

    /// Handing over no more than this at once.
    #[must_use]
    pub fn with_write_most(mut self, octets: usize) -> Self {
        self.write_most = octets.max(1);
        self
    }
}

/// Where a conversation stands after it was driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It waits for its socket, or for this instant.
    Waiting(Option<Instant>),
    /// All is sent and received, as it should be.
    Complete,
    /// The connection failed so before anything was received on it.
    Broken(Errno),
    /// The connection failed so in the middle, at this verb.
    Cut(Errno, String),
    /// What happened must not happen.
    Wrong(String),
}

/// Why a conversation cannot go on.
#[derive(Debug)]
enum Trouble {
    /// This verb of the socket's failed.
    Failed(Errno, &'static str),
    /// What was received, or how, is wrong.
    Wrong(String),
}

/// One end of a conversation, as far as it has come.
#[derive(Debug)]
pub(crate) struct Talk {
    plan: Plan,
    outgoing: Pattern,
    incoming: Pattern,
    random: Random,
    step: usize,
    /// Octets of the present `Write` step that the socket has taken.
    step_done: u64,
    pause_until: Option<Instant>,
    /// Made but not yet taken by the socket.
    pending: Payload,
    sent: u64,
    received: u64,
    ended: bool,
    next_read: Instant,
}

impl Talk {
    /// An end that sends `outgoing` and expects `incoming`.
    pub(crate) fn new(plan: Plan, outgoing: Pattern, incoming: Pattern, random: Random) -> Self {
        Self {
            plan,
            outgoing,
            incoming,
            random,
            step: 0,
            step_done: 0,
            pause_until: None,
            pending: Payload::new(),
            sent: 0,
            received: 0,
            ended: false,
            next_read: Instant::ZERO,
        }
    }

    /// How far it has come, in words.
    pub(crate) fn progress(&self) -> String {
        let step = self.plan.steps.get(self.step);
        format!(
            "sent {}, received {} of {}, ended {}, at {step:?}",
            self.sent, self.received, self.plan.expect, self.ended
        )
    }

    /// Does all that can be done now.
    pub(crate) fn drive(&mut self, io: &mut Io<'_>, socket: SocketId) -> Outcome {
        loop {
            let before = (self.received, self.ended, self.step, self.sent);
            if let Err(trouble) = self.read(io, socket).and_then(|()| self.write(io, socket)) {
                return match trouble {
                    Trouble::Failed(errno, _) if self.received == 0 => Outcome::Broken(errno),
                    Trouble::Failed(errno, verb) => {
                        Outcome::Cut(errno, format!("{verb}: {errno:?}; {}", self.progress()))
                    }
                    Trouble::Wrong(wrong) => Outcome::Wrong(wrong),
                };
            }
            if before == (self.received, self.ended, self.step, self.sent) {
                break;
            }
        }
        let read_all = self.received == self.plan.expect && (self.ended || !self.plan.await_end);
        if read_all && self.step == self.plan.steps.len() {
            return Outcome::Complete;
        }
        let read_due = (self.plan.pace.is_some() && self.next_read > io.now).then_some(self.next_read);
        let due = [read_due, self.pause_until].into_iter().flatten().min();
        Outcome::Waiting(due)
    }

    fn read(&mut self, io: &mut Io<'_>, socket: SocketId) -> Result<(), Trouble> {
        // There is no connection before the first write.
        while !self.ended && !io.host.is_deferred(socket) {
            let mut most = 1 << 20;
            if let Some(pace) = self.plan.pace {
                if io.now < self.next_read {
                    return Ok(());
                }
                most = pace.octets;
            }
            match io.host.recv(io.now, socket, most, Flags::EMPTY) {
                Ok(octets) if octets.is_empty() => self.end().map_err(Trouble::Wrong)?,
                Ok(octets) => {
                    self.check(&octets).map_err(Trouble::Wrong)?;
                    if let Some(pace) = self.plan.pace {
                        self.next_read = io.now + pace.every;
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(Trouble::Failed(errno, "recv")),
            }
        }
        Ok(())
    }

    fn check(&mut self, octets: &[u8]) -> Result<(), String> {
        if let Some(at) = self.incoming.first_difference(self.received, octets) {
            return Err(format!(
                "octet {at} is not what was sent (read of {} at {})",
                octets.len(),
                self.received
            ));
        }
        self.received += octets.len() as u64;
        if self.received > self.plan.expect {
            return Err(format!(
                "{} octets received, {} were sent",
                self.received, self.plan.expect
            ));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.ended = true;
        if self.received == self.plan.expect {
            Ok(())
        } else {
            Err(format!(
                "the stream ended after {} of {} octets",
                self.received, self.plan.expect
            ))
        }
    }

    fn write(&mut self, io: &mut Io<'_>, socket: SocketId) -> Result<(), Trouble> {
        while let Some(&step) = self.plan.steps.get(self.step) {
            let done = match step {
                Step::Write(len) => self.write_some(io, socket, len)?,
                Step::AwaitRead(octets) => self.received >= octets,
                Step::AwaitEnd => self.ended,
                Step::Pause(pause) => {
                    let until = *self.pause_until.get_or_insert(io.now + pause);
                    until <= io.now
                }
                // Whoever shuts down a connection that is not there yet gives it up (inet_shutdown).
                Step::Shutdown if is_opening(io, socket) => false,
                Step::Shutdown => match io.host.shutdown(io.now, socket, How::Write) {
                    Ok(()) => true,
                    Err(errno) => return Err(Trouble::Failed(errno, "shutdown")),
                },
            };
            if !done {
                return Ok(());
            }
            self.pause_until = None;
            self.step_done = 0;
            self.step += 1;
        }
        Ok(())
    }

    /// Sends what the socket takes of a step of `len` octets; true when that was the last.
    fn write_some(&mut self, io: &mut Io<'_>, socket: SocketId, len: u64) -> Result<bool, Trouble> {
        while self.step_done < len {
            if self.pending.is_empty() {
                let left = len - self.step_done;
                let n = self.random.between(1, self.plan.write_most as u64).min(left);
                self.pending = self.outgoing.octets(self.sent, n as usize).into();
            }
            match io.host.send(io.now, socket, &mut self.pending, Flags::EMPTY) {
                Ok(0) => {
                    return Err(Trouble::Wrong(
                        "send took nothing and did not say that it would block".into(),
                    ));
                }
                Ok(n) => {
                    self.step_done += n as u64;
                    self.sent += n as u64;
                }
                // The latter: the SYN has left, without data.
                Err(Errno::EAGAIN | Errno::EINPROGRESS) => return Ok(false),
                Err(errno) => return Err(Trouble::Failed(errno, "send")),
            }
        }
        Ok(true)
    }
}

/// Whether the SYN has not been answered yet, data though there may be in it.
fn is_opening(io: &Io<'_>, socket: SocketId) -> bool {
    io.host.info(socket).is_some_and(|info| info.state == State::SynSent)
}
