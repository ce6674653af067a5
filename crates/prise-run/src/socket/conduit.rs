//! Octets of a transfer within the run that pass our TCP unseen: a pipe takes them from one end to the other without a copy.
//!
//! ```text
//! program ── AF_UNIX ── end ══ splice(2) ══► pipe ══ splice(2) ══► end ── AF_UNIX ── program
//!                        └── host.send(blank) ─► our TCP ─► host.received ──┘  says when, and how many
//! ```
//! Of a connection whose two ends are both here and whose packets nobody looks at, our TCP needs to know how many octets there are, not
//! which: it is given as many blank ones. Sequence numbers, windows, acknowledgments and their times are what they are otherwise. Copying
//! each octet four times where the kernel's loopback copies it twice was what a transfer spent its time on.
//!
//! Who begins to look at packets in the midst of a transfer sees what was under way as zeros, and all that follows.
//!
//! What is told of the stream goes in runs: octets that went the ordinary way, then octets that lie in the pipe. TCP keeps their order, so
//! that the receiving end knows by counting which way the next ones came.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

use prise_wire::{Instant, Payload};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use rustix::process::{Resource, getrlimit};

use crate::socket::stream::Stream;
use crate::socket::{Role, Slot, Sockets};
use crate::supervisor::Supervisor;

/// What a user may have in pipes at their full size is bounded for all of his processes together (`pipe-user-pages-soft`, pipe(7)): all
/// conduits of a run take an eighth of it at most.
const CONDUITS_MAX: usize = 16;
/// Where few descriptors are to be had, the programs' sockets need them: one conduit, of two of them, for each so many.
const DESCRIPTORS_FOR_ONE: u64 = 64;
/// Room for what is held at most, of which some pages are not full.
const PIPE_SIZE: usize = 512 << 10;
/// Taken at once at most.
const FILL_MAX: usize = 256 << 10;
/// A sending end takes no more while so much is held. What is held lies in the processor's cache still when it is read.
const REST: usize = 128 << 10;
/// Less than this is copied with less ado.
const FILL_MIN: usize = 32 << 10;
/// So long a sender rests; then the receiver does not read, and TCP's buffers are to be filled as they are otherwise.
const PATIENCE: core::time::Duration = core::time::Duration::from_millis(5);
/// A conduit through which nothing has gone for so long is another transfer's that wants one.
const IDLE: core::time::Duration = core::time::Duration::from_secs(1);
/// A transfer is what has brought so much at a stretch …
const TRANSFER: usize = 512 << 10;
/// … of what counts at most; each little piece takes half of it away.
const STRETCH_MAX: usize = 1 << 20;

/// Whether the octets that a program sends are a transfer.
#[derive(Debug, Default)]
pub(crate) struct Stretch(usize);

impl Stretch {
    /// A piece was read from the program.
    pub(crate) fn note(&mut self, piece: usize) {
        self.0 = if piece >= FILL_MIN {
            (self.0 + piece).min(STRETCH_MAX)
        } else {
            self.0 / 2
        };
    }

    pub(crate) fn is_transfer(&self) -> bool {
        self.0 >= TRANSFER
    }

    fn is_over(&self) -> bool {
        self.0 < FILL_MIN
    }
}

/// Octets that came the ordinary way, then some that lie in the pipe.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Run {
    ordinary: usize,
    held: usize,
}

/// The runs of what the sending end has given to TCP and the receiving end has not taken from it.
#[derive(Debug, Default)]
struct Runs(VecDeque<Run>);

impl Runs {
    fn push_ordinary(&mut self, octets: usize) {
        match self.0.back_mut() {
            Some(run) if run.held == 0 => run.ordinary += octets,
            _ => self.0.push_back(Run {
                ordinary: octets,
                held: 0,
            }),
        }
    }

    fn push_held(&mut self, octets: usize) {
        match self.0.back_mut() {
            Some(run) => run.held += octets,
            None => self.0.push_back(Run {
                ordinary: 0,
                held: octets,
            }),
        }
    }

    fn next(&self) -> Next {
        match self.0.front() {
            Some(run) if run.ordinary > 0 => Next::Ordinary(run.ordinary),
            Some(run) if run.held > 0 => Next::Held(run.held),
            _ => Next::Ordinary(usize::MAX),
        }
    }

    /// Octets of the first kind that comes were taken.
    fn pass(&mut self, octets: usize) {
        let Some(run) = self.0.front_mut() else { return };
        if run.ordinary > 0 {
            run.ordinary = run.ordinary.saturating_sub(octets);
        } else {
            run.held = run.held.saturating_sub(octets);
        }
        if *run == Run::default() {
            self.0.pop_front();
        }
    }
}

