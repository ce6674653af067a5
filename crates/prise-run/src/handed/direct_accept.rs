//! accept(2) at a published address of the host's loopback, left to the kernel ([`crate::handed::direct`]).
//!
//! ```text
//! struct sockaddr    family, port │ address …      room: 16
//! before the call                 │ 10.0.2.2 …     room: 4      written by the supervisor
//! accept(2)          2, 40000     │                room: 16     written by the kernel
//! ```
//! Who comes to the host's loopback is the host, which the run calls its gateway: all such clients are shown with one address, and each
//! with its own port. The kernel writes a name from its beginning, as far as there is room, and then its whole length. So the
//! supervisor writes the address behind what the kernel is left room for. Of the connection nothing is remembered: it is
//! adopted by the kernel's names when somebody asks ([`crate::handed::plain`]).
//!
//! *Only calls that find somebody* are left to the kernel, because a call that fails must leave the room as it was, and one that
//! waits must see whom the supervisor has for it. The queue is in the order of arrival, and whoever is granted stands in it already: who
//! comes later, a client of the run or a token, stands behind. So as many may be granted as wait, less those that have not been taken
//! yet; which these are is told by who calls again, by an empty queue, and by a thread that is seen at something else. Meanwhile the
//! supervisor takes nobody itself.

use core::net::SocketAddr;
use core::time::Duration;
use std::os::fd::OwnedFd;

use prise_socket::Errno;
use prise_wire::Instant;

use crate::guest::notify::Call;
use crate::guest::sockaddr::{encode, for_family};
use crate::handed::late::{Late, has_gone_on};
use crate::handed::native_accept::Seen;
use crate::handed::native_listener::Names;
use crate::handed::plain::{Crowds, Granted, queue_of};
use crate::socket::Slot;
use crate::supervisor::Supervisor;

/// Octets of a name that the kernel writes: the family and the port.
const FRONT: i32 = 4;

/// Octets of the longest name (`struct sockaddr_in6`).
const NAME_MAX: u64 = 28;

/// Whoever has not taken what was granted after this time is stopped, or computes: the supervisor accepts itself from then on.
const GRANT_LASTS: Duration = Duration::from_millis(100);

/// A call that was left to the kernel.
#[derive(Debug, Clone, Copy)]
struct Left {
    tid: u32,
    at: Instant,
    /// Where the room was, and how much; none where no name was asked for.
    room: Option<(u64, i32)>,
    /// Somebody else waits for it to be made.
    is_crowded: bool,
}

/// The calls of a listener that were left to the kernel.
#[derive(Debug, Default)]
pub(crate) struct LeftCalls {
    /// One of each thread, which has perhaps not been made yet.
    open: Vec<Left>,
    crowds: Crowds,
    /// Threads that had not made theirs when the supervisor began to accept itself.
    late: Late,
    /// There was one.
    any: bool,
}

impl LeftCalls {
    /// Whether the listener has let the kernel give somebody out.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Whether a call may yet find somebody though the supervisor accepts itself.
    pub(crate) fn may_come(&mut self) -> bool {
        self.late.may_come(has_gone_on)
    }

    /// The room of a thread's last call, if that may not have been made.
    fn room_of(&self, tid: u32) -> Option<(u64, i32)> {
        self.open.iter().find(|it| it.tid == tid)?.room
    }

    /// A thread calls again: its last call was made.
    pub(crate) fn has_returned(&mut self, tid: u32) {
        self.open.retain(|it| it.tid != tid);
        self.late.has_returned(tid);
    }

    /// Who calls has [returned](Self::has_returned). `waiting` connections are in the queue. `fits`: the kernel may give out the next one.
    fn judge(
        &mut self,
        tid: u32,
        (waiting, fits): (usize, bool),
        now: Instant,
        has_gone_on: impl Fn(u32) -> bool,
    ) -> Granted {
        if waiting == 0 {
            self.open.clear();
        }
        let fits = fits && !self.crowds.is_over() && waiting > 0;
        if waiting <= self.open.len() || !fits {
            self.open.retain(|it| !has_gone_on(it.tid));
        }
        if fits && waiting > self.open.len() {
            self.open.push(Left {
                tid,
                at: now,
                room: None,
                is_crowded: false,
            });
            self.any = true;
            return Granted::Native;
        }
        if self.open.iter().all(|it| now.saturating_since(it.at) >= GRANT_LASTS) {
            if !self.open.is_empty() {
                self.crowds.end();
            }
            for it in self.open.drain(..) {
                self.late.note(it.tid);
            }
            return Granted::No;
        }
        for it in &mut self.open {
            self.crowds.meet(&mut it.is_crowded);
        }
        Granted::Crowded
    }

