//! Queries that the host's resolver interface cannot answer (MX, TXT, HTTPS …) go to the host's name server as they
//! came, and its response comes back as it is.
//!
//! Each query has a socket and an identifier of its own (RFC 5452 §9.2), so an answer cannot be guessed by port or
//! number. A server that is silent or refuses gives way to the next, twice around, as resolv.conf(5) has it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use prise_wire::{Instant, Payload};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::{HEADER_LEN, Query, Question};
use crate::poll::{EventFlags, Poll, Source};
use crate::slots::{Key, Slots};
use crate::tally::{Discard, Tally};

/// Queries under way: one socket each.
const FORWARDS_MAX: usize = 256;
/// How long one server is waited for. resolv.conf(5) says 5 s; the guest's own resolver waits no longer than that, so
/// the second server must have its turn before.
const PATIENCE: Duration = Duration::from_millis(2400);
/// resolv.conf(5) `attempts`.
const ROUNDS: usize = 2;
/// The port of DNS, RFC 1035 §4.2.
const PORT: u16 = 53;

/// How the query reached us, and so how it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Udp,
    Tcp,
}

/// A query to pass on for `C`.
#[derive(Debug)]
pub(super) struct Outgoing<C> {
    pub(super) client: C,
    pub(super) query: Query,
    /// The query as it came.
    pub(super) message: Payload,
    pub(super) carrier: Carrier,
}

/// How far one attempt has come.
#[derive(Debug)]
enum Progress {
    /// The datagram is out.
    Datagram,
    /// RFC 1035 §4.2.2: length, then message. `sent` octets of `out` are out; `input` collects what comes.
    Stream { out: Vec<u8>, sent: usize, input: Vec<u8> },
}

/// One query under way.
#[derive(Debug)]
struct Forward<C> {
    outgoing: Outgoing<C>,
    /// The identifier that the server sees.
    id: u16,
    /// Attempts made, which also says which server's turn it is.
    attempt: usize,
    socket: OwnedFd,
    progress: Progress,
}

/// A query's end: the response to give, or nothing if no server answered.
#[derive(Debug)]
pub(super) struct Forwarded<C> {
    pub(super) client: C,
    pub(super) query: Query,
    pub(super) response: Option<Vec<u8>>,
}

/// All queries under way.
#[derive(Debug)]
pub(super) struct Forwards<C> {
    servers: Vec<SocketAddr>,
    slots: Slots<Forward<C>>,
    /// When each attempt's patience ends, in order; entries of finished attempts are stale and skipped.
    deadlines: VecDeque<(Instant, Key, usize)>,
    done: VecDeque<Forwarded<C>>,
    /// State of the generator of identifiers.
    random: u64,
}

/// What became of reading or writing.
enum Step {
    /// Wait for the socket.
    Pending,
    /// The server's response.
    Response(Vec<u8>),
    /// This server is of no use.
    Failed,
}

impl<C> Forwards<C> {
    pub(super) fn new(servers: &[IpAddr], seed: u64) -> Self {
        Self {
            servers: servers.iter().map(|&ip| SocketAddr::new(ip, PORT)).collect(),
            slots: Slots::new(),
            deadlines: VecDeque::new(),
            done: VecDeque::new(),
            random: seed,
        }
    }

    #[cfg(test)]
    pub(super) fn set_servers(&mut self, servers: Vec<SocketAddr>) {
        self.servers = servers;
    }

    /// SplitMix64 over a secret seed: unlike the sixteen bits themselves, nobody outside sees its outputs in a row.
    fn next_id(&mut self) -> u16 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u16
    }

    /// Passes a query on. Its end comes by [`finished`](Self::finished), also when it fails at once.
    pub(super) fn start(&mut self, now: Instant, outgoing: Outgoing<C>, poll: &Poll, tally: &mut Tally) {
        if self.slots.len() < FORWARDS_MAX {
            self.attempt(now, outgoing, 0, poll, tally);
        } else {
            tally.discard(Discard::DnsForwardLimit);
            self.finish(outgoing, None);
        }
    }

    fn finish(&mut self, outgoing: Outgoing<C>, response: Option<Vec<u8>>) {
        let Outgoing { client, query, .. } = outgoing;
        self.done.push_back(Forwarded {
            client,
            query,
            response,
        });
    }

    /// Asks the next server that can be asked, from attempt number `attempt` on.
    fn attempt(&mut self, now: Instant, outgoing: Outgoing<C>, mut attempt: usize, poll: &Poll, tally: &mut Tally) {
        while attempt < self.servers.len() * ROUNDS {
            let server = self.servers[attempt % self.servers.len()];
            let id = self.next_id();
            if let Ok((socket, progress)) = open(server, outgoing.carrier, id, &outgoing.message) {
                let key = self.slots.next_key();
                let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                if poll.add(&socket, Source::Forward, key, interest).is_ok() {
                    self.slots.insert(Forward {
                        outgoing,
                        id,
                        attempt,
                        socket,
                        progress,
                    });
                    self.deadlines.push_back((now + PATIENCE, key, attempt));
                    return;
                }
            }
            attempt += 1;
        }
        tally.discard(Discard::DnsForwardTimeout);
        self.finish(outgoing, None);
    }

    /// A socket has something to say.
    pub(super) fn on_ready(&mut self, now: Instant, key: Key, poll: &Poll, tally: &mut Tally) {
        let Some(forward) = self.slots.get_mut(key) else {
            return;
        };
        match forward.step(tally) {
            Step::Pending => {}
            Step::Response(response) => {
                if let Some(forward) = self.slots.remove(key) {
                    self.finish(forward.outgoing, Some(response));
                }
            }
            Step::Failed => self.next_server(now, key, poll, tally),
        }
    }

    fn next_server(&mut self, now: Instant, key: Key, poll: &Poll, tally: &mut Tally) {
        if let Some(old) = self.slots.remove(key) {
            // Closing the old socket takes it out of the epoll.
            drop(old.socket);
            self.attempt(now, old.outgoing, old.attempt + 1, poll, tally);
        }
    }

    /// Gives up on the servers whose time is over.
    pub(super) fn expire(&mut self, now: Instant, poll: &Poll, tally: &mut Tally) {
        while let Some(&(at, key, attempt)) = self.deadlines.front() {
            let alive = self.slots.get(key).is_some_and(|forward| forward.attempt == attempt);
            if alive && at > now {
                return;
            }
            self.deadlines.pop_front();
            if alive {
                self.next_server(now, key, poll, tally);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|&(at, ..)| at)
    }

    /// The next query that has come to its end.
    pub(super) fn finished(&mut self) -> Option<Forwarded<C>> {
        self.done.pop_front()
    }
}

