//! Calls on netlink sockets of the families that tell of the network: `netlink(7)`.

use std::os::fd::AsFd;

use prise_socket::Errno;
use prise_view::netlink::{self, Protocol, Socket};
use rustix::net::{RecvFlags, SocketFlags, SocketType, recv};

use super::{Target, read_address, write_address};
use crate::guest::Memory;
use crate::guest::message::{
    About, ControlBuffer, Destination, Header, MANY_LEN_OFFSET, MANY_STRIDE, ReceiveForm, ReceiveRequest, VECTOR_MAX,
};
use crate::guest::notify::{Answer, Call, DONE, Judged, errno, errno_of};
use crate::socket::unix;
use crate::supervisor::Supervisor;

/// The longest request (`SO_SNDBUF` of the kernel's default).
const REQUEST_MAX: usize = 212_992 - 32;
/// `SOL_NETLINK`; `NETLINK_PKTINFO`.
const SOL_NETLINK: i32 = 270;
const PACKET_INFO: i32 = 3;
/// No option of netlink's is longer than the list of groups.
const VALUE_MAX: usize = 64;

impl Supervisor {
    /// socket(2) with `AF_NETLINK`.
    pub(super) fn netlink_socket(&mut self, call: &Call, flags: SocketFlags) -> Judged {
        /// `SOCK_TYPE_MASK`.
        const TYPE_MASK: i32 = 0xf;
        let kind = call.int(1) & TYPE_MASK;
        if !matches!(kind, libc::SOCK_RAW | libc::SOCK_DGRAM) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        // The host's firewall, IPsec, wireless and the like: a kernel without them answers so.
        let protocol = Protocol::from_raw(call.int(2)).ok_or(Errno::EPROTONOSUPPORT)?;
        if !self.guests.is_open(call.tid) {
            // It could not be answered; what it then sees is the host's, unless that is not for it to see.
            return if self.is_confined() {
                Err(Errno::EACCES)
            } else {
                Ok(Answer::Native)
            };
        }
        let slot = self.netlink.next_slot();
        let (theirs, ours) = unix::pair(SocketType::SEQPACKET, flags).map_err(errno)?;
        self.poller
            .watch_socket(&ours, slot)
            .map_err(|error| errno_of(&error))?;
        let cookie = self.name_of(&theirs)?;
        let process = self.guests.process(call.tid);
        self.netlink.insert(
            (cookie, unix::inode(&theirs)),
            ours,
            Socket::new(protocol, kind),
            process,
        );
        let cloexec = flags.contains(SocketFlags::CLOEXEC);
        if let Err(error) = self.calls.install(call.id, theirs.as_fd(), cloexec) {
            self.close_netlink(slot);
            return Err(errno_of(&error));
        }
        if let Some(keeping) = &mut self.keeping {
            keeping.keep(slot, &theirs);
        }
        drop(theirs);
        if self.keeping.is_some() {
            // One that was closed would keep its name, which is the process's number, from this one.
            self.sweep();
        }
        Ok(Answer::Settled)
    }

