//! setsockopt(2) and getsockopt(2).

use core::time::Duration;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Asker, Errno, Family, Kind, SocketId};
use prise_sys::sockopt;
use rustix::net::{SocketFlags, sockopt as typed};

use super::Target;
use super::option_value::{VALUE_MAX, Whose};
use crate::guest::capabilities::is_network_admin;
use crate::guest::notify::{Call, DONE, Judged, errno, errno_of};
use crate::guest::sockaddr::canonical;
use crate::guest::{control, effective_user, own_thread_number};
use crate::handed::chosen::{self, SO_TIMESTAMP_NEW, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW};
use crate::handed::plain::{UNACKED, queue_of};
use crate::socket::arrivals::Arrivals;
use crate::socket::{Buffers, Role, Slot};
use crate::supervisor::Supervisor;

/// Octets of a `struct sock_fprog`, and how many instructions it may name (linux/filter.h).
const SOCK_FPROG: usize = 16;
const BPF_MAXINSNS: u16 = 4096;

/// asm-generic/socket.h.
const SO_GET_FILTER: i32 = libc::SO_ATTACH_FILTER;

/// linux/in6.h.
const IPV6_ADDRFORM: i32 = 1;

/// include/uapi/linux/in.h.
const IP_PKTOPTIONS: i32 = 9;

/// Where the label stands in a `struct in6_flowlabel_req` (linux/in6.h).
const FLOW_LABEL_AT: u64 = 16;

/// Whether what a level has not is refused before anything is read. `is_udp`: of datagram sockets some are for pings.
const fn is_foreign(level: i32, family: Family, kind: Kind, is_udp: bool) -> bool {
    match level {
        // A raw socket of IPv6 has no options of IPv4 (`rawv6_getsockopt`).
        libc::SOL_IP => matches!((family, kind), (Family::Inet6, Kind::Raw)),
        libc::SOL_SOCKET | libc::SOL_IPV6 => false,
        libc::SOL_TCP => !matches!(kind, Kind::Stream),
        libc::SOL_UDP | libc::IPPROTO_UDPLITE => !is_udp,
        _ => true,
    }
}

impl Supervisor {
    pub(crate) fn setsockopt(&mut self, call: &Call, target: &Target) -> Judged {
        let (level, name) = (call.int(1), call.int(2));
        let len = usize::try_from(call.int(4)).map_err(|_| Errno::EINVAL)?;
        let socket = self.entry(target.slot)?;
        let (id, family, kind) = (socket.id, socket.family, socket.kind);
        if level == libc::SOL_SOCKET && len < size_of::<i32>() && name != libc::SO_BINDTODEVICE {
            return Err(Errno::EINVAL);
        }
        if level == libc::SOL_SOCKET && matches!(name, libc::SO_ATTACH_FILTER | libc::SO_ATTACH_REUSEPORT_CBPF) {
            return self.attach_program(call, target, name, len);
        }
        let value = self.read_option(call, Whose { id, family, kind }, len)?;
        if chosen::is_kernels_alone(level, name) && self.may_be_kernels(target.slot) {
            return self.ask_kernel(target, level, name, &value);
        }
        if (level, name, family) == (libc::SOL_IPV6, libc::IPV6_FLOWLABEL_MGR, Family::Inet6) {
            return self.manage_flow_label(call, id, &value);
        }
        if (level, name) == (libc::SOL_IPV6, libc::IPV6_V6ONLY) {
            self.look_whether_over(target);
        }
        match self.host.set_option(self.now, id, level, name, &value) {
            Err(Errno::EADDRNOTAVAIL) if (level, name) == (libc::SOL_IPV6, IPV6_ADDRFORM) => {
                self.require_established(target)?;
                return Err(Errno::EADDRNOTAVAIL);
            }
            set => set?,
        }
        self.pass_on(target, level, name, &value);
        if level == libc::SOL_SOCKET {
            self.mirror(target, name, &value);
        }
        if matches!(
            (level, name),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        ) {
            // Switched off, it has emptied the queue.
            self.show_queued_errors(target.slot, &target.copy);
        }
        self.attend(target.slot);
        DONE
    }

