//! What the supervisor sleeps on: the calls of its guests, and one epoll(7) set for everything else.
//!
//! Calls are not in the set. Their listener wakes who polls it on the caller's processor, which is about to be free; an epoll
//! set passes that wish on as a mere hint, and the scheduler then takes any processor that is idle, out of whose sleep both
//! have to be fetched, at several times the cost of the call.

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use prise_sys::seccomp::Listener;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::Errno;

use crate::clock;
use crate::socket::Slot;
use crate::waiting::parked::Held;

/// How many events one look returns.
const BATCH: usize = 64;

/// How often it is looked before a call is judged, as long as looks are full: who closes a thousand sockets, or is killed with them, and then
/// calls must find all of them closed. What is beyond follows in the next turn, because calls must not wait for ever.
const LOOKS_MAX: usize = 64;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// What became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A call waits for its answer; or, with HUP, no filtered task is left.
    Calls,
    /// A signal came for the supervisor.
    Signals,
    /// The program itself has ended.
    Program,
    /// The link `eth0` has something to receive.
    Link,
    /// A listener may have been closed.
    Closes,
    /// Someone asks for a report.
    Inspection,
    /// A packet socket has sent something.
    Sent,
    /// The supervisor's end of a socket.
    Socket(Slot),
    /// A connection has come to a listener for which accept(2) waits; or, with HUP, the process that waits has ended. Polled beside the set.
    Arrival(Slot),
}

impl Source {
    /// Slots use the whole lower half, so the kinds are told apart by the upper.
    fn encode(self) -> u64 {
        match self {
            Self::Calls => 1 << 63,
            Self::Signals => (1 << 63) | 1,
            Self::Program => (1 << 63) | 2,
            Self::Link => (1 << 63) | 3,
            Self::Inspection => (1 << 63) | 4,
            Self::Closes => (1 << 63) | 5,
            Self::Sent => (1 << 63) | 6,
            Self::Socket(slot) | Self::Arrival(slot) => slot.to_bits(),
        }
    }

    fn decode(bits: u64) -> Self {
        if bits >> 63 == 0 {
            return Self::Socket(Slot::from_bits(bits));
        }
        match bits & 0xff {
            0 => Self::Calls,
            1 => Self::Signals,
            2 => Self::Program,
            3 => Self::Link,
            5 => Self::Closes,
            6 => Self::Sent,
            _ => Self::Inspection,
        }
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// So long without sleeping, looking again and again.
    pub(crate) awake: Duration,
    /// So long in all, asleep after that; none: for ever.
    pub(crate) timeout: Option<Duration>,
}

impl Patience {
    /// Asleep for so long.
    pub(crate) fn asleep(timeout: Duration) -> Self {
        Self {
            awake: Duration::ZERO,
            timeout: Some(timeout),
        }
    }

    /// Looks, for at most the time that is given it (none: for ever), until something was found.
    fn spend(self, mut look: impl FnMut(Option<&Timespec>) -> rustix::io::Result<usize>) -> rustix::io::Result<usize> {
        let awake = self.timeout.map_or(self.awake, |timeout| timeout.min(self.awake));
        if !awake.is_zero() {
            let end = clock::now() + awake;
            while clock::now() < end {
                let found = look(Some(&AT_ONCE))?;
                if found > 0 {
                    return Ok(found);
                }
            }
        }
        look(
            self.timeout
                .map(|timeout| timespec(timeout.saturating_sub(awake)))
                .as_ref(),
        )
    }
}

/// An epoll set.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl core::fmt::Debug for Poller {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(BATCH),
        })
    }

    /// Watches a descriptor for input, level-triggered.
    pub(crate) fn watch(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(source.encode()),
            EventFlags::IN,
        )?)
    }

    /// Watches a socket's end for everything that may happen on it, edge-triggered. Room to write is told only while
    /// `wants_room`: every read of the program's would wake the supervisor otherwise.
    pub(crate) fn watch_socket(&self, fd: impl AsFd, slot: Slot) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(Source::Socket(slot).encode()),
            interest(false),
        )?)
    }

    /// Watches a descriptor for one event, whether or not it was watched before.
    pub(crate) fn watch_once(&self, fd: impl AsFd, slot: Slot, interest: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(Source::Socket(slot).encode());
        match epoll::add(&self.epoll, &fd, data, interest) {
            Err(Errno::EXIST) => Ok(epoll::modify(&self.epoll, &fd, data, interest)?),
            added => Ok(added?),
        }
    }

    /// Asks, or no longer asks, to be told about room to write.
    pub(crate) fn want_room(&self, fd: impl AsFd, slot: Slot, wants_room: bool) -> io::Result<()> {
        let data = EventData::new_u64(Source::Socket(slot).encode());
        Ok(epoll::modify(&self.epoll, fd, data, interest(wants_room))?)
    }

    /// Watches a descriptor no longer; nothing happens when it was not.
    pub(crate) fn forget(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits until something is ready or patience has ended, and tells what, arrivals first. `calls`: as long as there can be any.
    pub(crate) fn wait(
        &mut self,
        calls: Option<&Listener>,
        held: &[Held],
        patience: Patience,
        ready: &mut Vec<(Source, EventFlags)>,
    ) -> io::Result<()> {
        ready.clear();
        let Some(calls) = calls else {
            return self.look(patience.timeout.map(timespec).as_ref(), ready);
        };
        let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(2 + 2 * held.len());
        polled.push(PollFd::new(calls, PollFlags::IN));
        polled.push(PollFd::new(&self.epoll, PollFlags::IN));
        for held in held {
            polled.push(PollFd::new(&held.copy, PollFlags::IN));
            polled.push(PollFd::new(&*held.process, PollFlags::IN));
        }
        match patience.spend(|timeout| poll(&mut polled, timeout)) {
            Ok(_) => (),
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let (on_calls, on_others) = (polled[0].revents(), polled[1].revents());
        for (held, polled) in held.iter().zip(polled[2..].chunks(2)) {
            if !polled[1].revents().is_empty() {
                ready.push((Source::Arrival(held.slot), EventFlags::HUP));
            } else if !polled[0].revents().is_empty() {
                let came = polled[0].revents().contains(PollFlags::IN);
                let flags = if came { EventFlags::IN } else { EventFlags::ERR };
                ready.push((Source::Arrival(held.slot), flags));
            }
        }
        if !on_calls.is_empty() {
            let mut flags = EventFlags::empty();
            flags.set(EventFlags::IN, on_calls.contains(PollFlags::IN));
            flags.set(EventFlags::HUP, on_calls.contains(PollFlags::HUP));
            ready.push((Source::Calls, flags));
        }
        if on_others.is_empty() {
            return Ok(());
        }
        self.look(Some(&AT_ONCE), ready)
    }

    /// Adds what has happened in the set, for which it sleeps up to `timeout`.
    fn look(&mut self, mut timeout: Option<&Timespec>, ready: &mut Vec<(Source, EventFlags)>) -> io::Result<()> {
        for _ in 0..LOOKS_MAX {
            self.events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout) {
                Ok(_) | Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
            ready.extend(
                self.events
                    .iter()
                    .map(|event| (Source::decode(event.data.u64()), event.flags)),
            );
            if self.events.len() < self.events.capacity() {
                break;
            }
            timeout = Some(&AT_ONCE);
        }
        Ok(())
    }
}

fn interest(wants_room: bool) -> EventFlags {
    let always = EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
    if wants_room { always | EventFlags::OUT } else { always }
}
