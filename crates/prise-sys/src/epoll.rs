//! Watching an object in an epoll(7) set of another process, under that process's number for it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a set was told to watch an object for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// The object's descriptor, in the table of the set's owner: with the object, it names the entry.
    pub number: i32,
    /// `EPOLLIN` and the like, with `EPOLLET` and others.
    pub events: u32,
    /// What epoll_wait(2) gives with them.
    pub data: u64,
}

/// Lets `set` watch `object` in the place of `before`, as its owner would.
///
/// An entry's name holds the number of the descriptor by which the object was added. So a thread with a descriptor table
/// of its own is made, in which the number is free to be used.
pub fn watch_instead(
    set: BorrowedFd<'_>,
    before: BorrowedFd<'_>,
    object: BorrowedFd<'_>,
    interest: Interest,
) -> io::Result<()> {
    let Interest { number, events, data } = interest;
    let exchange = move || -> io::Result<()> {
        // SAFETY: only this thread's descriptor table is affected, which is copied.
        crate::check(unsafe { libc::unshare(libc::CLONE_FILES) })?;
        // Copies above the number, because it is about to be overwritten.
        let above = |fd: BorrowedFd<'_>| {
            // SAFETY: no memory is involved; the copy lives as long as the thread.
            crate::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number + 1) })
        };
        let (set, before, object) = (above(set)?, above(before)?, above(object)?);
        let become_number = |fd| {
            // SAFETY: what has the number in this thread's own table is not used by it, and other tables keep theirs.
            crate::check(unsafe { libc::dup3(fd, number, libc::O_CLOEXEC) })
        };
        let mut event = libc::epoll_event { events, u64: data };
        become_number(before)?;
        // Taken out meanwhile, it is not there, which is as well.
        // SAFETY: the event is valid for the call, which does not look at it.
        let _ = crate::check(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_DEL, number, &raw mut event) });
        become_number(object)?;
        // SAFETY: the event is valid for the call.
        crate::check(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, number, &raw mut event) }).map(drop)
    };
    std::thread::scope(|scope| {
        let added = std::thread::Builder::new().spawn_scoped(scope, exchange)?.join();
        added.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};

    #[test]
    fn an_object_is_watched_under_a_number_that_is_anothers_here() {
        // SAFETY: a new descriptor that nobody else owns.
        let set = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        let (reader, mut writer) = io::pipe().unwrap();
        let other = io::pipe().unwrap();
        let interest = Interest {
            number: other.0.as_raw_fd(),
            events: libc::EPOLLIN as u32,
            data: 77,
        };
        let (before, mut unheard) = io::pipe().unwrap();
        watch_instead(set.as_fd(), before.as_fd(), before.as_fd(), interest).unwrap();
        watch_instead(set.as_fd(), before.as_fd(), reader.as_fd(), interest).unwrap();
        unheard.write_all(b"x").unwrap();
        writer.write_all(b"x").unwrap();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
        // SAFETY: room for two events.
        let count = unsafe { libc::epoll_wait(set.as_raw_fd(), events.as_mut_ptr(), 2, 1000) };
        let event = events[0];
        assert_eq!((count, { event.u64 }, { event.events }), (1, 77, libc::EPOLLIN as u32));
    }
}
