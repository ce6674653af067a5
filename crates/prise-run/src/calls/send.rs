//! sendto(2) with an address, sendmsg(2), sendmmsg(2).
//!
//! On a stream they are the kernel's, unless there is an address, which TCP ignores and an AF_UNIX stream refuses. On a
//! datagram socket the supervisor sends, after what the program has written natively.

use core::net::SocketAddr;
use std::collections::VecDeque;

use prise_socket::{Control, Errno, Kind, SocketId};
use prise_sys::memory::Area;
use prise_sys::signal::send_to_thread;
use prise_wire::Payload;
use rustix::net::{SendFlags, send, sockopt};

use super::options::timeout;
use super::receive::host_flags;
use super::{Target, blocks, read_address};
use crate::guest::control;
use crate::guest::message::{
    Header, MANY_LEN_OFFSET, MANY_STRIDE, Outgoing, SendForm, SendRequest, VECTOR_MAX, control_pieces,
};
use crate::guest::notify::{Answer, Call, Judged, errno};
use crate::guest::sockaddr::{Named, canonical, parse_datagram};
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::{ParkId, Wish};
use crate::waiting::slices::Slice;

/// No datagram is longer: the length field of UDP and of IPv4 has 16 bits.
const DATAGRAM_MAX: usize = 65_535;

/// What of a stream's octets is copied through the supervisor at once; a short write is a write.
const STREAM_MAX: usize = 256 << 10;

impl Supervisor {
    pub(super) fn sendto(&mut self, call: &Call, target: Target) -> Judged {
        let flags = call.int(3);
        let area = Area {
            address: call.args[1],
            len: call.args[2] as usize,
        };
        let is_stream = self.entry(target.slot)?.kind == Kind::Stream;
        let urgent = flags & libc::MSG_OOB != 0;
        if urgent && call.args[4] == 0 && is_stream && (area.len == 0 || self.is_idle(target.slot)) {
            // No urgent octet at all is refused by an AF_UNIX stream, and before whether it is connected.
            return self.send_stream(call, &target, &[area], flags);
        }
        let is_usual = flags & (libc::MSG_OOB | libc::MSG_ZEROCOPY) == 0;
        if call.args[4] == 0 && (is_stream || is_usual) {
            // A send(2) that is judged only because it may be netlink's, or of urgent data, which a stream of AF_UNIX has too.
            return Ok(Answer::Native);
        }
        if is_stream {
            if flags & libc::MSG_FASTOPEN != 0 {
                let address = read_address(call, call.args[4], call.int(5))?;
                return self.send_opening(call, target, &[area], flags, &address);
            }
            // Read although TCP does not look at it.
            read_address(call, call.args[4], call.int(5))?;
            return self.send_stream(call, &target, &[area], flags);
        }
        let address = match call.args[4] {
            0 => None,
            address => Some(read_address(call, address, call.int(5))?),
        };
        self.check_sooner(target.slot, flags, area.len)?;
        let destination = match address {
            Some(address) => self.destination(target.slot, &address, flags)?,
            None => None,
        };
        let control = Control::default();
        let octets = gather(call, &[area])
            .map_err(|error| self.found_sooner(target.slot, flags, (destination, &control, area.len), error))?;
        let message = Outgoing {
            octets,
            destination,
            control,
        };
        self.send(
            call,
            &target,
            SendRequest {
                form: SendForm::One(message),
                flags,
            },
        )
    }