/// Which way the next octets came that TCP has for the receiving end, and how many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Ordinary(usize),
    Held(usize),
}

/// The pipe, and what is known of the octets.
#[derive(Debug)]
struct Conduit {
    /// None once it was given to another transfer, which happens while nothing lies in it.
    pipe: Option<Pipe>,
    runs: Runs,
    held: usize,
    /// The sending end waits for room …
    rests: bool,
    /// … and some was made since it was last told.
    drained: bool,
    sender: Slot,
    /// What TCP is given for octets that it does not see.
    blank: &'static [u8],
    /// When something last went in or out.
    used: Instant,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// What came of filling.
#[derive(Debug)]
pub(crate) enum Filled {
    /// So many octets are in the pipe, and TCP is to be given these for them.
    Blank(Payload),
    /// Enough lies in the pipe: the receiving end says when there is room.
    Rests,
    /// There is little to take; it goes the ordinary way.
    Little,
}

/// The sending end's side.
#[derive(Debug)]
pub(crate) struct Inlet(Rc<RefCell<Conduit>>);

impl Inlet {
    /// Takes what the program has sent, `queued` octets by now, if it is worth it.
    pub(crate) fn fill(&self, from: &OwnedFd, queued: usize, now: Instant) -> Filled {
        let mut conduit = self.0.borrow_mut();
        let conduit = &mut *conduit;
        conduit.rests = conduit.held > REST;
        if conduit.rests {
            return Filled::Rests;
        }
        let Some(pipe) = conduit.pipe.as_ref().filter(|_| queued >= FILL_MIN) else {
            return Filled::Little;
        };
        match splice(from, None, &pipe.write, None, FILL_MAX, SpliceFlags::NONBLOCK) {
            Ok(taken) if taken > 0 => {
                conduit.used = now;
                conduit.held += taken;
                conduit.runs.push_held(taken);
                Filled::Blank(Payload::from_static(&conduit.blank[..taken]))
            }
            // Pages that are hardly filled take up the pipe.
            Err(Errno::AGAIN) if conduit.held > 0 => {
                conduit.rests = true;
                Filled::Rests
            }
            _ => Filled::Little,
        }
    }

    /// Octets go to TCP the ordinary way.
    pub(crate) fn pass_by(&self, octets: usize) {
        self.0.borrow_mut().runs.push_ordinary(octets);
    }

    /// Whether this is of use no more: the transfer is over, the receiving end has gone, or another transfer has the pipe.
    pub(crate) fn is_idle(&self, stretch: &Stretch) -> bool {
        stretch.is_over() || Rc::strong_count(&self.0) == 1 || self.0.borrow().pipe.is_none()
    }

    /// Whether the sending end waits for the receiving one.
    pub(crate) fn rests(&self) -> bool {
        self.0.borrow().rests
    }
}

/// The receiving end's side.
#[derive(Debug)]
pub(crate) struct Outlet(Rc<RefCell<Conduit>>);

impl Outlet {
    pub(crate) fn next(&self) -> Next {
        self.0.borrow().runs.next()
    }

    /// Gives the program up to `octets` of those that lie in the pipe; how many it took.
    pub(crate) fn drain(&self, to: &OwnedFd, octets: usize, now: Instant) -> Result<usize, Errno> {
        let mut conduit = self.0.borrow_mut();
        // While something lies in it, it has its pipe.
        let pipe = conduit.pipe.as_ref().ok_or(Errno::PIPE)?;
        let taken = splice(&pipe.read, None, to, None, octets, SpliceFlags::NONBLOCK)?;
        conduit.used = now;
        conduit.held -= taken;
        conduit.drained = true;
        conduit.runs.pass(taken);
        Ok(taken)
    }

    /// Octets that came the ordinary way were taken.
    pub(crate) fn pass_by(&self, octets: usize) {
        self.0.borrow_mut().runs.pass(octets);
    }

    /// The sending end, if it waits for room that was made since this was last asked.
    pub(crate) fn take_waiting(&self) -> Option<Slot> {
        let mut conduit = self.0.borrow_mut();
        let drained = core::mem::take(&mut conduit.drained);
        (drained && conduit.rests && conduit.held <= REST).then_some(conduit.sender)
    }