    /// Flow labels are leased by threads and users; the label that was picked is told where the program asked for any.
    fn manage_flow_label(&mut self, call: &Call, id: SocketId, value: &[u8]) -> Judged {
        let asker = Asker {
            thread: call.tid,
            shown_thread: own_thread_number(call.tid).unwrap_or(call.tid),
            user: effective_user(call.tid),
            administers: is_network_admin(call.tid),
        };
        if let Some(label) = self.host.manage_flow_label(self.now, id, value, asker)? {
            // The kernel does not mind either if it cannot be written (`ipv6_flowlabel_get`).
            let _ = call.memory().write(call.args[3] + FLOW_LABEL_AT, &label.to_be_bytes());
        }
        DONE
    }

    /// Only an established connection can change its family (`do_ipv6_setsockopt`); of its own ones the kernel knows.
    fn require_established(&mut self, target: &Target) -> Result<(), Errno> {
        const ESTABLISHED: u8 = 1;
        if !matches!(self.entry(target.slot)?.role, Role::Handed(_)) {
            return Ok(());
        }
        match sockopt::get(target.copy.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, 1) {
            Ok(state) if state != [ESTABLISHED] => Err(Errno::ENOTCONN),
            _ => Ok(()),
        }
    }

    /// A filter or chooser of packets, whose program lies where the value points to (`struct sock_fprog`).
    fn attach_program(&mut self, call: &Call, target: &Target, name: i32, len: usize) -> Judged {
        let (mut value, memory) = ([0; SOCK_FPROG], call.memory());
        // A number is read before it is looked what option it is.
        memory.read(call.args[3], &mut value[..size_of::<i32>()])?;
        if len != SOCK_FPROG {
            return Err(Errno::EINVAL);
        }
        memory.read(call.args[3], &mut value)?;
        let [low, high, _, _, _, _, _, _, place @ ..] = value;
        let (instructions, place) = (u16::from_ne_bytes([low, high]), u64::from_ne_bytes(place));
        if instructions == 0 || instructions > BPF_MAXINSNS || place == 0 {
            return Err(Errno::EINVAL);
        }
        let program = call.memory().read_front(place, usize::from(instructions) * 8)?;
        let id = self.entry(target.slot)?.id;
        if name == libc::SO_ATTACH_FILTER {
            self.flush_datagrams(target.slot);
            self.host.attach_filter(id, &program)?;
        } else {
            self.host.attach_chooser(self.now, id, &program)?;
        }
        self.attend(target.slot);
        DONE
    }

    /// `SO_GET_FILTER`, which counts instructions where others count octets; without room it only says how many there are.
    fn tell_filter(&mut self, call: &Call, target: &Target, room: usize) -> Judged {
        const INSTRUCTION_LEN: usize = 8;
        let id = self.entry(target.slot)?.id;
        let program = self.host.filter(id)?.unwrap_or_default();
        let instructions = program.len() / INSTRUCTION_LEN;
        if room > 0 && room < instructions {
            return Err(Errno::EINVAL);
        }
        let shown = if room == 0 { &[][..] } else { &program };
        let count = (instructions as u32).to_ne_bytes();
        call.memory()
            .write_pieces([(call.args[3], shown), (call.args[4], &count)])?;
        DONE
    }

    /// Whether a stream's connection is the kernel's, or is going to be unless something comes between.
    fn may_be_kernels(&self, slot: Slot) -> bool {
        self.sockets
            .get(slot)
            .is_some_and(|socket| match (&socket.role, socket.kind) {
                (role, _) if role.is_hosts_object() => true,
                (Role::Fresh, Kind::Stream) => self.hands.are_allowed(),
                _ => false,
            })
    }

    /// What the kernel has to be asked through where the program's object is none of its streams: such a one, with all that
    /// was chosen.
    fn kernels_object(&mut self, target: &Target) -> Result<Option<OwnedFd>, Errno> {
        let socket = self.entry(target.slot)?;
        if socket.role.is_hosts_object() {
            return Ok(None);
        }
        let object = Self::hosts_object(socket.family, SocketFlags::empty()).map_err(errno)?;
        self.entry(target.slot)?.chosen.apply(&object);
        Ok(Some(object))
    }

