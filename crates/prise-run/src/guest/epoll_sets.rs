//! A program's epoll(7) sets follow a socket whose kernel object is replaced (see `calls::connect`).
//!
//! A set watches objects, not descriptors: with its object a socket would leave every set that it is in, and a program
//! that connects again after a refusal would wait for ever. /proc/TID/fdinfo (proc(5)) tells what the sets of the calling
//! process watch the descriptor for, and the new object is added to them for the same; also under a number that was closed while a
//! copy was open, by which a set goes on telling of the socket (epoll(7), question 6).

use std::cell::LazyCell;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use prise_sys::epoll::{Interest, watch_instead};

use crate::guest::Guests;

/// What a process's sets watch one descriptor for, and what they watch under numbers that have been closed and stood for the same.
#[derive(Debug, Default)]
pub(crate) struct Watched(Vec<(OwnedFd, Interest)>);

impl Watched {
    /// Looks through the descriptors of the task's process: replacing an object is rare enough for that.
    pub(crate) fn of(guests: &mut Guests, tid: u32, fd: i32, inode: u64) -> Self {
        let mut found = Vec::new();
        // What other numbers stand for is theirs to replace.
        let copies = LazyCell::new(|| Guests::copies(tid, fd, inode));
        // A task that hides its descriptors, or is gone, has no sets that we could change.
        for entry in fs::read_dir(format!("/proc/{tid}/fd")).into_iter().flatten().flatten() {
            let is_set = fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:[eventpoll]");
            let Some(number) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
                .filter(|_| is_set)
            else {
                continue;
            };
            let told = fs::read_to_string(format!("/proc/{tid}/fdinfo/{number}")).unwrap_or_default();
            for interest in told.lines().filter_map(|line| interest(line, inode)) {
                if !copies.contains(&interest.number)
                    && let Ok(set) = guests.descriptor(tid, number)
                {
                    found.push((set, interest));
                }
            }
        }
        Self(found)
    }

    /// The sets watch `object` from now on, and `before` no more.
    pub(crate) fn follow(self, before: &OwnedFd, object: &OwnedFd) {
        for (set, interest) in self.0 {
            // Two copies of one set are told of twice; and closed meanwhile, nobody waits on it.
            let _ = watch_instead(set.as_fd(), before.as_fd(), object.as_fd(), interest);
        }
    }
}

/// One line of a set's fdinfo: `tfd: 5 events: 80000019 data: 5 pos:0 ino:2a3b sdev:8`.
fn interest(line: &str, inode: u64) -> Option<Interest> {
    let value = |name: &str| line.split_once(name)?.1.split_whitespace().next();
    let hex = |name: &str| u64::from_str_radix(value(name)?, 16).ok();
    if hex("ino:")? != inode {
        return None;
    }
    Some(Interest {
        number: value("tfd:")?.parse().ok()?,
        events: hex("events:")? as u32,
        data: hex("data:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_fdinfo_tells_what_is_watched_for() {
        let line = "tfd:        5 events: 80000019 data:                7 pos:0 ino:2a3b sdev:8";
        let expected = Interest {
            number: 5,
            events: 0x8000_0019,
            data: 7,
        };
        assert_eq!(interest(line, 0x2a3b), Some(expected));
        assert_eq!(interest(line, 0x2a3c), None);
        assert_eq!(interest("pos:\t0", 0x2a3b), None);
    }
}
