//! A link with a bad line between it and the stack.

use crate::{Impairment, ImpairmentConfig, Link};
use prise_wire::{Frame, Instant, Medium};
use std::os::fd::BorrowedFd;

/// Keeps the two directions of one seed apart.
const INGRESS: u64 = 0x5851_f42d_4c95_7f2d;

/// Wraps a link so that frames in both directions pass an [`Impairment`].
#[derive(Debug)]
pub struct Impaired<L> {
    inner: L,
    egress: Impairment,
    ingress: Impairment,
    /// Left the line but did not fit into the link.
    held: Option<Frame>,
}

impl<L: Link> Impaired<L> {
    /// Impairs both directions of `inner` alike, each with its own chance.
    pub fn new(inner: L, config: ImpairmentConfig) -> Self {
        let medium = inner.medium();
        let back = ImpairmentConfig {
            seed: config.seed ^ INGRESS,
            ..config
        };
        Self {
            inner,
            egress: Impairment::new(config, medium),
            ingress: Impairment::new(back, medium),
            held: None,
        }
    }

    /// What is done to frames that are sent.
    pub const fn egress(&self) -> &Impairment {
        &self.egress
    }

    /// What is done to frames that are received.
    pub const fn ingress(&self) -> &Impairment {
        &self.ingress
    }

    /// Changes the line under way.
    pub fn reconfigure(&mut self, config: ImpairmentConfig) {
        self.egress.reconfigure(config);
        self.ingress.reconfigure(config);
    }

    /// The link itself.
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// Hands what has left the line to the link, as much as it takes.
    fn pass_on(&mut self, now: Instant) {
        while let Some(frame) = self.held.take().or_else(|| self.egress.receive(now)) {
            if let Err(frame) = self.inner.send(now, frame) {
                self.held = Some(frame);
                return;
            }
        }
    }
}

impl<L: Link> Link for Impaired<L> {
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

    /// Never full: a line drops what it cannot carry.
    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        self.egress.send(now, frame);
        self.pass_on(now);
        Ok(())
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        self.pass_on(now);
        while let Some(frame) = self.inner.receive(now) {
            self.ingress.send(now, frame);
        }
        self.ingress.receive(now)
    }

    fn flush(&mut self, now: Instant) {
        self.pass_on(now);
        self.inner.flush(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        // With a frame held back it is the link that must become writable, not time that must pass.
        let egress = if self.held.is_some() {
            None
        } else {
            self.egress.next_deadline()
        };
        [egress, self.ingress.next_deadline(), self.inner.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }
}
