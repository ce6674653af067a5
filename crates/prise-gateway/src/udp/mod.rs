//! UDP: a host socket for each of the guest's endpoints.
//!
//! Mapping and filtering are endpoint-independent (RFC 4787 REQ-1, REQ-8): whatever the guest's endpoint sends leaves from
//! one port of the host, and whoever sends to that port is heard, as if the guest's socket were the host's. A published
//! port is such a mapping that never ends. ICMP errors that the host's socket reports are told to the guest about the
//! datagram that caused them.

mod lifetime;
mod peers;
mod remotes;

use core::net::SocketAddr;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use prise_stack::{DatagramError, IcmpError, QuotedFlow, UdpIntercepted};
use prise_sys::inet::{self, ErrorOrigin, Family, QueuedError};
use prise_wire::{Body, Instant, Payload, SeqNum, protocol};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, sockopt};

use self::lifetime::{Lifetime, Lifetimes};
use self::peers::Peers;
use self::remotes::Remotes;
use crate::chunk::{CHUNK_LEN, Chunks};
use crate::config::Limits;
use crate::ground::{Destination, Ground};
use crate::host::{self, Kind};
use crate::policy::Decision;
use crate::poll::{EventFlags, Source};
use crate::publish::{Bound, PublishError};
use crate::record::{Direction, End, Refused, Transport};
use crate::slots::{Key, Slots};
use crate::tally::Discard;

/// Datagrams taken from one socket before others have their turn; epoll tells of the rest again.
const BATCH: usize = 64;

/// What an error is to quote of the datagram's payload: RFC 1812 §4.3.2.3 asks for 576 octets in all.
const QUOTE_MAX: usize = 548;

/// The hop limit from which on it is passed as it is: the guest did not choose it to find a router on the way.
const HOP_LIMIT_USUAL: u8 = 64;

/// A guest's endpoint and the host's socket that stands for it.
#[derive(Debug)]
struct Mapping {
    socket: OwnedFd,
    guest: SocketAddr,
    /// None for a published port, which lives as long as the gateway.
    lifetime: Option<Lifetime>,
    /// The address that a published port is bound to.
    published: Option<SocketAddr>,
    /// What the socket was last told to send with; none is the host's own choice.
    hop_limit: Option<u8>,
    tos: u8,
    remotes: Option<Box<Remotes>>,
}

/// All mappings.
#[derive(Debug)]
pub(crate) struct Mappings {
    slots: Slots<Mapping>,
    by_guest: HashMap<SocketAddr, Key>,
    lifetimes: Lifetimes,
    peers: Peers,
    chunks: Chunks,
    limit: usize,
    /// The link to the guest is full: what the host's sockets hold waits until the next turn.
    blocked: bool,
}

