//! Sending and receiving: all forms come down to one message with vectors, a name and control data.

use std::net::SocketAddr;
use std::time::Duration;

use prise_socket::sockaddr::{Given, decode, encode};
use prise_socket::{Control, Errno, ErrorReport, Flags, Readiness, Received, ZeroCopied};
use prise_stack::{Stamp, StampKind};
use prise_wire::{Instant, Payload};

use super::advance::{Look, Stage};
use super::descriptors::{Patience, TCP, Target};
use super::world::World;

/// `TCP_INQ`, whose control message has the same number (`TCP_CM_INQ`).
const TCP_INQ: i32 = 36;
const SOL_SOCKET: i32 = 1;
const SO_RCVLOWAT: i32 = 18;
/// `SO_TIMESTAMPNS`, whose control message has the same number.
const SO_TIMESTAMPNS: i32 = 35;
/// `SO_TIMESTAMPING`, whose control message has the same number.
const SO_TIMESTAMPING: i32 = 37;
const SOL_IP: i32 = 0;
const IP_RECVERR: i32 = 11;
const SOL_IPV6: i32 = 41;
const IPV6_RECVERR: i32 = 25;

/// `MAX_SKB_FRAGS`.
const FRAGMENTS_MAX: usize = 17;

/// What a call sends.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The octets.
    pub octets: Vec<u8>,
    /// `MSG_*`.
    pub flags: u32,
    /// The sizes of the pieces that the octets came in; none: one.
    pub pieces: Vec<usize>,
    /// `sockaddr` to send to, if one was given.
    pub to: Option<Vec<u8>>,
}

/// What a call receives.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    /// The octets.
    pub octets: Vec<u8>,
    /// How many the call says it received: with `MSG_TRUNC` more than were delivered.
    pub count: usize,
    /// The sender's `sockaddr`; empty for streams.
    pub name: Vec<u8>,
    /// Control messages, each `cmsghdr` and data, aligned.
    pub control: Vec<u8>,
    /// `msg_flags`.
    pub flags: u32,
}

impl Incoming {
    fn say(&mut self, level: i32, kind: i32, data: &[u8]) {
        let len = 16 + data.len();
        self.control.extend_from_slice(&(len as u64).to_ne_bytes());
        self.control.extend_from_slice(&level.to_ne_bytes());
        self.control.extend_from_slice(&kind.to_ne_bytes());
        self.control.extend_from_slice(data);
        self.control.resize(self.control.len().next_multiple_of(8), 0);
    }
}

impl Incoming {
    fn say_error(&mut self, v6: bool, data: &[u8]) {
        let (level, kind) = if v6 {
            (SOL_IPV6, IPV6_RECVERR)
        } else {
            (SOL_IP, IP_RECVERR)
        };
        self.say(level, kind, data);
    }
}

/// The part of a stream that was taken so far.
#[derive(Default)]
struct Taken {
    octets: Vec<u8>,
    count: usize,
}

impl Stage {
    /// `send(2)` and all its forms.
    pub fn send(&self, fd: i32, outgoing: Outgoing) -> Result<usize, Errno> {
        let target = self.enter().target(fd)?;
        let flags = Flags::from_raw(outgoing.flags);
        let to = match outgoing.to.as_deref().map(decode).transpose()? {
            Some(Given::Internet(to)) => Some(to),
            Some(Given::Unspecified(_)) if target.stream && flags.contains(Flags::FASTOPEN) => {
                return Err(Errno::EOPNOTSUPP);
            }
            Some(Given::Unspecified(v4)) => v4.map(SocketAddr::from),
            None => None,
        };
        let patience = self.patience(target, true, flags);
        if !target.stream {
            return self.send_datagram(target, outgoing.octets, flags, to, patience);
        }
        let deferred = self.enter().host.is_deferred(target.id);
        if flags.contains(Flags::FASTOPEN) || deferred {
            return self.send_opening(target, outgoing.octets, flags, to, patience);
        }
        if flags.contains(Flags::ZEROCOPY) && outgoing.pieces.len() > FRAGMENTS_MAX {
            return self.send_fragments(fd, &outgoing);
        }
        let total = outgoing.octets.len();
        let mut rest = Payload::from(outgoing.octets);
        let mut waited = false;
        let sent = self.wait_for(patience.timeout(), |world| {
            // Who waits goes on when there is room worth waking for, not with the first octet.
            let worth = Readiness::OUT | Readiness::ERR | Readiness::HUP;
            if waited && !world.host.readiness(target.id).intersects(worth) {
                return Look::Wait { progress: false };
            }
            waited = true;
            send_more(world, target, &mut rest, flags, total, patience)
        });
        match (sent, total - rest.len()) {
            (Some(result), _) => result,
            (None, 0) => Err(Errno::EAGAIN),
            (None, some) => Ok(some),
        }
    }