    /// What the granted call's room was.
    fn note_room(&mut self, tid: u32, room: Option<(u64, i32)>) {
        if let Some(left) = self.open.iter_mut().find(|it| it.tid == tid) {
            left.room = room;
        }
    }

    /// The call is not left to the kernel after all.
    fn take_back(&mut self, tid: u32) {
        self.open.retain(|it| it.tid != tid);
    }
}

impl Supervisor {
    /// Whether accept(2) of a listener at a published address may be left to the kernel. `room`: how long the name may be, if that has
    /// been read.
    pub(crate) fn grant_directly(
        &mut self,
        call: &Call,
        listener: Slot,
        copy: &OwnedFd,
        room: Option<i32>,
        seen: Seen,
    ) -> Granted {
        let nobody_hidden = self.connections_waiting(listener) == 0;
        let now = self.now;
        let Some(native) = self.native_listener_mut(listener) else {
            return Granted::No;
        };
        let Some(publication) = native.publication() else {
            return Granted::No;
        };
        let fits = nobody_hidden && native.expects_strangers_only() && !native.unasked.ever();
        let left = native.left_calls_mut();
        if !fits && left.open.is_empty() {
            return Granted::No;
        }
        let waiting = if seen == Seen::Waiting && left.open.is_empty() {
            1
        } else {
            // Without a number none are known to wait, and nothing is granted.
            queue_of(copy).unwrap_or(0) as usize
        };
        let granted = left.judge(call.tid, (waiting, fits), now, has_gone_on);
        if granted == Granted::Crowded {
            self.crowds.push(listener);
        }
        if granted != Granted::Native {
            return granted;
        }
        // Each comes from a port of its own.
        let client = SocketAddr::new(publication.address.ip(), 0);
        let names = self.names_of_client(publication, client).ok_or(Errno::EINVAL);
        if let Ok(room) = names.and_then(|it| self.write_front(call, listener, it, room)) {
            self.left_to_the_kernel(call, listener, room);
            return granted;
        }
        if let Some(native) = self.native_listener_mut(listener) {
            native.left_calls_mut().take_back(call.tid);
        }
        // Which error it is, and what becomes of the connection, is told the long way.
        Granted::No
    }

    fn left_to_the_kernel(&mut self, call: &Call, listener: Slot, room: Option<(u64, i32)>) {
        let Some(native) = self.native_listener_mut(listener) else {
            return;
        };
        native.left_calls_mut().note_room(call.tid, room);
        if let Some(publication) = native.publication() {
            self.places.note_published(publication, listener);
        }
        self.hands.note_marked();
    }

    /// Writes what of a client's name the kernel does not. Where the room was, and how much.
    fn write_front(
        &mut self,
        call: &Call,
        listener: Slot,
        names: Names,
        room: Option<i32>,
    ) -> Result<Option<(u64, i32)>, Errno> {
        let [_, address, len_address, ..] = call.args;
        if address == 0 {
            return Ok(None);
        }
        let family = self.entry(listener)?.family;
        let apart = len_address.wrapping_sub(address) >= NAME_MAX && address.wrapping_sub(len_address) >= 4;
        let room = match room {
            Some(room) => room,
            None => call.memory().read_i32(len_address)?,
        };
        if room < FRONT || !apart {
            return Err(Errno::EINVAL);
        }
        let name = encode(for_family(names.shown, family), family);
        let end = name.as_slice().len().min(room as usize);
        let rest = &name.as_slice()[FRONT as usize..end];
        let room_left = FRONT.to_ne_bytes();
        call.memory()
            .write_pieces([(address + FRONT as u64, rest), (len_address, &room_left[..])])?;
        Ok(Some((len_address, room)))
    }

