//! Programs that move as much as they can: a source for each flow, a sink for all of them. What arrives is counted, not
//! checked: see [`crate::talk`] for that.

use crate::program::{Io, Program};
use prise_socket::{Errno, Family, Flags, Kind, Readiness, SocketId};
use prise_wire::{Instant, Payload};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

const IPPROTO_TCP: i32 = 6;
const TCP_CONGESTION: i32 = 13;

/// Handed to the socket at once; a clone costs nothing.
const PIECE: usize = 256 * 1024;

/// Octets that have arrived of each flow, by the port it came from.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Vec<(u16, u64)>>>);

impl Tally {
    fn add(&self, port: u16, octets: u64) {
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match flows.iter_mut().find(|(known, _)| *known == port) {
            Some((_, sum)) => *sum += octets,
            None => flows.push((port, octets)),
        }
    }

    /// What has arrived of each flow so far, in the order in which they were accepted.
    pub fn flows(&self) -> Vec<u64> {
        let flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flows.iter().map(|(_, octets)| *octets).collect()
    }
}

/// Connects when told and then writes for ever.
#[derive(Debug)]
pub struct Source {
    server: SocketAddr,
    algorithm: &'static str,
    starts: Instant,
    socket: Option<SocketId>,
    piece: Payload,
}

impl Source {
    /// A flow to `server` from `starts` on, under a congestion control by its Linux name.
    pub fn new(server: SocketAddr, algorithm: &'static str, starts: Instant) -> Self {
        Self {
            server,
            algorithm,
            starts,
            socket: None,
            piece: Payload::from(vec![0; PIECE]),
        }
    }

    fn connect(&mut self, io: &mut Io<'_>) -> Result<(), Errno> {
        let family = if self.server.is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        };
        let socket = io.host.socket(family, Kind::Stream, 0)?;
        io.claim(socket);
        self.socket = Some(socket);
        let name = self.algorithm.as_bytes();
        io.host.set_option(io.now, socket, IPPROTO_TCP, TCP_CONGESTION, name)?;
        match io.host.connect(io.now, socket, self.server) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn write(&mut self, io: &mut Io<'_>, socket: SocketId) {
        if let Some(errno) = io.host.take_error(socket) {
            return io.fail(format!("connection: {errno:?}"));
        }
        loop {
            let mut piece = self.piece.clone();
            match io.host.send(io.now, socket, &mut piece, Flags::EMPTY) {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::ENOTCONN | Errno::EPIPE) => return,
                Err(errno) => return io.fail(format!("send: {errno:?}")),
            }
        }
    }
}

impl Program for Source {
    fn name(&self) -> &'static str {
        "source"
    }

    fn progress(&self) -> String {
        format!("{} from {}", self.algorithm, self.starts)
    }

    fn start(&mut self, io: &mut Io<'_>) {
        io.wake_at(self.starts);
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        self.write(io, socket);
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        if self.socket.is_none()
            && let Err(errno) = self.connect(io)
        {
            io.fail(format!("connect: {errno:?}"));
        }
    }
}

/// Accepts every flow and reads all of it.
#[derive(Debug)]
pub struct Sink {
    at: SocketAddr,
    tally: Tally,
    listener: Option<SocketId>,
    flows: Vec<(SocketId, u16)>,
}

impl Sink {
    /// A sink at `at` that counts into `tally`.
    pub const fn new(at: SocketAddr, tally: Tally) -> Self {
        Self {
            at,
            tally,
            listener: None,
            flows: Vec::new(),
        }
    }

    fn listen(&self, io: &mut Io<'_>) -> Result<SocketId, Errno> {
        let family = if self.at.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let socket = io.host.socket(family, Kind::Stream, 0)?;
        io.host.bind(io.now, socket, self.at)?;
        io.host.listen(io.now, socket, 128)?;
        Ok(socket)
    }

    fn accept(&mut self, io: &mut Io<'_>, listener: SocketId) {
        while let Ok((socket, from)) = io.host.accept(io.now, listener) {
            io.claim(socket);
            self.flows.push((socket, from.port()));
            self.tally.add(from.port(), 0);
            self.read(io, socket);
        }
    }

    fn read(&self, io: &mut Io<'_>, socket: SocketId) {
        let Some((_, port)) = self.flows.iter().find(|(known, _)| *known == socket) else {
            return;
        };
        let mut octets = 0;
        while let Ok(read) = io.host.recv(io.now, socket, 1 << 20, Flags::EMPTY) {
            if read.is_empty() {
                break;
            }
            octets += read.len() as u64;
        }
        self.tally.add(*port, octets);
    }
}

impl Program for Sink {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn progress(&self) -> String {
        format!("{:?}", self.tally.flows())
    }

    fn start(&mut self, io: &mut Io<'_>) {
        match self.listen(io) {
            Ok(listener) => {
                io.claim(listener);
                self.listener = Some(listener);
            }
            Err(errno) => io.fail(format!("listen at {}: {errno:?}", self.at)),
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        if self.listener == Some(socket) {
            self.accept(io, socket);
        } else {
            self.read(io, socket);
        }
    }
}
