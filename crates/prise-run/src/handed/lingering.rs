//! Ports of handed streams that were closed: TIME-WAIT of the host kernel's own connections, in the run's table of ports.
//!
//! What is left of a connection after its last close(2) is known to the kernel that carries it, under the kernel's names. It matters to
//! who binds the port again, or listens there again: bind(2) and listen(2) ask then ([`crate::handed`] says which streams these are), and to who lists connections: of those
//! within the run from 127.0.0.1 to 127.0.0.1 the list is the kernel's own, with the listener's port translated.

use core::cell::LazyCell;
use core::net::SocketAddr;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;

use prise_socket::{Errno, Kind, LeftPort, SocketId, State};
use prise_sys::inet_diag::InetDiag;
use prise_view::Left;
use prise_wire::Instant;
use rustix::net::{getpeername, getsockname};

use crate::calls::Target;
use crate::clock;
use crate::guest::sockaddr::canonical;
use crate::handed::carried;
use crate::handed::places::{LINGERS, Places};
use crate::socket::{Slot, Sockets};
use crate::supervisor::Supervisor;

/// Connections of one port and of one claim to it that are remembered. The last one to be closed stays longest; others tell only where it is gone.
const EACH_MAX: usize = 16;
/// Different claims to one port that are remembered: by IPv4 and IPv6, of wildcards and addresses, shared and not.
const CLAIMS_MAX: usize = 16;
/// Ports that are remembered. Beyond it all are forgotten, and found free.
const PORTS_MAX: usize = 1024;

/// The names that the kernel has for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
}

impl Ends {
    /// Those of a connection between `local` and `remote`.
    pub(crate) fn between(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote }
    }

    /// Those of any connection that was accepted at `local`.
    pub(crate) fn with_anybody(local: SocketAddr) -> Self {
        Self {
            local,
            remote: SocketAddr::new(local.ip(), 0),
        }
    }

    /// Those of a connected socket.
    pub(crate) fn of(socket: &OwnedFd) -> Option<Self> {
        Some(Self {
            local: getsockname(socket).ok()?.try_into().ok()?,
            remote: getpeername(socket).ok()??.try_into().ok()?,
        })
    }
}

/// Connections with one claim to a port, the last closed one last.
#[derive(Debug)]
struct Closed {
    claim: LeftPort,
    ends: VecDeque<Ends>,
}

impl Closed {
    fn note(&mut self, ends: Ends) {
        if self.ends.len() == EACH_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back(ends);
    }

    /// Whether the kernel still has any of them; those that are gone are forgotten.
    fn stays(&mut self, mut has: impl FnMut(Ends) -> io::Result<bool>) -> io::Result<bool> {
        while let Some(&ends) = self.ends.back() {
            if has(ends)? {
                return Ok(true);
            }
            self.ends.pop_back();
        }
        Ok(false)
    }
}

/// What was closed.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    ports: HashMap<u16, Vec<Closed>>,
    /// From the first question on.
    diag: Option<InetDiag>,
}

impl Lingering {
    /// A stream is being closed.
    pub(crate) fn note(&mut self, left: LeftPort, ends: Ends) {
        if self.ports.len() >= PORTS_MAX && !self.ports.contains_key(&left.port()) {
            self.ports.clear();
        }
        let port = self.ports.entry(left.port()).or_default();
        if let Some(closed) = port.iter_mut().find(|closed| closed.claim == left) {
            return closed.note(ends);
        }
        if port.len() == CLAIMS_MAX {
            port.remove(0);
        }
        port.push(Closed {
            claim: left,
            ends: VecDeque::from([ends]),
        });
    }

    /// What still holds a port, beside the streams that are `held`.
    fn at<H: Iterator<Item = Ends>>(&mut self, port: u16, held: impl FnOnce() -> H) -> Vec<LeftPort> {
        if self.diag.is_none() && self.ports.contains_key(&port) {
            self.diag = InetDiag::open().ok();
        }
        self.asked(port, held)
    }

