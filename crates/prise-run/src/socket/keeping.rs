//! Where pidfd_getfd(2) is refused, as Docker's default profile does: the objects of sockets are kept rather than fetched.
//!
//! The supervisor makes every socket of its guests and knows its number, and `/proc/TID/fd/N` names the socket behind a
//! descriptor by its number without giving it away. So a call's socket is found by that, and what is done to the program's end
//! is done through a copy that was kept since the socket was made:
//!
//! ```text
//! made ── kept ──► connected, accepted: let go, so that the other end tells of the close
//!           └────► listens, datagrams, netlink: kept until nobody has it open
//! ```
//!
//! A kept copy hides the close of the program's: it is looked for, in the descriptors of all processes, when that matters (a
//! port is asked for, somebody asks for a list, many have gathered) and, for listeners, every [`LOOK_INTERVAL`]. Of an
//! established stream there is no copy; what can only be done at the program's end is left undone there ([`judge_unkept`]
//! and docs/run.md say what).
//!
//! [`judge_unkept`]: Supervisor::judge_unkept

use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use prise_socket::{Errno, Flags, How};
use prise_wire::{Instant, Payload};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{Shutdown, SocketType, shutdown};

use crate::calls::{Target, raise_sigpipe};
use crate::clock;
use crate::guest::notify::{Answer, Call, DONE, Judged, errno};
use crate::guest::{LookupError, is_nonblocking, socket_number};
use crate::socket::connecting::Connecting;
use crate::socket::sentinel::Left;
use crate::socket::unix;
use crate::socket::{GuestSocket, Holder, Role, Slot};
use crate::supervisor::Supervisor;

/// How often it is asked whether listeners are still open: so long a closed one may take connections, which are then reset.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// So many sockets may have been closed unnoticed before all are looked for: or as many as there were the last time.
const SUSPECTS_MIN: usize = 64;

/// The kept objects of one run.
#[derive(Debug)]
pub(crate) struct Keeping {
    kept: HashMap<Slot, OwnedFd>,
    /// Nobody's: stands for the program's end of a stream, with its `O_NONBLOCK`.
    stand_in: OwnedFd,
    /// Sockets since the last sweep whose close nothing would tell.
    suspects: usize,
    /// How many of them there may be.
    suspects_max: usize,
    next_look: Option<Instant>,
}

impl Keeping {
    pub(crate) fn new() -> io::Result<Self> {
        let (stand_in, _) = unix::pair(SocketType::STREAM, rustix::net::SocketFlags::empty())?;
        Ok(Self {
            kept: HashMap::new(),
            stand_in,
            suspects: 0,
            suspects_max: SUSPECTS_MIN,
            next_look: None,
        })
    }

    /// Keeps a socket's object. Without descriptors it is as if it were a stream's: then not everything can be done.
    pub(crate) fn keep(&mut self, slot: Slot, theirs: &OwnedFd) {
        if let Ok(copy) = theirs.try_clone() {
            self.kept.insert(slot, copy);
        }
        self.suspects += 1;
    }

    /// From now on its other end tells of its close, or it is closed.
    pub(crate) fn let_go(&mut self, slot: Slot) {
        self.kept.remove(&slot);
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.kept.contains_key(&slot)
    }

    /// A copy of a socket's object, if it is kept.
    pub(crate) fn kept_copy(&self, slot: Slot) -> Option<OwnedFd> {
        self.kept.get(&slot)?.try_clone().ok()
    }

    /// What a call on the socket is carried out through.
    fn copy(&self, slot: Slot, call: &Call) -> io::Result<OwnedFd> {
        if let Some(kept) = self.kept.get(&slot) {
            return kept.try_clone();
        }
        let mut flags = OFlags::RDWR;
        flags.set(OFlags::NONBLOCK, is_nonblocking(call.tid, call.fd()));
        fcntl_setfl(&self.stand_in, flags)?;
        self.stand_in.try_clone()
    }

    /// There is a listener, which is to be looked at.
    pub(crate) fn look_from(&mut self, now: Instant) {
        self.next_look.get_or_insert(now);
    }

    /// One more whose close nothing will tell.
    pub(crate) fn suspect(&mut self) {
        self.suspects += 1;
    }

    /// Whether so many may have been closed that looking for all is worth its cost.
    pub(crate) fn is_due(&self) -> bool {
        self.suspects >= self.suspects_max
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_look
    }
}

