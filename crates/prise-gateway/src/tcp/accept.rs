//! Published ports: the host's clients become connections to the guest, under their own address.
//!
//! The host's kernel completes a client's handshake as soon as the port listens, before the guest is asked; that is as
//! long as it lets a client wait. Where the guest then refuses, the client gets a reset. A driver that knows when the
//! guest listens can do better: [`Listeners::set_open`] has the kernel itself refuse in the meantime.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use prise_stack::{ConnId, ConnectError, Ready, TcpError};
use prise_wire::Instant;
use rustix::io::Errno;
use rustix::net::{self, SocketFlags};

use super::flow::HostSide;
use super::{Connection, Connections, Ends, INTEREST, Stage};
use crate::ground::Ground;
use crate::host;
use crate::poll::{EventFlags, Source};
use crate::publish::{self, Bound, PublishError};
use crate::record::{Direction, Refused, Transport};
use crate::slots::Key;
use crate::tally::Discard;

/// Clients taken from one port before others have their turn; epoll tells of the rest again.
const BATCH: usize = 64;

/// How long a port rests when descriptors have run out.
const REST: Duration = Duration::from_millis(100);

/// How many other ports are tried when the guest's table already has the client's (two clients behind loopback
/// addresses may share one).
const PORT_TRIES: u16 = 8;

/// A client that waits for the guest.
#[derive(Debug)]
pub(super) struct Knock {
    pub(super) conn: ConnId,
    pub(super) host: HostSide,
    /// The client, as the guest sees it.
    shown: SocketAddr,
    /// The guest's endpoint.
    guest: SocketAddr,
    /// Where to knock if the guest refuses here.
    otherwise: Option<SocketAddr>,
}

/// Whether a port lets clients in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Bound only: the kernel refuses clients.
    Shut,
    Open,
    /// Clients wait in the kernel until we can take them.
    Resting,
    /// The driver lets them in by a socket of its own.
    Aside,
}

#[derive(Debug)]
struct Listener {
    bound: Bound,
    door: Door,
    /// That it cannot be opened was told.
    told: bool,
}

/// A client of a published port, whom the guest has not been asked about.
#[derive(Debug)]
pub struct Caller {
    /// The host's socket, connected, close-on-exec and non-blocking.
    pub socket: OwnedFd,
    /// The client, as the guest sees it.
    pub shown: SocketAddr,
    /// The guest's endpoint.
    pub guest: SocketAddr,
}

/// All published TCP ports.
#[derive(Debug)]
pub(crate) struct Listeners {
    ports: Vec<Listener>,
    /// Clients for the driver, if it takes them: at most as many as one turn accepts.
    callers: Option<VecDeque<Caller>>,
    /// When ports that rest try again.
    rest_until: Option<Instant>,
    /// What could not be opened when it was to be, to be told.
    refused: Vec<PublishError>,
}

fn key_of(index: usize) -> Key {
    Key {
        index: index as u32,
        generation: 0,
    }
}

impl Listeners {
    /// `hand_over`: clients are the driver's.
    pub(crate) fn new(hand_over: bool) -> Self {
        Self {
            ports: Vec::new(),
            callers: hand_over.then(VecDeque::new),
            rest_until: None,
            refused: Vec::new(),
        }
    }

    /// A port that the guest listens at, and that somebody else has taken: each time once.
    pub(crate) fn refused(&mut self) -> Option<PublishError> {
        self.refused.pop()
    }

    /// The next client for the driver.
    pub(crate) fn caller(&mut self) -> Option<Caller> {
        self.callers.as_mut()?.pop_front()
    }

    /// Takes a bound port; with `open` it lets clients in at once.
    pub(crate) fn add(&mut self, bound: Bound, open: bool, ground: &Ground) -> Result<(), PublishError> {
        let index = self.ports.len();
        self.ports.push(Listener {
            bound,
            door: Door::Shut,
            told: false,
        });
        if open { self.open(index, ground) } else { Ok(()) }
    }

    fn open(&mut self, index: usize, ground: &Ground) -> Result<(), PublishError> {
        let listener = &mut self.ports[index];
        publish::listen(&listener.bound)?;
        // Only an epoll out of memory or watches refuses; then the door is as good as shut.
        let added = ground
            .poll
            .add(&listener.bound.socket, Source::Listener, key_of(index), EventFlags::IN);
        if added.is_ok() {
            listener.door = Door::Open;
        } else {
            publish::unlisten(&listener.bound);
        }
        Ok(())
    }

