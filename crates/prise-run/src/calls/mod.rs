//! One file per call: what it asks, in the order in which Linux checks it, and the host's answer.

mod accept;
mod bind;
mod connect;
mod foreign;
pub(crate) mod ioctl;
mod name;
mod netlink;
mod open;
mod opening;
mod option_value;
mod options;
mod packet;
pub(crate) mod process;
mod protocol_name;
mod receive;
mod send;
mod shutdown;
mod socket;
pub(crate) mod unix_table;

use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Kind};
use rustix::net::sockopt;

pub(crate) use accept::{Acceptor, is_about_name};
pub(crate) use send::raise_sigpipe;

use crate::guest::LookupError;
use crate::guest::notify::{Answer, Call, FOREIGN, Judged};
use crate::guest::sockaddr::ADDRESS_MAX;
use crate::socket::{GuestSocket, Holder, Slot};
use crate::supervisor::Supervisor;

/// The socket that a call is about.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) slot: Slot,
    /// A copy of the caller's descriptor: the same open file.
    pub(crate) copy: OwnedFd,
}

/// What a call's first argument stands for.
#[derive(Debug)]
pub(crate) struct Found {
    /// A copy of the caller's descriptor: the same open file.
    pub(crate) copy: OwnedFd,
    /// The kernel's `SO_COOKIE` of it.
    pub(crate) cookie: u64,
    /// The socket, if it is one of ours.
    slot: Option<Slot>,
}

impl Supervisor {
    /// Decides a call.
    pub(crate) fn judge(&mut self, call: &Call) -> Judged {
        if matches!(call.number, libc::SYS_open | libc::SYS_openat | libc::SYS_openat2) {
            return self.open_file(call);
        }
        match call.number {
            FOREIGN => {
                self.complain_of_foreign(call.tid);
                return Err(Errno::ENOSYS);
            }
            libc::SYS_socket => return self.socket(call),
            libc::SYS_prctl => return self.prctl(call),
            libc::SYS_seccomp => return Ok(self.seccomp()),
            libc::SYS_uname => return self.uname(call),
            libc::SYS_getxattr => return self.protocol_name(call),
            _ => (),
        }
        if matches!(call.number, libc::SYS_sendto | libc::SYS_recvfrom) && call.args[1].cast_signed() < 0 {
            // import_ubuf looks at the pointer, which is none of a program's, before anybody looks at the descriptor.
            return Err(Errno::EFAULT);
        }
        if let Some(judged) = self.judge_program(call) {
            return judged;
        }
        let target = match self.target_unless_connected(call) {
            Ok(target) => target,
            Err(Ok(Answer::Native)) if self.is_confined() => return self.judge_foreign(call),
            Err(judged) => return judged,
        };
        if target.slot.is_netlink() {
            return self.judge_netlink(call, &target);
        }
        if self.is_kernels(call, target.slot) {
            self.still = true;
            return Ok(Answer::Native);
        }
        if self.is_unkept(target.slot)
            && let Some(judged) = self.judge_unkept(call, &target)
        {
            return judged;
        }
        let judged = match call.number {
            libc::SYS_bind => self.bind(call, &target),
            libc::SYS_listen => self.listen(call, target),
            libc::SYS_accept | libc::SYS_accept4 => self.accept(call, target),
            libc::SYS_connect => self.connect(call, target),
            libc::SYS_getsockname => self.getsockname(call, &target),
            libc::SYS_getpeername => self.getpeername(call, &target),
            libc::SYS_shutdown => self.shutdown(call, target),
            libc::SYS_setsockopt => self.setsockopt(call, &target),
            libc::SYS_getsockopt => self.getsockopt(call, &target),
            libc::SYS_sendto => self.sendto(call, target),
            libc::SYS_sendmsg => self.sendmsg(call, target),
            libc::SYS_sendmmsg => self.sendmmsg(call, &target),
            libc::SYS_recvfrom => self.recvfrom(call, &target),
            libc::SYS_recvmsg => self.recvmsg(call, &target),
            libc::SYS_recvmmsg => self.recvmmsg(call, &target),
            libc::SYS_ioctl => self.ioctl(call, &target),
            // The filter sends nothing else.
            _ => Ok(Answer::Native),
        };
        // A stream of ours has its peer; but a call that the kernel makes could find another socket in its place.
        if judged == Ok(Answer::Native) && self.is_confined() {
            return self.judge_foreign(call);
        }
        judged
    }

