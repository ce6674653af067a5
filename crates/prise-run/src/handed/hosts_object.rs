//! Objects of the host kernel's for handed streams ([`crate::handed`]), where they are not born with one ([`crate::handed::adopted`]): made in
//! advance for a process whose last stream was handed, or put in the place of an unconnected AF_UNIX stream.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Family, Kind};
use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, connect_unspec, getsockname, socket_with, sockopt,
};

use crate::calls::Target;
use crate::guest::epoll_sets::Watched;
use crate::guest::notify::{Call, errno};
use crate::guest::sockaddr::for_family;
use crate::handed::Stage;
use crate::socket::Slot;
use crate::socket::unix;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// A new object of the host kernel's; none where the host lacks the family.
    pub(crate) fn hosts_object(family: Family, flags: SocketFlags) -> Result<OwnedFd, rustix::io::Errno> {
        let family = match family {
            Family::Inet => AddressFamily::INET,
            Family::Inet6 => AddressFamily::INET6,
        };
        socket_with(family, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None)
    }

    /// The object for a stream that is expected to be handed.
    pub(crate) fn expected_object(
        &mut self,
        call: &Call,
        kind: Kind,
        family: Family,
        flags: SocketFlags,
    ) -> Option<OwnedFd> {
        if kind != Kind::Stream || !self.hands.are_allowed() {
            return None;
        }
        let process = self.guests.process(call.tid);
        if self.hands.expects(process) {
            Self::hosts_object(family, flags).ok()
        } else {
            None
        }
    }

    /// Puts an object of the host kernel's in the place of a program's unconnected AF_UNIX stream, unless others hold that
    /// too; gives back what the number stands for.
    pub(crate) fn replace_by_hosts(&mut self, call: &Call, target: Target) -> Result<Target, Target> {
        let Target { slot, copy } = target;
        let Some(socket) = self.sockets.get(slot) else {
            return Err(Target { slot, copy });
        };
        let Ok(theirs) = self.prepare_hosts(slot, socket.family, &copy) else {
            return Err(Target { slot, copy });
        };
        let (Ok(cookie), inode) = (sockopt::socket_cookie(&theirs), unix::inode(&theirs)) else {
            return Err(Target { slot, copy });
        };
        self.put_in_place(call, Target { slot, copy }, &theirs, |_| true)?;
        self.sockets.renew(slot, cookie, inode);
        self.set_stage(slot, Stage::Idle);
        let target = Target { slot, copy: theirs };
        self.enter_ledger(&target);
        Ok(target)
    }

    /// Puts another object under the number that the call names, unless others hold what it stands for, too; gives that back then. Its
    /// epoll(7) sets follow. `may`: asked last.
    pub(crate) fn put_in_place(
        &mut self,
        call: &Call,
        target: Target,
        theirs: &OwnedFd,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> Result<(), Target> {
        let Target { slot, copy } = target;
        let close_on_exec = crate::guest::closes_on_exec(call.tid, call.fd());
        let watched = Watched::of(&mut self.guests, call.tid, call.fd(), unix::inode(&copy).into());
        if !may(self) {
            return Err(Target { slot, copy });
        }
        let replaced = self.calls.replace(call.id, theirs.as_fd(), call.fd(), close_on_exec);
        if replaced.is_err() {
            return Err(Target { slot, copy });
        }
        if self.is_held_by_others(slot, copy)
            && let Some(before) = self.copy_of(slot).or_else(|| self.copy_of_relatives(slot))
            && self
                .calls
                .replace(call.id, before.as_fd(), call.fd(), close_on_exec)
                .is_ok()
        {
            watched.follow(&before, &before);
            return Err(Target { slot, copy: before });
        }
        watched.follow(theirs, theirs);
        Ok(())
    }

    /// An object as connect(2) with `AF_UNSPEC` leaves one that was connected, or died of that `failure`, with the flags and timeouts
    /// of another: nothing but the kernel's own way sets its pending error. It was connected to itself, to nobody, or to one that has left.
    pub(crate) fn disconnected_object(
        &mut self,
        family: Family,
        before: &OwnedFd,
        failure: Option<Errno>,
    ) -> Result<OwnedFd, rustix::io::Errno> {
        let theirs = Self::hosts_object(family, SocketFlags::NONBLOCK)?;
        let to = if failure == Some(Errno::ECONNREFUSED) {
            for_family(self.hands.meeting()?.nobody(), family)
        } else if failure == Some(Errno::EPIPE) {
            for_family(self.hands.meeting()?.at(), family)
        } else {
            let (any, own) = match family {
                Family::Inet => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::LOCALHOST)),
                Family::Inet6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::LOCALHOST)),
            };
            bind(&theirs, &SocketAddr::new(any, 0))?;
            let port = SocketAddr::try_from(getsockname(&theirs)?)
                .map_err(|_| rustix::io::Errno::INVAL)?
                .port();
            SocketAddr::new(own, port)
        };
        match connect(&theirs, &to) {
            // Who does not wait is told so though it is done.
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => (),
            Err(error) => return Err(error),
        }
        if failure == Some(Errno::EPIPE) {
            self.hands.meeting()?.leave(&theirs)?;
        }
        connect_unspec(&theirs)?;
        unix::inherit(before, &theirs)?;
        Ok(theirs)
    }

    /// A new object of the kernel's, of the supervisor's own network, in place of a stream's that is not connected.
    pub(crate) fn renewed_natively(&mut self, call: &Call, target: &Target) -> Result<Target, Errno> {
        let slot = target.slot;
        let socket = self.entry(slot)?;
        let family = socket.family;
        if socket.role.is_hosts_object() {
            self.bring_back(target);
        }
        let copy = self.prepare_hosts(slot, family, &target.copy).map_err(errno)?;
        self.replace_object(call, target, &copy)?;
        self.set_stage(slot, Stage::Idle);
        let target = Target { slot, copy };
        self.enter_ledger(&target);
        Ok(target)
    }

    /// The same with the error that waits on the one that was disconnected.
    pub(crate) fn untied(&mut self, call: &Call, target: &Target) -> Result<Target, Errno> {
        if !unix::shows(&target.copy, PollFlags::ERR) {
            return self.renewed_natively(call, target);
        }
        self.bring_back(target);
        let slot = target.slot;
        let family = self.entry(slot)?.family;
        let copy = self.disconnected_object(family, &target.copy, None).map_err(errno)?;
        self.lend_kept(slot, &copy);
        self.replace_object(call, target, &copy)?;
        let target = Target { slot, copy };
        self.enter_ledger(&target);
        Ok(target)
    }

    /// The kernel's object with everything that was set on the one that it stands in for.
    fn prepare_hosts(&self, slot: Slot, family: Family, before: &OwnedFd) -> Result<OwnedFd, rustix::io::Errno> {
        let known = OFlags::RDWR | OFlags::NONBLOCK | OFlags::LARGEFILE;
        let status = fcntl_getfl(before)?;
        if !known.contains(status) {
            // Signals on input (O_ASYNC) have an owner, which would be lost.
            return Err(rustix::io::Errno::NOTSUP);
        }
        let mut flags = SocketFlags::empty();
        flags.set(SocketFlags::NONBLOCK, status.contains(OFlags::NONBLOCK));
        let theirs = Self::hosts_object(family, flags)?;
        unix::copy_timeouts(before, &theirs);
        if let Some(socket) = self.sockets.get(slot) {
            socket.chosen.apply(&theirs);
            if let Some(how) = self.host.halves_shut(socket.id) {
                // It fails and shuts an unconnected stream all the same.
                let _ = unix::shut(&theirs, how);
            }
        }
        Ok(theirs)
    }

    /// Whether somebody has the object open besides the caller, in whose table it was just replaced.
    fn is_held_by_others(&mut self, slot: Slot, last_copy: OwnedFd) -> bool {
        let entered = self.hands.witness.enter(last_copy.as_fd(), slot);
        // Ours being the last, the kernel takes the object apart within this call.
        drop(last_copy);
        entered.is_err() || self.hands.witness.open_sockets().is_ok_and(|open| open.contains(&slot))
    }

    /// A copy of the socket from a process that has not made a call yet: a child that inherited it.
    fn copy_of_relatives(&mut self, slot: Slot) -> Option<OwnedFd> {
        self.guests.know_all(&self.program.kin);
        self.copy_of(slot)
    }
}