    /// The guest listens on `port` for that family, or no longer does: the host's ports that lead there follow.
    pub(crate) fn set_open(&mut self, port: u16, ipv6: bool, open: bool, ground: &Ground) {
        for index in 0..self.ports.len() {
            let Listener { bound, door, .. } = &mut self.ports[index];
            let other = bound.guest_port.get() != port || bound.address.is_ipv6() != ipv6 || *door == Door::Aside;
            if other || open == (*door != Door::Shut) {
                continue;
            }
            if open {
                // It stays shut then: somebody else has taken it in a moment in which it was shared.
                let refused = self.open(index, ground).err();
                let told = core::mem::replace(&mut self.ports[index].told, refused.is_some());
                self.refused.extend(refused.filter(|_| !told));
            } else {
                let _ = ground.poll.remove(&bound.socket);
                publish::unlisten(bound);
                *door = Door::Shut;
            }
        }
    }

    /// The addresses that lead to a port of the guest's and where the kernel refuses clients.
    pub(crate) fn shut(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        let leads = move |it: &&Listener| it.bound.guest_port.get() == port && it.door == Door::Shut;
        self.ports.iter().filter(leads).map(|it| it.bound.address)
    }

    /// The driver lets clients in at an address by itself, or no longer does.
    pub(crate) fn set_aside(&mut self, address: SocketAddr, aside: bool) {
        let (from, to) = if aside {
            (Door::Shut, Door::Aside)
        } else {
            (Door::Aside, Door::Shut)
        };
        for listener in &mut self.ports {
            if listener.bound.address == address && listener.door == from {
                listener.door = to;
            }
        }
    }

    /// Shares an address that is set aside, or keeps it.
    pub(crate) fn share(&self, address: SocketAddr, shared: bool) {
        let aside = |it: &&Listener| it.bound.address == address && it.door == Door::Aside;
        for listener in self.ports.iter().filter(aside) {
            publish::share(&listener.bound, shared);
        }
    }

    /// The addresses that lead to the guest.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.ports.iter().map(|listener| listener.bound.address)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.rest_until
    }

    /// Stops asking for clients until `until`.
    fn rest(&mut self, until: Instant, ground: &Ground) {
        self.rest_until = Some(until);
        self.set_interest(Door::Open, Door::Resting, EventFlags::empty(), ground);
    }

    /// Ports that rest try again, if it is time.
    pub(crate) fn expire(&mut self, now: Instant, ground: &Ground) {
        if self.rest_until.is_some_and(|until| until <= now) {
            self.rest_until = None;
            self.set_interest(Door::Resting, Door::Open, EventFlags::IN, ground);
        }
    }

    fn set_interest(&mut self, from: Door, to: Door, flags: EventFlags, ground: &Ground) {
        for (index, listener) in self.ports.iter_mut().enumerate() {
            if listener.door == from
                && ground
                    .poll
                    .modify(&listener.bound.socket, Source::Listener, key_of(index), flags)
                    .is_ok()
            {
                listener.door = to;
            }
        }
    }

    /// A port has clients.
    pub(crate) fn on_ready(&mut self, now: Instant, key: Key, connections: &mut Connections, ground: &mut Ground) {
        for _ in 0..BATCH {
            if !connections.has_room() {
                return self.rest(now + REST, ground);
            }
            let Some(Listener {
                bound,
                door: Door::Open,
                ..
            }) = self.ports.get(key.index as usize)
            else {
                return;
            };
            match net::acceptfrom_with(&bound.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, peer)) => {
                    let port = bound.guest_port.get();
                    let Some(client) = peer.and_then(host::inet) else {
                        host::reset(socket);
                        continue;
                    };
                    let (shown, guest) = ground.client(client, port);
                    let caller = Caller { socket, shown, guest };
                    match &mut self.callers {
                        Some(callers) => callers.push_back(caller),
                        None => connections.on_caller(now, caller, ground),
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    ground.discard(Discard::DescriptorsExhausted);
                    return self.rest(now + REST, ground);
                }
                // accept(2): errors of the connection that was to be accepted; the next may be well.
                Err(_) => {}
            }
        }
    }
}

