//! `poll(2)`.

use std::time::Duration;

use prise_socket::{Errno, Readiness};

use super::advance::{Look, Stage};
use super::world::World;

const POLLNVAL: i16 = 0x20;

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollEntry {
    /// The descriptor; negative is passed over.
    pub fd: i32,
    /// What the caller asks for.
    pub events: i16,
    /// What there is.
    pub revents: i16,
}

/// -1 is for ever, as in poll(2) and epoll_wait(2).
pub(super) fn timeout(milliseconds: i32) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

impl World {
    /// All that a descriptor of ours is ready for.
    pub(super) fn ready(&mut self, fd: i32) -> Option<u32> {
        let id = self.target(fd).ok()?.id;
        Some(u32::from(self.host.readiness(id).raw()))
    }

    fn poll(&mut self, entries: &mut [PollEntry]) -> usize {
        let always = Readiness::ERR.with(Readiness::HUP, true).raw();
        for entry in entries.iter_mut() {
            entry.revents = match self.ready(entry.fd) {
                Some(ready) => ready as i16 & (entry.events | always as i16),
                None if entry.fd < 0 => 0,
                None => POLLNVAL,
            };
        }
        entries.iter().filter(|entry| entry.revents != 0).count()
    }
}

impl Stage {
    /// `poll(2)` on descriptors of ours; the timeout is in milliseconds of virtual time.
    pub fn poll(&self, entries: &mut [PollEntry], milliseconds: i32) -> Result<usize, Errno> {
        let ready = self.wait_for(timeout(milliseconds), |world| match world.poll(entries) {
            0 if milliseconds != 0 => Look::Wait { progress: false },
            ready => Look::Done(ready),
        });
        Ok(ready.unwrap_or(0))
    }
}