    /// How long the name of accept(2) may be, where the thread's last call was left to the kernel and may have failed there, without a
    /// descriptor for the connection: then the room is what it was left with, and is given back. None where it was not read.
    pub(crate) fn room_again(&mut self, call: &Call, listener: Slot) -> Option<i32> {
        let [_, address, len_address, ..] = call.args;
        let (at, before) = self.native_listener(listener)?.left_calls().room_of(call.tid)?;
        if address == 0 || at != len_address {
            return None;
        }
        let room = call.memory().read_i32(len_address).ok()?;
        if room != FRONT {
            return Some(room);
        }
        call.memory()
            .write_pieces([(len_address, &before.to_ne_bytes()[..])])
            .ok()?;
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1 << 40);
    const FITS: bool = true;

    fn nobody(_: u32) -> bool {
        false
    }

    /// A thread calls accept(2).
    fn call(
        left: &mut LeftCalls,
        tid: u32,
        queue: (usize, bool),
        now: Instant,
        has_gone_on: impl Fn(u32) -> bool,
    ) -> Granted {
        left.has_returned(tid);
        left.judge(tid, queue, now, has_gone_on)
    }

    #[test]
    fn as_many_are_granted_as_wait_and_are_not_granted_to_others() {
        let mut left = LeftCalls::default();
        assert_eq!(call(&mut left, 7, (0, FITS), NOW, nobody), Granted::No, "nobody waits");
        assert!(!left.any());
        assert_eq!(call(&mut left, 7, (2, FITS), NOW, nobody), Granted::Native);
        assert_eq!(call(&mut left, 8, (2, FITS), NOW, nobody), Granted::Native);
        assert_eq!(call(&mut left, 9, (2, FITS), NOW, nobody), Granted::Crowded);
        assert_eq!(call(&mut left, 9, (3, FITS), NOW, nobody), Granted::Native);
        assert_eq!(
            call(&mut left, 6, (0, FITS), NOW, nobody),
            Granted::No,
            "all were taken"
        );
        assert_eq!(call(&mut left, 6, (1, FITS), NOW, nobody), Granted::Native);
        assert!(left.any());
    }

    #[test]
    fn who_calls_again_or_is_seen_at_something_else_has_taken_its_client() {
        let mut left = LeftCalls::default();
        for _ in 0..3 {
            assert_eq!(call(&mut left, 7, (1, FITS), NOW, nobody), Granted::Native);
        }
        assert_eq!(call(&mut left, 8, (1, FITS), NOW, |tid| tid == 7), Granted::Native);
        assert_eq!(call(&mut left, 9, (1, FITS), NOW, |tid| tid == 7), Granted::Crowded);
    }

    #[test]
    fn the_supervisor_takes_nobody_while_a_call_is_open() {
        let mut left = LeftCalls::default();
        assert_eq!(call(&mut left, 7, (2, FITS), NOW, nobody), Granted::Native);
        assert_eq!(call(&mut left, 8, (2, !FITS), NOW, nobody), Granted::Crowded);
        assert_eq!(call(&mut left, 8, (2, !FITS), NOW, |_| true), Granted::No);
        assert_eq!(call(&mut left, 7, (2, FITS), NOW, nobody), Granted::Native);
        assert_eq!(
            call(&mut left, 7, (2, !FITS), NOW, nobody),
            Granted::No,
            "its own call was made"
        );
    }

    #[test]
    fn a_thread_that_never_takes_its_client_ends_it_for_the_listener() {
        let mut left = LeftCalls::default();
        assert_eq!(call(&mut left, 7, (1, FITS), NOW, nobody), Granted::Native);
        assert_eq!(call(&mut left, 8, (1, FITS), NOW, nobody), Granted::Crowded);
        assert_eq!(call(&mut left, 8, (1, FITS), NOW + GRANT_LASTS, nobody), Granted::No);
        assert!(left.late.may_come(nobody), "and may find the next one");
        assert_eq!(call(&mut left, 8, (2, FITS), NOW + GRANT_LASTS, nobody), Granted::No);
        left.has_returned(7);
        assert!(!left.late.may_come(nobody), "it has come back");
    }

    #[test]
    fn a_listener_that_is_crowded_again_and_again_is_served_the_long_way() {
        let mut left = LeftCalls::default();
        for _ in 0..Crowds::MAX {
            assert_eq!(call(&mut left, 7, (1, FITS), NOW, nobody), Granted::Native);
            assert_eq!(call(&mut left, 8, (1, FITS), NOW, nobody), Granted::Crowded);
        }
        assert_eq!(call(&mut left, 7, (1, FITS), NOW, nobody), Granted::No);
    }
}
