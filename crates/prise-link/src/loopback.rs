//! A link on which everything that is sent arrives: `lo`.

use crate::Link;
use prise_wire::{Frame, Instant, Medium};
use std::collections::VecDeque;

/// Frames that wait to be received; a sender that finds the queue full waits with them.
const QUEUE_MAX: usize = 1024;

/// Brings back what it is given, in order, checksums untouched: nothing leaves memory.
#[derive(Debug, Default)]
pub struct Loopback {
    queue: VecDeque<Frame>,
}

impl Loopback {
    /// The MTU of Linux's `lo`.
    pub const MTU: u32 = 65_536;

    /// An empty loopback.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Link for Loopback {
    fn medium(&self) -> Medium {
        Medium::Ip
    }

    fn mtu(&self) -> u32 {
        Self::MTU
    }

    fn checksum_offload(&self) -> bool {
        true
    }

    fn send(&mut self, _now: Instant, frame: Frame) -> Result<(), Frame> {
        if self.queue.len() >= QUEUE_MAX {
            return Err(frame);
        }
        self.queue.push_back(frame);
        Ok(())
    }

    fn receive(&mut self, _now: Instant) -> Option<Frame> {
        self.queue.pop_front()
    }
}