    pub(super) fn sendmsg(&mut self, call: &Call, target: Target) -> Judged {
        let flags = call.int(2);
        if self.entry(target.slot)?.kind == Kind::Stream {
            let header = Header::read(call.memory(), call.args[1])?;
            // As with recvmsg(2), only chooses between two harmless ways. Control data means something else to an AF_UNIX stream, and
            // an urgent octet has to be there.
            let judged = self.is_idle(target.slot)
                || self.is_over(target.slot)
                || (header.has_control() || flags & libc::MSG_OOB != 0) && self.was_connected(target.slot);
            if (header.name == 0 || header.name_len == 0) && !judged {
                return Ok(Answer::Native);
            }
            let areas = header.areas(call.memory())?;
            if flags & libc::MSG_FASTOPEN != 0 {
                let len = header.name_len.min(crate::guest::sockaddr::ADDRESS_MAX as i32);
                let address = read_address(call, header.name, len)?;
                return self.send_opening(call, target, &areas, flags, &address);
            }
            self.check_stream_control(call, target.slot, &header)?;
            return self.send_stream(call, &target, &areas, flags);
        }
        let message = self.read_message(call, target.slot, call.args[1], flags)?;
        self.send(
            call,
            &target,
            SendRequest {
                form: SendForm::One(message),
                flags,
            },
        )
    }