    /// Decides a call on a netlink socket.
    pub(super) fn judge_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        match call.number {
            libc::SYS_bind => self.bind_netlink(call, target),
            libc::SYS_connect => self.connect_netlink(call, target),
            libc::SYS_getsockname => {
                let state = self.netlink_state(target)?;
                let shown = netlink::address(state.port(), state.groups());
                write_address(call, call.args[1], call.args[2], &shown)?;
                DONE
            }
            libc::SYS_getpeername => {
                let (port, groups) = self.netlink_state(target)?.peer();
                let shown = netlink::address(port, groups);
                write_address(call, call.args[1], call.args[2], &shown)?;
                DONE
            }
            libc::SYS_sendto if call.args[4] == 0 => {
                // A short send(2): what came before it is answered first, and this itself before the call returns.
                self.attend_netlink(target.slot);
                self.send_netlink(call, target, None, &[area_of(call)])
            }
            libc::SYS_sendto => {
                let name = read_address(call, call.args[4], call.int(5))?;
                self.send_netlink(call, target, Some(&name), &[area_of(call)])
            }
            libc::SYS_sendmsg => {
                let sent = self.sendmsg_netlink(call, target, call.args[1])?;
                Ok(Answer::Value(sent as i64))
            }
            libc::SYS_sendmmsg => self.sendmmsg_netlink(call, target),
            libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg => self.receive_call_netlink(call, target),
            libc::SYS_setsockopt => self.setsockopt_netlink(call, target),
            libc::SYS_getsockopt => self.getsockopt_netlink(call, target),
            libc::SYS_ioctl => self.netlink_ioctl(call),
            // listen, accept, shutdown: netlink has none of them.
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    fn netlink_state(&mut self, target: &Target) -> Result<&mut Socket, Errno> {
        let socket = self.netlink.get_mut(target.slot).ok_or(Errno::EBADF)?;
        Ok(&mut socket.state)
    }

    /// `netlink_bind`.
    fn bind_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        let octets = read_address(call, call.args[1], call.int(2))?;
        let (port, groups) = netlink::parse_address(&octets).ok_or(Errno::EINVAL)?;
        let bound = self.netlink_state(target)?.port();
        if port == 0 {
            self.netlink.autobind(target.slot);
        } else if bound == 0 {
            let state = self.netlink_state(target)?;
            let like = Socket::new(state.protocol(), state.kind());
            if self.netlink.has_port(&like, port) {
                return Err(Errno::EADDRINUSE);
            }
        }
        let state = self.netlink_state(target)?;
        let port = if port == 0 { state.port() } else { port };
        state.bind(port, groups)?;
        DONE
    }

