//! Programs that speak UDP: a client that asks, a server that echoes.
//!
//! Datagrams may be lost, and may arrive twice, if the wire does that; but what arrives is what was sent, whole.

use crate::pattern::Pattern;
use crate::program::{Io, Program};
use crate::random::Random;
use prise_socket::{Control, Errno, Family, Flags, Kind, Readiness, SocketId};
use prise_wire::Payload;
use std::net::SocketAddr;
use std::time::Duration;

/// What client and server have agreed on.
#[derive(Clone, Debug)]
pub struct Rally {
    /// Where the server is.
    pub server: SocketAddr,
    /// Told apart from other rallies in the same world by this.
    pub tag: u32,
    /// How many datagrams the client sends.
    pub count: u32,
    /// Octets of a datagram at most; at least eight.
    pub largest: usize,
    /// Time between two datagrams.
    pub every: Duration,
    /// How long after the last datagram answers are still awaited.
    pub patience: Duration,
    /// Every datagram must be answered, once: the wire loses and doubles nothing.
    pub exact: bool,
}

impl Rally {
    const fn pattern(&self, index: u32) -> Pattern {
        Pattern::new((self.tag as u64) << 32 | index as u64)
    }

    fn len(&self, index: u32) -> usize {
        Random::new(self.pattern(index).number()).between(8, self.largest.max(8) as u64) as usize
    }

    fn datagram(&self, index: u32) -> Payload {
        self.pattern(index).octets(0, self.len(index)).into()
    }

    /// Which datagram these octets are.
    fn recognize(&self, octets: &[u8]) -> Result<u32, String> {
        let number = octets.first_chunk().map(|number| u64::from_le_bytes(*number));
        let index = number.map_or(u32::MAX, |number| number as u32);
        if index >= self.count || Some(self.pattern(index).number()) != number {
            return Err(format!("a datagram begins with {number:#x?}, which nobody sent"));
        }
        if octets.len() != self.len(index) {
            return Err(format!(
                "datagram {index} has {} octets, not {}",
                octets.len(),
                self.len(index)
            ));
        }
        match self.pattern(index).first_difference(0, octets) {
            None => Ok(index),
            Some(at) => Err(format!("octet {at} of datagram {index} is not what was sent")),
        }
    }

    fn duration(&self) -> Duration {
        self.every * self.count + self.patience
    }

    fn family(&self) -> Family {
        if self.server.is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        }
    }
}

/// Sends datagrams at a steady pace and checks the answers.
#[derive(Debug)]
pub struct Asker {
    rally: Rally,
    socket: Option<SocketId>,
    sent: u32,
    refused: u32,
    answers: Vec<u32>,
}

impl Asker {
    /// A client for this rally.
    pub fn new(rally: Rally) -> Self {
        let answers = vec![0; rally.count as usize];
        Self {
            rally,
            socket: None,
            sent: 0,
            refused: 0,
            answers,
        }
    }

    fn send(&mut self, io: &mut Io<'_>, socket: SocketId) {
        let mut datagram = self.rally.datagram(self.sent);
        self.sent += 1;
        match io.host.send(io.now, socket, &mut datagram, Flags::EMPTY) {
            Ok(_) => {}
            // The wire may lose it as well; so may the host.
            Err(Errno::EAGAIN | Errno::ENOBUFS) if !self.rally.exact => self.refused += 1,
            Err(errno) => io.fail(format!("send of datagram {}: {errno:?}", self.sent - 1)),
        }
    }

    fn receive(&mut self, io: &mut Io<'_>, socket: SocketId) -> Result<(), String> {
        loop {
            let octets = match io.host.recv(io.now, socket, usize::MAX, Flags::EMPTY) {
                Ok(octets) => octets,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(format!("recv: {errno:?}")),
            };
            let index = self.rally.recognize(&octets)?;
            self.answers[index as usize] += 1;
            if self.rally.exact && self.answers[index as usize] > 1 {
                return Err(format!("datagram {index} was answered twice"));
            }
        }
    }

    fn answered(&self) -> usize {
        self.answers.iter().filter(|answers| **answers > 0).count()
    }
}

impl Program for Asker {
    fn name(&self) -> &'static str {
        "asker"
    }

    fn progress(&self) -> String {
        let Self {
            sent, refused, rally, ..
        } = self;
        format!(
            "{sent} of {} sent, {refused} refused, {} answered",
            rally.count,
            self.answered()
        )
    }

    fn start(&mut self, io: &mut Io<'_>) {
        let opened = io.host.socket(self.rally.family(), Kind::Datagram, 0);
        let connected = opened.and_then(|socket| io.host.connect(io.now, socket, self.rally.server).map(|()| socket));
        match connected {
            Ok(socket) => {
                self.socket = Some(socket);
                io.claim(socket);
                io.wake_at(io.now);
            }
            Err(errno) => io.fail(format!("connect: {errno:?}")),
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        if let Err(wrong) = self.receive(io, socket) {
            io.fail(wrong);
        }
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        let Some(socket) = self.socket else { return };
        if self.sent < self.rally.count {
            self.send(io, socket);
            let pause = if self.sent < self.rally.count {
                self.rally.every
            } else {
                self.rally.patience
            };
            return io.wake_at(io.now + pause);
        }
        let missing = self.answers.len() - self.answered();
        if self.rally.exact && missing > 0 {
            io.fail(format!("{missing} datagrams were not answered"));
        }
        self.socket = None;
        io.close(socket);
        io.done();
    }
}

/// Sends back whatever arrives, until the rally is over.
#[derive(Debug)]
pub struct Echo {
    rally: Rally,
    socket: Option<SocketId>,
    echoed: u32,
}

impl Echo {
    /// A server for this rally.
    pub const fn new(rally: Rally) -> Self {
        Self {
            rally,
            socket: None,
            echoed: 0,
        }
    }

    fn echo(&mut self, io: &mut Io<'_>, socket: SocketId) -> Result<(), String> {
        loop {
            let received = match io.host.recv_from(io.now, socket, Flags::EMPTY) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(format!("recv: {errno:?}")),
            };
            let index = self.rally.recognize(&received.payload)?;
            let sent = io.host.send_to(
                io.now,
                socket,
                received.payload,
                Flags::EMPTY,
                received.source,
                &Control::default(),
            );
            match sent {
                Ok(_) => self.echoed += 1,
                Err(Errno::EAGAIN | Errno::ENOBUFS) if !self.rally.exact => {}
                Err(errno) => return Err(format!("send_to of datagram {index}: {errno:?}")),
            }
        }
    }
}

impl Program for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn progress(&self) -> String {
        format!("{} echoed", self.echoed)
    }

    fn start(&mut self, io: &mut Io<'_>) {
        let opened = io.host.socket(self.rally.family(), Kind::Datagram, 0);
        match opened.and_then(|socket| io.host.bind(io.now, socket, self.rally.server).map(|()| socket)) {
            Ok(socket) => {
                self.socket = Some(socket);
                io.claim(socket);
                io.wake_at(io.now + self.rally.duration());
            }
            Err(errno) => io.fail(format!("bind: {errno:?}")),
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        if let Err(wrong) = self.echo(io, socket) {
            io.fail(wrong);
        }
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        if let Some(socket) = self.socket.take() {
            io.close(socket);
            io.done();
        }
    }
}
