//! Ping: the guest's echo requests leave through the host's own ping sockets (icmp(7)), where the host lets us have them
//! (net.ipv4.ping_group_range). Where it does not, the gateway says that they may not pass: an echo reply that nobody gave
//! would be a lie, and silence would look like a lost packet.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use prise_stack::{EchoIntercepted, IcmpError, QuotedFlow};
use prise_sys::inet::{self, Family};
use prise_wire::{Body, Echo, Instant, Payload, SeqNum, protocol};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, sockopt};

use crate::config::Limits;
use crate::ground::{Destination, Ground};
use crate::host::{self, Kind};
use crate::policy::Decision;
use crate::poll::{EventFlags, Source};
use crate::record::Fact;
use crate::slots::{Key, Slots};
use crate::tally::Discard;
use crate::udp;

/// RFC 5508 REQ-2: at least sixty seconds.
const IDLE: Duration = Duration::from_mins(1);
/// Messages taken from one socket before others have their turn.
const BATCH: usize = 64;
/// Octets of an echo message before its data: type, code, checksum, identifier, sequence number (RFC 792).
const HEADER_LEN: usize = 8;
/// The largest message there can be.
const MESSAGE_MAX: usize = 65_535;

/// A pinging program of the guest.
type Pinger = (IpAddr, u16);

#[derive(Debug)]
struct Mapping {
    socket: OwnedFd,
    pinger: Pinger,
    hop_limit: Option<u8>,
    idle_at: Instant,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Echoes {
    slots: Slots<Mapping>,
    by_pinger: HashMap<Pinger, Key>,
    ends: BTreeSet<(Instant, Key)>,
    limit: usize,
    /// Who has pinged whom, for the record.
    noted: HashSet<(Pinger, IpAddr)>,
}

/// Pairs that are remembered for the record; beyond them all are forgotten, and noted once more.
const NOTED_MAX: usize = 1024;

/// The numbers of an echo message in either version.
struct Numbers {
    request: u8,
    reply: u8,
    protocol: u8,
    family: Family,
}

fn numbers(address: IpAddr) -> Numbers {
    match address {
        IpAddr::V4(_) => Numbers {
            request: 8,
            reply: 0,
            protocol: protocol::ICMPV4,
            family: Family::V4,
        },
        IpAddr::V6(_) => Numbers {
            request: 128,
            reply: 129,
            protocol: protocol::ICMPV6,
            family: Family::V6,
        },
    }
}

impl Echoes {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            slots: Slots::new(),
            by_pinger: HashMap::new(),
            ends: BTreeSet::new(),
            limit: limits.echo_mappings,
            noted: HashSet::new(),
        }
    }

    /// The guest pings somebody beyond.
    pub(crate) fn on_request(&mut self, now: Instant, request: &EchoIntercepted, ground: &mut Ground) {
        if let Err((error, reason)) = self.send(now, request, ground) {
            ground.discard(reason);
            if let Some(error) = error {
                let payload = request.payload.to_payload();
                tell(
                    now,
                    (request.src, request.echo),
                    request.dst,
                    payload,
                    None,
                    error,
                    ground,
                );
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        request: &EchoIntercepted,
        ground: &mut Ground,
    ) -> Result<(), (Option<IcmpError>, Discard)> {
        let dialled = SocketAddr::new(request.dst, 0);
        let Destination::Host(to) = ground.destination(dialled) else {
            return Err((None, Discard::EchoDenied));
        };
        let denied = ground.decide(now, dialled) == Decision::Deny;
        self.note(now, request, denied, ground);
        if denied {
            return Err((Some(IcmpError::Prohibited), Discard::EchoDenied));
        }
        if request.hop_limit <= 1 {
            return Err((Some(IcmpError::HopLimitExceeded), Discard::UdpHopLimit));
        }
        let key = self.mapping_for(now, request, ground)?;
        let Some(mapping) = self.slots.get_mut(key) else {
            return Err((None, Discard::EchoUnavailable));
        };
        mapping.tune(request.hop_limit);
        let sequence = request.echo.sequence.to_be_bytes();
        // The kernel puts its own identifier and the checksum in.
        let header = [numbers(request.dst).request, 0, 0, 0, 0, 0, sequence[0], sequence[1]];
        let send = || {
            let pieces = core::iter::once(&header[..]).chain(request.payload.slices());
            host::send_pieces(&mapping.socket, Some(to), pieces)
        };
        let result = send().or_else(|errno| {
            mapping.report_errors(now, ground).then_some(()).ok_or(errno)?;
            send()
        });
        match result {
            Ok(_) => Ok(()),
            Err(errno) => Err((host::icmp_error(errno), Discard::EchoSendFailed)),
        }
    }

    fn note(&mut self, now: Instant, request: &EchoIntercepted, denied: bool, ground: &mut Ground) {
        if !ground.records.are_wanted() {
            return;
        }
        if self.noted.len() >= NOTED_MAX {
            self.noted.clear();
        }
        let pinger = (request.src, request.echo.identifier);
        if self.noted.insert((pinger, request.dst)) {
            ground.note(now, || Fact::Ping {
                guest: SocketAddr::new(request.src, request.echo.identifier),
                remote: request.dst,
                denied,
            });
        }
    }

    fn mapping_for(
        &mut self,
        now: Instant,
        request: &EchoIntercepted,
        ground: &mut Ground,
    ) -> Result<Key, (Option<IcmpError>, Discard)> {
        let pinger = (request.src, request.echo.identifier);
        let idle_at = now + IDLE;
        if let Some(&key) = self.by_pinger.get(&pinger)
            && let Some(mapping) = self.slots.get_mut(key)
        {
            self.ends.remove(&(mapping.idle_at, key));
            mapping.idle_at = idle_at;
            self.ends.insert((idle_at, key));
            return Ok(key);
        }
        if self.slots.len() >= self.limit
            && let Some(&(_, oldest)) = self.ends.first()
        {
            self.end(oldest);
            ground.discard(Discard::EchoEvicted);
        }
        let unavailable = |errno| {
            let forbidden = matches!(errno, Errno::ACCESS | Errno::PERM);
            (forbidden.then_some(IcmpError::Prohibited), Discard::EchoUnavailable)
        };
        let socket = host::socket(Kind::Echo, request.src).map_err(unavailable)?;
        // Without it, errors are merely not told.
        let _ = inet::queue_errors(socket.as_fd(), numbers(request.src).family);
        let key = self.slots.next_key();
        let added = ground.poll.add(&socket, Source::Echo, key, EventFlags::IN);
        added.map_err(|_| (None, Discard::EchoUnavailable))?;
        self.slots.insert(Mapping {
            socket,
            pinger,
            hop_limit: None,
            idle_at,
        });
        self.by_pinger.insert(pinger, key);
        self.ends.insert((idle_at, key));
        Ok(key)
    }

    fn end(&mut self, key: Key) {
        if let Some(mapping) = self.slots.remove(key) {
            self.by_pinger.remove(&mapping.pinger);
            self.ends.remove(&(mapping.idle_at, key));
        }
    }

    /// A host socket has replies or errors.
    pub(crate) fn on_host(&mut self, now: Instant, key: Key, flags: EventFlags, ground: &mut Ground) {
        let Some(mapping) = self.slots.get(key) else {
            return;
        };
        if flags.contains(EventFlags::ERR) {
            mapping.report_errors(now, ground);
        }
        let mut buffer = vec![0; MESSAGE_MAX];
        for _ in 0..BATCH {
            match net::recvfrom(&mapping.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length, from)) => {
                    if let Some(from) = from.and_then(host::inet) {
                        mapping.reply(now, &buffer[..length.min(MESSAGE_MAX)], from, ground);
                    }
                }
                Err(Errno::AGAIN) => return,
                // An error that the queue holds too.
                Err(_) => {}
            }
        }
    }

    /// Ends what has been idle for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.ends.first()
            && at <= now
        {
            self.end(key);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.ends.first().map(|&(at, _)| at)
    }
}

