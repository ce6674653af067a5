//! A program for a host that a [foe](crate::foe) plays with: it accepts and opens connections, does on each what programs
//! do, in any order, and closes everything after a while. Nothing that it is told can surprise it.

use crate::foe::{FOE_PORT, PREY_PORT};
use crate::program::{Io, Program};
use crate::random::Random;
use prise_socket::{Errno, Family, Flags, How, Kind, Readiness, SocketId};
use prise_wire::{Instant, Payload};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Connections at once.
const SOCKETS_MAX: usize = 32;

/// Options that are set in the middle of a connection: level, name and values.
const OPTIONS: [(i32, i32, [i32; 3]); 10] = [
    (1, 7, [1, 10_000, 1 << 20]), // SO_SNDBUF
    (1, 8, [1, 10_000, 1 << 20]), // SO_RCVBUF
    (1, 9, [0, 1, 1]),            // SO_KEEPALIVE
    (6, 1, [0, 1, 1]),            // TCP_NODELAY
    (6, 3, [0, 1, 1]),            // TCP_CORK
    (6, 4, [1, 5, 60]),           // TCP_KEEPIDLE
    (6, 5, [1, 5, 60]),           // TCP_KEEPINTVL
    (6, 12, [0, 1, 1]),           // TCP_QUICKACK
    (6, 18, [0, 1_000, 20_000]),  // TCP_USER_TIMEOUT
    (6, 25, [0, 1, 100_000]),     // TCP_NOTSENT_LOWAT
];

const SO_LINGER: (i32, i32) = (1, 13);
const TCP_FASTOPEN: (i32, i32) = (6, 23);
const TCP_FASTOPEN_CONNECT: (i32, i32) = (6, 30);
const TCP_CONGESTION: (i32, i32) = (6, 13);

/// The program.
#[derive(Debug)]
pub(crate) struct Prey {
    foe: [IpAddr; 2],
    random: Random,
    /// When it closes everything.
    until: Instant,
    /// Time between two things that it does.
    every: Duration,
    listeners: Vec<SocketId>,
    sockets: Vec<SocketId>,
    accepted: u32,
    called: u32,
}

impl Prey {
    pub(crate) fn new(foe: [IpAddr; 2], until: Instant, every: Duration, random: Random) -> Self {
        Self {
            foe,
            random,
            until,
            every,
            listeners: Vec::new(),
            sockets: Vec::new(),
            accepted: 0,
            called: 0,
        }
    }

    fn listen(&mut self, io: &mut Io<'_>) -> Result<(), Errno> {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        for (family, any) in [Family::Inet, Family::Inet6].into_iter().zip(any) {
            let socket = io.host.socket(family, Kind::Stream, 0)?;
            if family == Family::Inet6 {
                // IPV6_V6ONLY.
                io.host.set_option(io.now, socket, 41, 26, &1_i32.to_ne_bytes())?;
            }
            io.host.bind(io.now, socket, SocketAddr::new(any, PREY_PORT))?;
            let queue: i32 = self.random.pick(&[0, 1, 5]);
            io.host
                .set_option(io.now, socket, TCP_FASTOPEN.0, TCP_FASTOPEN.1, &queue.to_ne_bytes())?;
            io.host.listen(io.now, socket, self.random.pick(&[1, 5, 100]))?;
            io.claim(socket);
            self.listeners.push(socket);
        }
        Ok(())
    }

    fn accept(&mut self, io: &mut Io<'_>, listener: SocketId) {
        while let Ok((socket, _)) = io.host.accept(io.now, listener) {
            self.accepted += 1;
            io.claim(socket);
            self.sockets.push(socket);
            if self.sockets.len() > SOCKETS_MAX {
                let first = self.sockets.remove(0);
                io.close(first);
            }
        }
    }

    fn call(&mut self, io: &mut Io<'_>) -> Result<(), Errno> {
        if self.sockets.len() >= SOCKETS_MAX {
            return Ok(());
        }
        let to = SocketAddr::new(self.random.pick(&self.foe), FOE_PORT);
        let family = if to.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let socket = io.host.socket(family, Kind::Stream, 0)?;
        io.claim(socket);
        self.sockets.push(socket);
        self.called += 1;
        let name = self.random.pick(&["cubic", "bbr", "reno"]);
        let (level, option) = TCP_CONGESTION;
        io.host.set_option(io.now, socket, level, option, name.as_bytes())?;
        if self.random.chance(0.4) {
            let (level, option) = TCP_FASTOPEN_CONNECT;
            io.host
                .set_option(io.now, socket, level, option, &1_i32.to_ne_bytes())?;
        }
        io.host.connect(io.now, socket, to)
    }

    /// One thing that programs do with a connection, whatever comes of it.
    fn act(&mut self, io: &mut Io<'_>, socket: SocketId) -> Result<(), Errno> {
        let (now, random) = (io.now, &mut self.random);
        match random.below(16) {
            0..=4 => {
                let len = random.pick(&[1, 100, 1448, 10_000, 200_000]);
                let flags = random.pick(&[Flags::EMPTY, Flags::EMPTY, Flags::MORE, Flags::OOB]);
                io.host.send(now, socket, &mut Payload::from(vec![0x11; len]), flags)?;
            }
            5..=8 => {
                let most = random.pick(&[1, 1000, 1 << 20]);
                let flags = random.pick(&[Flags::EMPTY, Flags::EMPTY, Flags::PEEK, Flags::OOB]);
                io.host.recv(now, socket, most, flags)?;
            }
            9 => io
                .host
                .shutdown(now, socket, random.pick(&[How::Read, How::Write, How::Both]))?,
            10 => {
                if random.chance(0.5) {
                    let linger = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
                    io.host.set_option(now, socket, SO_LINGER.0, SO_LINGER.1, &linger)?;
                }
                self.sockets.retain(|known| *known != socket);
                io.close(socket);
            }
            11..=13 => {
                let (level, name, values) = random.pick(&OPTIONS);
                let value: i32 = random.pick(&values);
                io.host.set_option(now, socket, level, name, &value.to_ne_bytes())?;
            }
            14 => drop(io.host.take_error(socket)),
            _ => io.host.disconnect(now, socket)?,
        }
        Ok(())
    }

    fn finish(&mut self, io: &mut Io<'_>) {
        for socket in self.listeners.drain(..).chain(self.sockets.drain(..)) {
            io.close(socket);
        }
        io.done();
    }
}

impl Program for Prey {
    fn name(&self) -> &'static str {
        "prey"
    }

    fn progress(&self) -> String {
        format!(
            "{} accepted, {} called, {} open",
            self.accepted,
            self.called,
            self.sockets.len()
        )
    }

    fn start(&mut self, io: &mut Io<'_>) {
        match self.listen(io) {
            Ok(()) => io.wake_at(io.now + self.every),
            Err(errno) => io.fail(format!("listen: {errno:?}")),
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        if self.listeners.contains(&socket) {
            self.accept(io, socket);
        } else if self.random.chance(0.5) && self.sockets.contains(&socket) {
            // Errors are what such connections end with.
            let _ = self.act(io, socket);
        }
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        if io.now >= self.until {
            return self.finish(io);
        }
        let which = self.random.below(self.sockets.len() as u64 + 1) as usize;
        let _ = match self.sockets.get(which) {
            Some(&socket) => self.act(io, socket),
            None => self.call(io),
        };
        io.wake_at((io.now + self.random.up_to(self.every * 2)).min(self.until));
    }
}
