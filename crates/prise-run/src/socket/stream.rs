//! The pump of a connected stream: octets between the program's descriptor and the host, both ways, with back-pressure.
//!
//! ```text
//! program ── AF_UNIX ── end │ outgoing: recv(end) → Host::send        incoming: Host::received → sendmsg(end) │ host
//! ```
//! *Outgoing.* What is read from the end goes to the host at once; what the host does not take waits here (one piece at
//! most), nothing more is read, and the program fills its own send buffer and blocks. *Incoming.* What the host has
//! received is written to the end by reference; only what was taken is consumed, so that the window that TCP advertises
//! follows what the program reads.
//!
//! Of a transfer within the run the octets may go from end to end through a pipe meanwhile ([`conduit`](crate::socket::conduit)).
//!
//! *Ends of directions.* shutdown(SHUT_WR) is judged: a sentinel is queued behind the program's last octet and stays
//! unread, because a reset can afterwards only be shown by closing an end with unread octets. The peer's FIN becomes
//! shutdown(end, SHUT_WR). The last close of the program's descriptor is seen as HUP on the end — except where both
//! directions are shut already: then the end is given up, and the ledger tells of the close.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Flags, Host, How, Readiness, SocketId};
use prise_wire::{Instant, Payload};
use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

use crate::socket::conduit::{Filled, Inlet, Next, Outlet, Stretch};
use crate::socket::sentinel::{self, Left};
use crate::socket::{Slot, unix};
use crate::waiting::parked::ParkId;

/// Octets read from the end at once: a whole train of segments.
const CHUNK: usize = 64 << 10;
/// Read from the end although the host has less room, so that the host knows that somebody waits for room.
const CHUNK_MIN: usize = 2 << 10;
/// What fills less than a quarter of its chunk is copied: shared, it would pin four times its size.
const SHARE_MIN: usize = CHUNK / 4;
/// Slices written to the end at once.
const PIECES_MAX: usize = 64;

/// A connected stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The supervisor's end.
    pub(crate) end: OwnedFd,
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
    fin_sent: bool,
    /// The program was told that the peer sends no more.
    fin_delivered: bool,
    /// After shutdown(SHUT_RD): what comes stays with the host, unread.
    deaf: bool,
    /// The end had no room.
    pub(crate) full: bool,
    /// The end is watched for room.
    pub(crate) watched: bool,
    /// Calls that wait to receive through the supervisor, in their order.
    pub(crate) receiving: VecDeque<ParkId>,
    /// Calls that wait to send through the supervisor.
    pub(crate) sending: VecDeque<ParkId>,
    /// The last descriptor was closed, of which the end tells while the program may still be told of an end.
    closed: bool,
    /// The last descriptor was closed with octets unread.
    aborted: bool,
    /// What the host said to the program's octets: that the connection is no more.
    failure: Option<Errno>,
    /// Octets that went between the end and the host, both ways, since they were last asked for.
    carried: usize,
    /// How much the program sends at a stretch.
    stretch: Stretch,
    /// What the program sends goes this way past TCP …
    inlet: Option<Inlet>,
    /// … and what it receives comes this way.
    outlet: Option<Outlet>,
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

/// How a stream stands after it was pumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// At least one direction is open.
    Open,
    /// Both directions have ended in order and everything was delivered; the program may still hold the socket.
    Finished,
    /// The connection failed, and everything that came before was delivered: the program must be told.
    Failed,
    /// The program has closed its last descriptor and everything it wrote was taken by the host; with `abort`, it left
    /// octets unread, for which TCP resets.
    Closed {
        /// Octets were left unread.
        abort: bool,
    },
}