impl Supervisor {
    /// The target of a call, where descriptors are not fetched.
    pub(crate) fn kept_target(&mut self, call: &Call) -> Result<Target, Judged> {
        if call.number == libc::SYS_connect {
            // Whom it reaches shall be there.
            self.look_at_listeners();
        }
        let number = match socket_number(call.tid, call.fd()) {
            Ok(number) => number,
            Err(LookupError::NotOpen) => return Err(Err(Errno::EBADF)),
            Err(LookupError::Gone) => return Err(Ok(Answer::Settled)),
            Err(LookupError::Exhausted) => return Err(Err(Errno::ENFILE)),
            Err(LookupError::Forbidden) => return Err(Ok(Answer::Native)),
        };
        let slot = number.and_then(|number| {
            let key = u64::from(number);
            self.sockets.by_cookie(key).or_else(|| self.netlink.by_cookie(key))
        });
        let (Some(slot), Some(keeping)) = (slot, &self.keeping) else {
            return Err(self.foreign(call, None));
        };
        let copy = keeping.copy(slot, call).map_err(|_| Err(Errno::ENFILE))?;
        if let Some(socket) = self.sockets.get_mut(slot) {
            socket.holder = Holder {
                tid: call.tid,
                fd: call.fd(),
            };
        }
        Ok(Target { slot, copy })
    }

    /// Whether the program's end of a socket is out of reach.
    pub(crate) fn is_unkept(&self, slot: Slot) -> bool {
        self.keeping.as_ref().is_some_and(|keeping| !keeping.has(slot))
    }

    /// Calls on a stream whose program's end is out of reach, as far as they are about that end: the kernel does them. The
    /// others are none of its affair.
    pub(crate) fn judge_unkept(&mut self, call: &Call, target: &Target) -> Option<Judged> {
        match call.number {
            libc::SYS_shutdown => Some(self.shutdown_unkept(call, target)),
            libc::SYS_setsockopt if call.int(1) == libc::SOL_SOCKET => {
                let judged = self.setsockopt(call, target);
                let mirrored = [
                    libc::SO_SNDBUF,
                    libc::SO_RCVBUF,
                    libc::SO_SNDBUFFORCE,
                    libc::SO_RCVBUFFORCE,
                    libc::SO_OOBINLINE,
                    libc::SO_RCVLOWAT,
                ];
                let native = judged.is_ok() && mirrored.contains(&call.int(2));
                Some(if native { Ok(Answer::Native) } else { judged })
            }
            libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg => Some(Ok(Answer::Native)),
            _ => None,
        }
    }

    /// What the supervisor itself sends on a stream: behind what the program has written natively.
    pub(crate) fn send_unkept(&mut self, call: &Call, slot: Slot, octets: &[u8], flags: i32) -> Judged {
        self.attend(slot);
        let socket = self.entry(slot)?;
        let id = socket.id;
        let sent = match &socket.role {
            Role::Stream(stream) if stream.holds_back() => return Err(Errno::EAGAIN),
            Role::Stream(_) => {
                let urgent = Flags::from_raw((flags & libc::MSG_OOB) as u32);
                let mut payload = Payload::copy_from(octets);
                self.host.send(self.now, id, &mut payload, urgent | Flags::NOSIGNAL)
            }
            _ => Err(Errno::EPIPE),
        };
        self.attend(slot);
        if sent == Err(Errno::EPIPE) {
            raise_sigpipe(self.guests.process(call.tid), call, flags);
        }
        sent.map(|sent| Answer::Value(sent as i64))
    }

    /// Shutting our end for reading shuts the program's for writing. A reset after that shows as an end.
    fn shutdown_unkept(&mut self, call: &Call, target: &Target) -> Judged {
        let how = How::from_raw(call.int(1))?;
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        let Role::Stream(stream) = &mut socket.role else {
            self.host.shutdown(self.now, id, how)?;
            return DONE;
        };
        if how.write() && !stream.outgoing_ended() {
            shutdown(&stream.end, Shutdown::Read).map_err(errno)?;
            let queued = rustix::io::ioctl_fionread(&stream.end).map_err(errno)?;
            stream.end_outgoing(Left::Before(queued as usize));
        }
        if how.read() {
            stream.end_incoming();
            let _ = self.host.shutdown(self.now, id, How::Read);
        }
        self.attend_stream(target.slot);
        DONE
    }

    /// The time has come to look whether the listeners are still open.
    pub(crate) fn look_at_kept(&mut self) {
        let is_due = |keeping: &Keeping| keeping.next_look.is_some_and(|due| due <= self.now);
        if self.keeping.as_ref().is_some_and(is_due) {
            self.look_at_listeners();
        }
    }

