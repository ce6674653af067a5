//! One open connection: octets from the guest's TCP into the host's socket and back, by reference where they are many.
//!
//! Nothing is kept between the two: what the host's socket does not take stays in the stack's receive queue and closes the
//! guest's window; what the guest's window does not take stays in the host's socket. A FIN passes when all before it
//! has passed; so does a reset from the host, within bounded patience, since a server that answers and then resets
//! (it closed with unread data) should still be heard, as it is on a network.

use core::time::Duration;
use std::os::fd::OwnedFd;

use prise_stack::{ConnId, Stack};
use prise_sys::inet;
use prise_wire::{Instant, Payload};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown};
use std::os::fd::AsFd;

use crate::chunk::{CHUNK_LEN, Chunks};
use crate::host;
use crate::poll::EventFlags;
use crate::record::{End, FlowNumber};

/// Octets that one connection moves each way before others have their turn.
const QUANTUM: usize = 256 * 1024;

/// How long octets that came before a host's reset may take to reach a guest that does not read.
const RESET_PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the host's socket. All of it is learnt by edges and forgotten by `EAGAIN`.
#[derive(Debug, Default)]
pub(super) struct HostSide {
    /// There may be something to read.
    readable: bool,
    /// There may be room to write.
    writable: bool,
    /// The peer has finished or failed: read to the end, however short a read comes back.
    hung_up: bool,
    /// Urgent data has been announced and not been reached.
    urgent: bool,
    /// Everything was read; the peer's FIN was passed on.
    finished: bool,
    /// The guest's FIN was passed on.
    write_shut: bool,
    /// Writing failed, or would: what can still be read is read, then the guest is reset.
    failed: bool,
}

impl HostSide {
    /// Notes what epoll said.
    pub(super) fn learn(&mut self, flags: EventFlags) {
        let over = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        self.hung_up |= over || flags.contains(EventFlags::RDHUP);
        self.urgent |= flags.contains(EventFlags::PRI);
        self.readable |= self.hung_up || flags.intersects(EventFlags::IN | EventFlags::PRI);
        self.writable |= over || flags.contains(EventFlags::OUT);
        // Before the peer's FIN, reading tells of the error, after what came before it.
        self.failed |= self.finished && flags.contains(EventFlags::ERR);
    }
}

/// An open connection, or one whose handshake with the guest is under way.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) conn: ConnId,
    pub(super) number: FlowNumber,
    pub(super) host: HostSide,
    /// The handshake with the guest is done.
    pub(super) established: bool,
    /// Among those that wait for their turn.
    pub(super) queued: bool,
    /// The host's side was reset; when this is over, or everything has passed, the guest is reset too.
    resetting: Option<Instant>,
    /// Octets from the guest.
    pub(super) sent: u64,
    /// Octets to the guest.
    pub(super) received: u64,
}

/// Where a turn left a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing more can be done until something happens.
    Idle,
    /// The quantum is used up; there is more.
    More,
    /// The host's reset is being passed on; look again by then.
    Resetting(Instant),
    /// It is over.
    Ended(End),
}

/// Why the pump from the host stopped.
enum Read {
    Idle,
    More,
    Reset,
}

impl Flow {
    pub(super) fn new(conn: ConnId, number: FlowNumber, host: HostSide) -> Self {
        Self {
            conn,
            number,
            host,
            established: false,
            queued: false,
            resetting: None,
            sent: 0,
            received: 0,
        }
    }

    /// Moves what can be moved, both ways.
    pub(super) fn turn(&mut self, now: Instant, socket: &OwnedFd, stack: &mut Stack, chunks: &mut Chunks) -> Turn {
        if !self.established {
            return Turn::Idle;
        }
        if self.resetting.is_none() {
            let wrote_all = self.carry_out(now, socket, stack);
            let read = self.carry_in(now, socket, stack, chunks);
            let reset = matches!(read, Read::Reset) || (self.host.finished && self.host.failed);
            if !reset {
                return self.after_carrying(wrote_all && !matches!(read, Read::More));
            }
            self.resetting = Some(now + RESET_PATIENCE);
        }
        let waiting = stack.tcp_info(now, self.conn).is_some_and(|info| info.send_queue > 0);
        match self.resetting {
            Some(patience) if waiting && now < patience => Turn::Resetting(patience),
            _ => Turn::Ended(End::HostReset),
        }
    }

    fn after_carrying(&self, all_done: bool) -> Turn {
        if self.host.finished && self.host.write_shut {
            Turn::Ended(End::Finished)
        } else if all_done {
            Turn::Idle
        } else {
            Turn::More
        }
    }