    /// `MSG_ZEROCOPY` of more pieces than the kernel's packet descriptor has room for: each descriptor is sent by itself.
    fn send_fragments(&self, fd: i32, outgoing: &Outgoing) -> Result<usize, Errno> {
        let (mut sent, mut rest) = (0, &outgoing.octets[..]);
        let groups = outgoing.pieces.chunks(FRAGMENTS_MAX);
        let last = groups.len();
        for (at, group) in groups.enumerate() {
            let (now, later) = rest.split_at(group.iter().sum::<usize>().min(rest.len()));
            rest = later;
            // One call is one number in the error queue.
            let flags = if at + 1 == last {
                outgoing.flags
            } else {
                ((Flags::from_raw(outgoing.flags) - Flags::ZEROCOPY) | Flags::EOR).raw()
            };
            let part = Outgoing {
                octets: now.to_vec(),
                flags,
                ..Outgoing::default()
            };
            match self.send(fd, part) {
                Ok(count) => sent += count,
                Err(errno) if sent == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// One datagram.
    fn send_datagram(
        &self,
        target: Target,
        octets: Vec<u8>,
        flags: Flags,
        to: Option<SocketAddr>,
        patience: Patience,
    ) -> Result<usize, Errno> {
        let payload = Payload::from(octets);
        let sent = self.wait_for(patience.timeout(), |world| {
            if let Some(to) = to {
                world.own_some(to);
            }
            let control = Control::default();
            match world
                .host
                .send_to(world.now, target.id, payload.clone(), flags, to, &control)
            {
                Err(Errno::EAGAIN) if patience.waits() => Look::Wait { progress: false },
                result => Look::Done(result),
            }
        });
        sent.unwrap_or(Err(Errno::EAGAIN))
    }

    /// `MSG_FASTOPEN`: connects, with as much in the SYN as may go there; a call that blocks stays until the connection is there and
    /// everything is sent.
    fn send_opening(
        &self,
        target: Target,
        octets: Vec<u8>,
        flags: Flags,
        to: Option<SocketAddr>,
        patience: Patience,
    ) -> Result<usize, Errno> {
        let total = octets.len();
        let mut rest = Payload::from(octets);
        let mut opened = false;
        let sent = self.wait_for(patience.timeout(), |world| {
            if !opened {
                if let Some(to) = to {
                    world.own_some(to);
                }
                opened = true;
                return match world.host.send_opening(world.now, target.id, &mut rest, flags, to) {
                    Ok(_) | Err(Errno::EINPROGRESS) if patience.waits() => {
                        if !rest.is_empty() {
                            world.host.expect_write(world.now, target.id);
                        }
                        Look::Wait { progress: true }
                    }
                    result => Look::Done(result),
                };
            }
            let Some(to) = to else {
                // connect(2) has said where to.
                let ready = world.host.readiness(target.id);
                return match world.host.take_error(target.id) {
                    Some(errno) => Look::Done(Err(errno)),
                    None if !rest.is_empty() => send_more(world, target, &mut rest, flags, total, patience),
                    None if ready.contains(Readiness::OUT) => Look::Done(Ok(total)),
                    None => Look::Wait { progress: false },
                };
            };
            match world.host.connect(world.now, target.id, to) {
                Err(Errno::EALREADY | Errno::EINPROGRESS) => Look::Wait { progress: false },
                Ok(()) | Err(Errno::EISCONN) if rest.is_empty() => Look::Done(Ok(total)),
                Ok(()) | Err(Errno::EISCONN) => {
                    send_more(world, target, &mut rest, flags - Flags::FASTOPEN, total, patience)
                }
                Err(errno) => Look::Done(Err(errno)),
            }
        });
        sent.unwrap_or(Err(Errno::EAGAIN))
    }

    /// `recv(2)` and all its forms, of at most `room` octets.
    pub fn receive(&self, fd: i32, room: usize, flags: u32) -> Result<Incoming, Errno> {
        let target = self.enter().target(fd)?;
        let flags = Flags::from_raw(flags);
        if flags.contains(Flags::ERRQUEUE) {
            return self.at_once(|world| {
                let v6 = world.host.local_addr(target.id).is_ok_and(|local| local.is_ipv6());
                if let Some(stamp) = world.host.take_transmit_stamp(target.id) {
                    let flags = world.number(target, SOL_SOCKET, SO_TIMESTAMPING).unwrap_or(0);
                    return Ok(transmit_stamp(&stamp, v6, flags));
                }
                if let Some(done) = world.host.take_zero_copied(target.id) {
                    return Ok(zero_copied(done, v6));
                }
                let report = world.host.recv_error(target.id)?;
                Ok(error_message(&report, room))
            });
        }
        let patience = self.patience(target, false, flags);
        if !target.stream {
            let received = self.wait_for(patience.timeout(), |world| {
                match world.host.recv_from(world.now, target.id, flags) {
                    Err(Errno::EAGAIN) if patience.waits() => Look::Wait { progress: false },
                    result => Look::Done(result),
                }
            });
            let received = received.unwrap_or(Err(Errno::EAGAIN))?;
            return Ok(datagram(&received, room, flags));
        }
        let mut taken = Taken::default();
        let result = self.wait_for(patience.timeout(), |world| {
            receive_more(world, target, &mut taken, room, flags, patience)
        });
        match result {
            Some(Err(errno)) if taken.count == 0 => return Err(errno),
            None if taken.count == 0 => return Err(Errno::EAGAIN),
            _ => {}
        }
        let mut incoming = Incoming {
            octets: taken.octets,
            count: taken.count,
            ..Incoming::default()
        };
        if let Some(queued) = self.go_on().host.in_queue(target.id) {
            incoming.say(TCP, TCP_INQ, &(queued as i32).to_ne_bytes());
        }
        Ok(incoming)
    }
}

/// The next part of a stream's octets.
fn send_more(
    world: &mut World,
    target: Target,
    rest: &mut Payload,
    flags: Flags,
    total: usize,
    patience: Patience,
) -> Look<Result<usize, Errno>> {
    let mut progress = false;
    loop {
        let sent = total - rest.len();
        match world.host.send(world.now, target.id, rest, flags) {
            Ok(_) if rest.is_empty() => return Look::Done(Ok(total)),
            Ok(_) => {
                // What was taken may leave now, which may make room at once.
                progress = true;
                if total - rest.len() == sent {
                    return Look::Wait { progress };
                }
            }
            Err(Errno::EAGAIN) if patience.waits() => return Look::Wait { progress },
            Err(_) if sent > 0 => {
                world.host.mark_sent(world.now, target.id);
                return Look::Done(Ok(sent));
            }
            Err(errno) => return Look::Done(Err(errno)),
        }
    }
}

/// The next part of what a stream has received: enough is what `SO_RCVLOWAT` or `MSG_WAITALL` says.
fn receive_more(
    world: &mut World,
    target: Target,
    taken: &mut Taken,
    room: usize,
    flags: Flags,
    patience: Patience,
) -> Look<Result<(), Errno>> {
    let enough = if flags.contains(Flags::WAITALL) {
        room
    } else {
        world.low_water(target).min(room).max(1)
    };
    let before = taken.count;
    loop {
        // An error stays for the next call where this one has something to tell.
        if taken.count > 0 && world.host.readiness(target.id).contains(Readiness::ERR) {
            return Look::Done(Ok(()));
        }
        match world.host.recv(world.now, target.id, room - taken.count, flags) {
            Ok(payload) if payload.is_empty() => return Look::Done(Ok(())),
            Ok(payload) => {
                taken.count += payload.len();
                if !flags.contains(Flags::TRUNC) {
                    taken.octets.extend_from_slice(payload.as_slice());
                }
                // One call does not read on beyond the urgent mark.
                let at_mark = world.host.at_mark(target.id).unwrap_or(false);
                if taken.count >= room || at_mark || flags.intersects(Flags::PEEK | Flags::OOB) {
                    return Look::Done(Ok(()));
                }
            }
            Err(Errno::EAGAIN) if taken.count >= enough || taken.count > 0 && !patience.waits() => {
                return Look::Done(Ok(()));
            }
            Err(Errno::EAGAIN) if patience.waits() => {
                return Look::Wait {
                    progress: taken.count > before,
                };
            }
            Err(errno) => return Look::Done(Err(errno)),
        }
    }
}

impl World {
    fn number(&mut self, target: Target, level: i32, name: i32) -> Option<i32> {
        let mut value = Vec::new();
        self.host.option(self.now, target.id, level, name, &mut value).ok()?;
        Some(i32::from_ne_bytes(*value.first_chunk()?))
    }

    fn low_water(&mut self, target: Target) -> usize {
        self.number(target, SOL_SOCKET, SO_RCVLOWAT).unwrap_or(1).max(1) as usize
    }
}

/// A datagram in a buffer that may be too small.
fn datagram(received: &Received, room: usize, flags: Flags) -> Incoming {
    let whole = received.payload.len();
    let kept = whole.min(room);
    let mut incoming = Incoming {
        octets: received.payload.as_slice()[..kept].to_vec(),
        count: if flags.contains(Flags::TRUNC) { whole } else { kept },
        name: received.source.map(encode).unwrap_or_default(),
        flags: received.flags.raw(),
        ..Incoming::default()
    };
    if kept < whole {
        incoming.flags |= Flags::TRUNC.raw();
    }
    incoming
}

/// An entry of the error queue: `sock_extended_err` and who is to blame, as control data.
fn error_message(report: &ErrorReport, room: usize) -> Incoming {
    let kept = report.payload.len().min(room);
    let mut incoming = Incoming {
        octets: report.payload.as_slice()[..kept].to_vec(),
        count: kept,
        name: encode(report.destination),
        flags: Flags::ERRQUEUE.raw(),
        ..Incoming::default()
    };
    if kept < report.payload.len() {
        incoming.flags |= Flags::TRUNC.raw();
    }
    if let Some(at) = report.timestamp {
        incoming.say(SOL_SOCKET, SO_TIMESTAMPNS, &timespec(at));
    }
    let mut data = Vec::with_capacity(16 + 28);
    data.extend_from_slice(&(report.errno.map_or(0, Errno::raw) as u32).to_ne_bytes());
    data.extend_from_slice(&[report.origin as u8, report.kind, report.code, 0]);
    data.extend_from_slice(&report.info.to_ne_bytes());
    data.extend_from_slice(&0_u32.to_ne_bytes());
    if let Some(offender) = report.offender {
        data.extend_from_slice(&encode(SocketAddr::new(offender, 0)));
    }
    match report.destination {
        SocketAddr::V4(_) => incoming.say(SOL_IP, IP_RECVERR, &data),
        SocketAddr::V6(_) => incoming.say(SOL_IPV6, IPV6_RECVERR, &data),
    }
    incoming
}

/// A stamp of an octet that was sent: `scm_timestamping` and `SO_EE_ORIGIN_TIMESTAMPING`. Without `SOF_TIMESTAMPING_OPT_TSONLY` the packet
/// comes along, of which nothing is told here but that it did not fit.
fn transmit_stamp(stamp: &Stamp, v6: bool, flags: i32) -> Incoming {
    /// `SOF_TIMESTAMPING_SOFTWARE`.
    const SOFTWARE: i32 = 1 << 4;
    /// `SOF_TIMESTAMPING_OPT_TSONLY`.
    const ALONE: i32 = 1 << 11;
    /// `ENOMSG`.
    const NO_MESSAGE: u32 = 42;
    let mut incoming = Incoming {
        flags: Flags::ERRQUEUE.raw(),
        ..Incoming::default()
    };
    if flags & ALONE == 0 {
        incoming.flags |= Flags::TRUNC.raw();
    }
    if flags & SOFTWARE != 0 {
        let mut times = [0; 48];
        times[..16].copy_from_slice(&timespec(stamp.at));
        incoming.say(SOL_SOCKET, SO_TIMESTAMPING, &times);
    }
    let step: u32 = match stamp.kind {
        StampKind::Sent => 0,
        StampKind::Scheduled => 1,
        StampKind::Acknowledged => 2,
    };
    let mut data = NO_MESSAGE.to_ne_bytes().to_vec();
    data.extend_from_slice(&[4, 0, 0, 0]);
    data.extend_from_slice(&step.to_ne_bytes());
    data.extend_from_slice(&stamp.key.to_ne_bytes());
    incoming.say_error(v6, &data);
    incoming
}

/// The end of sends with `MSG_ZEROCOPY`: `SO_EE_ORIGIN_ZEROCOPY`, copied after all.
fn zero_copied(done: ZeroCopied, v6: bool) -> Incoming {
    let mut incoming = Incoming {
        flags: Flags::ERRQUEUE.raw(),
        ..Incoming::default()
    };
    let mut data = vec![0, 0, 0, 0, 5, 0, 1, 0];
    data.extend_from_slice(&done.first.to_ne_bytes());
    data.extend_from_slice(&done.last.to_ne_bytes());
    incoming.say_error(v6, &data);
    incoming
}

/// `struct timespec` on the stage's clock.
fn timespec(at: Instant) -> [u8; 16] {
    let since: Duration = at.saturating_since(Instant::ZERO);
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&since.as_secs().to_ne_bytes());
    octets[8..].copy_from_slice(&u64::from(since.subsec_nanos()).to_ne_bytes());
    octets
}
