//! Listeners that are the host kernel's own, where streams are born so ([`crate::handed::adopted`]).
//!
//! ```text
//! within the run   client ── connect(2) to the listener's place on the host's loopback ── accept(2)
//! hidden           our own caller, a token ── accept(2) finds it and gives out who waits with us
//! a stranger       whoever else of the host connects there ── reset, counted, never given out
//! ```
//! The program's stream is bound to a port of 127.0.0.1 that the kernel picks, and listens. Its queue is the kernel's: backlog,
//! poll(2), epoll(7), `TCP_DEFER_ACCEPT`, inheritance of options, what becomes of those who wait when it is closed. The run keeps the name
//! under which its programs know it, and accept(2) is judged, because names are the run's and because anybody on the host
//! may connect to 127.0.0.1: whom the run has not sent there is turned away.
//!
//! *Who is expected.* connect(2) within the run notes from where its socket has come. The kernel's queue is in the order of
//! arrival, and so is the list, so that the first entry is mostly the one.
//!
//! *Hidden connections*, those that our TCP carries and clients of published ports that the gateway has accepted, are shown by
//! tokens: connections that the supervisor makes to the listener and resets when they are accepted.
//!
//! *Nothing is held open* but by an accept(2) that waits: see [`crate::handed::native_accept`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use prise_socket::Family;
use rustix::io::Errno as E;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, connect, getpeername, getsockname, listen, send,
    socket_with, sockopt,
};

use crate::calls::Target;
use crate::guest::notify::Call;
use crate::guest::sockaddr::{canonical, for_family};
use crate::handed::direct::Publication;
use crate::handed::direct_accept::LeftCalls;
use crate::handed::lingering::Ends;
use crate::handed::plain::{Grants, HOME};
use crate::handed::unasked::Unasked;
use crate::handed::{Handed, Stage};
use crate::socket::listener::{Listening, Sign};
use crate::socket::{GuestSocket, Role, Slot, Sockets};
use crate::supervisor::Supervisor;

/// Tokens that may wait, a descriptor of the supervisor's each. More connections wait unseen, and are given out after these.
const TOKENS_MAX: usize = 256;

/// Clients that were sent to a listener, twice as many as its queue holds: some may never arrive. Beyond it those are forgotten whose
/// sockets are gone.
const EXPECTED_MAX: usize = 8192;

/// Connections to places of the run on the host's loopback that nobody of the run has made.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    /// How many were reset.
    pub(crate) turned_away: u64,
}

/// A listener of the host kernel's.
#[derive(Debug)]
pub(crate) struct NativeListener {
    /// Where clients of the run find it, as the host names it.
    at: SocketAddr,
    /// The published address where it takes clients itself.
    publication: Option<Publication>,
    /// The supervisor is told of the next connection.
    watched: bool,
    /// Clients of the run, in the order in which they were sent there.
    expected: VecDeque<Expected>,
    /// One of them was there whose connection has other names in the run than in the kernel.
    has_renamed: bool,
    /// Which of them accept(2) of the kernel may give out.
    grants: Box<Grants>,
    /// Calls at the published address that the kernel makes.
    left_calls: Box<LeftCalls>,
    /// The supervisor's own connections.
    tokens: VecDeque<Token>,
    /// accept(2) is made without asking, or was ([`crate::handed::unasked`]).
    pub(crate) unasked: Unasked,
}

/// A connection of the supervisor's.
#[derive(Debug)]
struct Token {
    /// Its own name.
    from: SocketAddr,
    socket: OwnedFd,
    /// It is in the queue.
    waits: bool,
}

/// A client of the run.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The host's name for its socket.
    from: SocketAddr,
    /// The names that the run has for both ends.
    pub(crate) names: Names,
    /// Its socket; none of one that is called the same within the run ([`crate::handed::plain`]).
    client: Option<Slot>,
    /// Its handshake was not over when that was looked at last.
    underway: bool,
}