impl Stream {
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self {
            end,
            readable: true,
            urgent: None,
            untold: true,
            marked: false,
            ending: false,
            unsent: Payload::new(),
            before_fin: None,
            fin_sent: false,
            fin_delivered: false,
            deaf: false,
            full: false,
            watched: false,
            receiving: VecDeque::new(),
            sending: VecDeque::new(),
            closed: false,
            aborted: false,
            failure: None,
            carried: 0,
            stretch: Stretch::default(),
            inlet: None,
            outlet: None,
        }
    }

    /// Remembers what epoll(7) said of the end.
    pub(crate) fn note(&mut self, events: EventFlags) {
        if events.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.readable = true;
        }
        if events.intersects(EventFlags::RDHUP | EventFlags::HUP) {
            self.ending = true;
        }
        if events.intersects(EventFlags::OUT | EventFlags::HUP) {
            self.full = false;
        }
        // Where both directions are shut, HUP says no more than that.
        if events.contains(EventFlags::HUP) && !(self.fin_delivered && self.outgoing_ended()) {
            self.closed = true;
        }
        // The error of an AF_UNIX stream whose other end was closed with octets unread.
        self.aborted |= self.closed && events.contains(EventFlags::ERR);
    }

    /// What the host said to the program's octets when the connection was no more.
    pub(crate) fn failure(&self) -> Option<Errno> {
        self.failure
    }

    /// The program called shutdown(SHUT_WR).
    pub(crate) fn end_outgoing(&mut self, left: Left) {
        let queued = match left {
            Left::Before(queued) => queued,
            Left::Around { before } => {
                let mut octets = self.unsent.to_vec();
                octets.extend(self.urgent.take());
                sentinel::take_around(&self.end, before, &mut octets);
                self.unsent = Payload::from(octets);
                0
            }
        };
        self.before_fin = Some(queued);
        (self.readable, self.untold) = (true, true);
    }

    /// The program called shutdown(SHUT_RD): it reads what lies in its queue, then the end.
    pub(crate) fn end_incoming(&mut self) {
        self.deaf = true;
        self.deliver_fin();
    }

    /// Whether the program has shut its sending direction by a call that was judged.
    pub(crate) fn outgoing_ended(&self) -> bool {
        self.before_fin.is_some()
    }

    /// The program has sent an urgent octet (`MSG_OOB`), which is met in its place.
    pub(crate) fn expect_urgent(&mut self) {
        self.marked = true;
        self.readable = true;
    }

    /// Takes the urgent octet if one comes next. A read would drop it; and taken out of its place before, it would leave no mark there once
    /// another comes behind it.
    fn takes_urgent(&mut self) -> bool {
        let comes_next = prise_sys::inet::at_urgent_mark(self.end.as_fd()).is_ok_and(|at| at);
        // Read in line it is the one that comes next also where another has come just now.
        if !comes_next || sockopt::set_socket_oobinline(&self.end, true).is_err() {
            return false;
        }
        let mut octet = [0];
        if recv(&self.end, &mut octet[..], RecvFlags::DONTWAIT) != Ok((1, 1)) {
            return false;
        }
        self.urgent = Some(octet[0]);
        self.marked = true;
        if let Some(left) = &mut self.before_fin {
            *left -= 1;
        }
        true
    }

    /// Octets that lie in the end.
    fn queued(&self) -> usize {
        rustix::io::ioctl_fionread(&self.end).map_or(0, |queued| queued as usize)
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

    /// Octets carried since the last time this was asked.
    pub(crate) fn take_carried(&mut self) -> usize {
        core::mem::take(&mut self.carried)
    }

    /// Whether the program sends so much that a conduit is worth it, and has none.
    pub(crate) fn wants_conduit(&self) -> bool {
        self.stretch.is_transfer() && self.inlet.is_none() && self.before_fin.is_none() && !self.marked
    }

    /// Whether what the program sends passes TCP by.
    pub(crate) fn has_inlet(&self) -> bool {
        self.inlet.is_some()
    }

    /// Octets read from the end that the host has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
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

    /// What the program receives comes this way.
    pub(crate) fn receive_by(&mut self, outlet: Outlet) {
        self.outlet = Some(outlet);
    }

    /// Whether what the program receives may come by a conduit that is opened now.
    pub(crate) fn may_receive_by_conduit(&mut self) -> bool {
        self.outlet.take_if(|outlet| outlet.is_idle());
        self.outlet.is_none() && !self.deaf
    }

    /// Whether the program's octets wait for the end that receives them.
    pub(crate) fn rests(&self) -> bool {
        self.inlet.as_ref().is_some_and(Inlet::rests)
    }

    /// The stream whose octets come this way, if it waits for room that was made.
    pub(crate) fn take_waiting(&self) -> Option<Slot> {
        self.outlet.as_ref().and_then(Outlet::take_waiting)
    }

    /// Pumps both directions as far as they go.
    pub(crate) fn pump(&mut self, host: &mut Host, id: SocketId, now: Instant) -> Flow {
        let closed = self.outgoing(host, id, now);
        if closed {
            return Flow::Closed { abort: self.aborted };
        }
        self.incoming(host, id, now)
    }

    /// From the program to the host; true once the program has closed and nothing is left.
    fn outgoing(&mut self, host: &mut Host, id: SocketId, now: Instant) -> bool {
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
                self.finish_outgoing(host, id, now);
                return self.closed;
            }
            if !self.readable {
                return false;
            }
            match self.take(host.send_space(id), now) {
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

    /// The next octets of the program's, or blank ones for them.
    fn take(&mut self, space: usize, now: Instant) -> Result<Taken, rustix::io::Errno> {
        let direct = self.before_fin.is_none() && !self.marked;
        self.untold |= self.inlet.is_some();
        self.inlet.take_if(|inlet| !direct || inlet.is_idle(&self.stretch));
        let mut queued = 0;
        if self.untold || self.marked {
            // More is read than the last event told of. What comes first now was there when it was counted; what is urgent and comes
            // after that lies behind it, and ends what is read.
            queued = self.queued();
            if queued == 0 && !self.ending {
                return Ok(Taken::Nothing);
            }
            if self.takes_urgent() {
                return Ok(Taken::Urgent);
            }
        }
        if let Some(inlet) = &self.inlet {
            match inlet.fill(&self.end, queued, now) {
                Filled::Blank(octets) => {
                    self.stretch.note(octets.len());
                    self.carried += octets.len();
                    return Ok(Taken::Octets(octets));
                }
                Filled::Rests => return Ok(Taken::Later),
                Filled::Little => (),
            }
        }
        let wanted = CHUNK
            .min(space.max(CHUNK_MIN))
            .min(self.before_fin.unwrap_or(usize::MAX));
        let read = match self.read(wanted) {
            Ok(octets) if octets.is_empty() => return Ok(Taken::End),
            Ok(octets) => octets,
            Err(rustix::io::Errno::AGAIN) => return Ok(Taken::Nothing),
            Err(error) => return Err(error),
        };
        self.untold = read.len() == wanted || self.ending;
        if !self.untold && !self.marked {
            // Whatever comes after this is a new edge.
            self.readable = false;
        }
        if let Some(inlet) = &self.inlet {
            inlet.pass_by(read.len());
        }
        self.stretch.note(read.len());
        self.carried += read.len();
        if let Some(left) = &mut self.before_fin {
            *left -= read.len();
        }
        Ok(Taken::Octets(read))
    }

    /// Up to `wanted` octets of the program's; an empty payload where it has ended.
    fn read(&self, wanted: usize) -> Result<Payload, rustix::io::Errno> {
        let mut chunk = Vec::with_capacity(wanted);
        let read = recv(
            &self.end,
            rustix::buffer::spare_capacity(&mut chunk),
            RecvFlags::DONTWAIT,
        )?
        .0;
        Ok(if read < SHARE_MIN && read < wanted / 2 {
            Payload::copy_from(&chunk)
        } else {
            Payload::from(chunk)
        })
    }

    fn finish_outgoing(&mut self, host: &mut Host, id: SocketId, now: Instant) {
        if !self.fin_sent {
            self.fin_sent = true;
            // An error here is the connection's own, which the way in tells.
            let _ = host.shutdown(now, id, How::Write);
        }
    }

    /// From the host to the program.
    fn incoming(&mut self, host: &mut Host, id: SocketId, now: Instant) -> Flow {
        if !self.deliver(host, id, now) {
            return Flow::Open;
        }
        let readiness = host.readiness(id);
        if readiness.contains(Readiness::ERR) || self.failure.is_some() {
            return Flow::Failed;
        }
        if readiness.intersects(Readiness::RDHUP | Readiness::HUP) {
            self.deliver_fin();
        }
        if self.has_finished() {
            Flow::Finished
        } else {
            Flow::Open
        }
    }

    /// Whether both directions have ended in order, and both sides were told.
    pub(crate) fn has_finished(&self) -> bool {
        self.fin_delivered && self.fin_sent
    }

    /// Whether something that the program has written waits before the host.
    pub(crate) fn holds_back(&self) -> bool {
        !self.unsent.is_empty() || self.queued() > 0
    }

    /// What the program, which is gone, has written and the host has not taken: octets, of which a sentinel is none.
    pub(crate) fn owed(&self) -> usize {
        self.unsent.len() + self.before_fin.unwrap_or_else(|| self.queued())
    }

    /// Writes what the host has received, an urgent octet in its place; true when nothing is left.
    fn deliver(&mut self, host: &mut Host, id: SocketId, now: Instant) -> bool {
        if self.deaf {
            return true;
        }
        loop {
            let mark = if host.readiness(id).contains(Readiness::PRI) {
                host.urgent_mark(id)
            } else {
                None
            };
            match mark {
                Some(0) => match self.deliver_urgent(host, id, now) {
                    Some(true) => (),
                    Some(false) => return false,
                    None => return self.deliver_until(host, id, now, usize::MAX),
                },
                Some(before) if self.deliver_until(host, id, now, before) => (),
                Some(_) => return false,
                None => return self.deliver_until(host, id, now, usize::MAX),
            }
        }
    }

    /// The octet at the mark, whether the host cuts it out of the stream or leaves it in line: false without room, none
    /// where there is no such octet after all.
    fn deliver_urgent(&mut self, host: &mut Host, id: SocketId, now: Instant) -> Option<bool> {
        let cut_out = host.recv(now, id, 1, Flags::OOB | Flags::PEEK).ok();
        let in_line = || host.received(id).find_map(|piece| piece.first().copied());
        let octet = cut_out
            .as_ref()
            .and_then(|octets| octets.first().copied())
            .or_else(in_line)?;
        // Any other error is the program's close, of which the end tells.
        if send(&self.end, &[octet], unix::QUIET | SendFlags::OOB) == Err(rustix::io::Errno::AGAIN) {
            self.full = true;
            return Some(false);
        }
        if cut_out.is_some() {
            // Seen just before, it is there.
            let _ = host.recv(now, id, 1, Flags::OOB);
        } else {
            host.consume(now, id, 1);
        }
        Some(true)
    }

    /// Writes up to `limit` octets; true when those, or all there are, were written.
    fn deliver_until(&mut self, host: &mut Host, id: SocketId, now: Instant, limit: usize) -> bool {
        let mut left = limit;
        loop {
            self.outlet.take_if(|outlet| outlet.is_idle());
            let next = self.outlet.as_ref().map_or(Next::Ordinary(usize::MAX), Outlet::next);
            let (Next::Ordinary(of_a_kind) | Next::Held(of_a_kind)) = next;
            let most = left.min(of_a_kind);
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let mut count = 0;
            let mut total = 0;
            for (piece, octets) in pieces.iter_mut().zip(host.received(id)) {
                let octets = &octets[..octets.len().min(most - total)];
                *piece = IoSlice::new(octets);
                count += 1;
                total += octets.len();
            }
            if total == 0 {
                return true;
            }
            if self.full {
                return false;
            }
            let taken = match (&self.outlet, next) {
                (Some(outlet), Next::Held(_)) => outlet.drain(&self.end, total, now),
                (outlet, _) => unix::send_pieces(&self.end, &pieces[..count]).inspect(|taken| {
                    if let Some(outlet) = outlet {
                        outlet.pass_by(*taken);
                    }
                }),
            };
            match taken {
                Ok(taken) => {
                    host.consume(now, id, taken);
                    self.carried += taken;
                    left -= taken;
                }
                Err(rustix::io::Errno::AGAIN) => {
                    self.full = true;
                    return false;
                }
                // The program has closed: left unread, the octets make the host reset the connection.
                Err(_) => return true,
            }
        }
    }

    fn deliver_fin(&mut self) {
        if !self.fin_delivered {
            self.fin_delivered = true;
            // It fails only where the program has closed, which its own event tells.
            let _ = shutdown(&self.end, Shutdown::Write);
        }
    }

    /// Whether the program was told that the peer sends no more.
    pub(crate) fn fin_was_delivered(&self) -> bool {
        self.fin_delivered
    }

    /// Whether closing the end now shows the program a reset: octets of its own are unread.
    pub(crate) fn resets_when_closed(&self) -> bool {
        self.outgoing_ended() || self.queued() > 0
    }

    /// Makes closing the end show an orderly end: takes the sentinel.
    pub(crate) fn settle(&mut self) {
        if self.outgoing_ended() {
            sentinel::take(&self.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    /// The program's descriptor, and the stream behind it.
    fn stream() -> (UnixStream, Stream) {
        let (program, end) = UnixStream::pair().unwrap();
        (program, Stream::new(end.into()))
    }

    fn take(stream: &mut Stream) -> Taken {
        stream.take(usize::MAX, Instant::from_nanos(0)).unwrap()
    }

    #[test]
    fn an_urgent_octet_that_no_event_has_told_of_yet_is_not_dropped() {
        let (mut program, mut stream) = stream();
        stream.note(EventFlags::IN);
        program.write_all(&vec![1; CHUNK]).unwrap();
        assert!(matches!(take(&mut stream), Taken::Octets(octets) if octets.len() == CHUNK));
        // Sent after the last look at events: it lies right behind the octets of the last read.
        assert_eq!(send(&program, b"!", SendFlags::OOB), Ok(1));
        program.write_all(b"after").unwrap();
        assert!(matches!(take(&mut stream), Taken::Urgent));
        assert_eq!(stream.urgent, Some(b'!'));
        assert!(matches!(take(&mut stream), Taken::Octets(octets) if &octets[..] == b"after"));
    }

    #[test]
    fn what_was_read_before_others_wrote_around_a_sentinel_goes_first() {
        let (mut program, mut stream) = stream();
        (stream.unsent, stream.urgent) = (Payload::copy_from(b"read "), Some(b'!'));
        program.write_all(b" and behind").unwrap();
        stream.end_outgoing(Left::Around { before: 4 });
        assert_eq!(
            (&stream.unsent[..], stream.before_fin),
            (&b"read ! and behind"[..], Some(0))
        );
    }

    #[test]
    fn an_urgent_octet_may_be_the_first_of_a_stream() {
        let (program, mut stream) = stream();
        assert_eq!(send(&program, b"!", SendFlags::OOB), Ok(1));
        assert!(matches!(take(&mut stream), Taken::Urgent));
    }
}
