//! Under a policy: calls that reach somebody, on sockets that are not ours (AF_UNIX, netlink, AF_ALG).
//!
//! Nothing here is answered "let the kernel do it": between the judgement and the kernel's own look, another thread could
//! change the address in memory, or put another socket in the descriptor's place. So the supervisor makes the call itself,
//! on a copy of the socket, with what it has read once. Only names that lead to the run's own sockets are reached; the
//! peer sees the supervisor's process in `SO_PEERCRED` then.

use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use prise_socket::Errno;
use prise_sys::unix::{self, Message};
use rustix::net::sockopt;

use super::send::{gather_front, raise_sigpipe};
use super::{blocks, read_address};
use crate::guest::LookupError;
use crate::guest::message::{CONTROL_HEADER_LEN, Header, MANY_LEN_OFFSET, MANY_STRIDE, VECTOR_MAX, control_pieces};
use crate::guest::notify::{Answer, Call, DONE, Judged, errno_of};
use crate::policy::local_sockets::Place;
use crate::socket::Slot;
use crate::supervisor::Supervisor;
use crate::waiting::parked::{ParkId, Parked, Wish};

/// What a way out is answered with, as a denied address is.
const DENIED: Errno = Errno::EACCES;

/// Descriptors in one message (`SCM_MAX_FD`).
const DESCRIPTORS_MAX: usize = 253;

/// One message of a judged call, read once.
#[derive(Debug)]
struct Outgoing {
    data: prise_wire::Payload,
    control: Vec<u8>,
    /// The descriptors in `control`, which are the supervisor's own copies.
    descriptors: Vec<OwnedFd>,
    name: Vec<u8>,
}

/// Where a name leads, as the supervisor may call it.
#[derive(Debug)]
struct Destination {
    address: Vec<u8>,
    /// Keeps what the address says from changing.
    _place: Option<Place>,
}

impl Supervisor {
    /// Judges a call on a socket that is not ours, or on a stream of ours where the call has no address.
    pub(super) fn judge_foreign(&mut self, call: &Call) -> Judged {
        let reaches = matches!(
            call.number,
            libc::SYS_connect | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg
        );
        // Without an address it is a send(2), which is judged only because it may be netlink's.
        let plain = call.number == libc::SYS_sendto && call.args[4] == 0;
        if plain || !reaches && call.number != libc::SYS_bind {
            return Ok(Answer::Native);
        }
        let copy = match self.guests.descriptor(call.tid, call.fd()) {
            Ok(copy) => copy,
            Err(LookupError::NotOpen) => return Err(Errno::EBADF),
            Err(LookupError::Gone) => return Ok(Answer::Settled),
            Err(LookupError::Exhausted) => return Err(Errno::ENFILE),
            Err(LookupError::Forbidden) => return Err(DENIED),
        };
        let Ok(domain) = sockopt::socket_domain(&copy) else {
            return Err(Errno::ENOTSOCK);
        };
        let domain = i32::from(domain.as_raw());
        if call.number == libc::SYS_bind {
            if let Some(local) = &mut self.local_sockets {
                local.enter(&copy);
            }
            return Ok(Answer::Native);
        }
        let judged = match call.number {
            libc::SYS_connect => self.connect_foreign(call, &copy, domain),
            libc::SYS_sendto => self.sendto_foreign(call, &copy, domain),
            libc::SYS_sendmsg => self
                .read_foreign(call, &copy, call.args[1])
                .and_then(|message| self.send_foreign(call, &copy, domain, &message, call.int(2)))
                .map(|sent| Answer::Value(sent as i64)),
            _ => self.sendmmsg_foreign(call, &copy, domain),
        };
        match judged {
            Err(Errno::EAGAIN) if blocks(&copy, foreign_flags(call)) => {
                self.wait_foreign(call);
                Ok(Answer::Settled)
            }
            judged => judged,
        }
    }