impl Expected {
    /// A client of which nothing else is known.
    pub(crate) fn plain(names: Names) -> Self {
        Self {
            from: names.shown,
            names,
            client: None,
            underway: false,
        }
    }

    /// A client that is a socket of the run's.
    pub(crate) fn known(from: SocketAddr, names: Names, client: Slot, underway: bool) -> Self {
        Self {
            from,
            names,
            client: Some(client),
            underway,
        }
    }

    /// Whether it may not be in the queue yet.
    pub(crate) fn is_underway(&self) -> bool {
        self.underway
    }

    /// Finds out whether its handshake is over. `copy_of`: the object of a socket.
    pub(crate) fn look_again(&mut self, copy_of: impl FnOnce(Slot) -> Option<OwnedFd>) {
        if self.underway
            && let Some(copy) = self.client.and_then(copy_of)
        {
            self.underway = !is_connected(&copy);
        }
    }
}

/// The run's names for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    /// The listener's end.
    pub(crate) guest: SocketAddr,
    /// The client's.
    pub(crate) shown: SocketAddr,
}

/// Who was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A client of the run.
    Client(Names),
    /// The supervisor: somebody waits with it.
    Token,
    /// Nobody that was sent.
    Stranger,
}

impl NativeListener {
    /// Makes an unconnected stream of the kernel's listen at a published address, if that can be had, or on the host's loopback. It
    /// never listens anywhere else, whatever it was bound to before.
    pub(crate) fn open(
        stream: &OwnedFd,
        family: Family,
        backlog: i32,
        publication: Option<Publication>,
    ) -> Result<Self, E> {
        let publication = publication.filter(|it| bind_to_published(stream, family, it.address).is_ok());
        if publication.is_none() {
            bind_to_loopback(stream, family)?;
        }
        listen(stream, backlog)?;
        let at = match publication {
            Some(publication) => publication.place_within(),
            None => own_name(stream)?,
        };
        Ok(Self {
            at,
            publication,
            watched: false,
            expected: VecDeque::new(),
            has_renamed: false,
            grants: Box::default(),
            left_calls: Box::default(),
            tokens: VecDeque::new(),
            unasked: Unasked::default(),
        })
    }

    /// Where it listens.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// The published address where it takes clients itself.
    pub(crate) fn publication(&self) -> Option<Publication> {
        self.publication
    }

    /// Whether all of its clients have had the kernel's names in the run: what the kernel has of them is then theirs.
    pub(crate) fn keeps_names(&self) -> bool {
        !self.has_renamed
    }

