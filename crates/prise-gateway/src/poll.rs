//! The gateway's own epoll: the supervisor watches this one descriptor instead of every socket behind it (epoll(7)
//! allows an epoll within another; it is readable while any of its sources is ready).

use core::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
pub(crate) use rustix::event::epoll::EventFlags;
use rustix::event::epoll::{self, CreateFlags, Event, EventData};

use crate::slots::Key;

/// Which table of the gateway a source belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Source {
    /// The resolver's threads have results.
    Resolver,
    /// A published TCP port.
    Listener,
    /// The host's end of a TCP connection.
    Connection,
    /// The host's socket of a guest's UDP endpoint.
    Mapping,
    /// The host's socket of a guest's echo requests.
    Echo,
    /// A query that was passed on to the host's name server.
    Forward,
}

impl Source {
    const ALL: [Self; 6] = [
        Self::Resolver,
        Self::Listener,
        Self::Connection,
        Self::Mapping,
        Self::Echo,
        Self::Forward,
    ];
}

/// Events taken from the kernel by one call: enough to make the call cheap, few enough that connections take turns.
pub(crate) const EVENTS_MAX: usize = 256;

/// What has happened to a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrence {
    pub(crate) source: Source,
    pub(crate) key: Key,
    pub(crate) flags: EventFlags,
}

/// An epoll whose events name a table and a place in it.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
    /// A source was added since the last look: it may be ready already, as a connect within this host is.
    grown: Cell<bool>,
}

fn pack(source: Source, key: Key) -> EventData {
    EventData::new_u64((source as u64) << 56 | u64::from(key.generation) << 32 | u64::from(key.index))
}

fn unpack(data: EventData) -> Option<(Source, Key)> {
    let data = data.u64();
    let source = *Source::ALL.get((data >> 56) as usize)?;
    let key = Key {
        index: data as u32,
        generation: (data >> 32) as u32 & 0x00ff_ffff,
    };
    Some((source, key))
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let grown = Cell::new(false);
        Ok(Self { epoll, grown })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(crate) fn add(&self, fd: impl AsFd, source: Source, key: Key, flags: EventFlags) -> io::Result<()> {
        self.grown.set(true);
        Ok(epoll::add(&self.epoll, fd, pack(source, key), flags)?)
    }

    pub(crate) fn modify(&self, fd: impl AsFd, source: Source, key: Key, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, pack(source, key), flags)?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Whether another look may find something that the last one could not.
    pub(crate) fn has_grown(&self) -> bool {
        self.grown.get()
    }

    /// What has happened, without waiting.
    pub(crate) fn take(&self, into: &mut Vec<Occurrence>) {
        self.grown.set(false);
        let mut events = [const { core::mem::MaybeUninit::<Event>::uninit() }; EVENTS_MAX];
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, Some(&Timespec::default())) else {
            // EINTR: the descriptor stays readable, so the driver comes again.
            return;
        };
        into.extend(events.iter().filter_map(|event| {
            let (source, key) = unpack(event.data)?;
            Some(Occurrence {
                source,
                key,
                flags: event.flags,
            })
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_source_place_and_tenant() {
        let key = Key {
            index: u32::MAX,
            generation: 0x00ff_fffe,
        };
        for source in Source::ALL {
            assert_eq!(unpack(pack(source, key)), Some((source, key)));
        }
        assert_eq!(unpack(EventData::new_u64(u64::MAX)), None);
    }
}
