//! DNS over TCP (RFC 7766): the guest's streams to port 53 end here, in the gateway's own TCP.

use core::time::Duration;
use std::collections::VecDeque;

use prise_stack::{ConnId, PendingId, Ready, Refusal, TcpConfig};
use prise_wire::{Instant, Payload};

use super::service::{Client, Service};
use crate::ground::Ground;
use crate::slots::{Key, Slots};
use crate::tally::Discard;

/// Streams at the same time; RFC 7766 §6.2.1 wants a bound, and stub resolvers use one or two.
const STREAMS_MAX: usize = 64;
/// Queries of one stream that are being answered; beyond this we stop reading (RFC 7766 §6.2.1.1 lets them pipeline).
const WAITING_MAX: u32 = 32;
/// How long an idle stream is kept (RFC 7766 §6.2.3: "on the order of seconds").
const IDLE: Duration = Duration::from_secs(20);
/// Marks the tokens of these connections among all those of the stack.
const TOKEN: u32 = 1 << 31;

#[derive(Debug)]
struct Stream {
    conn: ConnId,
    /// Octets of a message that has not wholly arrived.
    input: Vec<u8>,
    /// Responses that the guest's window has no room for yet.
    output: VecDeque<Payload>,
    /// Queries that are being answered.
    waiting: u32,
    /// The guest has finished asking.
    finished: bool,
    idle_at: Instant,
}

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    slots: Slots<Stream>,
    config: TcpConfig,
}

/// Which of the streams an event's token names, if any.
pub(crate) fn index_of(token: u32) -> Option<u32> {
    (token & TOKEN != 0).then_some(token & !TOKEN)
}

impl Streams {
    pub(crate) fn new() -> Self {
        let config = TcpConfig {
            nodelay: true,
            ..TcpConfig::default()
        };
        Self {
            slots: Slots::new(),
            config,
        }
    }

    /// The guest dials a name server.
    pub(crate) fn on_request(&mut self, now: Instant, pending: PendingId, ground: &mut Ground) {
        if self.slots.len() >= STREAMS_MAX {
            ground.discard(Discard::ConnectionLimit);
            return ground.stack.tcp_refuse(now, pending, Refusal::Drop);
        }
        let token = TOKEN | self.slots.next_key().index;
        match ground.stack.tcp_admit(now, pending, &self.config, token) {
            Ok(conn) => {
                self.slots.insert(Stream {
                    conn,
                    input: Vec::new(),
                    output: VecDeque::new(),
                    waiting: 0,
                    finished: false,
                    idle_at: now + IDLE,
                });
            }
            Err(_) => ground.discard(Discard::ConnectAbandoned),
        }
    }

    /// The guest's side has something to say.
    pub(crate) fn on_guest(
        &mut self,
        now: Instant,
        index: u32,
        id: ConnId,
        ready: Ready,
        service: &mut Service,
        ground: &mut Ground,
    ) {
        let Some(key) = self.slots.tenant(index) else {
            return;
        };
        if self.slots.get(key).is_none_or(|stream| stream.conn != id) {
            return;
        }
        if ready.intersects(Ready::ERROR) {
            ground.discard(Discard::DnsClientGone);
            return self.close(now, key, ground);
        }
        self.serve(now, key, service, ground);
    }

    /// Reads what is there and passes whole messages to the service.
    fn serve(&mut self, now: Instant, key: Key, service: &mut Service, ground: &mut Ground) {
        loop {
            let Some(stream) = self.slots.get_mut(key) else {
                return;
            };
            if stream.waiting >= WAITING_MAX {
                return;
            }
            if let Some(message) = stream.next_message() {
                stream.waiting += 1;
                stream.idle_at = now + IDLE;
                service.ask(now, Client::Tcp(key), message, &mut ground.surroundings());
                continue;
            }
            match ground.stack.tcp_receive(now, stream.conn, usize::from(u16::MAX)) {
                Ok(octets) if octets.is_empty() => {
                    stream.finished = true;
                    return self.close_if_done(now, key, ground);
                }
                Ok(octets) => stream.input.extend_from_slice(&octets),
                Err(_) => return self.send(now, key, ground),
            }
        }
    }

    /// A response for one of the streams.
    pub(crate) fn on_reply(&mut self, now: Instant, key: Key, message: &[u8], ground: &mut Ground) {
        let Some(stream) = self.slots.get_mut(key) else {
            return ground.discard(Discard::DnsClientGone);
        };
        stream.waiting = stream.waiting.saturating_sub(1);
        let mut framed = Vec::with_capacity(message.len() + 2);
        framed.extend_from_slice(&(message.len() as u16).to_be_bytes());
        framed.extend_from_slice(message);
        stream.output.push_back(framed.into());
        self.send(now, key, ground);
    }

    /// Reads on where reading had stopped for too many open queries.
    pub(crate) fn resume(&mut self, now: Instant, key: Key, service: &mut Service, ground: &mut Ground) {
        self.serve(now, key, service, ground);
    }

    fn send(&mut self, now: Instant, key: Key, ground: &mut Ground) {
        let Some(stream) = self.slots.get_mut(key) else {
            return;
        };
        while let Some(response) = stream.output.front_mut() {
            // No room, or the connection has ended: either way an event follows.
            if ground.stack.tcp_send(now, stream.conn, response, false, false).is_err() || !response.is_empty() {
                return;
            }
            stream.output.pop_front();
        }
        self.close_if_done(now, key, ground);
    }

    fn close_if_done(&mut self, now: Instant, key: Key, ground: &mut Ground) {
        let done = |stream: &Stream| stream.finished && stream.waiting == 0 && stream.output.is_empty();
        if self.slots.get(key).is_some_and(done) {
            self.close(now, key, ground);
        }
    }

    fn close(&mut self, now: Instant, key: Key, ground: &mut Ground) {
        if let Some(stream) = self.slots.remove(key) {
            ground.stack.tcp_close(now, stream.conn);
        }
    }

    /// Closes what has been idle for too long. There are few: all are looked at.
    pub(crate) fn expire(&mut self, now: Instant, ground: &mut Ground) {
        let due = |(key, stream): (Key, &Stream)| (stream.idle_at <= now).then_some(key);
        for key in self.slots.iter().filter_map(due).collect::<Vec<_>>() {
            self.close(now, key, ground);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().map(|(_, stream)| stream.idle_at).min()
    }
}

impl Stream {
    /// The next whole message (RFC 1035 §4.2.2: two octets of length before it).
    fn next_message(&mut self) -> Option<Payload> {
        let (length, rest) = self.input.split_first_chunk()?;
        let message = Payload::copy_from(rest.get(..usize::from(u16::from_be_bytes(*length)))?);
        self.input.drain(..message.len() + 2);
        Some(message)
    }
}