    /// How many of those who wait are shown by tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Makes the kernel's queue show one more connection; fails where it is full, which shows as well.
    pub(crate) fn show(&mut self) -> Result<(), E> {
        self.unasked.end();
        if let Some(last) = self.tokens.back_mut() {
            // What did not fit would come again after a second, and then ever more rarely.
            if last.waits || connect(&last.socket, &self.at).is_ok() {
                last.waits = true;
            } else {
                self.tokens.pop_back();
            }
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(E::NOBUFS);
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = match self.at {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let token = socket_with(family, SocketType::STREAM, flags, None)?;
        // Reset when it is closed, it leaves nothing in TIME-WAIT.
        sockopt::set_socket_linger(&token, Some(Duration::ZERO))?;
        // As near as a peer can be, for a listener that asks for that (`IP_MINTTL`).
        match self.at {
            SocketAddr::V4(_) => sockopt::set_ip_ttl(&token, u8::MAX.into())?,
            SocketAddr::V6(_) => sockopt::set_ipv6_unicast_hops(&token, Some(u8::MAX))?,
        }
        let connected = match connect(&token, &self.at) {
            // On loopback the handshake is over by now.
            Err(E::INPROGRESS) => connect(&token, &self.at),
            other => other,
        };
        match connected {
            Ok(()) | Err(E::ALREADY) => (),
            Err(error) => return Err(error),
        }
        // A listener that waits for data waits for a token's, too.
        let _ = send(&token, b"!", SendFlags::NOSIGNAL);
        self.tokens.push_back(Token {
            from: own_name(&token)?,
            socket: token,
            waits: connected.is_ok(),
        });
        connected
    }

    /// A thread calls accept(2) again: its last call is over.
    pub(crate) fn has_returned(&mut self, tid: u32) {
        self.grants.has_returned(tid);
        self.left_calls.has_returned(tid);
    }

    /// The supervisor is to be told of the next connection. Whether that is new.
    pub(crate) fn watch(&mut self) -> bool {
        !core::mem::replace(&mut self.watched, true)
    }

    /// It was told, and will not be again.
    pub(crate) fn was_told(&mut self) {
        self.watched = false;
    }

    /// A client of the run was sent here.
    fn expect(&mut self, client: Expected) {
        self.has_renamed |= client.from != client.names.shown || client.names.guest.ip() != HOME;
        self.expected.push_back(client);
    }

    /// Whose connection it is that came from there.
    pub(crate) fn recognise(&mut self, from: SocketAddr) -> Who {
        if let Some(index) = self.expected.iter().position(|it| it.from == from) {
            return self
                .expected
                .remove(index)
                .map_or(Who::Stranger, |it| Who::Client(it.names));
        }
        match self.tokens.iter().position(|it| it.from == from) {
            Some(index) => {
                self.tokens.remove(index);
                Who::Token
            }
            None => self.grants.take_back(from).map_or(Who::Stranger, Who::Client),
        }
    }

    /// Whether accept(2) of the kernel tells whoever comes by the right names.
    pub(crate) fn expects_plain_clients_only(&self) -> bool {
        self.publication.is_none() && self.tokens.is_empty() && self.expected.iter().all(|it| it.client.is_none())
    }

    /// Whether whoever comes is a client of the published address, from the host's loopback.
    pub(crate) fn expects_strangers_only(&self) -> bool {
        let is_at_loopback = self.publication.is_some_and(|it| it.address.ip().is_loopback());
        is_at_loopback && self.tokens.is_empty() && self.expected.is_empty()
    }

    pub(crate) fn left_calls(&self) -> &LeftCalls {
        &self.left_calls
    }

    pub(crate) fn left_calls_mut(&mut self) -> &mut LeftCalls {
        &mut self.left_calls
    }

    /// Whether any accept(2) was left to the kernel: one may be under way.
    fn has_let_through(&self) -> bool {
        self.grants.given().next().is_some() || self.left_calls.any() || self.unasked.ever()
    }

    /// Whether any of these may yet find somebody though the supervisor accepts itself.
    pub(crate) fn may_come_late(&mut self) -> bool {
        self.grants.may_come() || self.left_calls.may_come() || self.unasked.ever()
    }

    /// What accept(2) of the kernel may give out, and whom.
    pub(crate) fn grants_and_expected(&mut self) -> (&mut Grants, &mut VecDeque<Expected>) {
        (&mut self.grants, &mut self.expected)
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// A stranger has come: the place is known.
    pub(crate) fn met_stranger(&mut self) {
        self.grants.end();
    }
}

/// Binds a stream to a published address, which the gateway keeps bound and shut. One that has listened there is bound to it still;
/// bound elsewhere it stays.
fn bind_to_published(stream: &OwnedFd, family: Family, address: SocketAddr) -> Result<(), E> {
    if own_name(stream)? == address {
        return Ok(());
    }
    if family == Family::Inet6 {
        sockopt::set_ipv6_v6only(stream, address.is_ipv6())?;
    }
    sockopt::set_socket_reuseaddr(stream, true)?;
    bind(stream, &for_family(address, family))
}

/// Binds a stream to a port of the host's loopback. One that has listened there keeps the address and shows the port that it had;
/// listen(2) gives it another. One that was connected and has no peer any more shows its last port, and is not bound.
fn bind_to_loopback(stream: &OwnedFd, family: Family) -> Result<(), E> {
    let before = own_name(stream)?;
    if before.port() != 0 && before.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return Ok(());
    }
    if family == Family::Inet6 {
        // Who may come is the run's affair; of the host everybody comes by IPv4.
        sockopt::set_ipv6_v6only(stream, false)?;
    }
    // `EINVAL` where it is bound elsewhere.
    bind(
        stream,
        &for_family(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), family),
    )
}

/// A socket's own name, an IPv4 one as such.
pub(crate) fn own_name(socket: &OwnedFd) -> Result<SocketAddr, E> {
    Ok(canonical(getsockname(socket)?.try_into()?))
}

/// Whether a socket's handshake is over: it has a peer then (`inet_getname`). connect(2) that would not wait has said `EINPROGRESS` either way.
fn is_connected(socket: &OwnedFd) -> bool {
    matches!(getpeername(socket), Ok(Some(_)))
}

/// Whether a connection can be made over the host's loopback: it may be down, or forbidden.
pub(crate) fn loopback_works() -> bool {
    let tried = || {
        let stream = Supervisor::hosts_object(Family::Inet, SocketFlags::empty())?;
        let listener = NativeListener::open(&stream, Family::Inet, 1, None)?;
        connect(
            Supervisor::hosts_object(Family::Inet, SocketFlags::empty())?,
            &listener.at,
        )
    };
    tried().is_ok()
}

impl GuestSocket {
    /// The kernel's listener that it is.
    pub(crate) fn native_listener(&self) -> Option<&NativeListener> {
        match &self.role {
            Role::Listener(Listening {
                sign: Sign::Native(native),
                ended: false,
                ..
            }) => Some(native),
            _ => None,
        }
    }
}

impl Sockets {
    /// The kernel's listener that a socket is.
    pub(crate) fn native_listener(&self, slot: Slot) -> Option<&NativeListener> {
        self.get(slot)?.native_listener()
    }
}

impl Supervisor {
    /// Whether listeners are the kernel's.
    pub(crate) fn listens_natively(&self) -> bool {
        self.hands.listen_natively()
    }