impl Connections {
    /// A client has come to a published port.
    pub(crate) fn on_caller(&mut self, now: Instant, caller: Caller, ground: &mut Ground) {
        let Caller { socket, shown, guest } = caller;
        host::tune_stream(&socket);
        // A client on ::1, shown as the gateway, whom the guest refuses may be served over IPv4: it is shown as the gateway
        // either way.
        let fallback = shown.is_ipv6() && ground.addresses.is_gateway(shown.ip());
        let otherwise = fallback.then(|| SocketAddr::new(ground.addresses.guest_v4.into(), guest.port()));
        let key = self.slots.next_key();
        let Some((conn, shown)) = self.knock(now, key, shown, guest, ground) else {
            host::reset(socket);
            return turned_away(now, guest, shown, ground);
        };
        if ground.poll.add(&socket, Source::Connection, key, INTEREST).is_err() {
            ground.stack.tcp_abort(now, conn);
            host::reset(socket);
            return ground.discard(Discard::DescriptorsExhausted);
        }
        let stage = Stage::Knock(Knock {
            conn,
            host: HostSide::default(),
            shown,
            guest,
            otherwise,
        });
        self.slots.insert(Connection { socket, stage });
    }

    /// Asks the guest on behalf of a client. Where the guest's table has that client's endpoint already, the client gets
    /// another port.
    fn knock(
        &mut self,
        now: Instant,
        key: Key,
        shown: SocketAddr,
        guest: SocketAddr,
        ground: &mut Ground,
    ) -> Option<(ConnId, SocketAddr)> {
        let device = Some(ground.link);
        let mut from = shown;
        for step in 0..PORT_TRIES {
            match ground
                .stack
                .tcp_connect(now, from, guest, device, &self.config, key.index)
            {
                Ok(conn) => return Some((conn, from)),
                Err(ConnectError::AddressInUse) => {
                    // Within 32768..=65535: ports that look like a client's.
                    from.set_port(shown.port().wrapping_add(4099 * (step + 1)) | 0x8000);
                }
                Err(ConnectError::Route(_)) => return None,
            }
        }
        None
    }

    /// The guest has answered a knock.
    pub(super) fn on_answered(&mut self, now: Instant, key: Key, ready: Ready, ground: &mut Ground) {
        let Some(Stage::Knock(knock)) = self.stage(key) else {
            return;
        };
        let (conn, shown, guest) = (knock.conn, knock.shown, knock.guest);
        if ready.contains(Ready::CONNECTED) {
            let ends = Ends {
                direction: Direction::Published,
                guest,
                remote: shown,
            };
            let host = core::mem::take(&mut knock.host);
            self.open(now, key, conn, host, ends, ground);
            if ready.contains(Ready::ERROR) {
                self.guest_failed(now, key, ground);
            }
            return;
        }
        if !ready.intersects(Ready::ERROR | Ready::CLOSED) {
            return;
        }
        let otherwise = knock.otherwise.take();
        let error = ground.stack.tcp_take_error(conn);
        ground.stack.tcp_close(now, conn);
        if let (Some(TcpError::Refused), Some(guest)) = (error, otherwise) {
            let shown = SocketAddr::new(ground.addresses.gateway_v4.into(), shown.port());
            if let Some((conn, shown)) = self.knock(now, key, shown, guest, ground)
                && let Some(Stage::Knock(knock)) = self.stage(key)
            {
                (knock.conn, knock.shown, knock.guest) = (conn, shown, guest);
                return;
            }
        }
        if let Some(connection) = self.slots.remove(key) {
            host::reset(connection.socket);
        }
        turned_away(now, guest, shown, ground);
    }

    /// A client did not wait for the guest's answer.
    pub(super) fn client_left(&mut self, now: Instant, key: Key, ground: &mut Ground) {
        if let Some(Stage::Knock(knock)) = self.stage(key) {
            ground.stack.tcp_abort(now, knock.conn);
            self.slots.remove(key);
            ground.discard(Discard::PublishedClientLeft);
        }
    }
}

fn turned_away(now: Instant, guest: SocketAddr, client: SocketAddr, ground: &mut Ground) {
    let reason = Refused::Gateway(Discard::PublishedClientRefused);
    ground.refuse(now, Transport::Tcp, guest, client, reason);
}
