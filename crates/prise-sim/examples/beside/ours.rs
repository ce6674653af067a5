//! Our end of flows in real time: a host with one link, which connects or listens, and writes or reads as fast as it can.

use prise_socket::{Errno, Family, Flags, Host, HostConfig, Kind, Readiness, SocketId};
use prise_stack::{LinkConfig, LinkId, StackConfig};
use prise_wire::{Frame, Instant, Medium, Payload};
use std::net::SocketAddr;

const TCP_CONGESTION: (i32, i32) = (6, 13);
const SO_LINGER: (i32, i32) = (1, 13);

/// What is offered to a socket at once.
const PIECE: usize = 256 * 1024;

/// A host, the flows that begin here, and those that end here.
#[derive(Debug)]
pub(crate) struct Station {
    host: Host,
    link: LinkId,
    sources: Vec<SocketId>,
    listeners: Vec<(SocketId, u16)>,
    sinks: Vec<(SocketId, u16)>,
    /// Octets read, by the port that they came to.
    arrived: Vec<(u16, u64)>,
    piece: Payload,
    over: bool,
}

fn complain<T>(what: &str, result: Result<T, Errno>) -> Result<T, String> {
    result.map_err(|errno| format!("{what}: {errno:?}"))
}

impl Station {
    /// A host at `address` (`"10.0.0.1/16"`).
    pub(crate) fn new(address: &str, seed: u64) -> Result<Self, String> {
        let stack = StackConfig::new([seed, seed ^ 0x5eed], [seed as u8; 32]);
        let mut host = Host::new(&HostConfig { stack, owner: 0 });
        let link = host.stack_mut().add_link(&LinkConfig {
            name: "eth0",
            medium: Medium::Ip,
            mac: None,
            mtu: 1500,
            gso_max: 65_535,
            checksum_offload: true,
            loopback: false,
            transparent: false,
        });
        let link = link.ok_or("no room for a link")?;
        let cidr = address.parse().map_err(|_| format!("{address} is no address"))?;
        host.stack_mut().add_address(Instant::ZERO, link, cidr);
        Ok(Self {
            host,
            link,
            sources: Vec::new(),
            listeners: Vec::new(),
            sinks: Vec::new(),
            arrived: Vec::new(),
            piece: Payload::from(vec![0; PIECE]),
            over: false,
        })
    }

    /// A flow that ends here.
    pub(crate) fn listen(&mut self, now: Instant, at: SocketAddr) -> Result<(), String> {
        let socket = complain("socket", self.host.socket(Family::Inet, Kind::Stream, 0))?;
        complain("bind", self.host.bind(now, socket, at))?;
        complain("listen", self.host.listen(now, socket, 8))?;
        self.listeners.push((socket, at.port()));
        self.arrived.push((at.port(), 0));
        Ok(())
    }

    /// A flow that begins here.
    pub(crate) fn connect(&mut self, now: Instant, to: SocketAddr, algorithm: &str) -> Result<(), String> {
        let socket = complain("socket", self.host.socket(Family::Inet, Kind::Stream, 0))?;
        let (level, name) = TCP_CONGESTION;
        complain(
            "congestion control",
            self.host.set_option(now, socket, level, name, algorithm.as_bytes()),
        )?;
        match self.host.connect(now, socket, to) {
            Ok(()) | Err(Errno::EINPROGRESS) => self.sources.push(socket),
            Err(errno) => return Err(format!("connect: {errno:?}")),
        }
        Ok(())
    }

    /// Octets that have arrived at this port.
    pub(crate) fn arrived(&self, port: u16) -> u64 {
        let found = self.arrived.iter().find(|(known, _)| *known == port);
        found.map_or(0, |(_, octets)| *octets)
    }

    pub(crate) fn receive(&mut self, now: Instant, frame: Frame) {
        self.host.receive(now, self.link, [frame]);
    }

    /// Does what can be done now, and hands over what is to be sent. Answers whether there was anything.
    pub(crate) fn turn(&mut self, now: Instant, mut send: impl FnMut(Frame)) -> bool {
        if self.host.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.host.expire(now);
        }
        let mut busy = false;
        while let Some((socket, readiness)) = self.host.event() {
            busy = true;
            self.serve(now, socket, readiness);
        }
        while let Some(frame) = self.host.transmit(now, self.link) {
            busy = true;
            send(frame);
        }
        busy
    }

    fn serve(&mut self, now: Instant, socket: SocketId, readiness: Readiness) {
        if let Some(&(_, port)) = self.listeners.iter().find(|(known, _)| *known == socket) {
            while let Ok((sink, _)) = self.host.accept(now, socket) {
                self.sinks.push((sink, port));
                self.read(now, sink, port);
            }
        } else if let Some(&(_, port)) = self.sinks.iter().find(|(known, _)| *known == socket) {
            self.read(now, socket, port);
        } else if readiness.contains(Readiness::OUT) && !self.over {
            while self
                .host
                .send(now, socket, &mut self.piece.clone(), Flags::EMPTY)
                .is_ok()
            {}
        }
    }

    fn read(&mut self, now: Instant, socket: SocketId, port: u16) {
        while let Ok(octets) = self.host.recv(now, socket, 1 << 20, Flags::EMPTY) {
            if octets.is_empty() {
                return;
            }
            if let Some((_, sum)) = self.arrived.iter_mut().find(|(known, _)| *known == port) {
                *sum += octets.len() as u64;
            }
        }
    }

    /// Resets everything.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.over = true;
        let linger = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
        let sinks = self
            .sinks
            .drain(..)
            .chain(self.listeners.drain(..))
            .map(|(socket, _)| socket);
        for socket in sinks.chain(self.sources.drain(..)) {
            let _ = self.host.set_option(now, socket, SO_LINGER.0, SO_LINGER.1, &linger);
            self.host.close(now, socket);
        }
    }
}
