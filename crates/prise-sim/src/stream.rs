//! Programs that hold conversations over TCP: a client that opens connections, a server that accepts them.

use crate::pattern::Pattern;
use crate::program::{Io, Program};
use crate::random::Random;
use crate::talk::{Outcome, Plan, Talk};
use prise_socket::{Errno, Family, Flags, Kind, Readiness, SocketId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// What client and server have agreed on.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// Where the server listens.
    pub server: SocketAddr,
    /// How many connections there will be in all.
    pub connections: u32,
    /// How many of them at once, at most.
    pub at_once: u32,
    /// The server's backlog.
    pub backlog: u32,
    /// Told apart from other agreements in the same world by this.
    pub tag: u32,
    /// What the client does on each.
    pub client: Plan,
    /// What the server does on each.
    pub server_plan: Plan,
    /// Options that both set on each connection before it is used: level, name, value.
    pub options: Vec<(i32, i32, i32)>,
    /// The congestion control of both, by its Linux name; none for the default.
    pub congestion: Option<&'static str>,
    /// The wire loses so much that an attempt to connect may fail in earnest: three ARP requests in a row are enough.
    /// The client then tries again, so often at most.
    pub retries: u32,
    /// Nobody closes before the peer has acknowledged everything: who does, and then loses all retransmissions for a hundred
    /// seconds, leaves a peer that waits for ever (as Linux does, `tcp_orphan_retries`).
    pub lingers: bool,
    /// Data goes with SYNs (RFC 7413): how many such connections may wait at the server, and whether cookies are wanted.
    pub fast_open: Option<(i32, bool)>,
    /// A host may lose power: connections may break at any time, and a client that cannot connect any more gives up.
    pub breaks: bool,
}

impl Agreement {
    /// More connections may be made at once than the server lets wait: it forgets some, and resets them when it hears of
    /// them again, as Linux does.
    const fn overflows(&self) -> bool {
        self.backlog < self.at_once && self.connections > 1
    }

    /// How often connecting may fail in this world before that is wrong.
    const fn failures_allowed(&self) -> u32 {
        self.retries + if self.overflows() { self.connections } else { 0 }
    }

    /// Whether a connection that nothing has been received on may fail so.
    const fn may_fail(&self, errno: Errno) -> bool {
        match errno {
            _ if self.breaks => true,
            Errno::EHOSTUNREACH | Errno::ETIMEDOUT => self.retries > 0,
            // The server may have given up a handshake that the client completes at last.
            Errno::ECONNRESET => self.overflows() || self.retries > 0,
            _ => false,
        }
    }

    /// Whether a conversation that is complete must be kept a while.
    fn must_linger(&self, io: &mut Io<'_>, socket: SocketId) -> bool {
        let waits = self.lingers && io.host.send_queue(socket).is_ok_and(|octets| octets > 0);
        if waits {
            io.wake_at(io.now + LINGER_LOOK);
        }
        waits
    }

    /// What the client sends on its connection number `index`.
    const fn pattern(&self, index: u32) -> Pattern {
        Pattern::new((self.tag as u64) << 32 | index as u64)
    }
}

/// How often a program looks whether all has been acknowledged.
const LINGER_LOOK: Duration = Duration::from_millis(200);

/// Linux's numbers of options.
const TCP_CONGESTION: (i32, i32) = (6, 13);
const TCP_FASTOPEN: (i32, i32) = (6, 23);
const TCP_FASTOPEN_CONNECT: (i32, i32) = (6, 30);
const TCP_FASTOPEN_NO_COOKIE: (i32, i32) = (6, 34);

fn family(of: SocketAddr) -> Family {
    if of.is_ipv4() { Family::Inet } else { Family::Inet6 }
}

/// Sets the agreed options; a wrong one is a wrong scenario.
fn set_options(io: &mut Io<'_>, socket: SocketId, agreement: &Agreement) -> Result<(), String> {
    if let Some(algorithm) = agreement.congestion {
        let (level, name) = TCP_CONGESTION;
        io.host
            .set_option(io.now, socket, level, name, algorithm.as_bytes())
            .map_err(|errno| format!("setsockopt TCP_CONGESTION {algorithm}: {errno:?}"))?;
    }
    for &(level, name, value) in &agreement.options {
        io.host
            .set_option(io.now, socket, level, name, &value.to_ne_bytes())
            .map_err(|errno| format!("setsockopt {level} {name} {value}: {errno:?}"))?;
    }
    Ok(())
}