impl Mapping {
    fn tune(&mut self, hop_limit: u8) {
        // One less: this gateway is a router on the way.
        let hop_limit = hop_limit.saturating_sub(1).max(1);
        if self.hop_limit == Some(hop_limit) {
            return;
        }
        // The host's own value stands where it does not let us choose.
        let _ = match self.pinger.0 {
            IpAddr::V4(_) => sockopt::set_ip_ttl(&self.socket, hop_limit.into()),
            IpAddr::V6(_) => sockopt::set_ipv6_unicast_hops(&self.socket, Some(hop_limit)),
        };
        self.hop_limit = Some(hop_limit);
    }

    /// Hands a reply on under the guest's own identifier.
    fn reply(&self, now: Instant, message: &[u8], from: SocketAddr, ground: &mut Ground) {
        let (guest, identifier) = self.pinger;
        let Some((header, data)) = message.split_at_checked(HEADER_LEN) else {
            return;
        };
        if header[0] != numbers(guest).reply {
            return;
        }
        let sequence = u16::from_be_bytes([header[6], header[7]]);
        let echo = Echo { identifier, sequence };
        let link = ground.link;
        let data = Body::from(Payload::copy_from(data));
        ground.stack.echo_reply_from(now, link, from.ip(), guest, echo, data);
    }

    /// Tells the guest of the ICMP errors that the host's kernel has queued. Whether there were any.
    fn report_errors(&self, now: Instant, ground: &mut Ground) -> bool {
        let mut quote = [0; 548];
        let mut any = false;
        for _ in 0..BATCH {
            let Ok(Some(error)) = inet::take_error(self.socket.as_fd(), &mut quote) else {
                break;
            };
            any = true;
            let quoted = &quote[..error.quoted];
            if let (Some(destination), Some(icmp), Some((header, data))) = (
                error.destination,
                udp::icmp_error(&error),
                quoted.split_at_checked(HEADER_LEN),
            ) {
                let (guest, identifier) = self.pinger;
                let sequence = u16::from_be_bytes([header[6], header[7]]);
                let echo = Echo { identifier, sequence };
                let data = Payload::copy_from(data);
                tell(now, (guest, echo), destination.ip(), data, error.offender, icmp, ground);
            }
        }
        any
    }
}

/// Tells the guest what became of a request.
fn tell(
    now: Instant,
    (guest, echo): (IpAddr, Echo),
    dialled: IpAddr,
    payload: Payload,
    offender: Option<IpAddr>,
    error: IcmpError,
    ground: &mut Ground,
) {
    let flow = QuotedFlow {
        protocol: numbers(guest).protocol,
        src: SocketAddr::new(guest, echo.identifier),
        dst: SocketAddr::new(dialled, echo.sequence),
        seq: SeqNum(0),
        payload,
    };
    ground.tell(now, offender, &flow, error);
}
