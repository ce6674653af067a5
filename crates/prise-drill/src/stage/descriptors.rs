//! Descriptors: real ones of the process, so that their numbers are nobody else's, each standing for a socket or an epoll set here.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use prise_socket::{Errno, Family, Flags, How, Kind, SocketId, level};

use super::advance::{Look, Stage};
use super::epoll::EpollSet;
use super::world::World;

/// `SOCK_NONBLOCK` and `O_NONBLOCK`.
const NONBLOCK: i32 = 0o4000;
/// `SOCK_CLOEXEC`.
const CLOEXEC: i32 = 0o2_000_000;
const O_RDWR: i32 = 2;

const F_GETFD: i32 = 1;
const F_SETFD: i32 = 2;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;

const FIONREAD: u64 = 0x541b;
const FIONBIO: u64 = 0x5421;
const TIOCOUTQ: u64 = 0x5411;
const SIOCOUTQNSD: u64 = 0x894b;
const SIOCATMARK: u64 = 0x8905;

/// What a descriptor stands for. The kernel's descriptor is held for its number only.
#[derive(Debug)]
pub(super) enum Descriptor {
    Socket {
        id: SocketId,
        stream: bool,
        nonblocking: bool,
        #[expect(dead_code, reason = "held so that the number stays taken")]
        held: OwnedFd,
    },
    Epoll {
        set: EpollSet,
        #[expect(dead_code, reason = "held so that the number stays taken")]
        held: OwnedFd,
    },
}

impl Descriptor {
    pub(super) fn socket(&self) -> Option<SocketId> {
        match self {
            Self::Socket { id, .. } => Some(*id),
            Self::Epoll { .. } => None,
        }
    }
}

/// A socket as a call sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) id: SocketId,
    pub(super) stream: bool,
    pub(super) nonblocking: bool,
}

/// A descriptor of the kernel's that takes up a number; what it is does not matter.
fn placeholder() -> Result<OwnedFd, Errno> {
    let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).map_err(|_| Errno::EMFILE)?;
    prise_sys::trap::raise(fd.as_fd(), super::FIRST_DESCRIPTOR).map_err(|_| Errno::EMFILE)
}

impl World {
    /// `ENOTSOCK` for an epoll set, `EBADF` for what is not ours.
    pub(super) fn target(&self, fd: i32) -> Result<Target, Errno> {
        match self.descriptors.get(&fd) {
            Some(Descriptor::Socket {
                id,
                stream,
                nonblocking,
                ..
            }) => Ok(Target {
                id: *id,
                stream: *stream,
                nonblocking: *nonblocking,
            }),
            Some(Descriptor::Epoll { .. }) => Err(Errno::ENOTSOCK),
            None => Err(Errno::EBADF),
        }
    }

    pub(super) fn open(&mut self, id: SocketId, stream: bool, nonblocking: bool) -> Result<i32, Errno> {
        let held = placeholder()?;
        let fd = held.as_raw_fd();
        let descriptor = Descriptor::Socket {
            id,
            stream,
            nonblocking,
            held,
        };
        self.descriptors.insert(fd, descriptor);
        Ok(fd)
    }

    fn ioctl(&mut self, fd: i32, request: u64, argument: i32) -> Result<i32, Errno> {
        let id = self.target(fd)?.id;
        let octets = match request {
            FIONREAD => self.host.receive_queue(id)?,
            TIOCOUTQ => self.host.send_queue(id)?,
            SIOCOUTQNSD => self.host.unsent_queue(id)?,
            SIOCATMARK => self.host.at_mark(id)?.into(),
            FIONBIO => {
                self.set_nonblocking(fd, argument != 0);
                return Ok(argument);
            }
            _ => return Err(Errno::ENOTTY),
        };
        Ok(octets as i32)
    }

    fn set_nonblocking(&mut self, fd: i32, on: bool) {
        if let Some(Descriptor::Socket { nonblocking, .. }) = self.descriptors.get_mut(&fd) {
            *nonblocking = on;
        }
    }
}

impl Stage {
    /// Whether the descriptor is one of this stage's.
    pub fn has(&self, fd: i32) -> bool {
        self.enter().descriptors.contains_key(&fd)
    }

    /// `socket(2)`.
    pub fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Result<i32, Errno> {
        self.at_once(|world| {
            let family = Family::from_raw(domain)?;
            let of = Kind::from_raw(kind & !(NONBLOCK | CLOEXEC))?;
            let id = world.host.socket(family, of, protocol)?;
            world.open(id, of == Kind::Stream, kind & NONBLOCK != 0)
        })
    }