/// Sets `option` and, where no cookies are wanted, that.
fn set_fast_open(
    io: &mut Io<'_>,
    socket: SocketId,
    option: (i32, i32),
    value: i32,
    cookies: bool,
) -> Result<(), Errno> {
    let without = (TCP_FASTOPEN_NO_COOKIE, i32::from(!cookies));
    for ((level, name), value) in [(option, value), without] {
        io.host.set_option(io.now, socket, level, name, &value.to_ne_bytes())?;
    }
    Ok(())
}

/// Opens connections and holds its side of the conversation on each.
#[derive(Debug)]
pub struct Client {
    agreement: Agreement,
    random: Random,
    opened: u32,
    completed: u32,
    retried: u32,
    talks: BTreeMap<SocketId, Opening>,
}

#[derive(Debug)]
struct Opening {
    index: u32,
    talk: Talk,
    connected: bool,
}

impl Client {
    /// A client for this agreement.
    pub const fn new(agreement: Agreement, random: Random) -> Self {
        Self {
            agreement,
            random,
            opened: 0,
            completed: 0,
            retried: 0,
            talks: BTreeMap::new(),
        }
    }

    /// Opens as many connections as may be open.
    fn open(&mut self, io: &mut Io<'_>) {
        while self.opened < self.agreement.connections && (self.talks.len() as u32) < self.agreement.at_once {
            let index = self.opened;
            self.opened += 1;
            if let Err(wrong) = self.connect(io, index) {
                return io.fail(format!("connection {index}: {wrong}"));
            }
        }
        if self.completed == self.agreement.connections {
            io.done();
        }
    }

    fn connect(&mut self, io: &mut Io<'_>, index: u32) -> Result<(), String> {
        let server = self.agreement.server;
        let socket = io
            .host
            .socket(family(server), Kind::Stream, 0)
            .map_err(|errno| format!("socket: {errno:?}"))?;
        io.claim(socket);
        set_options(io, socket, &self.agreement)?;
        if let Some((_, cookies)) = self.agreement.fast_open {
            set_fast_open(io, socket, TCP_FASTOPEN_CONNECT, 1, cookies)
                .map_err(|errno| format!("setsockopt TCP_FASTOPEN_CONNECT: {errno:?}"))?;
        }
        match io.host.connect(io.now, socket, server) {
            // The SYN waits for the first write, which nobody will call for.
            Ok(()) if io.host.is_deferred(socket) => io.wake_at(io.now),
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(format!("connect: {errno:?}")),
        }
        let outgoing = self.agreement.pattern(index);
        let random = self.random.fork(u64::from(index));
        let talk = Talk::new(self.agreement.client.clone(), outgoing, outgoing.reverse(), random);
        let opening = Opening {
            index,
            talk,
            connected: false,
        };
        self.talks.insert(socket, opening);
        Ok(())
    }

    /// A connection has failed before anything was received. That may be, on a bad wire, but not again and again.
    fn connect_again(&mut self, io: &mut Io<'_>, socket: SocketId, errno: Errno) {
        let Some(opening) = self.talks.remove(&socket) else {
            return;
        };
        if !self.agreement.may_fail(errno) || self.retried == self.agreement.failures_allowed() {
            if self.agreement.breaks {
                return self.leave(io, socket);
            }
            return io.fail(format!(
                "{socket:?} {errno:?} before the first octet, after {} retries",
                self.retried
            ));
        }
        self.retried += 1;
        io.close(socket);
        if let Err(wrong) = self.connect(io, opening.index) {
            io.fail(format!("connection {}: {wrong}", opening.index));
        }
    }

    /// One connection is over, as it should be or not.
    fn leave(&mut self, io: &mut Io<'_>, socket: SocketId) {
        self.talks.remove(&socket);
        self.completed += 1;
        io.close(socket);
        self.open(io);
    }