    /// `netlink_connect`.
    fn connect_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        let octets = read_address(call, call.args[1], call.int(2))?;
        let family = octets.first_chunk().map(|family| u16::from_ne_bytes(*family));
        let peer = match family {
            None => return Err(Errno::EINVAL),
            Some(0) => None,
            Some(_) => Some(netlink::parse_address(&octets).ok_or(Errno::EINVAL)?),
        };
        self.netlink_state(target)?.connect(peer)?;
        self.netlink.autobind(target.slot);
        DONE
    }

    fn send_netlink(
        &mut self,
        call: &Call,
        target: &Target,
        name: Option<&[u8]>,
        areas: &[prise_sys::memory::Area],
    ) -> Judged {
        let total: usize = areas.iter().map(|area| area.len).fold(0, usize::saturating_add);
        let address = match name {
            Some(octets) => Some(netlink::parse_address(octets).ok_or(Errno::EINVAL)?),
            None => None,
        };
        Socket::check_sendable(address, total)?;
        if total > REQUEST_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let octets = call.memory().gather(areas)?;
        self.submit_netlink(target.slot, Some(call.tid), &octets);
        self.serve_receivers(target.slot);
        Ok(Answer::Value(total as i64))
    }

    fn sendmsg_netlink(&mut self, call: &Call, target: &Target, address: u64) -> Result<usize, Errno> {
        let memory = call.memory();
        let header = Header::read(memory, address)?;
        let areas = header.areas(memory)?;
        let name = if header.name == 0 || header.name_len == 0 {
            None
        } else {
            let len = header.name_len.min(crate::guest::sockaddr::ADDRESS_MAX as i32);
            Some(read_address(call, header.name, len)?)
        };
        self.attend_netlink(target.slot);
        match self.send_netlink(call, target, name.as_deref(), &areas)? {
            Answer::Value(sent) => Ok(sent as usize),
            Answer::Native | Answer::Settled | Answer::Unfinished => Ok(0),
        }
    }

    fn sendmmsg_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        let count = u64::from(call.args[2] as u32).min(VECTOR_MAX);
        let mut sent = 0;
        while sent < count {
            let address = call.args[1].wrapping_add(sent * MANY_STRIDE);
            let outcome = self.sendmsg_netlink(call, target, address).and_then(|len| {
                let at = address.wrapping_add(MANY_LEN_OFFSET);
                call.memory().write(at, &(len as u32).to_ne_bytes())
            });
            match outcome {
                Ok(()) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Answer::Value(sent as i64))
    }

    fn receive_call_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        self.attend_netlink(target.slot);
        let memory = call.memory();
        let (form, flags) = match call.number {
            libc::SYS_recvfrom => {
                let destination = Destination::of_recvfrom(&call.args);
                (ReceiveForm::One(destination), call.int(3))
            }
            libc::SYS_recvmsg => {
                let destination = Destination::of_message(memory, call.args[1])?;
                (ReceiveForm::One(destination), call.int(2))
            }
            _ => {
                let count = u64::from(call.args[2] as u32).min(VECTOR_MAX);
                let form = ReceiveForm::Many {
                    headers: call.args[1],
                    count,
                    filled: 0,
                };
                (form, call.int(3))
            }
        };
        self.receive(call, target, ReceiveRequest { form, flags })
    }

    /// One datagram from the program's queue, with what netlink says of it.
    pub(super) fn receive_netlink(
        &mut self,
        memory: Memory,
        target: &Target,
        to: &Destination,
        flags: i32,
    ) -> Result<usize, Errno> {
        if flags & libc::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        let kernel_flags = RecvFlags::from_bits_retain((flags & libc::MSG_PEEK) as u32);
        let kernel_flags = kernel_flags | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let room = to.room().min(self.scratch.len());
        let (_, whole) = recv(&target.copy, &mut self.scratch[..room], kernel_flags).map_err(errno)?;
        let copied = whole.min(room);
        let mut control = ControlBuffer::new(to.control_room());
        if self.netlink_state(target)?.wants_packet_info() && to.control_room() > 0 {
            control.put(SOL_NETLINK, PACKET_INFO, &[0; 4]);
        }
        let about = About {
            // From the kernel.
            name: &netlink::address(0, 0),
            control,
            flags: if whole > copied { libc::MSG_TRUNC } else { 0 },
        };
        to.write(memory, &self.scratch[..copied], &about)?;
        self.fill_netlink(target.slot);
        Ok(if flags & libc::MSG_TRUNC != 0 { whole } else { copied })
    }

    fn setsockopt_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        let (level, name) = (call.int(1), call.int(2));
        let len = usize::try_from(call.int(4)).map_err(|_| Errno::EINVAL)?;
        if Socket::refuses(level, name) && len >= size_of::<i32>() {
            call.memory().read_i32(call.args[3])?;
            return Err(Errno::EOPNOTSUPP);
        }
        if level == libc::SOL_SOCKET {
            // Buffers, filters and time-outs are the kernel's object's.
            return Ok(Answer::Native);
        }
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let mut value = vec![0; len.min(VALUE_MAX)];
        call.memory().read(call.args[3], &mut value)?;
        self.netlink_state(target)?.set_option(level, name, &value)?;
        DONE
    }

    fn getsockopt_netlink(&mut self, call: &Call, target: &Target) -> Judged {
        if !matches!(call.int(1), libc::SOL_SOCKET | SOL_NETLINK) {
            // Before anything is read.
            return Err(Errno::ENOPROTOOPT);
        }
        let room = call.memory().read_i32(call.args[4])?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        let shown = self.netlink_state(target)?.option(call.int(1), call.int(2), room)?;
        let Some((value, len)) = shown else {
            return Ok(Answer::Native);
        };
        call.memory()
            .write_pieces([(call.args[3], &value), (call.args[4], &(len as u32).to_ne_bytes())])?;
        DONE
    }
}

/// The octets that sendto(2) names.
fn area_of(call: &Call) -> prise_sys::memory::Area {
    prise_sys::memory::Area {
        address: call.args[1],
        len: call.args[2] as usize,
    }
}