    /// Sets an option as the kernel would, and remembers it for the object that takes the place of this one.
    fn ask_kernel(&mut self, target: &Target, level: i32, name: i32, value: &[u8]) -> Judged {
        let object = self.kernels_object(target)?;
        let object = object.as_ref().unwrap_or(&target.copy);
        sockopt::set(object.as_fd(), level, name, value).map_err(|error| errno_of(&error))?;
        self.entry(target.slot)?.chosen.note(level, name, value);
        DONE
    }

    /// Some options also govern the kernel's object, on which data calls run natively.
    fn mirror(&mut self, target: &Target, name: i32, value: &[u8]) {
        let Some(number) = value.first_chunk().map(|octets| i32::from_ne_bytes(*octets)) else {
            return;
        };
        let size = usize::try_from(number).unwrap_or(0);
        match name {
            libc::SO_SNDBUF | libc::SO_SNDBUFFORCE => self.resize(target, |buffers| buffers.send = Some(size)),
            libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => self.resize(target, |buffers| buffers.receive = Some(size)),
            // Its peer, who has ended too, hears of a close that resets.
            libc::SO_LINGER if self.is_over(target.slot) => self.watch_close(target.slot),
            // A read that waits does so for as many octets as one of TCP.
            libc::SO_RCVLOWAT | libc::SO_PEEK_OFF => {
                let _ = sockopt::set(target.copy.as_fd(), libc::SOL_SOCKET, name, value);
            }
            libc::SO_OOBINLINE => {
                // Refused by the kernel, it stays the host's alone.
                let _ = typed::set_socket_oobinline(&target.copy, number != 0);
            }
            libc::SO_TIMESTAMP
            | libc::SO_TIMESTAMPNS
            | libc::SO_TIMESTAMPING
            | SO_TIMESTAMP_NEW
            | SO_TIMESTAMPNS_NEW
            | SO_TIMESTAMPING_NEW => {
                let Some(socket) = self.sockets.get_mut(target.slot) else {
                    return;
                };
                let stamped = control::is_stamped(&mut self.host, self.now, socket.id);
                if let Role::Datagram(datagram) = &mut socket.role {
                    datagram.stamped = stamped;
                } else if stamped && socket.kind == Kind::Stream {
                    let with_host = self.host.readable(socket.id);
                    let begin = || Box::new(Arrivals::new(with_host));
                    socket.arrivals.get_or_insert_with(begin);
                } else {
                    socket.arrivals = None;
                }
            }
            _ => (),
        }
    }

    /// Sets the sizes of the kernel's buffers. A listener's and a connecting socket's is full on purpose and set later.
    fn resize(&mut self, target: &Target, change: impl FnOnce(&mut Buffers)) {
        let Ok(socket) = self.entry(target.slot) else { return };
        change(&mut socket.buffers);
        match &mut socket.role {
            Role::Stream(stream) => socket.buffers.apply(Some(&target.copy), &stream.end),
            Role::Datagram(datagram) => {
                if let Some(size) = socket.buffers.send {
                    let _ = typed::set_socket_send_buffer_size(&target.copy, size);
                }
                if let Some(size) = socket.buffers.receive {
                    datagram.make_room(&target.copy, size);
                }
            }
            Role::Fresh | Role::Ended(_) => {
                if let Some(size) = socket.buffers.send {
                    let _ = typed::set_socket_send_buffer_size(&target.copy, size);
                }
            }
            // The kernel's own object was told already.
            Role::Handed(_) | Role::Listener(_) | Role::Connecting(_) => (),
        }
    }

