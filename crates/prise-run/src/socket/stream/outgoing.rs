//! From the program to the host.

use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Flags, Host, How, SocketId};
use prise_wire::{Instant, Payload};
use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, recv, sockopt};

use crate::socket::conduit::{Filled, Inlet, Stretch};
use crate::socket::sentinel::{self, Left};

/// Octets read from the end at once: a whole train of segments.
const CHUNK: usize = 64 << 10;
/// Read from the end although the host has less room, so that the host knows that somebody waits for room.
const CHUNK_MIN: usize = 2 << 10;
/// What fills less than a quarter of its chunk is copied: shared, it would pin four times its size.
const SHARE_MIN: usize = CHUNK / 4;

/// What the program sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The end may hold octets, or its own end: edge-triggered events come once.
    readable: bool,
    /// Read from the end, not yet taken by the host.
    urgent: Option<u8>,
    /// The next octets may be others than those that an event told of: an urgent one may be the first of them.
    untold: bool,
    /// There were urgent octets: a read may end at the place of one though more lies behind it.
    marked: bool,
    /// The program will send no more: reading goes on until the end says so too.
    ending: bool,
    /// Read from the end, not yet taken by the host.
    unsent: Payload,
    /// After shutdown(SHUT_WR): the octets that were sent before it and not yet read. Behind them lies the sentinel.
    before_fin: Option<usize>,
    /// The host was told that the program sends no more.
    pub(super) fin_sent: bool,
    /// The program has closed its last descriptor, of which the end tells while the program may still be told of an end.
    closed: bool,
    /// It did so with octets unread.
    pub(super) aborted: bool,
    /// What the host said to the program's octets: that the connection is no more.
    pub(super) failure: Option<Errno>,
    /// Octets that went to the host since they were last asked for.
    pub(super) carried: usize,
    /// How much the program sends at a stretch.
    stretch: Stretch,
    /// What the program sends goes this way past TCP.
    inlet: Option<Inlet>,
}

