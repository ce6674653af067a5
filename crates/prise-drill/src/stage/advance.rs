//! [`Stage`]: the lock, who sleeps on it, and how virtual time passes.
//!
//! packetdrill has two threads: one injects packets, fetches packets and lets time pass; the other makes the calls that a script marks as
//! blocking. A call that has to wait sleeps on a condition variable. Time passes only in the first thread's `usleep`, while it waits for
//! a packet, and a little each time it looks at the clock ([`TICK`]); it passes from one deadline to the next, and at each deadline
//! waits until every sleeper has looked whether its call is done. A thread whose call is done reads the clock next, to see when it
//! was done; until it has, time stands still.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prise_socket::Errno;
use prise_wire::Instant;

use super::settings::Settings;
use super::world::{Waiter, World};

/// How far one look at the clock moves it: packetdrill spins on the clock for the last 20 µs before an event, and a clock that stood
/// still would never let it go on.
const TICK: Duration = Duration::from_micros(1);
/// How long, in real time, the clock waits for a thread that was let go to look at it; a caller that never does is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A stack that has deadlines but never anything to send would turn in circles.
const TURNS_MAX: usize = 1_000_000;

/// One host with its descriptors and its clock. All methods may be called from any thread.
#[derive(Debug)]
pub struct Stage {
    world: Mutex<World>,
    /// Something has happened that sleepers may have waited for.
    changed: Condvar,
    /// A sleeper has looked, or a thread that was let go has read the clock.
    settled: Condvar,
}

/// What one look at a call found.
pub(super) enum Look<T> {
    /// It is done, so.
    Done(T),
    /// It has to wait; whether it has changed anything.
    Wait {
        /// Something was done on the way (part of the octets taken, a SYN sent).
        progress: bool,
    },
}

impl Stage {
    /// A host as the settings want it.
    pub fn new(settings: Settings) -> Self {
        Self {
            world: Mutex::new(World::new(settings)),
            changed: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    /// Takes the lock for a call, and lets the clock know that the calling thread is not waited for any more.
    pub(super) fn enter(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        if world.returned.remove(&std::thread::current().id()) {
            self.settled.notify_all();
        }
        world
    }

    /// Takes the lock for the rest of a call that has waited: the clock is still to wait for its thread, which has not read it yet.
    pub(super) fn go_on(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that never waits.
    pub(super) fn at_once<T>(&self, call: impl FnOnce(&mut World) -> T) -> T {
        self.finish(self.enter(), call)
    }

    /// What a call does at last.
    pub(super) fn finish<T>(&self, mut world: MutexGuard<'_, World>, call: impl FnOnce(&mut World) -> T) -> T {
        let result = call(&mut world);
        self.happened(&mut world);
        result
    }

    /// Something was done: it goes out, and sleepers look again.
    fn happened(&self, world: &mut World) {
        world.flush();
        world.generation += 1;
        self.changed.notify_all();
    }

    /// A call that waits until `look` is done, `timeout` of virtual time has passed (`None`), or the stage closes (`None`).
    pub(super) fn wait_for<T>(
        &self,
        timeout: Option<Duration>,
        mut look: impl FnMut(&mut World) -> Look<T>,
    ) -> Option<T> {
        let mut world = self.enter();
        match look(&mut world) {
            Look::Done(result) => {
                self.happened(&mut world);
                return Some(result);
            }
            Look::Wait { progress } if progress => self.happened(&mut world),
            Look::Wait { .. } => {}
        }
        let until = timeout.map(|timeout| world.now + timeout);
        let waiter = world.next_waiter;
        world.next_waiter += 1;
        let seen = world.generation;
        world.waiters.insert(waiter, Waiter { seen, until });
        let result = loop {
            let seen = world.generation;
            if let Some(waiter) = world.waiters.get_mut(&waiter) {
                waiter.seen = seen;
            }
            self.settled.notify_all();
            let expired = |world: &World| until.is_some_and(|until| world.now >= until);
            world = self
                .changed
                .wait_while(world, |world| {
                    world.generation == seen && !world.closed && !expired(world)
                })
                .unwrap_or_else(PoisonError::into_inner);
            match look(&mut world) {
                Look::Done(result) => break Some(result),
                Look::Wait { .. } if world.closed || expired(&world) => break None,
                Look::Wait { progress } if progress => self.happened(&mut world),
                Look::Wait { .. } => {}
            }
        };
        world.waiters.remove(&waiter);
        world.returned.insert(std::thread::current().id());
        self.happened(&mut world);
        self.settled.notify_all();
        result
    }

    /// Waits until every sleeper has looked and every thread that was let go has read the clock.
    fn settle<'a>(&self, world: MutexGuard<'a, World>) -> MutexGuard<'a, World> {
        let unsettled = |world: &mut World| {
            !world.returned.is_empty() || world.waiters.values().any(|waiter| waiter.seen < world.generation)
        };
        let (mut world, outcome) = self
            .settled
            .wait_timeout_while(world, PATIENCE, unsettled)
            .unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            world.returned.clear();
        }
        world
    }