    pub(super) fn getsockopt(&mut self, call: &Call, target: &Target) -> Judged {
        let (level, name) = (call.int(1), call.int(2));
        let socket = self.entry(target.slot)?;
        let (id, family, kind) = (socket.id, socket.family, socket.kind);
        let mut value = Vec::new();
        let room = call
            .memory()
            .read_i32(call.args[4])
            .and_then(|room| match usize::try_from(room) {
                Ok(room) => Ok(room),
                // `do_ipv6_getsockopt` takes it for a large number, and compares it as one with what is longer than a number.
                Err(_) if (level, name) == (libc::SOL_IPV6, libc::IPV6_PATHMTU) => Ok(VALUE_MAX),
                Err(_) if level == libc::SOL_IPV6 => Ok(size_of::<i32>()),
                Err(_) => Err(Errno::EINVAL),
            });
        // A level that is not the socket's is told of first.
        if room.is_err()
            && level != libc::SOL_SOCKET
            && let Err(error @ (Errno::EOPNOTSUPP | Errno::ENOPROTOOPT)) =
                self.host.option(self.now, id, level, name, &mut value)
            && (error == Errno::EOPNOTSUPP || is_foreign(level, family, kind, self.is_udp(target.slot)))
        {
            return Err(error);
        }
        let room = room?;
        value.clear();
        if (level, name) == (libc::SOL_SOCKET, SO_GET_FILTER) {
            return self.tell_filter(call, target, room);
        }
        if chosen::is_kernels_alone(level, name) && self.may_be_kernels(target.slot) {
            let object = self.kernels_object(target)?;
            let object = object.as_ref().unwrap_or(&target.copy);
            value = sockopt::get(object.as_fd(), level, name, room.min(VALUE_MAX)).map_err(|error| errno_of(&error))?;
            return tell(call, &value, room);
        }
        let asks = prise_socket::Host::option_asks(level, name);
        let given = if asks {
            call.memory().read_front(call.args[3], room.min(VALUE_MAX))?
        } else {
            Vec::new()
        };
        let asked = (level, name);
        if matches!(asked, (libc::SOL_IP, IP_PKTOPTIONS | libc::IP_MULTICAST_TTL)) {
            self.hear_of_first_packet(target);
        }
        self.host
            .option_asked(self.now, id, asked, &given, room.min(VALUE_MAX), &mut value)?;
        if asked == (libc::SOL_IPV6, IPV6_ADDRFORM) {
            self.require_established(target)?;
        }
        if (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR) {
            let own = self.take_own_error(target);
            if value.iter().all(|&octet| octet == 0)
                && let Some(own) = own
            {
                value = own.raw().to_ne_bytes().to_vec();
                value.truncate(room);
            }
        }
        if (level, name) == (libc::SOL_SOCKET, libc::SO_PEEK_OFF)
            && let Ok(moved) = sockopt::get(target.copy.as_fd(), level, name, room.min(size_of::<i32>()))
        {
            value = moved;
        }
        if (level, name) == (libc::SOL_TCP, libc::TCP_INFO) {
            self.count_waiting(target, &mut value);
        }
        // What such an option tells is as long as the buffer asked for by its count.
        let room = if asks { value.len() } else { room };
        tell(call, &value, room)
    }

    /// What a client's SYN came with is known to the kernel that has accepted it. Clients by IPv6 come by IPv4 there.
    fn hear_of_first_packet(&mut self, target: &Target) {
        let Some(socket) = self.sockets.get(target.slot) else {
            return;
        };
        let (id, is_kernels) = (socket.id, matches!(socket.role, Role::Handed(_)));
        let peer = self.host.named_peer(id).map(canonical);
        if is_kernels
            && peer.is_some_and(|peer| peer.is_ipv4())
            && let Some((hops, tos)) = first_packet(&target.copy)
        {
            self.host.set_first_packet(id, hops, tos);
        }
    }

    /// How many connections wait at a listener (`tcpi_unacked`): the host has not all of them, where the kernel carries some.
    fn count_waiting(&self, target: &Target, value: &mut [u8]) {
        let Some(Role::Listener(listening)) = self.sockets.get(target.slot).map(|socket| &socket.role) else {
            return;
        };
        let (Some(said), false) = (value.get_mut(UNACKED), listening.ended) else {
            return;
        };
        let waiting = if listening.is_native() {
            queue_of(&target.copy)
        } else {
            Some(listening.shown() as u32)
        };
        if let Some(waiting) = waiting {
            said.copy_from_slice(&waiting.to_ne_bytes());
        }
    }