    /// Closes the listeners that nobody has open any more.
    fn look_at_listeners(&mut self) {
        let listeners: Vec<&GuestSocket> = self
            .sockets
            .iter()
            .map(|(_, socket)| socket)
            .filter(|socket| matches!(socket.role, Role::Listener(_)))
            .collect();
        let next = (!listeners.is_empty()).then(|| self.now + LOOK_INTERVAL);
        let is_missing = !listeners.into_iter().all(is_where_it_was);
        if let Some(keeping) = &mut self.keeping {
            keeping.next_look = next;
        }
        if is_missing {
            self.sweep();
        }
    }

    /// A datagram has come: where nobody has the socket open any more, its other end is to tell.
    pub(crate) fn let_go_if_closed(&mut self, slot: Slot) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if self.keeping.is_none() || is_where_it_was(socket) {
            return;
        }
        let inode = socket.inode;
        let open = everybodys_sockets();
        if let (Some(&holder), Some(socket)) = (open.get(&inode), self.sockets.get_mut(slot)) {
            socket.holder = holder;
        } else if !everybodys_sockets().contains_key(&inode) {
            self.let_go(slot);
        }
    }

    /// Closes what no process has open any more. What only travels between two of them counts as closed.
    pub(crate) fn sweep_kept(&mut self) {
        let begin = clock::now();
        let mut open = everybodys_sockets();
        if !self.unseen(&open).is_empty() {
            // Who forks and ends between two looks has given them to a child, which the second look sees.
            open.extend(everybodys_sockets());
        }
        let (closed, closed_netlink) = (self.unseen(&open), self.unseen_netlink(&open));
        for slot in closed_netlink {
            self.close_netlink(slot);
        }
        for slot in closed {
            self.finish(slot);
        }
        let elsewhere = self.sockets.iter().filter(|(_, socket)| !is_where_it_was(socket));
        let elsewhere: Vec<(Slot, Holder)> = elsewhere
            .filter_map(|(slot, socket)| Some((slot, *open.get(&socket.inode)?)))
            .collect();
        for (slot, holder) in elsewhere {
            if let Some(socket) = self.sockets.get_mut(slot) {
                socket.holder = holder;
            }
        }
        if let Some(keeping) = &mut self.keeping {
            keeping.suspects = 0;
            keeping.suspects_max = SUSPECTS_MIN.max(keeping.kept.len() * 2);
        }
        self.ledger.rest(begin, clock::now());
    }

    /// Sockets that nobody has open and whose other end does not tell.
    fn unseen(&self, open: &HashMap<u32, Holder>) -> Vec<Slot> {
        let tells = |socket: &GuestSocket| match &socket.role {
            Role::Stream(_) | Role::Connecting(Connecting::Asked(_)) => true,
            Role::Fresh
            | Role::Ended(_)
            | Role::Handed(_)
            | Role::Datagram(_)
            | Role::Listener(_)
            | Role::Connecting(_) => false,
        };
        let unseen = self
            .sockets
            .iter()
            .filter(|(_, socket)| !tells(socket) && !open.contains_key(&socket.inode));
        unseen.map(|(slot, _)| slot).collect()
    }

    fn unseen_netlink(&self, open: &HashMap<u32, Holder>) -> Vec<Slot> {
        let unseen = |key: u64| u32::try_from(key).is_ok_and(|number| !open.contains_key(&number));
        self.netlink.slots_where(unseen)
    }
}

/// Whether the descriptor through which a socket was last seen still leads to it.
fn is_where_it_was(socket: &GuestSocket) -> bool {
    let Holder { tid, fd } = socket.holder;
    socket_number(tid, fd) == Ok(Some(socket.inode))
}

/// The numbers of the sockets that processes have open, each with one who has it; our own copies do not count.
fn everybodys_sockets() -> HashMap<u32, Holder> {
    let own = std::process::id();
    let mut open = HashMap::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for tid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if tid == own {
            continue;
        }
        // Gone, or somebody else's.
        let Ok(entries) = std::fs::read_dir(format!("/proc/{tid}/fd")) else {
            continue;
        };
        for fd in entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        {
            if let Ok(Some(number)) = socket_number(tid, fd) {
                open.insert(number, Holder { tid, fd });
            }
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_known_by_their_numbers() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = std::process::id();
        assert_eq!(socket_number(own, one.as_raw_fd()), Ok(Some(unix::inode(&one))));
        assert_eq!(socket_number(own, 999_999), Err(LookupError::NotOpen));
        assert_eq!(socket_number(own, -1), Err(LookupError::NotOpen));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(socket_number(own, file.as_raw_fd()), Ok(None));
        assert!(!is_nonblocking(own, one.as_raw_fd()));
        one.set_nonblocking(true).unwrap();
        assert!(is_nonblocking(own, one.as_raw_fd()));
    }
}