/// What there was to read from the end.
enum Taken {
    Octets(Payload),
    /// An urgent octet, which is sent next.
    Urgent,
    /// Nothing for now.
    Nothing,
    /// The receiving end of a conduit says when to go on.
    Later,
    /// The program has ended.
    End,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            readable: true,
            urgent: None,
            untold: true,
            marked: false,
            ending: false,
            unsent: Payload::new(),
            before_fin: None,
            fin_sent: false,
            closed: false,
            aborted: false,
            failure: None,
            carried: 0,
            stretch: Stretch::default(),
            inlet: None,
        }
    }

    /// Remembers what epoll(7) said of the end; once the program was told that its peer sends no more, `fin_delivered`.
    pub(super) fn note(&mut self, events: EventFlags, fin_delivered: bool) {
        if events.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.readable = true;
        }
        if events.intersects(EventFlags::RDHUP | EventFlags::HUP) {
            self.ending = true;
        }
        // Where both directions are shut, HUP says no more than that.
        if events.contains(EventFlags::HUP) && !(fin_delivered && self.is_shut()) {
            self.closed = true;
        }
        // The error of an AF_UNIX stream whose other end was closed with octets unread.
        self.aborted |= self.closed && events.contains(EventFlags::ERR);
    }

    /// The program called shutdown(SHUT_WR).
    pub(super) fn shut(&mut self, end: &OwnedFd, left: Left) {
        let queued = match left {
            Left::Before(queued) => queued,
            Left::Around { before } => {
                let mut octets = self.unsent.to_vec();
                octets.extend(self.urgent.take());
                sentinel::take_around(end, before, &mut octets);
                self.unsent = Payload::from(octets);
                0
            }
        };
        self.before_fin = Some(queued);
        (self.readable, self.untold) = (true, true);
    }

    /// Whether the program has shut this direction by a call that was judged.
    pub(super) fn is_shut(&self) -> bool {
        self.before_fin.is_some()
    }

    /// The program has sent an urgent octet (`MSG_OOB`), which is met in its place.
    pub(crate) fn expect_urgent(&mut self) {
        self.marked = true;
        self.readable = true;
    }

    /// Octets read from the end that the host has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// What the program, which is gone, has written and the host has not taken: octets, of which a sentinel is none.
    pub(super) fn owed(&self, end: &OwnedFd) -> usize {
        self.unsent.len() + self.before_fin.unwrap_or_else(|| queued(end))
    }

    /// Whether the program sends so much that a conduit is worth it, and has none.
    pub(crate) fn wants_conduit(&self) -> bool {
        self.stretch.is_transfer() && self.inlet.is_none() && self.before_fin.is_none() && !self.marked
    }

    /// Whether what the program sends passes TCP by.
    pub(crate) fn has_inlet(&self) -> bool {
        self.inlet.is_some()
    }

    /// What the program sends goes this way from now on.
    pub(crate) fn send_by(&mut self, inlet: Inlet) {
        self.inlet = Some(inlet);
    }

    /// What the program sends goes to the host again.
    pub(crate) fn send_as_others(&mut self) {
        self.inlet = None;
        self.untold = true;
        self.stretch = Stretch::default();
    }

    /// Whether the program's octets wait for the end that receives them.
    pub(crate) fn rests(&self) -> bool {
        self.inlet.as_ref().is_some_and(Inlet::rests)
    }

    /// Gives the host what the program has sent; true once the program has closed and nothing is left.
    pub(super) fn pump(&mut self, end: &OwnedFd, host: &mut Host, id: SocketId, now: Instant) -> bool {
        loop {
            if !self.unsent.is_empty() {
                match host.send(now, id, &mut self.unsent, Flags::NOSIGNAL) {
                    Ok(_) if self.unsent.is_empty() => (),
                    // What a program has written and not yet sent is lost with a reset.
                    Ok(_) | Err(Errno::EAGAIN | Errno::EINPROGRESS) => return self.aborted,
                    // The connection is gone: what was written is lost, as on TCP, and the error is told on the way in.
                    Err(error) => {
                        self.unsent = Payload::new();
                        self.failure.get_or_insert(error);
                    }
                }
            }
            if self.send_urgent(host, id, now) {
                return self.aborted;
            }
            if self.before_fin == Some(0) {
                self.finish(host, id, now);
                return self.closed;
            }
            if !self.readable {
                return false;
            }
            match self.take(end, host.send_space(id), now) {
                Ok(Taken::Octets(octets)) => self.unsent = octets,
                Ok(Taken::Urgent) => (),
                Ok(Taken::End) if self.ending => {
                    // Without shutdown(2), only the close of the last descriptor ends a program's stream.
                    return true;
                }
                Ok(Taken::End | Taken::Nothing) => self.readable = false,
                Ok(Taken::Later) => return false,
                Err(_) => {
                    self.aborted = true;
                    return true;
                }
            }
        }
    }

    /// Sends the urgent octet; whether it waits for room.
    fn send_urgent(&mut self, host: &mut Host, id: SocketId, now: Instant) -> bool {
        let Some(octet) = self.urgent else { return false };
        let mut payload = Payload::copy_from(&[octet]);
        let sent = host.send(now, id, &mut payload, Flags::OOB | Flags::NOSIGNAL);
        if matches!(sent, Err(Errno::EAGAIN | Errno::EINPROGRESS)) {
            return true;
        }
        // Any other error is the connection's own, which the way in tells.
        self.urgent = None;
        false
    }

    fn finish(&mut self, host: &mut Host, id: SocketId, now: Instant) {
        if !self.fin_sent {
            self.fin_sent = true;
            // An error here is the connection's own, which the way in tells.
            let _ = host.shutdown(now, id, How::Write);
        }
    }

    /// The next octets of the program's, or blank ones for them.
    fn take(&mut self, end: &OwnedFd, space: usize, now: Instant) -> Result<Taken, rustix::io::Errno> {
        let direct = self.before_fin.is_none() && !self.marked;
        self.untold |= self.inlet.is_some();
        self.inlet.take_if(|inlet| !direct || inlet.is_idle(&self.stretch));
        let mut there = 0;
        if self.untold || self.marked {
            // More is read than the last event told of. What comes first now was there when it was counted; what is urgent and comes
            // after that lies behind it, and ends what is read.
            there = queued(end);
            if there == 0 && !self.ending {
                return Ok(Taken::Nothing);
            }
            if self.takes_urgent(end) {
                return Ok(Taken::Urgent);
            }
        }
        if let Some(inlet) = &self.inlet {
            match inlet.fill(end, there, now) {
                Filled::Blank(octets) => {
                    self.stretch.note(octets.len());
                    self.carried += octets.len();
                    return Ok(Taken::Octets(octets));
                }
                Filled::Rests => return Ok(Taken::Later),
                Filled::Little => (),
            }
        }
        self.take_by_copying(end, space)
    }

    /// Takes the urgent octet if one comes next. A read would drop it; and taken out of its place before, it would leave no mark there once
    /// another comes behind it.
    fn takes_urgent(&mut self, end: &OwnedFd) -> bool {
        let comes_next = prise_sys::inet::at_urgent_mark(end.as_fd()).is_ok_and(|at| at);
        // Read in line it is the one that comes next also where another has come just now.
        if !comes_next || sockopt::set_socket_oobinline(end, true).is_err() {
            return false;
        }
        let mut octet = [0];
        if recv(end, &mut octet[..], RecvFlags::DONTWAIT) != Ok((1, 1)) {
            return false;
        }
        self.urgent = Some(octet[0]);
        self.marked = true;
        if let Some(left) = &mut self.before_fin {
            *left -= 1;
        }
        true
    }

    fn take_by_copying(&mut self, end: &OwnedFd, space: usize) -> Result<Taken, rustix::io::Errno> {
        let wanted = CHUNK
            .min(space.max(CHUNK_MIN))
            .min(self.before_fin.unwrap_or(usize::MAX));
        let octets = match read(end, wanted) {
            Ok(octets) if octets.is_empty() => return Ok(Taken::End),
            Ok(octets) => octets,
            Err(rustix::io::Errno::AGAIN) => return Ok(Taken::Nothing),
            Err(error) => return Err(error),
        };
        self.untold = octets.len() == wanted || self.ending;
        if !self.untold && !self.marked {
            // Whatever comes after this is a new edge.
            self.readable = false;
        }
        if let Some(inlet) = &self.inlet {
            inlet.pass_by(octets.len());
        }
        self.stretch.note(octets.len());
        self.carried += octets.len();
        if let Some(left) = &mut self.before_fin {
            *left -= octets.len();
        }
        Ok(Taken::Octets(octets))
    }
}