    /// Where the kernel is not to be asked, because descriptors are out for example, the port is free, and it is asked the next time.
    fn asked<H: Iterator<Item = Ends>>(&mut self, port: u16, held: impl FnOnce() -> H) -> Vec<LeftPort> {
        let (Some(diag), Some(closed)) = (&self.diag, self.ports.get_mut(&port)) else {
            return Vec::new();
        };
        let of_port: Vec<Ends> = closed.iter().flat_map(|closed| &closed.ends).copied().collect();
        // Of all sockets, however many there are: only where nothing less answers.
        let known = LazyCell::new(|| of_port.into_iter().chain(held()).collect::<HashSet<Ends>>());
        let mut left = Vec::new();
        closed.retain_mut(|closed| {
            let stays = closed.stays(|Ends { local, remote }| {
                if remote.port() == 0 {
                    // Others than those of which it is known what they are.
                    InetDiag::has_any_connection(local, |remote| !known.contains(&Ends { local, remote }))
                } else {
                    diag.has_connection(local, remote)
                }
            });
            left.extend(matches!(stays, Ok(true)).then_some(closed.claim));
            stays.unwrap_or(true)
        });
        if closed.is_empty() {
            self.ports.remove(&port);
        }
        left
    }
}

/// The connections of streams that programs have.
fn held(sockets: &Sockets) -> impl Iterator<Item = Ends> {
    sockets.iter().filter_map(|(_, socket)| socket.ends.as_deref().copied())
}

/// What the kernel still has of connections within the run that no program holds, under the run's names.
pub(crate) fn left_within(places: &Places, sockets: &Sockets) -> Vec<Left> {
    /// More than `net.ipv4.tcp_max_tw_buckets` lets a kernel of a small machine have; beyond it the list is cut.
    const SHOWN_MAX: usize = 16_384;
    if places.are_none() {
        return Vec::new();
    }
    // Where the kernel is not to be asked nothing is told.
    let left = InetDiag::left_on_loopback(SHOWN_MAX).unwrap_or_default();
    // What is left of TIME-WAIT is counted from here, and not from when the turn has begun.
    let now = clock::now();
    // A mapped address stays one.
    let name_of = |at: SocketAddr, over: Option<Instant>| {
        let named = places.lately_name_of(canonical(at), over, sockets, now)?;
        Some(SocketAddr::new(at.ip(), named.port()))
    };
    let named = left.into_iter().filter_map(|it| {
        let state = carried::state(it.state)?;
        let over = match (state, it.waits) {
            (State::TimeWait, Some(waits)) => Some(now - LINGERS.saturating_sub(waits)),
            _ => None,
        };
        let (local, remote) = match (name_of(it.local, over), name_of(it.remote, over)) {
            (Some(local), None) => (local, it.remote),
            (None, Some(remote)) => (it.local, remote),
            // Not the run's; or nobody can tell which end is the listener's.
            _ => return None,
        };
        Some(Left {
            local,
            remote,
            state,
            waits: it.waits,
        })
    });
    named.collect()
}

impl Supervisor {
    /// The kernel carries a stream from now on.
    pub(crate) fn note_ends(&mut self, slot: Slot, socket: &OwnedFd) {
        if let Some(stream) = self.sockets.get_mut(slot) {
            stream.ends = Ends::of(socket).map(Box::new);
        }
    }

    /// The same of a stream whose port was not picked: nobody asks what is left of others.
    pub(crate) fn note_way(&mut self, target: &Target, to: SocketAddr) {
        let Some(stream) = self.sockets.get_mut(target.slot) else {
            return;
        };
        if self.host.left_port(stream.id).is_some() {
            let own = getsockname(&target.copy).ok().and_then(|own| own.try_into().ok());
            stream.ends = own.map(|own| Box::new(Ends::between(own, to)));
        }
    }

