//! A wire in memory: hosts on it exchange frames by handing them over.
//!
//! A frame is taken out of one host and put into another by whoever happens to be there: the thread whose call made the
//! host transmit, or one that was already moving frames. See the module above for the order of locks, and why a frame is
//! never held between two of them: draining under a lock and delivering after it would let frames overtake each other.

use super::shard::{Aftermath, Shard};
use super::timer::{self, Alarm, AlarmId};
use super::wait::Waiter;
use super::{clock, lock};
use hashbrown::HashMap;
use prise_link::{Impairment, ImpairmentConfig};
use prise_stack::{LinkId, LinkSet};
use prise_wire::{Frame, Instant, IpVersion, Medium};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

/// Frames that are taken out of a host at once; others may have its lock in between.
const BATCH: usize = 64;

/// What all frames on wires in memory begin with.
pub(crate) const MEDIUM: Medium = Medium::Ip;

/// A wire with any number of hosts on it.
pub(crate) struct Wire {
    notes: Mutex<Notes>,
    inside: Mutex<Inside>,
    alarm: AlarmId,
    me: Weak<Self>,
}

/// What those who found the wire taken have left to do for the one inside.
#[derive(Debug, Default)]
struct Notes {
    ports: Vec<usize>,
    /// By port: whether it is among `ports`.
    noted: Vec<bool>,
    /// Frames on slow lines have arrived.
    due: bool,
}

impl Notes {
    fn add(&mut self, port: usize) {
        if self.noted.len() <= port {
            self.noted.resize(port + 1, false);
        }
        if !std::mem::replace(&mut self.noted[port], true) {
            self.ports.push(port);
        }
    }

    fn is_empty(&self) -> bool {
        self.ports.is_empty() && !self.due
    }

    /// Moves the noted ports over to `out`, and says whether frames are due.
    fn take(&mut self, out: &mut Vec<usize>) -> bool {
        for port in self.ports.drain(..) {
            self.noted[port] = false;
            out.push(port);
        }
        std::mem::take(&mut self.due)
    }
}

#[derive(Debug)]
struct Inside {
    ports: Vec<Port>,
    by_address: HashMap<IpAddr, usize>,
    /// When the timer will ring for this wire, at the latest.
    armed: Instant,
    batch: Vec<Frame>,
    todo: Vec<usize>,
    undeliverable: u64,
}

#[derive(Debug)]
struct Port {
    end: Option<(Weak<Shard>, LinkId)>,
    /// What happens to frames that this port's host sends; none if nothing does.
    line: Option<Box<Impairment>>,
}

/// What a round leaves to do once the wire is released.
#[derive(Debug, Default)]
struct Leftover {
    woken: Vec<Waiter>,
    /// Hosts met on the way. Dropping the last reference to one takes it off the wire, which needs the wire's lock.
    hosts: Vec<Arc<Shard>>,
    /// Other wires of those hosts that have something to move now.
    elsewhere: Vec<(Arc<Shard>, LinkSet)>,
    sooner: Option<Instant>,
}

