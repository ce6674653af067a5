//! The driver: what turns the core, which neither waits nor knows the time, into sockets that threads and tasks can use.
//!
//! Theory of operation. A [`Shard`] is one host behind one lock. Whoever calls a socket runs the protocol:
//!
//! 1. lock the shard, run the verb, let the loopback link go round, take out who is to be woken; unlock;
//! 2. flush: move what the host wants to transmit over its wires, which runs the other hosts' protocol as well;
//! 3. wake.
//!
//! So a byte goes from one thread's `write` to another thread's `read` with one wake-up and no thread in between. A thread
//! of its own, the [`timer`], exists only for deadlines: retransmissions, delayed acknowledgments, frames on slow wires.
//!
//! A [`Wire`] has a lock of its own. Whoever finds it taken leaves a note and goes; the one inside reads the notes before it
//! is done. Locks nest in one order: wire, then shard; never two wires, never two shards. Nobody is woken, and no deadline
//! handed over, under a shard's lock.

mod clock;
mod shard;
mod timer;
mod wait;
mod wire;

pub(crate) use shard::{Port, Shard};
pub(crate) use wait::{Interest, Parker, Waiter};
pub(crate) use wire::Wire;

pub(crate) use clock::{now, to_std};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether or not a thread panicked while it held the lock: the core's verbs leave nothing half-done that memory
/// safety rests on, and one thread's panic must not take every other socket with it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
