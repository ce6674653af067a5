//! What a driver asks of every device.

use prise_wire::{Frame, Instant, Medium};
use std::boxed::Box;
use std::os::fd::BorrowedFd;

/// A device that takes frames from its stack and brings others.
///
/// Nothing here blocks. The driver sends until it has nothing more or the link is full, receives until there is
/// nothing, then [flushes](Link::flush) and sleeps until [`poll_fd`](Link::poll_fd) is readable or
/// [`next_deadline`](Link::next_deadline) has come.
pub trait Link {
    /// Which header the link's frames begin with.
    fn medium(&self) -> Medium;

    /// The largest IP packet that one frame may carry, in octets, trains of segments aside.
    fn mtu(&self) -> u32;

    /// The largest IP packet that may be sent as a train of segments; zero if the link does not cut trains.
    fn gso_max(&self) -> u32 {
        0
    }

    /// Whether frames may be sent with [`Checksum::Partial`](prise_wire::Checksum::Partial).
    fn checksum_offload(&self) -> bool {
        false
    }

    /// Takes one frame, or gives it back if there is no room now: the driver keeps it and tries again after the link
    /// became writable, or at its next turn. A frame that was taken may still be lost; links are not reliable.
    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame>;

    /// The next frame that has arrived.
    fn receive(&mut self, now: Instant) -> Option<Frame>;

    /// Passes on whatever has become due or was kept to be written together. Called at the end of each turn.
    fn flush(&mut self, now: Instant) {
        let _ = now;
    }

    /// When the link wants to be called again although nothing arrives.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// A descriptor that is readable while [`receive`](Link::receive) has something.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn medium(&self) -> Medium {
        (**self).medium()
    }

    fn mtu(&self) -> u32 {
        (**self).mtu()
    }

    fn gso_max(&self) -> u32 {
        (**self).gso_max()
    }

    fn checksum_offload(&self) -> bool {
        (**self).checksum_offload()
    }

    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        (**self).send(now, frame)
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        (**self).receive(now)
    }

    fn flush(&mut self, now: Instant) {
        (**self).flush(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        (**self).next_deadline()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).poll_fd()
    }
}