impl Mappings {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            slots: Slots::new(),
            by_guest: HashMap::new(),
            lifetimes: Lifetimes::default(),
            peers: Peers::default(),
            chunks: Chunks::new(),
            limit: limits.udp_mappings,
            blocked: false,
        }
    }

    /// How many host sockets there are for UDP.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Publishes a bound socket.
    pub(crate) fn publish(&mut self, bound: Bound, ground: &mut Ground) -> Result<(), PublishError> {
        let guest = SocketAddr::new(ground.addresses.guest(bound.address.ip()), bound.guest_port.get());
        let mapping = Mapping {
            published: Some(bound.address),
            ..Mapping::new(bound.socket, guest, None, ground)
        };
        // Out of memory or watches: as good as out of descriptors.
        let error = PublishError::new(bound.address, Transport::Udp, Errno::NOMEM);
        let key = self.insert(mapping, ground).ok_or(error)?;
        // Of several ports that lead to one endpoint, the first is the one from which the guest speaks unasked.
        self.by_guest.entry(guest).or_insert(key);
        Ok(())
    }

    /// The addresses of the host that lead to the guest.
    pub(crate) fn published(&self) -> impl Iterator<Item = SocketAddr> {
        self.slots.iter().filter_map(|(_, mapping)| mapping.published)
    }

    fn insert(&mut self, mapping: Mapping, ground: &Ground) -> Option<Key> {
        let key = self.slots.next_key();
        ground
            .poll
            .add(&mapping.socket, Source::Mapping, key, EventFlags::IN)
            .ok()?;
        Some(self.slots.insert(mapping))
    }

    /// A datagram of the guest for somebody beyond.
    pub(crate) fn on_datagram(&mut self, now: Instant, datagram: &UdpIntercepted, ground: &mut Ground) {
        match self.send(now, datagram, ground) {
            Ok(()) => {}
            Err((error, reason)) => {
                if let Some(error) = error {
                    tell(now, datagram.src, datagram.dst, &datagram.payload, None, error, ground);
                }
                ground.refuse(
                    now,
                    Transport::Udp,
                    datagram.src,
                    datagram.dst,
                    Refused::Gateway(reason),
                );
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        datagram: &UdpIntercepted,
        ground: &mut Ground,
    ) -> Result<(), (Option<IcmpError>, Discard)> {
        let (guest, dialled) = (datagram.src, datagram.dst);
        let to = match ground.destination(dialled) {
            Destination::Host(to) => to,
            Destination::NameServer | Destination::Closed => {
                return Err((Some(IcmpError::PortUnreachable), Discard::UdpPortClosed));
            }
            Destination::Martian => return Err((None, Discard::UdpMartian)),
            Destination::Group => return Err((None, Discard::UdpGroup)),
        };
        if ground.decide(now, dialled) == Decision::Deny && !self.is_client(guest, dialled) {
            return Err((Some(IcmpError::Prohibited), Discard::UdpDenied));
        }
        if datagram.hop_limit <= 1 && to == dialled {
            return Err((Some(IcmpError::HopLimitExceeded), Discard::UdpHopLimit));
        }
        let (key, to) = match self.peers.find(guest, dialled) {
            Some((key, real)) => (key, real),
            None => (
                self.mapping_for(now, guest, ground)
                    .ok_or((None, Discard::UdpNoSocket))?,
                to,
            ),
        };
        let Some(mapping) = self.slots.get_mut(key) else {
            return Err((None, Discard::UdpNoSocket));
        };
        if let Some(lifetime) = &mut mapping.lifetime {
            self.lifetimes.touch(now, key, lifetime, Some(dialled.port()));
        }
        mapping.tune(datagram);
        let result = mapping.send_datagram(to, &datagram.payload).or_else(|errno| {
            // An error about an earlier datagram may stand in the way: it is told, and this one tried again.
            mapping.report_errors(now, ground).then_some(()).ok_or(errno)?;
            mapping.send_datagram(to, &datagram.payload)
        });
        match result {
            Ok(octets) => {
                if let Some(remotes) = &mut mapping.remotes {
                    remotes.sent(now, dialled, octets as u64, ground);
                }
                ground.tally.datagrams_out += 1;
                ground.tally.octets_out += octets as u64;
                Ok(())
            }
            Err(errno) => Err((host::icmp_error(errno), Discard::UdpSendFailed)),
        }
    }

    /// Whether `remote` is a client of the published port that leads to the guest's endpoint: it may be answered.
    pub(crate) fn is_client(&self, guest: SocketAddr, remote: SocketAddr) -> bool {
        let way = self.peers.find(guest, remote).map(|(key, _)| key);
        let key = way.or_else(|| self.by_guest.get(&guest).copied());
        let mapping = key.and_then(|key| self.slots.get(key));
        mapping
            .and_then(|mapping| mapping.remotes.as_ref())
            .is_some_and(|remotes| remotes.is_client(remote))
    }

    /// The host's socket for the guest's endpoint, made if there is none.
    fn mapping_for(&mut self, now: Instant, guest: SocketAddr, ground: &mut Ground) -> Option<Key> {
        if let Some(&key) = self.by_guest.get(&guest) {
            return Some(key);
        }
        if self.lifetimes.len() >= self.limit {
            self.evict(now, ground);
        }
        let socket = match host::socket(Kind::Datagram, guest.ip()) {
            Err(errno) if host::is_exhausted(errno) && self.evict(now, ground) => {
                host::socket(Kind::Datagram, guest.ip()).ok()?
            }
            socket => socket.ok()?,
        };
        // Without it, errors are merely not told.
        let _ = inet::queue_errors(socket.as_fd(), family(guest));
        let lifetime = Lifetime::new(now);
        let key = self.insert(Mapping::new(socket, guest, Some(lifetime), ground), ground)?;
        self.lifetimes.insert(key, lifetime);
        self.by_guest.insert(guest, key);
        Some(key)
    }

    /// Ends the mapping that would end next. Whether there was one.
    fn evict(&mut self, now: Instant, ground: &mut Ground) -> bool {
        let Some(key) = self.lifetimes.first() else {
            return false;
        };
        ground.discard(Discard::UdpEvicted);
        self.end(now, key, End::Evicted, ground);
        true
    }

    fn end(&mut self, now: Instant, key: Key, end: End, ground: &mut Ground) {
        let Some(mapping) = self.slots.remove(key) else {
            return;
        };
        if let Some(lifetime) = mapping.lifetime {
            self.lifetimes.remove(key, lifetime);
        }
        self.by_guest.remove(&mapping.guest);
        if let Some(mut remotes) = mapping.remotes {
            remotes.close(now, end, ground);
        }
    }

    /// Ends what has been idle for too long, and lets datagrams for the guest in again.
    pub(crate) fn expire(&mut self, now: Instant, ground: &mut Ground) {
        while let Some(key) = self.lifetimes.due(now) {
            self.end(now, key, End::Idle, ground);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.lifetimes.next_deadline()
    }

    /// Notes every partner's end.
    pub(crate) fn close_records(&mut self, now: Instant, ground: &mut Ground) {
        for mapping in self.slots.values_mut() {
            if let Some(remotes) = &mut mapping.remotes {
                remotes.close(now, End::Cut, ground);
            }
        }
    }

    /// The link to the guest may have room again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// A host socket has datagrams or errors.
    pub(crate) fn on_host(&mut self, now: Instant, key: Key, flags: EventFlags, ground: &mut Ground) {
        let Some(mapping) = self.slots.get_mut(key) else {
            return;
        };
        if flags.contains(EventFlags::ERR) {
            mapping.report_errors(now, ground);
        }
        let mut taken = 0;
        while taken < BATCH && !self.blocked {
            let Some((length, from)) = mapping.receive(&mut self.chunks) else {
                break;
            };
            taken += 1;
            let payload = self.chunks.take(length);
            let shown = ground.shown(from);
            let direction = match mapping.published {
                Some(_) => Direction::Published,
                None => Direction::Outbound,
            };
            // Nobody sends to the guest whom it must not send to, but the clients of what was published for them.
            if direction == Direction::Outbound && ground.decide(now, shown) == Decision::Deny {
                ground.discard(Discard::UdpDenied);
                continue;
            }
            if let Some(bound) = mapping.published {
                self.peers.learn(mapping.guest, shown, key, from, bound);
            }
            match ground
                .stack
                .udp_send_from(now, ground.link, shown, mapping.guest, payload)
            {
                Ok(()) => {
                    if let Some(remotes) = &mut mapping.remotes {
                        remotes.received(now, shown, length as u64, direction, ground);
                    }
                    ground.tally.datagrams_in += 1;
                    ground.tally.octets_in += length as u64;
                }
                Err(DatagramError::WouldBlock) => {
                    self.blocked = true;
                    ground.discard(Discard::UdpLinkFull);
                }
                Err(_) => ground.discard(Discard::UdpNotForGuest),
            }
        }
        if let Some(lifetime) = &mut mapping.lifetime
            && taken > 0
        {
            self.lifetimes.touch(now, key, lifetime, None);
        }
    }
}

fn family(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

impl Mapping {
    fn new(socket: OwnedFd, guest: SocketAddr, lifetime: Option<Lifetime>, ground: &Ground) -> Self {
        Self {
            socket,
            guest,
            lifetime,
            published: None,
            hop_limit: None,
            tos: 0,
            remotes: Remotes::new(guest, ground),
        }
    }

    /// Has the socket send as the guest did: a router on the way (this one counted) must find the hop limit that it would
    /// have found.
    fn tune(&mut self, datagram: &UdpIntercepted) {
        let usual = datagram.hop_limit >= HOP_LIMIT_USUAL;
        let hop_limit = if usual {
            datagram.hop_limit
        } else {
            datagram.hop_limit.saturating_sub(1).max(1)
        };
        let known = self.hop_limit.unwrap_or(HOP_LIMIT_USUAL);
        // The host's own values stand where it does not let us choose.
        if hop_limit != known {
            let _ = match self.guest {
                SocketAddr::V4(_) => sockopt::set_ip_ttl(&self.socket, hop_limit.into()),
                SocketAddr::V6(_) => sockopt::set_ipv6_unicast_hops(&self.socket, Some(hop_limit)),
            };
            self.hop_limit = Some(hop_limit);
        }
        if datagram.tos != self.tos {
            let _ = match self.guest {
                SocketAddr::V4(_) => sockopt::set_ip_tos(&self.socket, datagram.tos),
                SocketAddr::V6(_) => sockopt::set_ipv6_tclass(&self.socket, datagram.tos.into()),
            };
            self.tos = datagram.tos;
        }
    }

    fn send_datagram(&self, to: SocketAddr, payload: &Body) -> Result<usize, Errno> {
        if payload.piece_count() <= host::PIECES_MAX {
            host::send_pieces(&self.socket, Some(to), payload.slices())
        } else {
            host::send_pieces(&self.socket, Some(to), core::iter::once(&*payload.to_payload()))
        }
    }

    /// The next datagram, in the chunks' buffer: its length and its sender.
    fn receive(&mut self, chunks: &mut Chunks) -> Option<(usize, SocketAddr)> {
        // An error that is taken here (RFC 1122 §4.1.3.3 has it reported) is also in the queue of errors, and stands in
        // the way of what has arrived.
        for _ in 0..BATCH {
            match net::recvfrom(&self.socket, &mut chunks.space()[..CHUNK_LEN], RecvFlags::DONTWAIT) {
                Ok((_, length, from)) => return Some((length.min(CHUNK_LEN), host::inet(from?)?)),
                Err(Errno::AGAIN) => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Tells the guest of the ICMP errors that the host's kernel has queued. Whether there were any.
    fn report_errors(&self, now: Instant, ground: &mut Ground) -> bool {
        let mut quote = [0; QUOTE_MAX];
        let mut any = false;
        for _ in 0..BATCH {
            let Ok(Some(error)) = inet::take_error(self.socket.as_fd(), &mut quote) else {
                break;
            };
            any = true;
            let quoted = Payload::copy_from(&quote[..error.quoted]);
            if let (Some(destination), Some(icmp)) = (error.destination, icmp_error(&error)) {
                let dialled = ground.shown(destination);
                let offender = error.offender.map(|ip| ground.shown(SocketAddr::new(ip, 0)).ip());
                tell(now, self.guest, dialled, &quoted.into(), offender, icmp, ground);
            }
        }
        any
    }
}

/// The error as a stack says it.
pub(crate) fn icmp_error(error: &QueuedError) -> Option<IcmpError> {
    match error.origin {
        ErrorOrigin::Icmp { kind, code } => IcmpError::from_v4(kind, code, error.info),
        ErrorOrigin::Icmp6 { kind, code } => IcmpError::from_v6(kind, code, error.info),
        ErrorOrigin::Local if error.errno == Errno::MSGSIZE.raw_os_error() => {
            Some(IcmpError::PacketTooBig { mtu: error.info })
        }
        ErrorOrigin::Local => host::icmp_error(Errno::from_raw_os_error(error.errno)),
        ErrorOrigin::Other => None,
    }
}

/// Tells the guest what became of a datagram.
fn tell(
    now: Instant,
    guest: SocketAddr,
    dialled: SocketAddr,
    payload: &Body,
    offender: Option<core::net::IpAddr>,
    error: IcmpError,
    ground: &mut Ground,
) {
    let flow = QuotedFlow {
        protocol: protocol::UDP,
        src: guest,
        dst: dialled,
        seq: SeqNum(0),
        payload: payload.slice(0, payload.len().min(QUOTE_MAX)).to_payload(),
    };
    ground.tell(now, offender, &flow, error);
}