    fn drive(&mut self, io: &mut Io<'_>, socket: SocketId) {
        let Some(opening) = self.talks.get_mut(&socket) else {
            return;
        };
        if !opening.connected {
            if let Some(errno) = io.host.take_error(socket) {
                return self.connect_again(io, socket, errno);
            }
            opening.connected = io.host.readiness(socket).contains(Readiness::OUT);
            if !opening.connected {
                return;
            }
        }
        match opening.talk.drive(io, socket) {
            Outcome::Waiting(None) => {}
            Outcome::Waiting(Some(at)) => io.wake_at(at),
            Outcome::Complete if self.agreement.must_linger(io, socket) => {}
            Outcome::Complete => self.leave(io, socket),
            Outcome::Broken(errno) => self.connect_again(io, socket, errno),
            Outcome::Cut(..) if self.agreement.breaks => self.leave(io, socket),
            Outcome::Cut(_, wrong) | Outcome::Wrong(wrong) => io.fail(format!("{socket:?}: {wrong}")),
        }
    }
}

impl Program for Client {
    fn name(&self) -> &'static str {
        "client"
    }

    fn progress(&self) -> String {
        let open: Vec<String> = self
            .talks
            .iter()
            .map(|(socket, opening)| format!("{socket:?} connected {} {}", opening.connected, opening.talk.progress()))
            .collect();
        format!(
            "{} of {} complete; {}",
            self.completed,
            self.agreement.connections,
            open.join("; ")
        )
    }

    fn start(&mut self, io: &mut Io<'_>) {
        self.open(io);
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        self.drive(io, socket);
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        let sockets: Vec<SocketId> = self.talks.keys().copied().collect();
        for socket in sockets {
            self.drive(io, socket);
        }
    }
}

/// Accepts connections and holds its side of the conversation on each.
#[derive(Debug)]
pub struct Server {
    agreement: Agreement,
    random: Random,
    listener: Option<SocketId>,
    accepted: u32,
    completed: u32,
    seen: BTreeSet<u32>,
    talks: BTreeMap<SocketId, Option<Talk>>,
    stopping: bool,
}

/// Why a connection is not held.
#[derive(Debug)]
enum Refusal {
    /// It broke.
    Broken(String),
    /// It is none that may be.
    Wrong(String),
}

impl Server {
    /// A server for this agreement.
    pub const fn new(agreement: Agreement, random: Random) -> Self {
        Self {
            agreement,
            random,
            listener: None,
            accepted: 0,
            completed: 0,
            seen: BTreeSet::new(),
            talks: BTreeMap::new(),
            stopping: false,
        }
    }

    fn listen(&mut self, io: &mut Io<'_>) -> Result<SocketId, Errno> {
        let server = self.agreement.server;
        let socket = io.host.socket(family(server), Kind::Stream, 0)?;
        io.host.bind(io.now, socket, server)?;
        if let Some((queue, cookies)) = self.agreement.fast_open {
            set_fast_open(io, socket, TCP_FASTOPEN, queue, cookies)?;
        }
        io.host.listen(io.now, socket, self.agreement.backlog as i32)?;
        Ok(socket)
    }

    fn accept(&mut self, io: &mut Io<'_>) {
        // A connection that is complete at once may be the last: then there is no listener any more.
        while let Some(listener) = self.listener {
            match io.host.accept(io.now, listener) {
                Ok((socket, _)) => {
                    io.claim(socket);
                    self.accepted += 1;
                    if let Err(wrong) = set_options(io, socket, &self.agreement) {
                        io.fail(wrong);
                    }
                    self.talks.insert(socket, None);
                    self.drive(io, socket);
                }
                Err(Errno::EAGAIN) => return,
                Err(errno) => return io.fail(format!("accept: {errno:?}")),
            }
        }
    }