    /// The kernel's listener behind a socket.
    pub(crate) fn native_listener(&self, slot: Slot) -> Option<&NativeListener> {
        self.sockets.native_listener(slot)
    }

    /// Whether the kernel's listener behind a socket has had any accept(2) left to the kernel.
    pub(crate) fn has_let_through(&self, slot: Slot) -> bool {
        self.native_listener(slot).is_some_and(NativeListener::has_let_through)
    }

    pub(crate) fn native_listener_mut(&mut self, slot: Slot) -> Option<&mut NativeListener> {
        match &mut self.listening(slot)?.sign {
            Sign::Native(native) => Some(native),
            _ => None,
        }
    }

    /// listen(2) of a stream that the host has just made a listener. None where the kernel's object cannot be one.
    pub(crate) fn listen_natively(&mut self, call: &Call, target: &Target) -> Option<Slot> {
        if !self.listens_natively() || self.host.is_signed(self.sockets.get(target.slot)?.id) {
            return None;
        }
        // A listener that was shut has its object still.
        let idle = match &self.sockets.get(target.slot)?.role {
            Role::Handed(Handed { stage }) => *stage == Stage::Idle,
            Role::Listener(listening) => listening.is_native(),
            _ => false,
        };
        let renewed = if idle {
            None
        } else {
            Some(self.renewed_natively(call, target).ok()?)
        };
        let target = renewed.as_ref().unwrap_or(target);
        let publication = self.publication_of(target.slot);
        let socket = self.sockets.get(target.slot)?;
        let (family, inode) = (socket.family, socket.inode);
        let backlog = self.host.info(socket.id)?.send_queue as i32;
        // Whom nothing tells of the close, another program of the host's could follow in its place.
        self.closes.as_mut()?.watch(&target.copy, target.slot, inode).ok()?;
        self.set_aside(publication, true);
        let open = || NativeListener::open(&target.copy, family, backlog, publication).ok();
        let native = self.open_at(publication, open);
        if native.as_ref().and_then(NativeListener::publication).is_none() {
            self.set_aside(publication, false);
        }
        let role = Role::Listener(Listening::new(Sign::Native(native?)));
        self.sockets.get_mut(target.slot)?.role = role;
        Some(target.slot)
    }