    /// Whether nothing will come out any more.
    pub(crate) fn is_idle(&self) -> bool {
        let conduit = self.0.borrow();
        conduit.pipe.is_none() || (Rc::strong_count(&self.0) == 1 && conduit.held == 0)
    }
}

/// The conduits of a run.
#[derive(Debug, Default)]
pub(crate) struct Conduits {
    open: Vec<Weak<RefCell<Conduit>>>,
    /// Made once.
    blank: Option<&'static [u8]>,
    /// Sending ends that rest, and until when.
    resting: Vec<(Slot, Instant)>,
}

impl Conduits {
    /// One from `sender` to an end whose descriptor is `to`; `between` octets are on their way already. None where there are enough of them
    /// in use, and where the kernel gives no pipe of the size.
    pub(crate) fn open(&mut self, sender: Slot, to: &OwnedFd, between: usize, now: Instant) -> Option<(Inlet, Outlet)> {
        self.open
            .retain(|conduit| conduit.upgrade().is_some_and(|it| it.borrow().pipe.is_some()));
        if self.open.len() >= conduits_max() {
            self.give_up_idle(now)?;
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        fcntl_setpipe_size(&write, PIPE_SIZE).ok()?;
        // splice(2) waits for room unless the socket itself does not.
        fcntl_setfl(to, OFlags::RDWR | OFlags::NONBLOCK).ok()?;
        let mut runs = Runs::default();
        runs.push_ordinary(between);
        let conduit = Rc::new(RefCell::new(Conduit {
            pipe: Some(Pipe { read, write }),
            runs,
            held: 0,
            rests: false,
            drained: false,
            sender,
            blank: self.blank.get_or_insert_with(|| vec![0; FILL_MAX].leak()),
            used: now,
        }));
        self.open.push(Rc::downgrade(&conduit));
        Some((Inlet(Rc::clone(&conduit)), Outlet(conduit)))
    }

    /// Closes the pipe through which nothing has gone for the longest time, if that was long enough and nothing lies in it.
    fn give_up_idle(&mut self, now: Instant) -> Option<()> {
        let open = self.open.iter().filter_map(Weak::upgrade);
        let is_idle = |it: &Conduit| it.held == 0 && now.saturating_since(it.used) >= IDLE;
        let idle = open.filter(|conduit| is_idle(&conduit.borrow()));
        let longest = idle.min_by_key(|conduit| conduit.borrow().used)?;
        longest.borrow_mut().pipe = None;
        Some(())
    }

    /// Closes the pipes in which nothing lies: descriptors are wanted more urgently. How many it were.
    pub(crate) fn give_up_empty(&mut self) -> usize {
        let open = self.open.drain(..).filter_map(|conduit| conduit.upgrade());
        let (empty, used): (Vec<_>, Vec<_>) = open.partition(|conduit| conduit.borrow().held == 0);
        for conduit in &empty {
            conduit.borrow_mut().pipe = None;
        }
        self.open.extend(used.iter().map(Rc::downgrade));
        empty.len()
    }

    /// Follows whether a sending end rests.
    pub(crate) fn note(&mut self, sender: Slot, rests: bool, now: Instant) {
        let place = self.resting.iter().position(|(slot, _)| *slot == sender);
        match (place, rests) {
            (None, true) => self.resting.push((sender, now + PATIENCE)),
            (Some(place), false) => {
                self.resting.swap_remove(place);
            }
            _ => (),
        }
    }

    /// The sending ends that have rested for too long.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<Slot> {
        let due = self.resting.iter().filter(|(_, until)| *until <= now);
        due.map(|(slot, _)| *slot).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.resting.iter().map(|(_, until)| *until).min()
    }
}

/// How many conduits there may be at once.
fn conduits_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / DESCRIPTORS_FOR_ONE).map_or(CONDUITS_MAX, |number| number.min(CONDUITS_MAX))
}

impl Supervisor {
    /// Has what a program sends pass our TCP by, where the other end is here and nobody looks at packets. Otherwise it is asked again after as
    /// much more.
    pub(crate) fn begin_conduit(&mut self, slot: Slot) {
        let inlet = self.receiver_of(slot).and_then(|(receiver, between)| {
            let receiver = stream_of(&mut self.sockets, receiver)?;
            if !receiver.incoming.may_receive_by_conduit() {
                return None;
            }
            let (inlet, outlet) = self.conduits.open(slot, &receiver.end, between, self.now)?;
            receiver.incoming.receive_by(outlet);
            Some(inlet)
        });
        let Some(sender) = stream_of(&mut self.sockets, slot) else {
            return;
        };
        match inlet {
            Some(inlet) => {
                sender.outgoing.send_by(inlet);
                tracing::debug!(?slot, "a transfer passes TCP by: its octets go through a pipe");
            }
            None => sender.outgoing.send_as_others(),
        }
    }