    /// From the guest to the host. `false` if there is more to move at once.
    fn carry_out(&mut self, now: Instant, socket: &OwnedFd, stack: &mut Stack) -> bool {
        let mut budget = QUANTUM;
        while !self.host.failed && !self.host.write_shut {
            let readable = stack.tcp_readable(self.conn);
            if readable == 0 && stack.tcp_fin_received(self.conn) {
                // ENOTCONN if the peer has reset it, which reading will tell.
                let _ = net::shutdown(socket, Shutdown::Write);
                self.host.write_shut = true;
            }
            if readable == 0 || !self.host.writable {
                return true;
            }
            if budget == 0 {
                return false;
            }
            match self.write_some(socket, stack, readable.min(budget)) {
                Ok((asked, written)) => {
                    stack.tcp_consume(now, self.conn, written);
                    self.sent += written as u64;
                    budget -= written;
                    self.host.writable = written == asked;
                }
                Err(Errno::AGAIN) => self.host.writable = false,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.host.failed = true;
                    self.host.hung_up = true;
                    self.host.readable = true;
                }
            }
        }
        true
    }

    /// One write of at most `limit` octets, not beyond the urgent mark: how many were offered, how many taken.
    fn write_some(&self, socket: &OwnedFd, stack: &Stack, limit: usize) -> Result<(usize, usize), Errno> {
        let mark = stack.tcp_urgent_mark(self.conn).map(|octets| octets as usize);
        if mark == Some(0) {
            let urgent = stack.tcp_received(self.conn).find_map(<[u8]>::first);
            let flags = SendFlags::OOB | SendFlags::NOSIGNAL;
            let octet = urgent.map_or(0, |octet| *octet);
            return Ok((1, net::send(socket, &[octet], flags)?));
        }
        let mut left = mark.map_or(limit, |mark| mark.min(limit));
        let mut asked = 0;
        let pieces = stack.tcp_received(self.conn).take(host::PIECES_MAX).map_while(|piece| {
            let taken = &piece[..piece.len().min(left)];
            left -= taken.len();
            asked += taken.len();
            (!taken.is_empty()).then_some(taken)
        });
        let written = host::send_pieces(socket, None, pieces)?;
        Ok((asked, written))
    }

    /// From the host to the guest.
    fn carry_in(&mut self, now: Instant, socket: &OwnedFd, stack: &mut Stack, chunks: &mut Chunks) -> Read {
        let mut budget = QUANTUM;
        while self.host.readable && !self.host.finished {
            // Asking arms the event that says when there is room again.
            if !stack.tcp_is_writable(self.conn) {
                return Read::Idle;
            }
            if budget == 0 {
                return Read::More;
            }
            let room = stack.tcp_send_space(self.conn).min(CHUNK_LEN).min(budget);
            match self.read_some(socket, chunks, room) {
                Ok((0, _)) => {
                    if self.host.failed {
                        return Read::Reset;
                    }
                    stack.tcp_shutdown_write(now, self.conn);
                    self.host.finished = true;
                }
                Ok((length, urgent)) => {
                    self.give(now, stack, chunks.take(length), urgent);
                    budget -= length;
                    // A short read has emptied the socket, unless its end or an urgent mark cut it short.
                    self.host.readable = length == room || self.host.hung_up || self.host.urgent || urgent;
                }
                Err(Errno::AGAIN) => {
                    self.host.readable = false;
                    self.host.urgent = false;
                }
                Err(Errno::INTR) => {}
                Err(_) => return Read::Reset,
            }
        }
        Read::Idle
    }

    /// One read of at most `room` octets, and whether its last octet is urgent. The kernel stops reads at the mark.
    fn read_some(&mut self, socket: &OwnedFd, chunks: &mut Chunks, room: usize) -> Result<(usize, bool), Errno> {
        let at_mark = self.host.urgent && inet::at_urgent_mark(socket.as_fd()).unwrap_or(false);
        let room = if at_mark { 1 } else { room };
        let (length, _) = net::recv(socket, &mut chunks.space()[..room], RecvFlags::DONTWAIT)?;
        if at_mark {
            self.host.urgent = false;
        }
        Ok((length, at_mark && length == 1))
    }

    /// Hands octets to the guest's TCP, which has room for them.
    fn give(&mut self, now: Instant, stack: &mut Stack, mut payload: Payload, urgent: bool) {
        self.received += payload.len() as u64;
        // The room was asked for before reading; a connection that has ended meanwhile says so by its event.
        let _ = stack.tcp_send(now, self.conn, &mut payload, false, urgent);
    }
}
