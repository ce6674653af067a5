//! Calls that wait, as a blocked program does: for what they want, for their timeout, or for a signal.
//!
//! The kernel keeps a judged call waiting through every signal that does not kill (`WAIT_KILLABLE_RECV`). So that
//! handlers run nevertheless, waiting calls are looked at every few milliseconds; see [`crate::guest::pending`].

use core::time::Duration;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use prise_socket::Errno;
use prise_wire::Instant;

use crate::guest::message::{ReceiveRequest, SendRequest};
use crate::guest::notify::Call;
use crate::socket::Slot;

/// How often waiting calls are looked at: a signal is to be noticed within 20 ms also where the machine is busy
/// (tests/calls/storm.c measures it).
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Looking takes some 10 µs a call; however many wait, it shall not take more than a tenth of a processor.
const LOOK_SHARE: u32 = 10;

/// Names a waiting call; numbers are not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ParkId(u64);

/// What a call waits for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// accept(2): a connection.
    Accept {
        /// How long its peer's name may be, as far as that could be read.
        room: Option<i32>,
        /// It waits until somebody comes, and not only for its turn.
        waits: bool,
    },
    /// connect(2): the end of the handshake. What it says if it waits no longer: another call may have begun it.
    Connect(Errno),
    /// recvfrom(2) and its like.
    Receive(ReceiveRequest),
    /// sendto(2) and its like: room.
    Send(SendRequest),
    /// A call on a socket that is not ours, tried again from time to time.
    Foreign,
}

impl Wish {
    /// Whether it waits until a connection comes.
    pub(crate) fn waits_for_connection(&self) -> bool {
        matches!(self, Self::Accept { waits: true, .. })
    }

    /// How long the name of a connection's peer may be, if that is known.
    pub(crate) fn room_for_name(&self) -> Option<i32> {
        match *self {
            Self::Accept { room, .. } => room,
            Self::Connect(_) | Self::Receive(_) | Self::Send(_) | Self::Foreign => None,
        }
    }
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) call: Call,
    pub(crate) slot: Slot,
    pub(crate) wish: Wish,
    /// When it gives up (`SO_RCVTIMEO`, `SO_SNDTIMEO`). Such a call is not restarted after a signal (signal(7)).
    pub(crate) deadline: Option<Instant>,
    /// How often a signal was seen pending for it that may be another thread's.
    pub(crate) suspicions: u8,
}

/// So many accept(2) calls have their listeners held, and looked at beside all else.
const HELD_MAX: usize = 8;

/// The listener of an accept(2) that waits: as on Linux, where such a call keeps it open.
#[derive(Debug)]
pub(crate) struct Held {
    id: ParkId,
    pub(crate) slot: Slot,
    pub(crate) copy: OwnedFd,
    /// Tells when the process of the call has ended, which ends the call before anybody is told.
    pub(crate) process: Rc<OwnedFd>,
}

/// All waiting calls.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    calls: BTreeMap<ParkId, Parked>,
    held: Vec<Held>,
    next: u64,
    next_look: Option<Instant>,
}

impl Parking {
    pub(crate) fn insert(&mut self, parked: Parked, now: Instant) -> ParkId {
        let id = ParkId(self.next);
        self.next += 1;
        self.calls.insert(id, parked);
        if self.next_look.is_none() {
            self.next_look = Some(now + LOOK_INTERVAL);
        }
        id
    }

    /// Lets a call wait on, with its place.
    pub(crate) fn restore(&mut self, id: ParkId, parked: Parked, now: Instant) {
        self.calls.insert(id, parked);
        if self.next_look.is_none() {
            self.next_look = Some(now + LOOK_INTERVAL);
        }
    }

    /// Holds the listener of a call that waits, as long as it does; gives it back where too many are held, or one of this
    /// listener's is already.
    pub(crate) fn hold(&mut self, id: ParkId, slot: Slot, copy: OwnedFd, process: Rc<OwnedFd>) -> Option<OwnedFd> {
        if self.held.len() >= HELD_MAX || self.held.iter().any(|it| it.slot == slot) {
            return Some(copy);
        }
        self.held.push(Held {
            id,
            slot,
            copy,
            process,
        });
        None
    }

    /// The listeners that are held.
    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }

    /// The listener that is held for a call, for whoever serves it.
    pub(crate) fn take_held(&mut self, id: ParkId) -> Option<OwnedFd> {
        let index = self.held.iter().position(|it| it.id == id)?;
        Some(self.held.swap_remove(index).copy)
    }

    /// Holds a listener no longer.
    pub(crate) fn release(&mut self, slot: Slot) {
        self.held.retain(|it| it.slot != slot);
    }

    pub(crate) fn remove(&mut self, id: ParkId) -> Option<Parked> {
        self.held.retain(|it| it.id != id);
        let parked = self.calls.remove(&id);
        if self.calls.is_empty() {
            self.next_look = None;
        }
        parked
    }

    pub(crate) fn get(&self, id: ParkId) -> Option<&Parked> {
        self.calls.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ParkId) -> Option<&mut Parked> {
        self.calls.get_mut(&id)
    }

    /// The calls that wait on a socket.
    pub(crate) fn waiting_on(&self, slot: Slot) -> Vec<ParkId> {
        self.calls
            .iter()
            .filter(|(_, parked)| parked.slot == slot)
            .map(|(&id, _)| id)
            .collect()
    }

    /// The calls that wait, in the order in which they began to.
    pub(crate) fn ids(&self) -> Vec<ParkId> {
        self.calls.keys().copied().collect()
    }

    /// The calls whose timeout has come.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<ParkId> {
        let due = |parked: &Parked| parked.deadline.is_some_and(|deadline| deadline <= now);
        self.calls
            .iter()
            .filter(|(_, parked)| due(parked))
            .map(|(&id, _)| id)
            .collect()
    }

    /// Whether the calls are to be looked at now.
    pub(crate) fn look_is_due(&self, now: Instant) -> bool {
        self.next_look.is_some_and(|due| due <= now)
    }

    /// They were looked at, which took until `end`.
    pub(crate) fn looked(&mut self, begin: Instant, end: Instant) {
        let pause = LOOK_INTERVAL.max(end.saturating_since(begin) * LOOK_SHARE);
        self.next_look = (!self.calls.is_empty()).then_some(end + pause);
    }

    /// When something is to be done although nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let timeout = self.calls.values().filter_map(|parked| parked.deadline).min();
        [timeout, self.next_look].into_iter().flatten().min()
    }
}
