//! `epoll(7)`: sets of interests, level- and edge-triggered, once or always.

use prise_socket::Errno;

use super::advance::{Look, Stage};
use super::descriptors::Descriptor;
use super::poll::timeout;

const CTL_ADD: i32 = 1;
const CTL_DEL: i32 = 2;
const CTL_MOD: i32 = 3;

const EDGE: u32 = 1 << 31;
const ONE_SHOT: u32 = 1 << 30;
const WAKE_UP: u32 = 1 << 29;
const EXCLUSIVE: u32 = 1 << 28;
/// `EPOLLERR` and `EPOLLHUP`: always asked for.
const ALWAYS: u32 = 0x18;
/// What may be asked for beside `EPOLLEXCLUSIVE` (`EPOLLEXCLUSIVE_OK_BITS`).
const EXCLUSIVE_OK: u32 = 0x1 | 0x4 | ALWAYS | WAKE_UP | EDGE | EXCLUSIVE;

/// An interest in one descriptor.
#[derive(Debug, Clone, Copy)]
struct Interest {
    fd: i32,
    events: u32,
    data: u64,
    /// Something has happened since it was last reported.
    news: bool,
}

/// One epoll set.
#[derive(Debug, Default)]
pub(super) struct EpollSet {
    /// In the order in which they will be looked at: those that were reported go to the end.
    interests: Vec<Interest>,
}

impl EpollSet {
    /// Something has happened to these descriptors.
    pub(super) fn mark(&mut self, fds: &[i32]) {
        for interest in &mut self.interests {
            interest.news |= fds.contains(&interest.fd);
        }
    }

    /// The descriptor is closed.
    pub(super) fn forget(&mut self, fd: i32) {
        self.interests.retain(|interest| interest.fd != fd);
    }

    fn control(&mut self, op: i32, fd: i32, events: u32, data: u64) -> Result<(), Errno> {
        let at = self.interests.iter().position(|interest| interest.fd == fd);
        let interest = Interest {
            fd,
            events: events | ALWAYS,
            data,
            news: true,
        };
        match (op, at) {
            (CTL_ADD, Some(_)) => Err(Errno::EEXIST),
            (CTL_ADD | CTL_MOD, _) if events & EXCLUSIVE != 0 && (op == CTL_MOD || events & !EXCLUSIVE_OK != 0) => {
                Err(Errno::EINVAL)
            }
            (CTL_ADD, None) => {
                self.interests.push(interest);
                Ok(())
            }
            (CTL_DEL | CTL_MOD, None) => Err(Errno::ENOENT),
            (CTL_DEL, Some(at)) => {
                self.interests.remove(at);
                Ok(())
            }
            (CTL_MOD, Some(at)) if self.interests[at].events & EXCLUSIVE == 0 => {
                self.interests[at] = interest;
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// What is to be reported, given what each descriptor is ready for.
    fn collect(&mut self, max: usize, mut ready: impl FnMut(i32) -> u32) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        let mut reported = Vec::new();
        self.interests.retain_mut(|interest| {
            if found.len() == max {
                return true;
            }
            let edge = interest.events & EDGE != 0;
            let events = ready(interest.fd) & interest.events;
            // A descriptor that has nothing to tell leaves the ready list until something happens to it.
            let news = core::mem::replace(&mut interest.news, false);
            if events == 0 || edge && !news {
                return true;
            }
            found.push((events, interest.data));
            if interest.events & ONE_SHOT != 0 {
                interest.events &= EDGE | ONE_SHOT | WAKE_UP | EXCLUSIVE;
            }
            reported.push(*interest);
            false
        });
        self.interests.append(&mut reported);
        found
    }
}

impl Stage {
    /// `epoll_ctl(2)`.
    pub fn epoll_control(&self, epfd: i32, op: i32, fd: i32, events: u32, data: u64) -> Result<(), Errno> {
        self.at_once(|world| {
            if world.target(fd).is_err() {
                return Err(if world.descriptors.contains_key(&fd) {
                    Errno::EINVAL
                } else {
                    Errno::EBADF
                });
            }
            match world.descriptors.get_mut(&epfd) {
                Some(Descriptor::Epoll { set, .. }) => set.control(op, fd, events, data),
                Some(Descriptor::Socket { .. }) => Err(Errno::EINVAL),
                None => Err(Errno::EBADF),
            }
        })
    }

    /// `epoll_wait(2)`: events and data; the timeout is in milliseconds of virtual time.
    pub fn epoll_wait(&self, epfd: i32, max: i32, milliseconds: i32) -> Result<Vec<(u32, u64)>, Errno> {
        let max = usize::try_from(max).ok().filter(|max| *max > 0).ok_or(Errno::EINVAL)?;
        let found = self.wait_for(timeout(milliseconds), |world| {
            // The set is out of the table while the sockets are asked.
            let mut set = match world.descriptors.get_mut(&epfd) {
                Some(Descriptor::Epoll { set, .. }) => core::mem::take(set),
                Some(Descriptor::Socket { .. }) => return Look::Done(Err(Errno::EINVAL)),
                None => return Look::Done(Err(Errno::EBADF)),
            };
            let found = set.collect(max, |fd| world.ready(fd).unwrap_or(0));
            if let Some(Descriptor::Epoll { set: place, .. }) = world.descriptors.get_mut(&epfd) {
                *place = set;
            }
            if found.is_empty() && milliseconds != 0 {
                Look::Wait { progress: false }
            } else {
                Look::Done(Ok(found))
            }
        });
        found.unwrap_or(Ok(Vec::new()))
    }
}
