//! The close of sockets whose other end the supervisor does not hold, told by the kernel's notices of files (inotify(7)).
//!
//! A listener has no other end. Its inode is watched: `IN_CLOSE` comes when the last descriptor of it anywhere is gone, and is
//! queued before close(2) returns, so that what is read when a call is judged knows of every close before that call.
//! Nothing is held open: a watch keeps the inode and not the socket.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::socket::Slot;

/// Room for as many notices as one read returns: 16 octets each, without a name.
const BATCH: usize = 1024;

/// Notices of closes.
#[derive(Debug)]
pub(crate) struct Closes {
    notices: OwnedFd,
    /// By the watch: the socket, and the object that it was.
    watched: HashMap<i32, (Slot, u32)>,
}

impl Closes {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            notices: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            watched: HashMap::new(),
        })
    }

    /// From now on the close of the object behind `copy`, whose inode's number is `inode`, is told.
    pub(crate) fn watch(&mut self, copy: &OwnedFd, slot: Slot, inode: u32) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let watch = inotify::add_watch(&self.notices, path, WatchFlags::CLOSE | WatchFlags::ONESHOT)?;
        self.watched.insert(watch, (slot, inode));
        Ok(())
    }

    /// What was closed since the last time: the sockets, and the objects that they were.
    pub(crate) fn take(&mut self) -> Vec<(Slot, u32)> {
        let mut closed = Vec::new();
        if self.watched.is_empty() {
            return closed;
        }
        let mut room = [MaybeUninit::uninit(); BATCH];
        let mut reader = Reader::new(&self.notices, &mut room);
        while let Ok(notice) = reader.next() {
            if notice
                .events()
                .intersects(ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE)
            {
                closed.extend(self.watched.remove(&notice.wd()));
            }
        }
        closed
    }
}

impl AsFd for Closes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::unix;
    use rustix::net::SocketFlags;

    #[test]
    fn the_last_close_of_an_object_is_told_once() {
        let mut closes = Closes::new().unwrap();
        let [one, other] = [1, 2].map(|_| unix::stream(SocketFlags::empty()).unwrap());
        closes.watch(&one, Slot::new(1, 0), 11).unwrap();
        closes.watch(&other, Slot::new(2, 0), 12).unwrap();
        let copy = one.try_clone().unwrap();
        drop(one);
        assert_eq!(closes.take(), []);
        drop(copy);
        assert_eq!(closes.take(), [(Slot::new(1, 0), 11)]);
        drop(other);
        assert_eq!(closes.take(), [(Slot::new(2, 0), 12)]);
        assert_eq!(closes.take(), []);
    }
}