    /// A datagram of UDP has a port to come from before anything else of it is looked at (`inet_send_prepare`), and then no urgent data
    /// (`udp_sendmsg`); one of ping's is as long as it may be first (`ping_common_sendmsg`).
    fn check_sooner(&mut self, slot: Slot, flags: i32, len: usize) -> Result<(), Errno> {
        /// Octets of `struct icmphdr`, and what an IP packet can say of itself.
        const LENGTHS: core::ops::RangeInclusive<usize> = 8..=0xffff;
        let socket = self.entry(slot)?;
        let (id, v4) = (socket.id, socket.family == prise_socket::Family::Inet);
        let urgent = flags & libc::MSG_OOB != 0;
        if self.is_ping(slot) {
            return match len {
                _ if len > *LENGTHS.end() => Err(Errno::EMSGSIZE),
                _ if len < *LENGTHS.start() => Err(Errno::EINVAL),
                _ if urgent => Err(Errno::EOPNOTSUPP),
                _ => Ok(()),
            };
        }
        if !self.is_udp(slot) {
            return Ok(());
        }
        self.host.autobind(self.now, id).map_err(|_| Errno::EAGAIN)?;
        if v4 && urgent {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(())
    }

    /// Whether a stream has nobody to speak to and is not about to: what the kernel's object would say of that is not what TCP says.
    pub(super) fn is_idle(&self, slot: Slot) -> bool {
        let role = self.sockets.get(slot).map(|socket| &socket.role);
        matches!(role, Some(Role::Fresh | Role::Listener(_)))
    }

    /// TCP reads control data that is the socket layer's, and none is that goes with octets of a stream.
    fn check_stream_control(&mut self, call: &Call, slot: Slot, header: &Header) -> Result<(), Errno> {
        let control = header.control(call.memory())?;
        // `sk_stream_wait_connect` comes first.
        if !self.may_send(slot) {
            return Ok(());
        }
        for (level, kind, _) in control_pieces(&control)? {
            match (level, kind) {
                // As in __sock_cmsg_send: descriptors and credentials are ignored, a mark is the superuser's.
                (libc::SOL_SOCKET, libc::SCM_RIGHTS | libc::SCM_CREDENTIALS | libc::SO_TIMESTAMPING) => (),
                (libc::SOL_SOCKET, libc::SO_MARK) => return Err(Errno::EPERM),
                (libc::SOL_SOCKET, _) => return Err(Errno::EINVAL),
                _ => (),
            }
        }
        Ok(())
    }

    /// Whether a stream is connected, or was.
    fn was_connected(&self, slot: Slot) -> bool {
        let role = self.sockets.get(slot).map(|socket| &socket.role);
        matches!(role, Some(Role::Stream(_) | Role::Ended(_)))
    }

    /// Whether a stream is over, of which the kernel's object may not say what it died of.
    pub(super) fn is_over(&self, slot: Slot) -> bool {
        let role = self.sockets.get(slot).map(|socket| &socket.role);
        matches!(role, Some(Role::Ended(_)))
    }

    /// Whether a stream is connected and was not shut for sending.
    fn may_send(&self, slot: Slot) -> bool {
        let role = self.sockets.get(slot).map(|socket| &socket.role);
        matches!(role, Some(Role::Stream(stream)) if !stream.outgoing_ended())
    }

    pub(super) fn sendmmsg(&mut self, call: &Call, target: &Target) -> Judged {
        let count = u64::from(call.args[2] as u32).min(VECTOR_MAX);
        let form = SendForm::Many {
            headers: call.args[1],
            count,
            sent: 0,
        };
        self.send(
            call,
            target,
            SendRequest {
                form,
                flags: call.int(3),
            },
        )
    }

    fn read_message(&mut self, call: &Call, slot: Slot, address: u64, flags: i32) -> Result<Outgoing, Errno> {
        let memory = call.memory();
        let header = Header::read(memory, address)?;
        let areas = header.areas(memory)?;
        let address = if header.name == 0 || header.name_len == 0 {
            None
        } else {
            // More than an address can be is ignored here, though not in sendto(2).
            let len = header.name_len.min(crate::guest::sockaddr::ADDRESS_MAX as i32);
            Some(read_address(call, header.name, len)?)
        };
        let octets = header.control(memory)?;
        self.check_sooner(slot, flags, total(&areas))?;
        let destination = match address {
            Some(octets) => self.destination(slot, &octets, flags)?,
            None => None,
        };
        let control = self.read_control(slot, &octets, destination)?;
        let octets = gather(call, &areas)
            .map_err(|error| self.found_sooner(slot, flags, (destination, &control, total(&areas)), error))?;
        Ok(Outgoing {
            octets,
            destination,
            control,
        })
    }

    /// The control data of a datagram; what goes on with one that was begun goes its way, and its own is not looked at (`udp_sendmsg`,
    /// `udpv6_sendmsg`).
    fn read_control(&mut self, slot: Slot, octets: &[u8], destination: Option<SocketAddr>) -> Result<Control, Errno> {
        let socket = self.entry(slot)?;
        let (id, family) = (socket.id, socket.family);
        if self.host.has_corked(id) {
            return Ok(Control::default());
        }
        let to = destination.or_else(|| self.host.named_peer(id));
        let to_v4 = family == prise_socket::Family::Inet || to.is_some_and(|to| self.reaches_v4(slot, to));
        control::to_send(octets, family, to_v4, self.host.is_udp(id))
            .map_err(|error| self.sooner(slot, destination, error))
    }

    /// Linux reads a datagram's octets when it knows the way that they take, which it does of one that was begun.
    fn found_sooner(
        &mut self,
        slot: Slot,
        flags: i32,
        (destination, control, len): (Option<SocketAddr>, &Control, usize),
        error: Errno,
    ) -> Errno {
        let Some(socket) = self.sockets.get(slot).filter(|_| error == Errno::EFAULT) else {
            return self.sooner(slot, destination, error);
        };
        let id = socket.id;
        if self.host.give_up_corked(id) {
            return error;
        }
        let checked = self
            .host
            .check_send_to(self.now, id, host_flags(flags), destination, (control, len));
        if let Err(found) = checked {
            return found;
        }
        let waits = self
            .copy_of(slot)
            .and_then(|copy| self.take_datagram_error(slot, &copy));
        waits.or_else(|| self.host.check_sendable(id).err()).unwrap_or(error)
    }

    /// What is wrong with a datagram's destination is told before what is wrong with its control data and octets.
    fn sooner(&mut self, slot: Slot, destination: Option<SocketAddr>, error: Errno) -> Errno {
        let Ok(socket) = self.entry(slot) else { return error };
        let id = socket.id;
        match destination {
            _ if error == Errno::EMSGSIZE => error,
            None if self.host.named_peer(id).is_none() => Errno::EDESTADDRREQ,
            Some(address) if address.port() == 0 && self.is_udp(slot) => Errno::EINVAL,
            _ => error,
        }
    }

    /// Where a datagram goes; `AF_UNSPEC` is no destination, that is the connected one.
    fn destination(&mut self, slot: Slot, octets: &[u8], flags: i32) -> Result<Option<SocketAddr>, Errno> {
        let socket = self.entry(slot)?;
        let (id, family) = (socket.id, socket.family);
        let given = octets
            .first_chunk()
            .map(|family| i32::from(u16::from_ne_bytes(*family)));
        if family == prise_socket::Family::Inet6 && given == Some(libc::AF_INET) && self.is_udp(slot) {
            // udpv6_sendmsg hands it over to udp_sendmsg, before it looks at the rest of the address.
            self.host.check_speaks_v4(id, host_flags(flags))?;
        }
        if family == prise_socket::Family::Inet && self.is_udp(slot) && self.host.has_corked(id) {
            // udp_sendmsg goes on with what was begun before it looks at the address.
            return Ok(None);
        }
        let named = match parse_datagram(octets, family) {
            // udpv6_sendmsg, unlike all others.
            Err(Errno::EAFNOSUPPORT) if family == prise_socket::Family::Inet6 && self.is_udp(slot) => {
                return Err(Errno::EINVAL);
            }
            named => named?,
        };
        match named {
            Named::Endpoint(address) => {
                if family == prise_socket::Family::Inet6 && canonical(address).is_ipv4() && self.is_udp(slot) {
                    self.host.check_speaks_v4(id, host_flags(flags))?;
                }
                Ok(Some(address))
            }
            Named::Unspecified(..) if family == prise_socket::Family::Inet => {
                // Linux reads it as an IPv4 address all the same.
                let mut octets = octets.to_vec();
                octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                match parse_datagram(&octets, family)? {
                    Named::Endpoint(address) => Ok(Some(address)),
                    Named::Unspecified(..) => Err(Errno::EAFNOSUPPORT),
                }
            }
            // udpv6_sendmsg then takes the peer's address for one of IPv6, to which no way leads without a default route.
            Named::Unspecified(..) if self.is_udp(slot) && self.has_peer_of_ipv4(id) => Err(Errno::ENETUNREACH),
            Named::Unspecified(..) => Ok(None),
        }
    }

    /// Whether a datagram for `to` goes by IPv4: that for the unspecified address does if its socket has an address of IPv4 (`udpv6_sendmsg`).
    fn reaches_v4(&self, slot: Slot, to: SocketAddr) -> bool {
        let own = || self.host.local_addr(self.sockets.get(slot)?.id).ok();
        canonical(to).is_ipv4() || to.ip().is_unspecified() && own().is_some_and(|own| canonical(own).is_ipv4())
    }

    fn has_peer_of_ipv4(&self, id: SocketId) -> bool {
        self.host.named_peer(id).is_some_and(|peer| canonical(peer).is_ipv4())
    }

    /// Sends now, or waits for room.
    fn send(&mut self, call: &Call, target: &Target, mut request: SendRequest) -> Judged {
        self.flush_datagrams(target.slot);
        match self.try_send(call, target, &mut request) {
            Ok(Answer::Unfinished) => return Ok(self.put_off(call, target.slot, Wish::Send(request), None)),
            Err(Errno::EAGAIN) if blocks(&target.copy, request.flags) => (),
            judged => return judged,
        }
        self.wait_to_send(call, target, request)
    }

    fn wait_to_send(&mut self, call: &Call, target: &Target, request: SendRequest) -> Judged {
        let limit = timeout(target, sockopt::Timeout::Send);
        let id = self.park(call, target.slot, Wish::Send(request), limit);
        if let Some(sending) = self.entry(target.slot)?.role.sending() {
            sending.push_back(id);
        }
        Ok(Answer::Settled)
    }

    /// Sends what there is room for; `EAGAIN` where there is none.
    pub(crate) fn try_send(&mut self, call: &Call, target: &Target, request: &mut SendRequest) -> Judged {
        let (flags, mut slice) = (request.flags, Slice::new());
        match &mut request.form {
            SendForm::One(message) => Ok(Answer::Value(self.send_one(call, target, message, flags)? as i64)),
            SendForm::Many { headers, count, sent } => {
                let id = self.entry(target.slot)?.id;
                let is_told = self.host.is_told_of_errors(id);
                while *sent < *count {
                    // That nobody is there is known once the first was sent: on Linux at once, here in the next turn.
                    if slice.is_over() || is_told && *sent == 1 && !slice.is_new() {
                        return Ok(Answer::Unfinished);
                    }
                    let address = headers.wrapping_add(*sent * MANY_STRIDE);
                    let outcome = self.send_from(call, target, address, flags).and_then(|len| {
                        slice.spend(len);
                        call.memory()
                            .write(address.wrapping_add(MANY_LEN_OFFSET), &(len as u32).to_ne_bytes())
                    });
                    match outcome {
                        Ok(()) => *sent += 1,
                        // What was sent before an error counts.
                        Err(error) if *sent == 0 => return Err(error),
                        Err(_) => break,
                    }
                }
                Ok(Answer::Value(*sent as i64))
            }
        }
    }

    /// One message of many, which lies at `address`.
    fn send_from(&mut self, call: &Call, target: &Target, address: u64, flags: i32) -> Result<usize, Errno> {
        if self.entry(target.slot)?.kind != Kind::Stream {
            let message = self.read_message(call, target.slot, address, flags)?;
            return self.send_one(call, target, &message, flags);
        }
        let header = Header::read(call.memory(), address)?;
        let areas = header.areas(call.memory())?;
        self.check_stream_control(call, target.slot, &header)?;
        self.check_stream_open(call, target, flags)?;
        let octets = gather_front(call, &areas)?;
        match self.try_send_stream(call, target, &octets, flags)? {
            Answer::Value(sent) => Ok(sent as usize),
            _ => Err(Errno::EAGAIN),
        }
    }

    fn send_one(&mut self, call: &Call, target: &Target, message: &Outgoing, flags: i32) -> Result<usize, Errno> {
        let Outgoing {
            octets,
            destination,
            control,
        } = message;
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        if matches!(&socket.role, Role::Datagram(datagram) if datagram.has_error()) {
            // An error that waits is told once a way is known.
            self.host
                .check_send_to(self.now, id, host_flags(flags), *destination, (control, octets.len()))?;
            if let Some(error) = self.take_datagram_error(target.slot, &target.copy) {
                return Err(error);
            }
        }
        if let Some(destination) = destination {
            self.permit(call, target.slot, *destination)?;
        }
        let sent = self
            .host
            .send_to(self.now, id, octets.clone(), host_flags(flags), *destination, control);
        if sent.is_ok() {
            self.note_owner(call, target.slot, None);
        }
        // EPIPE of a datagram socket raises no signal.
        if self.host.has_queued_errors(id) {
            // EMSGSIZE, or the time at which it was sent.
            self.show_queued_errors(target.slot, &target.copy);
        }
        sent
    }

    /// Whether a stream is connected: one that is being connected has no room yet (`sk_stream_wait_connect`).
    fn check_stream_open(&mut self, call: &Call, target: &Target, flags: i32) -> Result<(), Errno> {
        let is_kept = !self.is_unkept(target.slot);
        match &self.entry(target.slot)?.role {
            Role::Connecting(_) => Err(Errno::EAGAIN),
            Role::Stream(stream) if !stream.outgoing_ended() => Ok(()),
            Role::Ended(_) if !is_kept => Ok(()),
            _ => Err(self.broken_pipe(call, target, flags)),
        }
    }

    /// What who writes to a stream that takes nothing more is told: what it died of comes first, without a signal (`sk_stream_error`).
    fn broken_pipe(&mut self, call: &Call, target: &Target, flags: i32) -> Errno {
        let error = self.failure_left(target).unwrap_or(Errno::EPIPE);
        if error == Errno::EPIPE {
            raise_sigpipe(self.guests.process(call.tid), call, flags);
        }
        error
    }

    /// A stream with an address that says nothing.
    fn send_stream(&mut self, call: &Call, target: &Target, areas: &[Area], flags: i32) -> Judged {
        let open = match self.check_stream_open(call, target, flags) {
            Err(Errno::EAGAIN) if blocks(&target.copy, flags) => Err(Errno::EAGAIN),
            open => Ok(open?),
        };
        let message = Outgoing {
            octets: gather_front(call, areas)?,
            destination: None,
            control: Control::default(),
        };
        match open.and_then(|()| self.try_send_stream(call, target, &message.octets, flags)) {
            Err(Errno::EAGAIN) if blocks(&target.copy, flags) => (),
            judged => return judged,
        }
        let request = SendRequest {
            form: SendForm::One(message),
            flags,
        };
        self.wait_to_send(call, target, request)
    }

    pub(super) fn try_send_stream(&mut self, call: &Call, target: &Target, octets: &[u8], flags: i32) -> Judged {
        if self.is_unkept(target.slot) {
            return self.send_unkept(call, target.slot, octets, flags);
        }
        let urgent = if octets.is_empty() { 0 } else { flags & libc::MSG_OOB };
        let urgent = SendFlags::from_bits_retain(urgent as u32);
        let sent = send(&target.copy, octets, crate::socket::unix::QUIET | urgent);
        match sent {
            Ok(sent) => {
                self.attend(target.slot);
                Ok(Answer::Value(sent as i64))
            }
            Err(rustix::io::Errno::PIPE) => Err(self.broken_pipe(call, target, flags)),
            Err(error) => Err(errno(error)),
        }
    }

    /// Serves the calls that wait to send.
    pub(crate) fn serve_senders(&mut self, slot: Slot) {
        self.serve_waiting(slot, Self::sending, Self::serve_sender);
    }

    fn sending(&mut self, slot: Slot) -> Option<&mut VecDeque<ParkId>> {
        self.sockets.get_mut(slot)?.role.sending()
    }

    fn serve_sender(&mut self, id: ParkId, slot: Slot) -> bool {
        let Some(mut parked) = self.parked.remove(id) else {
            return true;
        };
        let Wish::Send(request) = &mut parked.wish else {
            return true;
        };
        let is_stream = self.sockets.get(slot).is_some_and(|socket| socket.kind == Kind::Stream);
        let judged = match (self.target_again(&parked.call, slot), &request.form) {
            (None, _) => Err(Errno::EBADF),
            (Some(target), SendForm::One(message)) if is_stream => {
                self.try_send_stream(&parked.call, &target, &message.octets, request.flags)
            }
            (Some(target), _) => self.try_send(&parked.call, &target, request),
        };
        self.answer_again(id, parked, judged)
    }
}

/// Writing where nobody reads raises a signal, unless the call asks for none.
pub(crate) fn raise_sigpipe(process: u32, call: &Call, flags: i32) {
    if flags & libc::MSG_NOSIGNAL == 0 {
        // It may be gone.
        let _ = send_to_thread(process, call.tid, libc::SIGPIPE);
    }
}

/// How many octets lie in areas.
fn total(areas: &[Area]) -> usize {
    areas.iter().map(|area| area.len).fold(0, usize::saturating_add)
}

/// All octets of a datagram.
fn gather(call: &Call, areas: &[Area]) -> Result<Payload, Errno> {
    if total(areas) > DATAGRAM_MAX {
        return Err(Errno::EMSGSIZE);
    }
    Ok(Payload::from(call.memory().gather(areas)?))
}

/// The first octets of a stream's.
pub(super) fn gather_front(call: &Call, areas: &[Area]) -> Result<Payload, Errno> {
    let mut left = STREAM_MAX;
    let front: Vec<Area> = areas
        .iter()
        .map(|area| {
            let len = area.len.min(left);
            left -= len;
            Area {
                address: area.address,
                len,
            }
        })
        .filter(|area| area.len > 0)
        .collect();
    Ok(Payload::from(call.memory().gather(&front)?))
}
