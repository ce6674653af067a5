//! recvfrom(2) with an address, recvmsg(2), recvmmsg(2).
//!
//! On a stream they are the kernel's, unless an address is asked for, of which an AF_UNIX stream would show its own, or its octets are to be
//! told of in control data, of which it knows nothing. On a datagram socket the octets are taken from the program's own queue, so that
//! they mix with recv(2), and the rest is said by the supervisor.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, ErrorOrigin, Family, Flags, Kind, SocketId};
use prise_sys::sockopt as options;
use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, recv, sockopt};

use super::options::timeout;
use super::{Target, blocks};
use crate::guest::Memory;
use crate::guest::control;
use crate::guest::message::{
    About, ControlBuffer, Destination, Header, MANY_LEN_OFFSET, MANY_STRIDE, ReceiveForm, ReceiveRequest, VECTOR_MAX,
};
use crate::guest::notify::{Answer, Call, Judged, errno};
use crate::guest::sockaddr::encode;
use crate::socket::datagram::Datagram;
use crate::socket::{Failure, GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::{ParkId, Parked, Wish};
use crate::waiting::slices::Slice;

/// What of a call's flags is passed on to the kernel's object.
const KERNEL_FLAGS: i32 = libc::MSG_PEEK | libc::MSG_OOB | libc::MSG_WAITALL;

/// Who looks at all that he asks for waits for it; an AF_UNIX stream shows what is there.
const LOOK_AT_ALL: i32 = libc::MSG_PEEK | libc::MSG_WAITALL;

/// A stream's octets are copied through the supervisor in pieces of this size; a short read is a read.
const STREAM_MAX: usize = 256 << 10;

/// The time that recvmmsg(2) may take is looked at before anything else.
pub(super) fn check_timeout(call: &Call) -> Result<(), Errno> {
    if call.number == libc::SYS_recvmmsg && call.args[4] != 0 {
        read_timespec(call.memory(), call.args[4])?;
    }
    Ok(())
}

impl Supervisor {
    pub(super) fn recvfrom(&mut self, call: &Call, target: &Target) -> Judged {
        let flags = call.int(3);
        let is_plain = call.args[4] == 0 && flags & (libc::MSG_TRUNC | libc::MSG_ERRQUEUE) == 0;
        let is_stream = matches!(self.entry(target.slot)?.role, Role::Stream(_));
        let looks = flags & LOOK_AT_ALL == LOOK_AT_ALL;
        if is_plain && (if is_stream { !looks } else { flags & libc::MSG_OOB == 0 }) {
            // A recv(2) of urgent data, which an AF_UNIX stream knows as TCP does; and one that waits for nothing.
            return Ok(Answer::Native);
        }
        let destination = Destination::of_recvfrom(&call.args);
        let request = ReceiveRequest {
            form: ReceiveForm::One(destination),
            flags,
        };
        self.receive(call, target, request)
    }

    pub(super) fn recvmsg(&mut self, call: &Call, target: &Target) -> Judged {
        let flags = call.int(2);
        let socket = self.entry(target.slot)?;
        let (id, is_stream) = (socket.id, socket.kind == Kind::Stream);
        // What is read here only chooses between two harmless ways: the kernel's writes the name of an AF_UNIX socket
        // into memory of a program that changed its mind meanwhile.
        let looks = is_stream && flags & libc::MSG_PEEK != 0 && self.least(id, flags, usize::MAX) > 1;
        let is_usual =
            flags & (libc::MSG_ERRQUEUE | libc::MSG_TRUNC) == 0 && !looks && !self.tells_of_octets(target.slot);
        let is_judged = !is_usual || self.is_idle(target.slot) || self.is_over(target.slot);
        if is_stream && !is_judged && Header::read(call.memory(), call.args[1])?.name == 0 {
            return Ok(Answer::Native);
        }
        let destination = Destination::of_message(call.memory(), call.args[1])?;
        self.receive(
            call,
            target,
            ReceiveRequest {
                form: ReceiveForm::One(destination),
                flags,
            },
        )
    }

    pub(super) fn recvmmsg(&mut self, call: &Call, target: &Target) -> Judged {
        check_timeout(call)?;
        let count = u64::from(call.args[2] as u32).min(VECTOR_MAX);
        // do_recvmmsg: an error comes before what was received, and before nothing that is asked for.
        if call.int(3) & libc::MSG_ERRQUEUE == 0
            && let Some(error) = self.take_own_error(target)
        {
            return Err(error);
        }
        let form = ReceiveForm::Many {
            headers: call.args[1],
            count,
            filled: 0,
        };
        self.receive(
            call,
            target,
            ReceiveRequest {
                form,
                flags: call.int(3),
            },
        )
    }

    /// Receives now, or waits.
    pub(super) fn receive(&mut self, call: &Call, target: &Target, mut request: ReceiveRequest) -> Judged {
        let blocking = blocks(&target.copy, request.flags) && request.flags & libc::MSG_ERRQUEUE == 0;
        let judged = self.try_receive(call, target, &mut request);
        match judged {
            Err(Errno::EAGAIN) if blocking && self.is_deaf(target.slot) => return end_of(call.memory(), &request),
            Err(Errno::EAGAIN) if blocking => (),
            Ok(Answer::Unfinished) => (),
            judged => return judged,
        }
        let limit = match (&request.form, call.args[4]) {
            (ReceiveForm::Many { .. }, address) if address != 0 => Some(read_timespec(call.memory(), address)?),
            _ => timeout(target, sockopt::Timeout::Recv),
        };
        if judged == Ok(Answer::Unfinished) {
            return Ok(self.put_off(call, target.slot, Wish::Receive(request), limit));
        }
        let id = self.park(call, target.slot, Wish::Receive(request), limit);
        if let Some(socket) = self.netlink.get_mut(target.slot) {
            socket.receiving.push_back(id);
            return Ok(Answer::Settled);
        }
        match &mut self.entry(target.slot)?.role {
            Role::Datagram(datagram) => datagram.receiving.push_back(id),
            Role::Stream(stream) => stream.receiving.push_back(id),
            _ => (),
        }
        Ok(Answer::Settled)
    }

    /// Whether who would wait for a datagram is told of an end (shutdown(2)).
    pub(crate) fn is_deaf(&self, slot: Slot) -> bool {
        let role = self.sockets.get(slot).map(|socket| &socket.role);
        matches!(role, Some(Role::Datagram(datagram)) if datagram.deaf)
    }

    /// Receives what is there; `EAGAIN` when nothing is.
    pub(crate) fn try_receive(&mut self, call: &Call, target: &Target, request: &mut ReceiveRequest) -> Judged {
        let flags = request.flags;
        match &mut request.form {
            ReceiveForm::One(destination) => {
                let received = self.receive_one(call.memory(), target, destination, flags)?;
                Ok(Answer::Value(received as i64))
            }
            ReceiveForm::Many { headers, count, filled } => {
                let (headers, count) = (*headers, *count);
                let outcome = self.receive_many(call.memory(), target, headers, count, filled, flags);
                match outcome {
                    Ok(true) => Ok(Answer::Unfinished),
                    // What was received before an error counts, and MSG_WAITFORONE asks for no more than that.
                    Err(Errno::EAGAIN)
                        if *filled > 0
                            && flags & (libc::MSG_WAITFORONE | libc::MSG_ERRQUEUE) == 0
                            && blocks(&target.copy, flags) =>
                    {
                        Err(Errno::EAGAIN)
                    }
                    Err(error) if *filled == 0 => Err(error),
                    _ => Ok(Answer::Value(*filled as i64)),
                }
            }
        }
    }

    /// True where its part of the turn is over before it is done.
    fn receive_many(
        &mut self,
        memory: Memory,
        target: &Target,
        headers: u64,
        count: u64,
        filled: &mut u64,
        flags: i32,
    ) -> Result<bool, Errno> {
        let mut slice = Slice::new();
        while *filled < count {
            if slice.is_over() {
                return Ok(true);
            }
            let address = headers.wrapping_add(*filled * MANY_STRIDE);
            let destination = Destination::of_message(memory, address)?;
            let received = self.receive_one(memory, target, &destination, flags)?;
            memory.write(address.wrapping_add(MANY_LEN_OFFSET), &(received as u32).to_ne_bytes())?;
            *filled += 1;
            slice.spend(received);
        }
        Ok(false)
    }

    fn receive_one(&mut self, memory: Memory, target: &Target, to: &Destination, flags: i32) -> Result<usize, Errno> {
        if target.slot.is_netlink() {
            return self.receive_netlink(memory, target, to, flags);
        }
        let socket = self.entry(target.slot)?;
        if flags & libc::MSG_ERRQUEUE != 0 {
            let received = self.receive_error(memory, target, to);
            self.show_queued_errors(target.slot, &target.copy);
            return received;
        }
        if socket.kind == Kind::Stream {
            return self.receive_stream(memory, target, to, flags);
        }
        // UDP does not look at it (`udp_recvmsg`), the others do.
        if flags & libc::MSG_OOB != 0 && !self.is_udp(target.slot) {
            return Err(Errno::EOPNOTSUPP);
        }
        let received = self.receive_datagram(memory, target, to, flags);
        self.show_queued_errors(target.slot, &target.copy);
        received
    }

    fn receive_stream(
        &mut self,
        memory: Memory,
        target: &Target,
        to: &Destination,
        flags: i32,
    ) -> Result<usize, Errno> {
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        if !matches!(socket.role, Role::Stream(_) | Role::Ended(_)) {
            // There is no urgent data, which is looked at first; a listener has none at all.
            let listens = matches!(&socket.role, Role::Listener(listening) if !listening.ended);
            let urgent = flags & libc::MSG_OOB != 0 && !listens;
            let connects = matches!(socket.role, Role::Connecting(_));
            let idle = match &socket.role {
                Role::Fresh => true,
                Role::Listener(listening) => listening.ended,
                _ => false,
            };
            let ended = !urgent && idle && self.host.is_deaf(id);
            if ended {
                // tcp_recvmsg: that it was shut is told before that it was never connected.
                let about = About {
                    name: &[],
                    control: ControlBuffer::new(0),
                    flags: 0,
                };
                to.write(memory, &[], &about)?;
                return Ok(0);
            }
            return Err(match (urgent, connects) {
                (true, _) => Errno::EINVAL,
                // In SYN-SENT, as long as it takes.
                (false, true) => Errno::EAGAIN,
                (false, false) => Errno::ENOTCONN,
            });
        }
        self.pump_first(target.slot);
        let room = to.room().min(STREAM_MAX).min(self.scratch.len());
        let least = self.least(id, flags, room);
        if least > 1 && blocks(&target.copy, flags) && self.brings_more(target, least) {
            return Err(Errno::EAGAIN);
        }
        let kernel_flags = RecvFlags::from_bits_retain((flags & KERNEL_FLAGS) as u32) | RecvFlags::DONTWAIT;
        let received = match recv(&target.copy, &mut self.scratch[..room], kernel_flags) {
            Ok((received, _)) => received,
            Err(rustix::io::Errno::CONNRESET) => return Err(self.failure_of(target)),
            Err(error) => return Err(errno(error)),
        };
        let control = if to.takes_control() {
            self.about_octets(target, received, flags, to.control_room())
        } else {
            ControlBuffer::new(0)
        };
        let about = About {
            name: &[],
            control,
            flags: flags & libc::MSG_OOB,
        };
        // TCP discards what is asked for with MSG_TRUNC; looked at with MSG_PEEK besides, it stays.
        let shown = if flags & libc::MSG_TRUNC == 0 { received } else { 0 };
        to.write(memory, &self.scratch[..shown], &about)?;
        self.pump_first(target.slot);
        Ok(received)
    }

    /// Whether the program is to be told something of a stream's octets, which the kernel's object knows nothing of.
    fn tells_of_octets(&self, slot: Slot) -> bool {
        self.sockets.get(slot).is_some_and(|socket| {
            let asked = socket.arrivals.is_some() || self.host.in_queue(socket.id).is_some();
            asked && matches!(socket.role, Role::Stream(_))
        })
    }

    /// What is told of octets of a stream that were just read.
    fn about_octets(&mut self, target: &Target, received: usize, flags: i32, room: usize) -> ControlBuffer {
        let Some(socket) = self.sockets.get_mut(target.slot) else {
            return ControlBuffer::new(room);
        };
        let in_object = ioctl_fionread(&target.copy).unwrap_or(0) as usize;
        let left = self.host.in_queue(socket.id).map(|with_host| with_host + in_object);
        // tcp_recv_urg tells nothing of when it came.
        let stamps = socket.arrivals.as_mut().filter(|_| flags & libc::MSG_OOB == 0);
        let only_looked_at = flags & libc::MSG_PEEK != 0;
        let came = stamps.and_then(|arrivals| arrivals.of_read(received, only_looked_at, in_object));
        control::received_of_stream(&mut self.host, self.now, socket.id, came, left, room)
    }

    /// How many octets of a stream a call waits for that has room for so many (`sock_rcvlowat`).
    fn least(&mut self, id: SocketId, flags: i32, room: usize) -> usize {
        if flags & libc::MSG_OOB != 0 {
            return 1;
        }
        if flags & libc::MSG_WAITALL != 0 {
            return room;
        }
        let mut low = Vec::new();
        let told = self
            .host
            .option(self.now, id, libc::SOL_SOCKET, libc::SO_RCVLOWAT, &mut low);
        let low = low.first_chunk().filter(|_| told.is_ok());
        low.map_or(1, |low| i32::from_ne_bytes(*low) as usize).min(room)
    }

    /// Whether there are octets to read, fewer than so many, and who waits may have more: not behind an urgent one or an end, nor where no
    /// more have room.
    fn brings_more(&mut self, target: &Target, least: usize) -> bool {
        let Some(Role::Stream(stream)) = self.sockets.get(target.slot).map(|socket| &socket.role) else {
            return false;
        };
        if stream.fin_was_delivered() || stream.incoming.full || looks_from_offset(&target.copy) {
            return false;
        }
        let seen = recv(
            &target.copy,
            &mut self.scratch[..least],
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        let unread = ioctl_fionread(&target.copy).unwrap_or(u64::MAX);
        seen.is_ok_and(|(seen, _)| (1..least).contains(&seen) && unread <= seen as u64)
    }

    /// A pumped stream's queue follows what the host has.
    fn pump_first(&mut self, slot: Slot) {
        if matches!(self.sockets.get(slot).map(|socket| &socket.role), Some(Role::Stream(_))) {
            self.attend_stream(slot);
        }
    }

    /// What has come for a call that waits for more on a stream, and waits no longer (`tcp_recvmsg_locked`); none if nothing has.
    pub(crate) fn received_so_far(&mut self, parked: &mut Parked) -> Option<Judged> {
        let Wish::Receive(request) = &mut parked.wish else {
            return None;
        };
        if self.sockets.get(parked.slot)?.kind != Kind::Stream || !matches!(request.form, ReceiveForm::One(_)) {
            return None;
        }
        request.flags |= libc::MSG_DONTWAIT;
        let target = self.target_again(&parked.call, parked.slot)?;
        let judged = self.try_receive(&parked.call, &target, request);
        Some(judged).filter(|judged| *judged != Err(Errno::EAGAIN))
    }

    /// What the kernel's object means by `ECONNRESET`.
    pub(super) fn failure_of(&mut self, target: &Target) -> Errno {
        let failure = match self.sockets.get_mut(target.slot).map(|socket| &mut socket.role) {
            Some(Role::Ended(failure)) => failure.take(),
            _ => return Errno::ECONNRESET,
        };
        self.meant_by_reset(target.slot, failure)
    }

    /// The same, of an ended stream: what it died of, or what the host has kept of a connect(2).
    pub(super) fn meant_by_reset(&mut self, slot: Slot, failure: Option<Failure>) -> Errno {
        let id = self.sockets.get(slot).map(|socket| socket.id);
        let told = failure.map(|failure| failure.error);
        told.or_else(|| self.host.take_error(id?)).unwrap_or(Errno::ECONNRESET)
    }

    fn receive_datagram(
        &mut self,
        memory: Memory,
        target: &Target,
        to: &Destination,
        flags: i32,
    ) -> Result<usize, Errno> {
        self.fill_datagrams(target.slot);
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let Role::Datagram(datagram) = &mut socket.role else {
            return Err(Errno::EBADF);
        };
        if let Some(error) = datagram.take_error(&target.copy) {
            return Err(error);
        }
        if !datagram.shows_for_good(&target.copy) {
            datagram.conceal(&target.copy);
        }
        let origin = datagram.origin;
        let room = to.room().min(self.scratch.len());
        let whole = self.take_datagram(target, room, flags)?;
        if let Role::Datagram(datagram) = &mut self.entry(target.slot)?.role {
            datagram.note_taken();
        }
        let copied = whole.min(room);
        let name = origin.and_then(|origin| origin.source).filter(|_| to.wants_name());
        let name = name.map(|source| encode(source, family));
        let control = match origin {
            Some(origin) if to.takes_control() => {
                control::received(&mut self.host, self.now, id, family, &origin, to.control_room())
            }
            _ => ControlBuffer::new(0),
        };
        let truncated = if whole > copied { libc::MSG_TRUNC } else { 0 };
        let about = About {
            name: name.as_ref().map_or(&[], |name| name.as_slice()),
            control,
            flags: truncated,
        };
        let octets = core::mem::take(&mut self.scratch);
        let written = to.write(memory, &octets[..copied], &about);
        self.scratch = octets;
        written?;
        // Its place may be the next one's.
        self.fill_datagrams(target.slot);
        // ping_recvmsg tells of no more than there was room for.
        let is_whole = flags & libc::MSG_TRUNC != 0 && !self.is_ping(target.slot);
        Ok(if is_whole { whole } else { copied })
    }

    /// Takes a datagram off the program's queue; gives its whole length, of which at most `room` octets are there.
    fn take_datagram(&mut self, target: &Target, room: usize, flags: i32) -> Result<usize, Errno> {
        let kernel_flags = RecvFlags::from_bits_retain((flags & libc::MSG_PEEK) as u32);
        let kernel_flags = kernel_flags | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let scratch = &mut self.scratch[..room];
        let shows_for_good = |it: &mut Datagram| it.shows_for_good(&target.copy);
        let taken = if self.sockets.datagram_mut(target.slot).is_some_and(shows_for_good) {
            Err(rustix::io::Errno::AGAIN)
        } else {
            recv(&target.copy, &mut *scratch, kernel_flags)
        };
        let (_, whole) = match taken {
            Err(rustix::io::Errno::AGAIN) => {
                let Some(GuestSocket {
                    role: Role::Datagram(datagram),
                    ..
                }) = self.sockets.get_mut(target.slot)
                else {
                    return Err(Errno::EAGAIN);
                };
                let whole = datagram.take_held(scratch, flags & libc::MSG_PEEK != 0);
                return whole.ok_or(Errno::EAGAIN);
            }
            received => received.map_err(errno)?,
        };
        Ok(whole)
    }

    /// `MSG_ERRQUEUE`: what `IP_RECVERR` has queued.
    fn receive_error(&mut self, memory: Memory, target: &Target, to: &Destination) -> Result<usize, Errno> {
        let socket = self.entry(target.slot)?;
        let (id, family): (_, Family) = (socket.id, socket.family);
        let report = self.host.recv_error(id)?;
        if let Role::Datagram(datagram) = &mut self.entry(target.slot)?.role
            && report.origin.is_icmp()
        {
            datagram.forget_error();
        }
        // ipv4_datagram_support_addr: a stamp names nobody.
        let name = (!matches!(report.origin, ErrorOrigin::Timestamping | ErrorOrigin::ZeroCopy))
            .then(|| encode(report.destination, family));
        let control = control::error(&mut self.host, self.now, id, &report, family, to.control_room());
        let copied = report.payload.len().min(to.room());
        let truncated = if report.payload.len() > copied {
            libc::MSG_TRUNC
        } else {
            0
        };
        let about = About {
            name: name.as_ref().map_or(&[], |name| name.as_slice()),
            control,
            flags: libc::MSG_ERRQUEUE | truncated,
        };
        to.write(memory, &report.payload[..copied], &about)?;
        Ok(copied)
    }

    /// Serves the calls that wait to receive on a datagram or netlink socket or a stream.
    pub(crate) fn serve_receivers(&mut self, slot: Slot) {
        self.serve_waiting(slot, Self::receivers, Self::serve_receiver);
    }

    /// The calls that wait to receive on a socket.
    fn receivers(&mut self, slot: Slot) -> Option<&mut VecDeque<ParkId>> {
        if slot.is_netlink() {
            return self.netlink.get_mut(slot).map(|socket| &mut socket.receiving);
        }
        match &mut self.sockets.get_mut(slot)?.role {
            Role::Datagram(datagram) => Some(&mut datagram.receiving),
            Role::Stream(stream) => Some(&mut stream.receiving),
            _ => None,
        }
    }

    fn serve_receiver(&mut self, id: ParkId, slot: Slot) -> bool {
        let Some(mut parked) = self.parked.remove(id) else {
            return true;
        };
        let call = parked.call;
        let Wish::Receive(request) = &mut parked.wish else {
            return true;
        };
        let judged = match self.target_again(&call, slot) {
            Some(target) => self.try_receive(&call, &target, request),
            None => Err(Errno::EBADF),
        };
        if judged == Err(Errno::EAGAIN) && self.is_deaf(slot) {
            let judged = end_of(call.memory(), request);
            self.answer(&call, judged);
            return true;
        }
        self.answer_again(id, parked, judged)
    }
}

/// Nothing is received, from nobody.
fn end_of(memory: Memory, request: &ReceiveRequest) -> Judged {
    let about = || About {
        name: &[],
        control: ControlBuffer::new(0),
        flags: 0,
    };
    match &request.form {
        ReceiveForm::One(to) => {
            to.write(memory, &[], &about())?;
            Ok(Answer::Value(0))
        }
        // do_recvmmsg: an end is a message of nothing, and so are all that are asked for.
        ReceiveForm::Many { headers, count, filled } => {
            let wanted = if request.flags & libc::MSG_WAITFORONE == 0 {
                *count
            } else {
                1
            };
            for number in *filled..wanted {
                let address = headers.wrapping_add(number * MANY_STRIDE);
                Destination::of_message(memory, address)?.write(memory, &[], &about())?;
                memory.write(address.wrapping_add(MANY_LEN_OFFSET), &0_u32.to_ne_bytes())?;
            }
            Ok(Answer::Value(wanted as i64))
        }
    }
}

/// `SO_PEEK_OFF`: to look moves it.
fn looks_from_offset(copy: &OwnedFd) -> bool {
    let offset = options::get(copy.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, size_of::<i32>());
    offset.is_ok_and(|offset| offset.last().is_some_and(|octet| octet.cast_signed() >= 0))
}

fn read_timespec(memory: Memory, address: u64) -> Result<Duration, Errno> {
    let mut octets = [0; 16];
    memory.read(address, &mut octets)?;
    let seconds = i64::from_ne_bytes(core::array::from_fn(|i| octets[i]));
    let nanos = i64::from_ne_bytes(core::array::from_fn(|i| octets[8 + i]));
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Errno::EINVAL),
    }
}

/// Message flags of the host that mean the same here.
pub(super) fn host_flags(flags: i32) -> Flags {
    Flags::from_raw(flags as u32)
}