    /// `epoll_create(2)`.
    pub fn epoll_create(&self, size: i32) -> Result<i32, Errno> {
        if size <= 0 {
            return Err(Errno::EINVAL);
        }
        self.at_once(|world| {
            let held = placeholder()?;
            let fd = held.as_raw_fd();
            let set = EpollSet::default();
            world.descriptors.insert(fd, Descriptor::Epoll { set, held });
            Ok(fd)
        })
    }

    /// `close(2)`. With `SO_LINGER` of some seconds it waits for the peer to acknowledge, as long at most.
    pub fn close(&self, fd: i32) -> Result<(), Errno> {
        let linger = self.at_once(|world| match world.descriptors.get(&fd) {
            None => Err(Errno::EBADF),
            Some(Descriptor::Epoll { .. }) => Ok(None),
            Some(Descriptor::Socket { id, nonblocking, .. }) => {
                let (id, waits) = (*id, !*nonblocking);
                let linger = world.host.linger(id).filter(|_| waits);
                if linger.is_some() && world.host.receive_queue(id).unwrap_or(0) == 0 {
                    // tcp_close: the FIN goes first, then the wait.
                    let _ = world.host.shutdown(world.now, id, How::Write);
                    Ok(linger.map(|linger| (id, linger)))
                } else {
                    Ok(None)
                }
            }
        })?;
        if let Some((id, linger)) = linger {
            self.wait_for(Some(linger), |world| match world.host.send_queue(id) {
                Ok(queued @ 1..) if queued > 0 => Look::Wait { progress: false },
                _ => Look::Done(()),
            });
        }
        self.finish(self.go_on(), |world| {
            let Some(descriptor) = world.descriptors.remove(&fd) else {
                return;
            };
            for other in world.descriptors.values_mut() {
                if let Descriptor::Epoll { set, .. } = other {
                    set.forget(fd);
                }
            }
            if let Some(id) = descriptor.socket() {
                world.host.close(world.now, id);
            }
        });
        Ok(())
    }

    /// `shutdown(2)`.
    pub fn shutdown(&self, fd: i32, how: i32) -> Result<(), Errno> {
        self.at_once(|world| {
            let id = world.target(fd)?.id;
            world.host.shutdown(world.now, id, How::from_raw(how)?)
        })
    }

    /// `fcntl(2)`, as far as it is about one descriptor's flags.
    pub fn fcntl(&self, fd: i32, command: i32, argument: i64) -> Result<i32, Errno> {
        self.at_once(|world| {
            let nonblocking = match world.descriptors.get(&fd).ok_or(Errno::EBADF)? {
                Descriptor::Socket { nonblocking, .. } => *nonblocking,
                Descriptor::Epoll { .. } => false,
            };
            match command {
                F_GETFL => Ok(O_RDWR | if nonblocking { NONBLOCK } else { 0 }),
                F_SETFL => {
                    world.set_nonblocking(fd, argument as i32 & NONBLOCK != 0);
                    Ok(0)
                }
                F_GETFD | F_SETFD => Ok(0),
                _ => Err(Errno::EINVAL),
            }
        })
    }

    /// `ioctl(2)` with one number: given for `FIONBIO`, answered by the others.
    pub fn ioctl(&self, fd: i32, request: u64, argument: i32) -> Result<i32, Errno> {
        self.at_once(|world| world.ioctl(fd, request, argument))
    }

    /// `setsockopt(2)`.
    pub fn set_option(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        self.at_once(|world| {
            let id = world.target(fd)?.id;
            world.host.set_option(world.now, id, level, name, value)
        })
    }

    /// `getsockopt(2)` into so much room.
    pub fn option(&self, fd: i32, level: i32, name: i32, room: usize) -> Result<Vec<u8>, Errno> {
        self.at_once(|world| {
            let id = world.target(fd)?.id;
            let mut out = Vec::new();
            world.host.option_within(world.now, id, level, name, room, &mut out)?;
            Ok(out)
        })
    }

    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` of a descriptor; 0 without blocking.
    pub(super) fn patience(&self, target: Target, sending: bool, flags: Flags) -> Patience {
        if target.nonblocking || flags.contains(Flags::DONTWAIT) {
            return Patience::None;
        }
        let world = self.enter();
        let timeout = if sending {
            world.host.send_timeout(target.id)
        } else {
            world.host.receive_timeout(target.id)
        };
        timeout.map_or(Patience::Endless, Patience::For)
    }
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    For(Duration),
    Endless,
}

impl Patience {
    pub(super) fn waits(self) -> bool {
        self != Self::None
    }

    pub(super) fn timeout(self) -> Option<Duration> {
        match self {
            Self::For(timeout) => Some(timeout),
            Self::None | Self::Endless => None,
        }
    }
}

/// One of the numbers that Linux has for an option's level, for readers of this crate.
pub(super) const TCP: i32 = level::TCP;