    /// The target of a call, unless it is a connect(2) that needs none.
    fn target_unless_connected(&mut self, call: &Call) -> Result<Target, Judged> {
        if call.number != libc::SYS_connect || self.keeping.is_some() {
            return self.target(call);
        }
        let found = self.find(call)?;
        if found.slot.is_none()
            && let Some(judged) = self.connect_unknown(call, &found)
        {
            return Err(judged);
        }
        let target = self.target_of(call, found)?;
        self.forget_given_up(&target);
        Ok(target)
    }

    /// Finds the socket behind a call's first argument. What is not one of ours is the kernel's affair.
    fn target(&mut self, call: &Call) -> Result<Target, Judged> {
        let target = self.target_as_it_was(call)?;
        self.forget_given_up(&target);
        Ok(target)
    }

    fn target_as_it_was(&mut self, call: &Call) -> Result<Target, Judged> {
        if self.keeping.is_some() {
            return self.kept_target(call);
        }
        let found = self.find(call)?;
        self.target_of(call, found)
    }

    fn find(&mut self, call: &Call) -> Result<Found, Judged> {
        let copy = match self.guests.descriptor(call.tid, call.fd()) {
            Ok(copy) => copy,
            Err(LookupError::NotOpen) => {
                // The one call that looks at something else before.
                let looked = receive::check_timeout(call);
                return Err(Err(looked.err().unwrap_or(Errno::EBADF)));
            }
            Err(LookupError::Gone) => return Err(Ok(Answer::Settled)),
            Err(LookupError::Exhausted) => return Err(Err(Errno::ENFILE)),
            // Such a program was told when it asked for an Internet socket; its other sockets are its own.
            Err(LookupError::Forbidden) if !self.names_endpoint(call) => return Err(Ok(Answer::Native)),
            Err(LookupError::Forbidden) => {
                self.complain_of_closed(call.tid);
                return Err(Err(Errno::EACCES));
            }
        };
        let cookie = sockopt::socket_cookie(&copy).map_err(|_| Ok(Answer::Native))?;
        let slot = self.sockets.by_cookie(cookie);
        let slot = slot.or_else(|| self.netlink.by_cookie(cookie));
        Ok(Found { copy, cookie, slot })
    }

    /// The socket that was found; what was never judged is adopted.
    fn target_of(&mut self, call: &Call, found: Found) -> Result<Target, Judged> {
        let Found { copy, slot, .. } = found;
        let Some(slot) = slot else {
            let Some(slot) = self.adopt_stream(call, &copy) else {
                return Err(self.foreign(call, Some(&copy)));
            };
            return self.bring_home(call, Target { slot, copy }).map_err(Err);
        };
        self.enter_noted(slot, &copy).map_err(Err)?;
        self.catch_up(slot, &copy);
        if let Some(socket) = self.sockets.get_mut(slot) {
            socket.holder = Holder {
                tid: call.tid,
                fd: call.fd(),
            };
        }
        Ok(Target { slot, copy })
    }

    /// Whether a call gives a name or a peer to what may be a stream that was born as the kernel's: as far as the length of
    /// an address tells, which is all that can be seen of a program that is closed.
    fn names_endpoint(&self, call: &Call) -> bool {
        const LENGTHS: [usize; 3] = [
            size_of::<libc::sockaddr_in>(),
            size_of::<libc::sockaddr_in6>(),
            size_of::<libc::sockaddr_storage>(),
        ];
        self.hands.have_native_streams()
            && matches!(call.number, libc::SYS_connect | libc::SYS_bind)
            && usize::try_from(call.int(2)).is_ok_and(|len| LENGTHS.contains(&len))
    }

    /// Whether what guests can reach is restricted.
    pub(crate) fn is_confined(&self) -> bool {
        !self.policy.is_empty()
    }

