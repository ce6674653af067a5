//! Waiting: who waits for which socket, and how a thread sleeps.

use super::lock;
use hashbrown::HashMap;
use prise_socket::{Readiness, SocketId};
use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something to read, or to accept.
    Read,
    /// Room to write, or the end of connecting.
    Write,
}

impl Interest {
    /// The readiness that ends the wait; errors and hang-ups end every wait.
    fn readiness(self) -> Readiness {
        let always = Readiness::ERR | Readiness::HUP;
        match self {
            Self::Read => Readiness::IN | Readiness::RDHUP | Readiness::PRI | always,
            Self::Write => Readiness::OUT | always,
        }
    }
}

/// Who waits: a thread that sleeps, or a task that is to be polled.
pub(crate) enum Waiter {
    /// A sleeping thread.
    Thread(Arc<Parker>),
    /// A task of an async runtime.
    #[expect(dead_code, reason = "the seam for the tokio-shaped types")]
    Task(Waker),
}

impl Waiter {
    /// Ends the wait. Never called under a lock: a waker may run any code.
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(parker) => parker.unpark(),
            Self::Task(waker) => waker.wake(),
        }
    }

    fn is_thread(&self, parker: &Arc<Parker>) -> bool {
        matches!(self, Self::Thread(own) if Arc::ptr_eq(own, parker))
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread(_) => "Thread",
            Self::Task(_) => "Task",
        })
    }
}

/// Who waits for which socket. A socket for which nobody waits has no entry.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_socket: HashMap<SocketId, Vec<(Interest, Waiter)>>,
}

impl Waiters {
    /// Adds a waiter. It is woken, and forgotten, when the socket next becomes ready.
    pub(crate) fn add(&mut self, socket: SocketId, interest: Interest, waiter: Waiter) {
        self.by_socket.entry(socket).or_default().push((interest, waiter));
    }

    /// Forgets a thread that has stopped waiting.
    pub(crate) fn remove(&mut self, socket: SocketId, parker: &Arc<Parker>) {
        if let Some(waiting) = self.by_socket.get_mut(&socket) {
            waiting.retain(|(_, waiter)| !waiter.is_thread(parker));
            if waiting.is_empty() {
                self.by_socket.remove(&socket);
            }
        }
    }

    /// Takes out everyone whose wait ends now that the socket is ready for this.
    pub(crate) fn take(&mut self, socket: SocketId, ready: Readiness, woken: &mut Vec<Waiter>) {
        if self.by_socket.is_empty() {
            return;
        }
        let Some(waiting) = self.by_socket.get_mut(&socket) else {
            return;
        };
        woken.extend(
            waiting
                .extract_if(.., |(interest, _)| interest.readiness().intersects(ready))
                .map(|(_, waiter)| waiter),
        );
        if waiting.is_empty() {
            self.by_socket.remove(&socket);
        }
    }

    /// Whether nobody waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_socket.is_empty()
    }
}

/// Nothing has happened.
const EMPTY: u8 = 0;
/// The thread sleeps, or is about to.
const PARKED: u8 = 1;
/// The thread has been woken and has not yet noticed.
const NOTIFIED: u8 = 2;

/// Where one thread sleeps.
///
/// Not `std::thread::park`: its token belongs to the program, which may be waiting for it elsewhere on the same thread.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    state: AtomicU8,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Parker {
    /// The calling thread's own.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        thread_local! {
            static PARKER: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
        }
        let kept = PARKER.try_with(|kept| Arc::clone(kept.borrow_mut().get_or_insert_default()));
        // A thread that is being torn down may still close, and linger on, its sockets.
        kept.unwrap_or_default()
    }

    /// Forgets a wake-up that came after the last wait had ended.
    pub(crate) fn reset(&self) {
        self.state.store(EMPTY, Ordering::Release);
    }

    /// Sleeps until woken; false if `until` came first.
    pub(crate) fn park(&self, until: Option<Instant>) -> bool {
        let mut guard = lock(&self.lock);
        if self
            .state
            .compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            self.reset();
            return true;
        }
        while self.state.load(Ordering::Acquire) == PARKED {
            guard = match until {
                None => self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.bell.wait_timeout(guard, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        self.state.swap(EMPTY, Ordering::AcqRel) == NOTIFIED
    }

    /// Wakes the thread, now or when it is about to sleep.
    pub(crate) fn unpark(&self) {
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            // Between the check of the state and the wait the sleeper holds the lock.
            drop(lock(&self.lock));
            self.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wake_up_before_the_wait_is_not_lost() {
        let parker = Parker::default();
        parker.unpark();
        assert!(parker.park(None));
        assert!(!parker.park(Some(Instant::now())));
    }

    #[test]
    fn threads_hand_a_turn_back_and_forth() {
        let (ping, pong) = (Arc::new(Parker::default()), Arc::new(Parker::default()));
        let other = {
            let (ping, pong) = (Arc::clone(&ping), Arc::clone(&pong));
            std::thread::spawn(move || {
                (0..1000).all(|_| {
                    let woken = ping.park(Some(Instant::now() + Duration::from_secs(10)));
                    pong.unpark();
                    woken
                })
            })
        };
        for _ in 0..1000 {
            ping.unpark();
            assert!(pong.park(Some(Instant::now() + Duration::from_secs(10))));
        }
        assert!(other.join().unwrap());
    }

    #[test]
    fn only_those_are_woken_whose_interest_is_met() {
        let mut waiters = Waiters::default();
        let socket = SocketId::from_bits(1);
        let mut woken = Vec::new();
        let parker = Arc::new(Parker::default());
        waiters.add(socket, Interest::Read, Waiter::Thread(Arc::clone(&parker)));
        waiters.take(socket, Readiness::OUT, &mut woken);
        assert!(woken.is_empty());
        waiters.take(SocketId::from_bits(2), Readiness::IN, &mut woken);
        assert!(woken.is_empty());
        waiters.take(socket, Readiness::IN | Readiness::OUT, &mut woken);
        assert_eq!(woken.len(), 1);
        assert!(waiters.is_empty());
        waiters.add(socket, Interest::Write, Waiter::Thread(Arc::clone(&parker)));
        waiters.remove(socket, &parker);
        assert!(waiters.is_empty());
    }
}