    fn connect_foreign(&mut self, call: &Call, copy: &OwnedFd, domain: i32) -> Judged {
        let octets = read_address(call, call.args[1], call.int(2))?;
        let destination = self.destination_foreign(call, domain, &octets)?;
        // Where the listener's queue is full a blocking socket would have the supervisor wait.
        let timeout = sockopt::socket_timeout(copy, sockopt::Timeout::Send).ok().flatten();
        let bounded = blocks(copy, 0) && domain == libc::AF_UNIX;
        if bounded {
            let shortest = Some(Duration::from_micros(1));
            let _ = sockopt::set_socket_timeout(copy, sockopt::Timeout::Send, shortest);
        }
        let connected = unix::connect(copy.as_fd(), &destination.address);
        if bounded {
            let _ = sockopt::set_socket_timeout(copy, sockopt::Timeout::Send, timeout);
        }
        connected.map_err(|error| errno_of(&error))?;
        DONE
    }

    fn sendto_foreign(&mut self, call: &Call, copy: &OwnedFd, domain: i32) -> Judged {
        let area = prise_sys::memory::Area {
            address: call.args[1],
            len: call.args[2] as usize,
        };
        let message = Outgoing {
            name: read_address(call, call.args[4], call.int(5))?,
            data: gather_front(call, &[area])?,
            control: Vec::new(),
            descriptors: Vec::new(),
        };
        let sent = self.send_foreign(call, copy, domain, &message, call.int(3))?;
        Ok(Answer::Value(sent as i64))
    }

    fn sendmmsg_foreign(&mut self, call: &Call, copy: &OwnedFd, domain: i32) -> Judged {
        let count = u64::from(call.args[2] as u32).min(VECTOR_MAX);
        for sent in 0..count {
            let address = call.args[1].wrapping_add(sent * MANY_STRIDE);
            let outcome = self.read_foreign(call, copy, address).and_then(|message| {
                let len = self.send_foreign(call, copy, domain, &message, call.int(3))?;
                let len_address = address.wrapping_add(MANY_LEN_OFFSET);
                call.memory().write(len_address, &(len as u32).to_ne_bytes())
            });
            match outcome {
                Ok(()) => (),
                Err(error) if sent == 0 => return Err(error),
                // What was sent before an error counts.
                Err(_) => return Ok(Answer::Value(sent as i64)),
            }
        }
        Ok(Answer::Value(count as i64))
    }

    fn read_foreign(&mut self, call: &Call, copy: &OwnedFd, address: u64) -> Result<Outgoing, Errno> {
        let memory = call.memory();
        let header = Header::read(memory, address)?;
        let cookie = sockopt::socket_cookie(copy).map_err(crate::guest::notify::errno)?;
        // TCP pays no attention to an address, nor to what could be passed on with the octets.
        let is_ours = self.sockets.by_cookie(cookie).is_some();
        let name = if is_ours || header.name == 0 || header.name_len == 0 {
            Vec::new()
        } else {
            read_address(
                call,
                header.name,
                header.name_len.min(crate::guest::sockaddr::ADDRESS_MAX as i32),
            )?
        };
        let mut control = if is_ours { Vec::new() } else { header.control(memory)? };
        let descriptors = self.adopt(call, &mut control)?;
        Ok(Outgoing {
            name,
            data: gather_front(call, &header.areas(memory)?)?,
            control,
            descriptors,
        })
    }

