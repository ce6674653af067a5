//! socket(2).

use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Family, Kind, SocketId};
use rustix::net::{SocketFlags, SocketType, sockopt};

use crate::guest::notify::{Answer, Call, Judged, errno, errno_of};
use crate::handed::chosen::Chosen;
use crate::handed::{Handed, Stage};
use crate::socket::datagram::Datagram;
use crate::socket::unix;
use crate::socket::{Buffers, GuestSocket, Holder, Role};
use crate::supervisor::Supervisor;

/// `IPPROTO_MAX` (linux/in.h): `IPPROTO_MPTCP` and above are beyond 8 bits.
const PROTOCOL_MAX: i32 = 263;

/// The part of the type argument that is a type (`SOCK_TYPE_MASK`, linux/net.h); the rest is flags.
const TYPE_MASK: i32 = 0xf;

/// What `SOCK_NONBLOCK` and `SOCK_CLOEXEC` ask for; any other flag is `EINVAL`.
pub(super) fn socket_flags(flags: i32) -> Result<SocketFlags, Errno> {
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut asked = SocketFlags::empty();
    asked.set(SocketFlags::NONBLOCK, flags & libc::SOCK_NONBLOCK != 0);
    asked.set(SocketFlags::CLOEXEC, flags & libc::SOCK_CLOEXEC != 0);
    Ok(asked)
}

impl Supervisor {
    /// Makes a socket in the host and its object in the kernel, and hands that out.
    pub(super) fn socket(&mut self, call: &Call) -> Judged {
        let (domain, kind, protocol) = (call.int(0), call.int(1), call.int(2));
        let flags = socket_flags(kind & !TYPE_MASK)?;
        if domain == libc::AF_PACKET {
            return self.packet_socket(call, kind & TYPE_MASK, flags);
        }
        if domain == libc::AF_NETLINK {
            return self.netlink_socket(call, flags);
        }
        let family = Family::from_raw(domain)?;
        let kind = match Kind::from_raw(kind & TYPE_MASK) {
            // Of a type that there is, the protocol's number is looked at before its existence.
            Err(Errno::ESOCKTNOSUPPORT) if !(0..PROTOCOL_MAX).contains(&protocol) => return Err(Errno::EINVAL),
            kind => kind?,
        };
        if !self.guests.is_open(call.tid) {
            self.complain_of_closed(call.tid);
            return Err(Errno::EACCES);
        }
        let id = self.host.socket(family, kind, protocol)?;
        let judged = self.embody(call, id, family, kind, flags);
        if judged.is_err() {
            self.host.close(self.now, id);
        }
        judged
    }

    /// Makes the kernel's object for a new socket and installs it as the call's result.
    fn embody(&mut self, call: &Call, id: SocketId, family: Family, kind: Kind, flags: SocketFlags) -> Judged {
        let slot = self.sockets.next_slot();
        let expected = self.expected_object(call, kind, family, flags);
        let (theirs, role) = match kind {
            Kind::Stream if let Some(theirs) = expected => (theirs, Handed::role(Stage::Idle)),
            Kind::Stream => (unix::stream(flags).map_err(errno)?, Role::Fresh),
            Kind::Datagram | Kind::Raw => {
                if kind == Kind::Raw {
                    // It may want to hear what is sent.
                    self.close_shortcut();
                }
                let (theirs, ours) = unix::pair(SocketType::DGRAM, flags).map_err(errno)?;
                self.poller
                    .watch_socket(&ours, slot)
                    .map_err(|error| errno_of(&error))?;
                let datagram = Datagram::new(ours, &theirs);
                (theirs, Role::Datagram(Box::new(datagram)))
            }
        };
        // Nothing else will tell of its close.
        self.ledger
            .enter(theirs.as_fd(), slot)
            .map_err(|error| errno_of(&error))?;
        let socket = self.describe(call, id, (family, kind), &theirs, role)?;
        self.sockets.insert(socket);
        match self
            .calls
            .install(call.id, theirs.as_fd(), flags.contains(SocketFlags::CLOEXEC))
        {
            Ok(fd) => {
                self.entry(slot)?.holder.fd = fd;
                if let Some(keeping) = &mut self.keeping {
                    keeping.keep(slot, &theirs);
                }
                drop(theirs);
                if self.sweep_is_due() {
                    self.sweep();
                }
                Ok(Answer::Settled)
            }
            Err(error) => {
                self.sockets.remove(slot);
                Err(errno_of(&error))
            }
        }
    }

    /// What finds a socket by its object: its cookie, or its number where the object is not to be had.
    pub(crate) fn name_of(&self, object: &OwnedFd) -> Result<u64, Errno> {
        if self.keeping.is_some() {
            return Ok(unix::inode(object).into());
        }
        sockopt::socket_cookie(object).map_err(errno)
    }

    pub(crate) fn describe(
        &mut self,
        call: &Call,
        id: SocketId,
        (family, kind): (Family, Kind),
        theirs: &OwnedFd,
        role: Role,
    ) -> Result<GuestSocket, Errno> {
        Ok(GuestSocket {
            id,
            cookie: self.name_of(theirs)?,
            inode: unix::inode(theirs),
            family,
            kind,
            holder: Holder { tid: call.tid, fd: -1 },
            buffers: Buffers::default(),
            chosen: Chosen::default(),
            process: self.guests.process(call.tid),
            ends: None,
            unread: None,
            arrivals: None,
            role,
        })
    }
}