impl Wire {
    /// A wire with nobody on it.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            notes: Mutex::default(),
            inside: Mutex::new(Inside {
                ports: Vec::new(),
                by_address: HashMap::new(),
                armed: Instant::FAR_FUTURE,
                batch: Vec::new(),
                todo: Vec::new(),
                undeliverable: 0,
            }),
            alarm: AlarmId::new(),
            me: Weak::clone(me),
        })
    }

    /// A port for a host with these addresses, whose frames pass a line like this one.
    pub(crate) fn add_port(&self, addresses: impl IntoIterator<Item = IpAddr>, line: &ImpairmentConfig) -> usize {
        let mut inside = lock(&self.inside);
        let port = inside.ports.len();
        let line = (!line.is_none()).then(|| Box::new(Impairment::new(*line, MEDIUM)));
        inside.ports.push(Port { end: None, line });
        inside
            .by_address
            .extend(addresses.into_iter().map(|address| (address, port)));
        port
    }

    /// From now on frames for this port go to that host.
    pub(super) fn attach(&self, port: usize, shard: Weak<Shard>, link: LinkId) {
        lock(&self.inside).ports[port].end = Some((shard, link));
        self.pump(port);
    }

    /// The host is gone.
    pub(super) fn detach(&self, port: usize) {
        let mut inside = lock(&self.inside);
        inside.ports[port].end = None;
        inside.by_address.retain(|_, other| *other != port);
    }

    /// Frames that had nowhere to go.
    pub(crate) fn undeliverable(&self) -> u64 {
        lock(&self.inside).undeliverable
    }

    /// Moves what this port's host has to transmit, and everything that follows from that.
    pub(super) fn pump(&self, port: usize) {
        lock(&self.notes).add(port);
        self.serve();
    }

    /// Does what is noted, or leaves it to whoever is inside.
    fn serve(&self) {
        loop {
            // A note is made before the lock is tried; the lock is released before the notes are read (below). So either
            // the one inside sees the note, or its maker finds the lock free.
            fence(Ordering::SeqCst);
            let mut inside = match self.inside.try_lock() {
                Ok(inside) => inside,
                Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
                Err(TryLockError::WouldBlock) => return,
            };
            let mut leftover = Leftover::default();
            inside.round(&self.notes, &mut leftover);
            drop(inside);
            self.finish(leftover);
            fence(Ordering::SeqCst);
            if lock(&self.notes).is_empty() {
                return;
            }
        }
    }

    fn finish(&self, leftover: Leftover) {
        let Leftover {
            woken,
            hosts,
            elsewhere,
            sooner,
        } = leftover;
        if let Some(deadline) = sooner {
            timer::arm(self.alarm, deadline, Weak::<Self>::clone(&self.me));
        }
        woken.into_iter().for_each(Waiter::wake);
        for (shard, ready) in elsewhere {
            shard.flush(ready);
        }
        drop(hosts);
    }
}