    /// A call on a socket of the program's that is not ours: interfaces are ours nevertheless, whichever socket is asked.
    pub(crate) fn foreign(&mut self, call: &Call, object: Option<&OwnedFd>) -> Judged {
        if call.number == libc::SYS_ioctl {
            self.foreign_ioctl(call, object)
        } else {
            Ok(Answer::Native)
        }
    }

    /// The target of a call that has waited; none where its descriptor is another file's now.
    pub(crate) fn target_again(&mut self, call: &Call, slot: Slot) -> Option<Target> {
        self.target_as_it_was(call).ok().filter(|target| target.slot == slot)
    }

    /// The socket of a target, which is in the table: nothing was removed since it was found.
    pub(crate) fn entry(&mut self, slot: Slot) -> Result<&mut GuestSocket, Errno> {
        self.sockets.get_mut(slot).ok_or(Errno::EBADF)
    }

    /// Whether it is a socket of ping(8).
    fn is_ping(&self, slot: Slot) -> bool {
        let protocol = self.datagram_protocol(slot);
        matches!(protocol, Some(libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6))
    }

    /// Whether a socket is UDP's, rather than a stream, ping's or a raw one.
    pub(crate) fn is_udp(&self, slot: Slot) -> bool {
        let protocol = self.datagram_protocol(slot);
        matches!(protocol, Some(libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE))
    }

    /// The protocol of a `SOCK_DGRAM`.
    fn datagram_protocol(&self, slot: Slot) -> Option<i32> {
        let socket = self.sockets.get(slot).filter(|socket| socket.kind == Kind::Datagram)?;
        Some(self.host.info(socket.id)?.protocol.into())
    }

    /// A copy of a program's descriptor for the socket, from the last place where it was seen, else from wherever the
    /// guests have it. None where nobody has it open.
    pub(crate) fn copy_of(&mut self, slot: Slot) -> Option<OwnedFd> {
        if let Some(keeping) = &self.keeping {
            return keeping.kept_copy(slot);
        }
        let socket = self.sockets.get(slot)?;
        let (holder, cookie) = (socket.holder, socket.cookie);
        let is_it = |copy: &OwnedFd| sockopt::socket_cookie(copy).is_ok_and(|found| found == cookie);
        if let Some(copy) = self.guests.descriptor(holder.tid, holder.fd).ok().filter(is_it) {
            return Some(copy);
        }
        let (holder, copy) = self.guests.search(is_it)?;
        if let Some(socket) = self.sockets.get_mut(slot) {
            socket.holder = holder;
        }
        Some(copy)
    }
}

/// An address argument of `len` octets, read once. The kernel takes none longer than its own storage.
fn read_address(call: &Call, address: u64, len: i32) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= ADDRESS_MAX)
        .ok_or(Errno::EINVAL)?;
    let mut octets = vec![0; len];
    call.memory().read(address, &mut octets)?;
    Ok(octets)
}

/// Writes an address where getsockname(2), getpeername(2) and accept(2) want it: as much as there is room for, and its
/// whole length.
pub(crate) fn write_address(call: &Call, address: u64, len_address: u64, shown: &[u8]) -> Result<(), Errno> {
    let room = call.memory().read_i32(len_address)?;
    write_within(call, address, len_address, shown, room)
}

/// The same where the room is known.
fn write_within(call: &Call, address: u64, len_address: u64, shown: &[u8], room: i32) -> Result<(), Errno> {
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let front = &shown[..shown.len().min(room)];
    call.memory()
        .write_pieces([(address, front), (len_address, &(shown.len() as u32).to_ne_bytes())])
}

/// Whether calls on the target sleep: unless its descriptor or this call says otherwise.
fn blocks(copy: impl AsFd, flags: i32) -> bool {
    flags & libc::MSG_DONTWAIT == 0 && crate::socket::unix::blocks(copy)
}

/// Only streams listen and accept.
fn require_stream(socket: &GuestSocket) -> Result<(), Errno> {
    if socket.kind == Kind::Stream {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}
