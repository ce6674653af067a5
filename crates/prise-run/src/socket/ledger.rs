//! Which sockets are still open somewhere, asked of the kernel when it matters.
//!
//! A connected AF_UNIX stream tells its other end when its last descriptor is closed. A stream that was only created, a
//! datagram socket, and a stream that was shut down in both directions do not. For these the ledger keeps an epoll(7)
//! set that nobody waits on: the kernel takes an open file out of every set when its last reference anywhere is gone,
//! and /proc/self/fdinfo/N lists who is still in. One read answers for all sockets, without holding any of them open.
//!
//! The kernel names an entry by its file *and* the number it was added under. Nobody needs the name again: an entry stays
//! until its file is gone, also that of a stream whose close something else tells first.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use prise_wire::Instant;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{DupFlags, dup3};

use crate::handed::marked;
use crate::socket::Slot;

/// So many closed sockets may lie about before the kernel is asked: 64, or as many as were alive the last time, so that
/// the cost of asking, which grows with all of them, is shared by as many.
const SUSPECTS_MIN: usize = 64;

/// Asking without need takes no more than one in so many parts of the processor.
const REST_SHARE: u32 = 10;

/// The sockets whose close nothing else tells.
#[derive(Debug)]
pub(crate) struct Ledger {
    epoll: OwnedFd,
    /// Who is in it. Open always, so that it can be asked where no more descriptors are to be had.
    list: File,
    /// The reserved number.
    door: OwnedFd,
    /// What is behind the reserved number while nobody passes.
    idle: OwnedFd,
    /// Entries, closed ones included.
    entries: usize,
    /// How many entries were alive when the kernel was last asked.
    alive: usize,
    /// Whether objects that are entered are to be told from those of which nothing is known yet.
    marks: bool,
    /// Until when asking again, where it is not necessary, would take too much of the processor.
    rests_until: Instant,
}

impl Ledger {
    pub(crate) fn new() -> io::Result<Self> {
        let idle = eventfd(0, EventfdFlags::CLOEXEC)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self {
            list: File::open(format!("/proc/self/fdinfo/{}", epoll.as_raw_fd()))?,
            epoll,
            door: idle.try_clone()?,
            idle,
            entries: 0,
            alive: 0,
            marks: false,
            rests_until: Instant::from_nanos(0),
        })
    }

    /// From now on whatever is entered bears a mark, if it has none: what leaves the run without asking is only what bears none
    /// ([`crate::start::shortcut`]).
    pub(crate) fn mark_entries(&mut self) {
        self.marks = true;
    }

    /// Whether whatever is entered bears a mark: connections may leave the run without asking.
    pub(crate) fn marks_entries(&self) -> bool {
        self.marks
    }

    /// Enters the open file behind `socket`, which the caller then closes.
    pub(crate) fn enter(&mut self, socket: BorrowedFd<'_>, slot: Slot) -> io::Result<()> {
        if self.marks {
            marked::mark_as_known(socket);
        }
        let data = EventData::new_u64(slot.to_bits());
        match epoll::add(&self.epoll, socket, data, EventFlags::empty()) {
            // The same file under the same number: it is in.
            Err(rustix::io::Errno::EXIST) => Ok(()),
            added => {
                added?;
                self.entries += 1;
                Ok(())
            }
        }
    }

    /// Lets `act` see the open file behind `socket` under one reserved number, as which epoll(7) then knows it in whichever
    /// set it is added to.
    pub(crate) fn through_door<T>(
        &mut self,
        socket: BorrowedFd<'_>,
        act: impl FnOnce(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        dup3(socket, &mut self.door, DupFlags::CLOEXEC)?;
        let done = act(&self.door);
        dup3(&self.idle, &mut self.door, DupFlags::CLOEXEC)?;
        done
    }

    /// Whether so many entries may have been closed that asking is worth its cost.
    pub(crate) fn is_due(&self) -> bool {
        self.entries >= self.alive * 2 + SUSPECTS_MIN
    }

    /// Whether asking where it is merely better would take more than its share of the processor.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        now < self.rests_until
    }

    /// Asking, and closing what was closed, has taken from `begin` to `end`.
    pub(crate) fn rest(&mut self, begin: Instant, end: Instant) {
        self.rests_until = end + end.saturating_since(begin) * REST_SHARE;
    }

    /// The sockets that are still open.
    pub(crate) fn open_sockets(&mut self) -> io::Result<HashSet<Slot>> {
        let mut text = String::new();
        self.list.rewind()?;
        self.list.read_to_string(&mut text)?;
        let open: HashSet<Slot> = text.lines().filter_map(entry).collect();
        self.entries = open.len();
        self.alive = open.len();
        Ok(open)
    }
}

/// The socket of one line of an epoll set's fdinfo (proc(5)): `tfd: 200 events: 18 data: c8 …`, the data in hexadecimal.
fn entry(line: &str) -> Option<Slot> {
    let rest = line.strip_prefix("tfd:")?;
    let data = rest.split_once("data:")?.1.split_ascii_whitespace().next()?;
    u64::from_str_radix(data, 16).ok().map(Slot::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn an_entry_leaves_with_the_last_descriptor_of_its_socket() {
        let mut ledger = Ledger::new().unwrap();
        let (kept, first) = (Slot::new(1, 0), Slot::new(2, 7));
        let (_a, b) = UnixDatagram::pair().unwrap();
        let (_c, d) = UnixStream::pair().unwrap();
        ledger.enter(b.as_fd(), kept).unwrap();
        ledger.enter(d.as_fd(), first).unwrap();
        let copy = d.try_clone().unwrap();
        drop(d);
        assert_eq!(ledger.open_sockets().unwrap(), HashSet::from([kept, first]));
        drop(copy);
        assert_eq!(ledger.open_sockets().unwrap(), HashSet::from([kept]));
        ledger.enter(b.as_fd(), kept).unwrap();
        drop(b);
        assert!(ledger.open_sockets().unwrap().is_empty());
    }
}