    fn step<'a>(&self, mut world: MutexGuard<'a, World>, moment: Instant) -> MutexGuard<'a, World> {
        world.move_to(moment);
        self.changed.notify_all();
        self.settle(world)
    }

    /// Lets time pass up to `target`, deadline by deadline.
    fn advance<'a>(&self, mut world: MutexGuard<'a, World>, target: Instant) -> MutexGuard<'a, World> {
        world = self.settle(world);
        for _ in 0..TURNS_MAX {
            let Some(moment) = world.next_moment().filter(|moment| *moment <= target) else {
                break;
            };
            world = self.step(world, moment);
        }
        if world.now < target {
            world = self.step(world, target);
        }
        world
    }

    /// `usleep`: so much time passes.
    pub fn sleep(&self, duration: Duration) {
        let world = self.enter();
        let target = world.now + duration;
        drop(self.advance(world, target));
    }

    /// `gettimeofday`: the time since the epoch of virtual time, which is when the machine was switched on.
    pub fn time(&self) -> Duration {
        let world = self.enter();
        let target = world.now + TICK;
        self.advance(world, target).now.saturating_since(Instant::ZERO)
    }

    /// A command that the script has in its middle: what it administers is ours to heed, for nobody else could (`sysctl`, and a queue
    /// of no packets by `tc`).
    pub fn command(&self, text: &str) {
        let mut world = self.enter();
        world.command(text);
        self.changed.notify_all();
        drop(self.settle(world));
    }

    /// A packet comes in.
    pub fn inject(&self, packet: &[u8]) -> Result<(), Errno> {
        let mut world = self.enter();
        let result = world.inject(packet);
        self.changed.notify_all();
        drop(self.settle(world));
        result
    }

    /// The next packet that has left, with when. Lets time pass until there is one; `None` if nothing will ever be sent without
    /// something else happening first.
    pub fn sniff(&self) -> Option<(Duration, Vec<u8>)> {
        let mut world = self.enter();
        for _ in 0..TURNS_MAX {
            if world.sent.is_empty() {
                world = self.settle(world);
            }
            if let Some((at, packet)) = world.sent.pop_front() {
                return Some((at.saturating_since(Instant::ZERO), packet));
            }
            let moment = world.next_moment()?;
            world = self.step(world, moment);
        }
        None
    }

    /// Every sleeper is let go, and nobody may sleep any more.
    pub fn shut(&self) {
        let mut world = self.enter();
        world.closed = true;
        self.changed.notify_all();
        while !world.waiters.is_empty() {
            let (after, outcome) = self
                .settled
                .wait_timeout(world, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            world = after;
            if outcome.timed_out() {
                break;
            }
        }
    }
}