impl Alarm for Wire {
    fn ring(&self) {
        lock(&self.notes).due = true;
        self.serve();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        timer::disarm(self.alarm);
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Inside {
    /// Does what is noted now; what follows from it is noted.
    fn round(&mut self, notes: &Mutex<Notes>, leftover: &mut Leftover) {
        let now = clock::now();
        let mut todo = std::mem::take(&mut self.todo);
        let due = lock(notes).take(&mut todo);
        for port in todo.drain(..) {
            self.collect(now, port, notes, leftover);
        }
        self.todo = todo;
        if due {
            self.armed = Instant::FAR_FUTURE;
        }
        for port in 0..self.ports.len() {
            if self.ports[port].line.is_some() {
                self.arrive(now, port, notes, leftover);
            }
        }
        let next = self
            .ports
            .iter()
            .filter_map(|port| port.line.as_ref()?.next_deadline())
            .min();
        if let Some(next) = next.filter(|next| *next < self.armed) {
            self.armed = next;
            leftover.sooner = Some(next);
        }
    }

    /// Takes frames out of a port's host and moves them on.
    fn collect(&mut self, now: Instant, port: usize, notes: &Mutex<Notes>, leftover: &mut Leftover) {
        let Some((shard, link)) = self.host(port) else { return };
        let mut batch = std::mem::take(&mut self.batch);
        let mut core = shard.lock();
        batch.extend(std::iter::from_fn(|| core.host.transmit(now, link)).take(BATCH));
        let aftermath = core.settle(now);
        drop(core);
        Self::follow(port, link, shard, aftermath, notes, leftover);
        match &mut self.ports[port].line {
            Some(line) => batch.drain(..).for_each(|frame| line.send(now, frame)),
            None => self.deliver(now, port, &mut batch, notes, leftover),
        }
        self.batch = batch;
    }

    /// Delivers what has arrived from a port with a slow line.
    fn arrive(&mut self, now: Instant, port: usize, notes: &Mutex<Notes>, leftover: &mut Leftover) {
        let mut batch = std::mem::take(&mut self.batch);
        if let Some(line) = &mut self.ports[port].line {
            batch.extend(std::iter::from_fn(|| line.receive(now)));
        }
        self.deliver(now, port, &mut batch, notes, leftover);
        self.batch = batch;
    }

    /// Hands frames over, in order, those for one host together.
    fn deliver(
        &mut self,
        now: Instant,
        from: usize,
        batch: &mut Vec<Frame>,
        notes: &Mutex<Notes>,
        leftover: &mut Leftover,
    ) {
        let mut frames = batch.drain(..).peekable();
        while let Some(frame) = frames.next() {
            match self.target(from, &frame) {
                Target::One(to) => {
                    let same = |next: &Frame| self.target(from, next) == Target::One(to);
                    let run = std::iter::once(frame).chain(std::iter::from_fn(|| frames.next_if(same)));
                    self.hand_over(now, to, run, notes, leftover);
                }
                Target::Others => {
                    for to in (0..self.ports.len()).filter(|to| *to != from) {
                        self.hand_over(now, to, std::iter::once(frame.clone()), notes, leftover);
                    }
                }
                Target::Nobody => self.undeliverable += 1,
            }
        }
    }

    fn hand_over(
        &self,
        now: Instant,
        port: usize,
        frames: impl Iterator<Item = Frame>,
        notes: &Mutex<Notes>,
        leftover: &mut Leftover,
    ) {
        let Some((shard, link)) = self.host(port) else {
            frames.for_each(drop);
            return;
        };
        let mut core = shard.lock();
        core.host.receive(now, link, frames);
        let aftermath = core.settle(now);
        drop(core);
        Self::follow(port, link, shard, aftermath, notes, leftover);
    }

    fn host(&self, port: usize) -> Option<(Arc<Shard>, LinkId)> {
        let (shard, link) = self.ports[port].end.as_ref()?;
        Some((shard.upgrade()?, *link))
    }

    /// Notes what a host has to do after its lock was released.
    fn follow(
        port: usize,
        link: LinkId,
        shard: Arc<Shard>,
        aftermath: Aftermath,
        notes: &Mutex<Notes>,
        leftover: &mut Leftover,
    ) {
        shard.arm_after(&aftermath);
        let Aftermath { woken, mut ready, .. } = aftermath;
        if ready.contains(link) {
            lock(notes).add(port);
            ready.remove(link);
        }
        leftover.woken.extend(woken);
        if !ready.is_empty() {
            leftover.elsewhere.push((Arc::clone(&shard), ready));
        }
        if !leftover.hosts.iter().any(|known| Arc::ptr_eq(known, &shard)) {
            leftover.hosts.push(shard);
        }
    }

    /// Where a frame goes.
    fn target(&self, from: usize, frame: &Frame) -> Target {
        if self.ports.len() == 2 {
            // A wire between two: the host itself knows what is for it.
            return Target::One(1 - from);
        }
        let Some(destination) = destination(frame) else {
            return Target::Nobody;
        };
        match self.by_address.get(&destination) {
            Some(to) if *to != from => Target::One(*to),
            None if is_for_many(destination) => Target::Others,
            Some(_) | None => Target::Nobody,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    One(usize),
    Others,
    Nobody,
}

fn destination(frame: &Frame) -> Option<IpAddr> {
    let layout = frame.layout(MEDIUM)?;
    let header = frame.head().get(layout.network_at..)?;
    Some(match layout.version {
        IpVersion::V4 => header.get(16..)?.first_chunk::<4>().copied()?.into(),
        IpVersion::V6 => header.get(24..)?.first_chunk::<16>().copied()?.into(),
    })
}

/// Multicast, and what may be the broadcast address of some prefix: hosts discard what is not for them.
fn is_for_many(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast() || address.octets()[3] == 255,
        IpAddr::V6(address) => address.is_multicast(),
    }
}