    /// Replaces what control data says of the caller by what is true of the supervisor: copies of the descriptors, and
    /// its own process.
    fn adopt(&mut self, call: &Call, control: &mut [u8]) -> Result<Vec<OwnedFd>, Errno> {
        let mut copies = Vec::new();
        let mut at = 0;
        let pieces: Vec<(i32, i32, usize)> = control_pieces(control)?
            .iter()
            .map(|&(level, kind, data)| (level, kind, data.len()))
            .collect();
        for (level, kind, len) in pieces {
            let data = &mut control[at + CONTROL_HEADER_LEN..][..len];
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for number in data.chunks_exact_mut(4) {
                        if copies.len() == DESCRIPTORS_MAX {
                            return Err(Errno::EINVAL);
                        }
                        let fd = i32::from_ne_bytes(core::array::from_fn(|i| number[i]));
                        let copy = self.guests.descriptor(call.tid, fd).map_err(|_| Errno::EBADF)?;
                        number.copy_from_slice(&copy.as_raw_fd().to_ne_bytes());
                        copies.push(copy);
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    if let Some(pid) = data.first_chunk_mut::<4>() {
                        *pid = std::process::id().to_ne_bytes();
                    }
                }
                _ => (),
            }
            at += (CONTROL_HEADER_LEN + len).next_multiple_of(8);
        }
        Ok(copies)
    }

    fn send_foreign(
        &mut self,
        call: &Call,
        copy: &OwnedFd,
        domain: i32,
        message: &Outgoing,
        flags: i32,
    ) -> Result<usize, Errno> {
        let destination = if message.name.is_empty() {
            None
        } else {
            Some(self.destination_foreign(call, domain, &message.name)?)
        };
        debug_assert!(message.descriptors.len() <= DESCRIPTORS_MAX);
        let octets = Message {
            address: destination.as_ref().map_or(&[], |destination| &destination.address),
            data: &message.data,
            control: &message.control,
        };
        let quiet = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let sent = unix::send_message(copy.as_fd(), octets, flags | quiet).map_err(|error| errno_of(&error));
        if sent == Err(Errno::EPIPE) {
            raise_sigpipe(self.guests.process(call.tid), call, flags);
        }
        sent
    }

    /// Where an address leads, if it may be reached.
    fn destination_foreign(&mut self, call: &Call, domain: i32, octets: &[u8]) -> Result<Destination, Errno> {
        let as_it_is = || Destination {
            address: octets.to_vec(),
            _place: None,
        };
        let family = octets
            .first_chunk()
            .map(|family| i32::from(u16::from_ne_bytes(*family)));
        match domain {
            libc::AF_UNIX => (),
            // The kernel is at the other end of both.
            libc::AF_NETLINK | libc::AF_ALG => return Ok(as_it_is()),
            _ => return Err(DENIED),
        }
        let Some(name) = octets.get(2..).filter(|_| family == Some(libc::AF_UNIX)) else {
            // The end of an association, or the kernel's own error.
            return Ok(as_it_is());
        };
        let Some(local) = &mut self.local_sockets else {
            return Err(DENIED);
        };
        let place = match name.split_first() {
            None => return Ok(as_it_is()),
            Some((0, name)) if local.has_name(name) => return Ok(as_it_is()),
            Some((0, _)) => None,
            Some(_) => {
                let path = name.split(|&octet| octet == 0).next().unwrap_or_default();
                let place = Place::find(call.tid, path).map_err(|error| errno_of(&error))?;
                Some(place).filter(|place| local.has_place(place))
            }
        };
        let Some(place) = place else {
            self.audit_denied_local(call, name);
            return Err(DENIED);
        };
        Ok(Destination {
            address: place.address(),
            _place: Some(place),
        })
    }

    /// Lets a call wait until what it wants is possible, which nothing tells: it is tried again whenever waiting calls are
    /// looked at.
    fn wait_foreign(&mut self, call: &Call) {
        if self.retrying == Some(call.id) {
            return;
        }
        self.park(call, Slot::NONE, Wish::Foreign, None);
    }

    /// Tries a waiting call again.
    pub(crate) fn retry_foreign(&mut self, id: ParkId) {
        let Some(Parked { call, .. }) = self.parked.get(id) else {
            return;
        };
        let call = *call;
        self.retrying = Some(call.id);
        let judged = self.judge_foreign(&call);
        self.retrying = None;
        if judged != Ok(Answer::Settled) {
            self.parked.remove(id);
            self.answer(&call, judged);
        }
    }
}

/// The `MSG_*` flags of a sending call.
fn foreign_flags(call: &Call) -> i32 {
    match call.number {
        libc::SYS_sendto | libc::SYS_sendmmsg => call.int(3),
        libc::SYS_sendmsg => call.int(2),
        _ => 0,
    }
}