    /// The stream within the run that receives from this one, and how many octets are between them, if nobody looks at their packets.
    fn receiver_of(&mut self, slot: Slot) -> Option<(Slot, usize)> {
        // Without the programs' descriptors, some octets are the supervisor's own.
        if self.is_watched() || self.keeping.is_some() {
            return None;
        }
        let id = self.sockets.get(slot)?.id;
        let unsent = stream_of(&mut self.sockets, slot)?.outgoing.unsent();
        let (peer, between) = self.host.other_end(id).filter(|_| !self.host.is_overheard(id))?;
        Some((self.sockets.by_id(peer)?, between + unsent))
    }

    /// Streams that have waited too long for who receives from them: TCP's buffers are to be filled as they are otherwise.
    pub(crate) fn end_rests(&mut self) {
        for slot in self.conduits.overdue(self.now) {
            self.conduits.note(slot, false, self.now);
            if let Some(sender) = stream_of(&mut self.sockets, slot) {
                sender.outgoing.send_as_others();
                self.attend(slot);
            }
        }
    }
}

fn stream_of(sockets: &mut Sockets, slot: Slot) -> Option<&mut Stream> {
    match &mut sockets.get_mut(slot)?.role {
        Role::Stream(stream) => Some(stream),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_tell_which_way_each_octet_came() {
        let mut runs = Runs::default();
        runs.push_ordinary(10);
        runs.push_held(5);
        runs.push_held(5);
        runs.push_ordinary(3);
        assert_eq!(runs.next(), Next::Ordinary(10));
        runs.pass(4);
        assert_eq!(runs.next(), Next::Ordinary(6));
        runs.pass(6);
        assert_eq!(runs.next(), Next::Held(10));
        runs.pass(10);
        assert_eq!(runs.next(), Next::Ordinary(3));
        runs.pass(3);
        assert_eq!(runs.next(), Next::Ordinary(usize::MAX));
    }

    /// One end of a pair, and a conduit to it.
    fn opened(conduits: &mut Conduits, now: Instant) -> Option<(OwnedFd, Inlet, Outlet)> {
        let (to, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let to = OwnedFd::from(to);
        let (inlet, outlet) = conduits.open(Slot::new(1, 0), &to, 0, now)?;
        Some((to, inlet, outlet))
    }

    fn after(milliseconds: u64) -> Instant {
        Instant::from_nanos(0) + core::time::Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_transfer_gets_the_conduit_that_was_idle_longest_and_is_empty() {
        use std::io::Write;
        let mut conduits = Conduits::default();
        let mut open: Vec<_> = (0..conduits_max() as u64)
            .map(|number| opened(&mut conduits, after(number)).unwrap())
            .collect();
        let stretch = Stretch(STRETCH_MAX);
        assert!(opened(&mut conduits, after(100)).is_none());
        // Something lies in the first, and something goes into the second now.
        let (from, mut program) = std::os::unix::net::UnixStream::pair().unwrap();
        let from = OwnedFd::from(from);
        program.write_all(&vec![1; 2 * FILL_MIN]).unwrap();
        assert!(matches!(open[0].1.fill(&from, FILL_MIN, after(0)), Filled::Blank(_)));
        program.write_all(&vec![1; FILL_MIN]).unwrap();
        assert!(matches!(open[1].1.fill(&from, FILL_MIN, after(2000)), Filled::Blank(_)));
        let (to, _receiver) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(open[1].2.drain(&to.into(), FILL_MAX, after(2000)), Ok(FILL_MIN));
        let new = opened(&mut conduits, after(2000)).expect("one was idle");
        let given_up: Vec<usize> = (0..open.len())
            .filter(|&number| open[number].1.is_idle(&stretch))
            .collect();
        assert_eq!(given_up, [2]);
        assert!(open[2].2.is_idle() && matches!(open[2].1.fill(&from, FILL_MIN, after(2000)), Filled::Little));
        assert_eq!(open[2].2.next(), Next::Ordinary(usize::MAX));
        // Whose ends have gone counts no more.
        drop(new);
        drop(open.drain(2..));
        assert_eq!(conduits.give_up_empty(), 1);
        assert!(!open[0].1.is_idle(&stretch) && open[1].1.is_idle(&stretch));
    }

    #[test]
    fn a_transfer_is_what_goes_on_in_large_pieces() {
        let mut stretch = Stretch::default();
        for _ in 0..TRANSFER / FILL_MIN {
            assert!(!stretch.is_transfer());
            stretch.note(FILL_MIN);
        }
        assert!(stretch.is_transfer());
        stretch.note(1);
        assert!(!stretch.is_over());
        for _ in 0..8 {
            stretch.note(1);
        }
        assert!(stretch.is_over());
    }
}
