//! Who looks at what passes between a link and its stack: a capture, or packet sockets of the programs there.

use crate::Link;
use prise_wire::{Checksum, Frame, Instant, Medium};
use std::os::fd::BorrowedFd;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the link to the stack.
    Inbound,
    /// From the stack to the link.
    Outbound,
}

/// Looks at frames; takes nothing from them and holds nothing up.
pub trait Tap {
    /// Whether frames of that direction are looked at now. Those that are not cost nothing.
    fn looks(&self, direction: Direction) -> bool {
        let _ = direction;
        true
    }

    /// A frame has passed.
    fn passed(&self, now: Instant, direction: Direction, frame: &Frame);

    /// Passes on what was kept for long enough. Called at the end of each turn.
    fn flush(&self, now: Instant) {
        let _ = now;
    }

    /// When [`flush`](Self::flush) will have something to do.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Each packet that a wire would carry for a frame: trains of segments are cut, partial checksums completed.
pub fn each_packet(frame: &Frame, medium: Medium, mut look: impl FnMut(&Frame)) {
    // In the common case there is nothing to do and nothing is cloned.
    match (frame.offload.gso, frame.offload.checksum) {
        (None, Checksum::Verified | Checksum::Unverified) => look(frame),
        _ => frame.clone().segments(medium).for_each(|packet| look(&packet)),
    }
}

/// A link with somebody who looks at it.
#[derive(Debug)]
pub struct Tapped<L, T> {
    inner: L,
    tap: T,
}

impl<L: Link, T: Tap> Tapped<L, T> {
    /// Shows what passes `inner` to `tap`.
    pub const fn with(inner: L, tap: T) -> Self {
        Self { inner, tap }
    }

    /// The link itself.
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// The link itself, to be changed under way.
    pub const fn inner_mut(&mut self) -> &mut L {
        &mut self.inner
    }
}

impl<L: Link, T: Tap> Link for Tapped<L, T> {
    fn medium(&self) -> Medium {
        self.inner.medium()
    }

    fn mtu(&self) -> u32 {
        self.inner.mtu()
    }

    fn gso_max(&self) -> u32 {
        self.inner.gso_max()
    }

    fn checksum_offload(&self) -> bool {
        self.inner.checksum_offload()
    }

    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        // Cloned, since only what the link takes was sent, and then it is gone.
        let copy = self.tap.looks(Direction::Outbound).then(|| frame.clone());
        self.inner.send(now, frame)?;
        if let Some(copy) = copy {
            self.tap.passed(now, Direction::Outbound, &copy);
        }
        Ok(())
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        let frame = self.inner.receive(now)?;
        if self.tap.looks(Direction::Inbound) {
            self.tap.passed(now, Direction::Inbound, &frame);
        }
        Some(frame)
    }

    fn flush(&mut self, now: Instant) {
        self.inner.flush(now);
        self.tap.flush(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.inner.next_deadline(), self.tap.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }
}