    /// What a program asks of its connection reaches the kernel's object that carries it, now or once there is one.
    fn pass_on(&mut self, target: &Target, level: i32, name: i32, value: &[u8]) {
        if !self.hands.are_allowed() {
            return;
        }
        let Some(socket) = self.sockets.get_mut(target.slot) else {
            return;
        };
        let by_address = chosen::is_signature(level, name) && matches!(socket.role, Role::Listener(_));
        // A connection within the run over IPv6 has ends of IPv4, which would heed what it must not.
        let is_foreign = (level, name) == (libc::IPPROTO_IP, libc::IP_MINTTL)
            && self
                .host
                .named_peer(socket.id)
                .is_some_and(|peer| canonical(peer).is_ipv6());
        if socket.role.is_hosts_object() && chosen::is_of_connection(level, name) && !by_address && !is_foreign {
            // The host has said what the program is told.
            let _ = sockopt::set(target.copy.as_fd(), level, name, value);
        }
        if socket.kind == Kind::Stream {
            socket.chosen.note(level, name, value);
        }
    }

    /// The error that the kernel's object shows stands for the host's, which was taken with it; that of a datagram socket
    /// may have been told while nobody asked.
    pub(super) fn take_own_error(&mut self, target: &Target) -> Option<Errno> {
        if self.is_unkept(target.slot) {
            return match &mut self.entry(target.slot).ok()?.role {
                Role::Ended(failure) => failure.take().map(|failure| failure.error),
                _ => None,
            };
        }
        match &mut self.entry(target.slot).ok()?.role {
            Role::Ended(_) => self.failure_left(target),
            // The kernel's own, of a connection that was given up (tcp_disconnect), whatever the stream does since.
            role if role.is_hosts_object() => typed::socket_error(&target.copy).ok()?.err().map(errno),
            Role::Datagram(_) => self.take_datagram_error(target.slot, &target.copy),
            _ => None,
        }
    }
}

/// Hops and type of service of the SYN by which a stream of the kernel's was accepted; none of one that has connected, which no packet has given a link.
fn first_packet(object: &OwnedFd) -> Option<(u8, u8)> {
    /// Octets of a `struct cmsghdr`, and of one with a `struct in_pktinfo`.
    const HEADER: usize = 16;
    const INFO: usize = 32;
    let asks = [libc::IP_PKTINFO, libc::IP_RECVTOS];
    let set = |on: i32| asks.map(|name| sockopt::set(object.as_fd(), libc::SOL_IP, name, &on.to_ne_bytes()).is_ok());
    let number = |told: &[u8], at: usize| Some(i32::from_ne_bytes(*told.get(at..)?.first_chunk()?));
    // What the program has asked for the host of the run remembers: the object is not asked for anything else.
    set(1);
    let told = sockopt::get(object.as_fd(), libc::SOL_IP, IP_PKTOPTIONS, VALUE_MAX);
    set(0);
    let told = told.ok().filter(|told| number(told, HEADER) != Some(0))?;
    let hops = sockopt::get(object.as_fd(), libc::SOL_IP, libc::IP_MULTICAST_TTL, size_of::<i32>()).ok()?;
    Some((number(&hops, 0)? as u8, number(&told, INFO + HEADER)? as u8))
}

/// Writes the value, as much as there is room for, and its length.
fn tell(call: &Call, value: &[u8], room: usize) -> Judged {
    let shown = &value[..value.len().min(room)];
    call.memory().write_pieces([
        (call.args[3], shown),
        (call.args[4], &(shown.len() as u32).to_ne_bytes()),
    ])?;
    DONE
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO` of the kernel's object.
pub(super) fn timeout(target: &Target, which: typed::Timeout) -> Option<Duration> {
    typed::socket_timeout(&target.copy, which).ok().flatten()
}