/// Octets that lie in the end.
pub(super) fn queued(end: &OwnedFd) -> usize {
    rustix::io::ioctl_fionread(end).map_or(0, |queued| queued as usize)
}

/// Up to `wanted` octets of the program's; an empty payload where it has ended.
fn read(end: &OwnedFd, wanted: usize) -> Result<Payload, rustix::io::Errno> {
    let mut chunk = Vec::with_capacity(wanted);
    let read = recv(end, rustix::buffer::spare_capacity(&mut chunk), RecvFlags::DONTWAIT)?.0;
    Ok(if read < SHARE_MIN && read < wanted / 2 {
        Payload::copy_from(&chunk)
    } else {
        Payload::from(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendFlags, send};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    /// The program's descriptor, the supervisor's, and what goes from one to the other.
    fn opened() -> (UnixStream, OwnedFd, Outgoing) {
        let (program, end) = UnixStream::pair().unwrap();
        (program, end.into(), Outgoing::new())
    }

    fn take(outgoing: &mut Outgoing, end: &OwnedFd) -> Taken {
        outgoing.take(end, usize::MAX, Instant::from_nanos(0)).unwrap()
    }

    #[test]
    fn an_urgent_octet_that_no_event_has_told_of_yet_is_not_dropped() {
        let (mut program, end, mut outgoing) = opened();
        outgoing.note(EventFlags::IN, false);
        program.write_all(&vec![1; CHUNK]).unwrap();
        assert!(matches!(take(&mut outgoing, &end), Taken::Octets(octets) if octets.len() == CHUNK));
        // Sent after the last look at events: it lies right behind the octets of the last read.
        assert_eq!(send(&program, b"!", SendFlags::OOB), Ok(1));
        program.write_all(b"after").unwrap();
        assert!(matches!(take(&mut outgoing, &end), Taken::Urgent));
        assert_eq!(outgoing.urgent, Some(b'!'));
        assert!(matches!(take(&mut outgoing, &end), Taken::Octets(octets) if &octets[..] == b"after"));
    }

    #[test]
    fn what_was_read_before_others_wrote_around_a_sentinel_goes_first() {
        let (mut program, end, mut outgoing) = opened();
        (outgoing.unsent, outgoing.urgent) = (Payload::copy_from(b"read "), Some(b'!'));
        program.write_all(b" and behind").unwrap();
        outgoing.shut(&end, Left::Around { before: 4 });
        assert_eq!(
            (&outgoing.unsent[..], outgoing.before_fin),
            (&b"read ! and behind"[..], Some(0))
        );
    }

    #[test]
    fn an_urgent_octet_may_be_the_first_of_a_stream() {
        let (program, end, mut outgoing) = opened();
        assert_eq!(send(&program, b"!", SendFlags::OOB), Ok(1));
        assert!(matches!(take(&mut outgoing, &end), Taken::Urgent));
    }
}