    /// listen(2) once more: another backlog.
    pub(crate) fn listen_again(&mut self, target: &Target) {
        let Some(socket) = self.sockets.get(target.slot) else {
            return;
        };
        if self.native_listener(target.slot).is_some()
            && let Some(info) = self.host.info(socket.id)
        {
            // It listens: only the number changes.
            let _ = listen(&target.copy, info.send_queue as i32);
        }
    }

    /// connect(2) of a program's own socket to the place of a listener of the run, by `dial`: what came of it, and where that is.
    pub(crate) fn dial_listener(
        &mut self,
        target: &Target,
        names: Names,
        dial: impl Fn(SocketAddr) -> Result<(), E>,
    ) -> Result<(Result<(), E>, SocketAddr), E> {
        let Names { guest, shown } = names;
        let mut refused = false;
        loop {
            let Some(slot) = self.native_listener_within(guest, shown) else {
                return Err(E::CONNREFUSED);
            };
            let at = self
                .native_listener(slot)
                .map(NativeListener::at)
                .ok_or(E::CONNREFUSED)?;
            if let Some(native) = self.native_listener_mut(slot) {
                // Whoever is given out from now on may be this one, who has another name.
                native.unasked.end();
            }
            let connected = dial(at);
            match connected {
                Ok(()) | Err(E::INPROGRESS) => {
                    let from = own_name(&target.copy)?;
                    let underway = !is_connected(&target.copy);
                    self.expect_client(slot, Expected::known(from, names, target.slot, underway));
                    if let Some(client) = self.sockets.get_mut(target.slot) {
                        client.ends = Some(Box::new(Ends::between(from, at)));
                    }
                    self.arrived(slot);
                    return Ok((connected, at));
                }
                // Closed a moment ago: another may listen in its stead.
                Err(E::CONNREFUSED) if !refused => {
                    refused = true;
                    self.hear_of_closes();
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn expect_client(&mut self, listener: Slot, client: Expected) {
        let Some(native) = self.native_listener_mut(listener) else {
            return;
        };
        native.expect(client);
        if native.expected.len() < EXPECTED_MAX {
            return;
        }
        let mut expected = core::mem::take(&mut native.expected);
        expected.retain(|it| !it.underway || it.client.is_some_and(|it| self.sockets.get(it).is_some()));
        if let Some(native) = self.native_listener_mut(listener) {
            native.expected = expected;
        }
    }

    /// The listener of the kernel's to which a connection within the run between these endpoints would come.
    pub(crate) fn native_listener_within(&self, guest: SocketAddr, shown: SocketAddr) -> Option<Slot> {
        let id = self.host.listener_at(self.loopback()?, guest, shown)?;
        let slot = self.sockets.by_id(id)?;
        self.native_listener(slot).map(|_| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_handshake_is_over_though_who_does_not_wait_is_told_that_it_has_begun() {
        let stream = || Supervisor::hosts_object(Family::Inet, SocketFlags::NONBLOCK).unwrap();
        let listener = stream();
        // Room for one.
        let at = NativeListener::open(&listener, Family::Inet, 0, None).unwrap().at();
        let clients = [stream(), stream()];
        for client in &clients {
            assert_eq!(connect(client, &at), Err(Errno::INPROGRESS));
        }
        let [came, shut_out] = clients;
        let names = Names { guest: at, shown: at };
        let is_underway = |object: OwnedFd| {
            let mut client = Expected::known(at, names, Slot::NONE, true);
            client.look_again(|_| None);
            assert!(client.is_underway(), "its object cannot be had");
            client.look_again(|_| Some(object));
            client.is_underway()
        };
        assert!(!is_underway(came));
        assert!(is_underway(shut_out));
    }
}