/// Starts one attempt.
fn open(server: SocketAddr, carrier: Carrier, id: u16, message: &[u8]) -> Result<(OwnedFd, Progress), Errno> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match carrier {
        Carrier::Udp => SocketType::DGRAM,
        Carrier::Tcp => SocketType::STREAM,
    };
    let socket = net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    match net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(errno) => return Err(errno),
    }
    let mut own = Vec::with_capacity(message.len() + 2);
    if carrier == Carrier::Tcp {
        own.extend_from_slice(&(message.len() as u16).to_be_bytes());
    }
    own.extend_from_slice(&id.to_be_bytes());
    own.extend_from_slice(&message[2..]);
    if carrier == Carrier::Tcp {
        let input = Vec::new();
        return Ok((
            socket,
            Progress::Stream {
                out: own,
                sent: 0,
                input,
            },
        ));
    }
    net::send(&socket, &own, SendFlags::NOSIGNAL)?;
    Ok((socket, Progress::Datagram))
}

impl<C> Forward<C> {
    /// Goes as far as the socket lets us.
    fn step(&mut self, tally: &mut Tally) -> Step {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let step = match &mut self.progress {
            Progress::Datagram => {
                receive_datagram(&self.socket, &mut buffer, self.id, &self.outgoing.query.question, tally)
            }
            Progress::Stream { out, sent, input } => exchange(&self.socket, out, sent, input, &mut buffer),
        };
        match step {
            Step::Response(response) if !answers(&response, self.id, &self.outgoing.query.question) => {
                tally.discard(Discard::DnsResponseUnknown);
                Step::Failed
            }
            Step::Response(mut response) => {
                response[..2].copy_from_slice(&self.outgoing.query.id.to_be_bytes());
                Step::Response(response)
            }
            other => other,
        }
    }
}

/// Whether `response` has that identifier and repeats that question; the name may come back in another case.
fn answers(response: &[u8], id: u16, question: &Question) -> bool {
    response.len() >= HEADER_LEN
        && response[..2] == id.to_be_bytes()
        && response[2] & 0x80 != 0
        && Question::read(response, HEADER_LEN).is_ok_and(|(echoed, _)| {
            echoed.kind == question.kind
                && echoed.class == question.class
                && echoed.name.wire().eq_ignore_ascii_case(question.name.wire())
        })
}

/// Takes datagrams until one answers. Others are forgeries or strays, and the right one may still come.
fn receive_datagram(socket: &OwnedFd, buffer: &mut [u8], id: u16, question: &Question, tally: &mut Tally) -> Step {
    loop {
        match net::recv(socket.as_fd(), &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) if answers(&buffer[..length], id, question) => {
                return Step::Response(buffer[..length].to_vec());
            }
            Ok(_) => tally.discard(Discard::DnsResponseUnknown),
            Err(Errno::AGAIN | Errno::INTR) => return Step::Pending,
            Err(_) => return Step::Failed,
        }
    }
}

/// Writes what is left of the query, then reads until the response is whole.
fn exchange(socket: &OwnedFd, out: &[u8], sent: &mut usize, input: &mut Vec<u8>, buffer: &mut [u8]) -> Step {
    while *sent < out.len() {
        match net::send(socket, &out[*sent..], SendFlags::NOSIGNAL) {
            Ok(length) => *sent += length,
            Err(Errno::AGAIN | Errno::INTR) => return Step::Pending,
            Err(_) => return Step::Failed,
        }
    }
    loop {
        if let Some((length, rest)) = input.split_first_chunk()
            && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
        {
            return Step::Response(message.to_vec());
        }
        match net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Step::Failed,
            Ok((length, _)) => input.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => return Step::Pending,
            Err(_) => return Step::Failed,
        }
    }
}