    /// Learns from the first octets which connection of the client's this is.
    fn recognize(&mut self, io: &mut Io<'_>, socket: SocketId) -> Result<Option<Talk>, Refusal> {
        let first = match io.host.recv(io.now, socket, 8, Flags::PEEK) {
            Ok(first) => first,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(Refusal::Broken(format!("recv of the first octets: {errno:?}"))),
        };
        let Some(number) = first.first_chunk() else {
            // What is left of a stream that broke is less than its first octets.
            let broke = io.host.readiness(socket).contains(Readiness::HUP);
            return if first.is_empty() || broke {
                Err(Refusal::Broken("the stream ended before it began".into()))
            } else {
                Ok(None)
            };
        };
        let incoming = Pattern::new(u64::from_le_bytes(*number));
        let index = incoming.number() as u32;
        if index >= self.agreement.connections || incoming != self.agreement.pattern(index) {
            return Err(Refusal::Wrong(format!(
                "the stream begins with {:#x}, which nobody sent",
                incoming.number()
            )));
        }
        if !self.seen.insert(index) && !self.agreement.breaks {
            return Err(Refusal::Wrong(format!("connection {index} was accepted twice")));
        }
        let random = self.random.fork(u64::from(index));
        let plan = self.agreement.server_plan.clone();
        Ok(Some(Talk::new(plan, incoming.reverse(), incoming, random)))
    }

    fn drive(&mut self, io: &mut Io<'_>, socket: SocketId) {
        let mut talk = match self.talks.remove(&socket) {
            None => return,
            Some(Some(talk)) => talk,
            Some(None) => match self.recognize(io, socket) {
                Ok(Some(talk)) => talk,
                Ok(None) => {
                    self.talks.insert(socket, None);
                    return;
                }
                Err(Refusal::Broken(_)) if self.agreement.breaks => return self.leave(io, socket),
                Err(Refusal::Broken(wrong) | Refusal::Wrong(wrong)) => return io.fail(format!("{socket:?}: {wrong}")),
            },
        };
        match talk.drive(io, socket) {
            Outcome::Waiting(at) => {
                if let Some(at) = at {
                    io.wake_at(at);
                }
                self.talks.insert(socket, Some(talk));
            }
            Outcome::Complete if self.agreement.must_linger(io, socket) => {
                self.talks.insert(socket, Some(talk));
            }
            Outcome::Complete => self.leave(io, socket),
            Outcome::Broken(_) | Outcome::Cut(..) if self.agreement.breaks => self.leave(io, socket),
            Outcome::Cut(_, wrong) => io.fail(format!("{socket:?}: {wrong}")),
            Outcome::Broken(errno) => io.fail(format!("{socket:?}: {errno:?} before the first octet")),
            Outcome::Wrong(wrong) => io.fail(format!("{socket:?}: {wrong}; {}", talk.progress())),
        }
    }

    /// One connection is over, as it should be or not.
    fn leave(&mut self, io: &mut Io<'_>, socket: SocketId) {
        self.completed += 1;
        io.close(socket);
        self.finish(io);
    }

    /// Stops listening after the last connection.
    fn finish(&mut self, io: &mut Io<'_>) {
        if self.stopping {
            if self.talks.is_empty() {
                io.done();
            }
            return;
        }
        if self.completed == self.agreement.connections && !self.agreement.breaks {
            if let Some(listener) = self.listener.take() {
                io.close(listener);
            }
            io.done();
        }
    }
}

impl Program for Server {
    fn name(&self) -> &'static str {
        "server"
    }

    fn progress(&self) -> String {
        let open: Vec<String> = self
            .talks
            .iter()
            .map(|(socket, talk)| {
                let progress = talk
                    .as_ref()
                    .map_or_else(|| "not a word yet".to_owned(), Talk::progress);
                format!("{socket:?} {progress}")
            })
            .collect();
        format!(
            "{} accepted, {} complete; {}",
            self.accepted,
            self.completed,
            open.join("; ")
        )
    }

    fn start(&mut self, io: &mut Io<'_>) {
        match self.listen(io) {
            Ok(listener) => {
                io.claim(listener);
                self.listener = Some(listener);
            }
            Err(errno) => io.fail(format!("listen at {}: {errno:?}", self.agreement.server)),
        }
    }

    fn stop(&mut self, io: &mut Io<'_>) {
        if let Some(listener) = self.listener.take() {
            io.close(listener);
        }
        self.stopping = true;
        self.finish(io);
    }

    fn ready(&mut self, io: &mut Io<'_>, socket: SocketId, _: Readiness) {
        if self.listener == Some(socket) {
            self.accept(io);
        } else {
            self.drive(io, socket);
        }
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        let sockets: Vec<SocketId> = self.talks.keys().copied().collect();
        for socket in sockets {
            self.drive(io, socket);
        }
    }
}