    /// bind(2), in view of what is left of connections that the kernel carried.
    pub(crate) fn bind_in_view(&mut self, id: SocketId, kind: Kind, address: SocketAddr) -> Result<(), Errno> {
        match kind {
            // A port in TIME-WAIT is never picked: whoever binds it by its number next would be refused (`inet_csk_find_open_port`).
            Kind::Stream if address.port() == 0 => {
                let left_at = |port| self.lingering.at(port, || held(&self.sockets));
                self.host.bind_anywhere_but(self.now, id, address, left_at)
            }
            Kind::Stream => {
                let left = self.lingering.at(address.port(), || held(&self.sockets));
                self.host.bind_beside(self.now, id, address, &left)
            }
            Kind::Datagram | Kind::Raw => self.host.bind(self.now, id, address),
        }
    }

    /// listen(2) in the same view.
    pub(crate) fn listen_in_view(&mut self, id: SocketId, backlog: i32) -> Result<(), Errno> {
        let left_at = |port| self.lingering.at(port, || held(&self.sockets));
        self.host.listen_beside(self.now, id, backlog, left_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::iter;
    use prise_socket::{Family, Host, HostConfig};
    use prise_stack::StackConfig;
    use std::net::{TcpListener, TcpStream};

    const PORT: u16 = 40_000;

    /// What streams leave at the port that were accepted there.
    fn left_at_port() -> LeftPort {
        let at = SocketAddr::from(([0, 0, 0, 0], PORT));
        let mut host = Host::new(&HostConfig {
            stack: StackConfig::new([0; 2], [0; 32]),
            owner: 0,
        });
        let listener = host.socket(Family::Inet, Kind::Stream, 0).unwrap();
        host.bind(Instant::ZERO, listener, at).unwrap();
        host.listen(Instant::ZERO, listener, 1).unwrap();
        let s = host.accept_elsewhere(listener, at, at).unwrap();
        host.left_port(s).expect("a port that was not picked")
    }

    /// A connection of the kernel's, and its names.
    fn connection() -> ([TcpStream; 2], Ends) {
        // Of other programs' connections something may be left at any port of 127.0.0.1.
        let listener = TcpListener::bind("127.91.17.5:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let ends = Ends::between(peer, accepted.local_addr().unwrap());
        ([stream, accepted], ends)
    }

    fn none() -> iter::Empty<Ends> {
        iter::empty()
    }

    fn not_to_be_asked() -> iter::Empty<Ends> {
        panic!("all sockets are walked")
    }

    #[test]
    fn a_connection_whose_ends_are_known_is_found_without_the_sockets() {
        let (left, (_connection, ends)) = (left_at_port(), connection());
        let mut lingering = Lingering::default();
        lingering.note(left, ends);
        assert_eq!(lingering.at(PORT, not_to_be_asked), [left]);
        assert_eq!(lingering.at(PORT + 1, not_to_be_asked), []);
    }

    #[test]
    fn a_connection_with_anybody_is_none_that_a_program_has() {
        let (left, (_connection, ends)) = (left_at_port(), connection());
        let mut lingering = Lingering::default();
        lingering.note(left, Ends::with_anybody(ends.local));
        assert_eq!(lingering.at(PORT, none), [left]);
        assert_eq!(lingering.at(PORT, || iter::once(ends)), []);
        assert!(lingering.ports.is_empty());
    }

    #[test]
    fn what_is_left_is_remembered_while_the_kernel_is_not_to_be_asked() {
        let (left, (_connection, ends)) = (left_at_port(), connection());
        let mut lingering = Lingering::default();
        lingering.note(left, ends);
        assert_eq!(lingering.asked(PORT, none), [], "nothing is open to ask by");
        let closed = &mut lingering.ports.get_mut(&PORT).expect("it is remembered")[0];
        assert!(closed.stays(|_| Err(io::ErrorKind::Other.into())).is_err());
        assert_eq!(lingering.at(PORT, none), [left]);
    }
}
