//! A cable between two stacks in one process.

use crate::Link;
use prise_wire::{Frame, Instant, Medium};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Frames that wait at each end; a sender that finds the queue full waits with them.
const QUEUE_MAX: usize = 1024;

/// One end of a cable between two stacks. Trains of segments and partial checksums cross as they are.
#[derive(Debug)]
pub struct MemoryLink {
    medium: Medium,
    mtu: u32,
    incoming: Arc<Direction>,
    outgoing: Arc<Direction>,
}

/// Frames under way to one end.
#[derive(Debug)]
struct Direction {
    queue: Mutex<VecDeque<Frame>>,
    /// Readable while the queue holds something; written and read under the queue's lock.
    readable: OwnedFd,
}

impl Direction {
    fn new() -> io::Result<Self> {
        let readable = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            queue: Mutex::default(),
            readable,
        })
    }

    /// The queue; a thread that died while it held the lock has left it whole.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Frame>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two ends of a new cable for frames of `medium` with up to `mtu` octets of IP packet.
pub fn memory_pair(medium: Medium, mtu: u32) -> io::Result<(MemoryLink, MemoryLink)> {
    let (there, back) = (Arc::new(Direction::new()?), Arc::new(Direction::new()?));
    let near = MemoryLink {
        medium,
        mtu,
        incoming: Arc::clone(&back),
        outgoing: Arc::clone(&there),
    };
    let far = MemoryLink {
        medium,
        mtu,
        incoming: there,
        outgoing: back,
    };
    Ok((near, far))
}

impl Link for MemoryLink {
    fn medium(&self) -> Medium {
        self.medium
    }

    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn gso_max(&self) -> u32 {
        u16::MAX.into()
    }

    fn checksum_offload(&self) -> bool {
        true
    }

    fn send(&mut self, _now: Instant, frame: Frame) -> Result<(), Frame> {
        let mut queue = self.outgoing.lock();
        if queue.len() >= QUEUE_MAX {
            return Err(frame);
        }
        if queue.is_empty() {
            // The counter is zero now: neither this nor the read below can fail.
            let written = rustix::io::write(&self.outgoing.readable, &1u64.to_ne_bytes());
            debug_assert!(written.is_ok(), "an eventfd at zero takes one");
        }
        queue.push_back(frame);
        Ok(())
    }

    fn receive(&mut self, _now: Instant) -> Option<Frame> {
        let mut queue = self.incoming.lock();
        let frame = queue.pop_front()?;
        if queue.is_empty() {
            let read = rustix::io::read(&self.incoming.readable, &mut [0; 8]);
            debug_assert!(read.is_ok(), "an eventfd at one gives it back");
        }
        Some(frame)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.incoming.readable.as_fd())
    }
}
