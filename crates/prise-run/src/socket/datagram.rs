//! The pump of a datagram socket: a pair of AF_UNIX datagram sockets, and who sent what lies in it.
//!
//! Connected sockets send and receive natively. An address, asked for with a datagram, is the supervisor's to know: it
//! keeps in the kernel's queue only datagrams that agree in everything that can be asked about them, and holds the next
//! one back until the program has read those. So the answer is right however recv(2) and recvfrom(2) are mixed.
//!
//! The supervisor's end is connected to the program's always; the program's to the supervisor's only while the socket
//! has a peer, so that writing without one fails (with `ENOTCONN` where the kernel answers, `EDESTADDRREQ` here).
//!
//! Where what a program sends is going to be refused the pair is one of UDP: [`crate::socket::inet_pair`].

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Flags, Host, Received, SocketId};
use prise_stack::LinkId;
use prise_wire::{Instant, Ipv4Options, Payload};
use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SocketAddrUnix, bind, connect, connect_unspec, getsockname, recv, send, sockopt};

use crate::socket::inet_pair::{InetPair, Put, Written};
use crate::socket::unix;
use crate::waiting::parked::ParkId;

/// What can be asked about a received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: Option<SocketAddr>,
    pub(crate) destination: Option<SocketAddr>,
    pub(crate) link: Option<LinkId>,
    pub(crate) hop_limit: u8,
    pub(crate) tos: u8,
    pub(crate) flow_label: u32,
    pub(crate) options: Option<Ipv4Options>,
    pub(crate) segment: Option<u16>,
    pub(crate) timestamp: Option<Instant>,
}

impl Origin {
    fn of(received: &Received, with_timestamp: bool) -> Self {
        Self {
            source: received.source,
            destination: received.destination,
            link: received.link,
            hop_limit: received.hop_limit,
            tos: received.tos,
            flow_label: received.flow_label,
            options: received.options,
            segment: received.segment,
            timestamp: received.timestamp.filter(|_| with_timestamp),
        }
    }
}

/// A datagram socket.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// The supervisor's end.
    pub(crate) end: OwnedFd,
    /// The pair is one of the host kernel's UDP.
    inet: Option<Box<InetPair>>,
    /// Where the datagrams in the program's queue come from.
    pub(crate) origin: Option<Origin>,
    /// Taken from the host, not yet given to the program.
    held: Option<Received>,
    /// When the last one came that lies in the program's queue or did, and the last one that the program is known to have taken.
    came: Option<Instant>,
    taken: Option<Instant>,
    /// Taken from the program, not yet to the host.
    unsent: Option<Payload>,
    /// Calls that wait for a datagram, in their order.
    pub(crate) receiving: VecDeque<ParkId>,
    /// Calls that wait for room.
    pub(crate) sending: VecDeque<ParkId>,
    /// An error that the host told while nobody asked; the next call's.
    error: Option<Errno>,
    /// The program's end shows an error, until some call has taken it.
    shown: bool,
    /// The program's end was given a name, when an error was first to be shown.
    named: bool,
    /// The supervisor's end was, when the program's was first to be connected to it.
    end_named: bool,
    /// The program's end is connected to the supervisor's: native writes reach it.
    has_peer: bool,
    /// Something is held back until the program has read.
    pub(crate) full: bool,
    /// The end is watched for the program's reading.
    pub(crate) watched: bool,
    /// Time stamps were asked for: no two datagrams agree.
    pub(crate) stamped: bool,
    /// shutdown(SHUT_RD): who would wait for a datagram is told of an end. What comes all the same is held for judged calls, because the
    /// kernel puts nothing into the queue of such an object.
    pub(crate) deaf: bool,
    /// shutdown(SHUT_WR): the program's end cannot be made to show another error than the one that it shows.
    pub(crate) mute: bool,
}

/// How a datagram socket stands after it was pumped.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// As before.
    Open,
    /// Nobody holds the program's end any more. This datagram found nobody; what had come before goes with the socket.
    Closed(Option<Received>),
}

impl Datagram {
    /// A socket without a peer, from a connected pair.
    pub(crate) fn new(end: OwnedFd, program: &OwnedFd) -> Self {
        Self {
            has_peer: connect_unspec(program).is_err(),
            end_named: false,
            deaf: false,
            mute: false,
            end,
            inet: None,
            origin: None,
            held: None,
            came: None,
            taken: None,
            unsent: None,
            receiving: VecDeque::new(),
            sending: VecDeque::new(),
            error: None,
            shown: false,
            named: false,
            full: false,
            watched: false,
            stamped: false,
        }
    }

    /// From the program, which writes natively, to the host.
    pub(crate) fn outgoing(&mut self, host: &mut Host, id: SocketId, now: Instant, scratch: &mut [u8]) {
        loop {
            let mut payload = match self.unsent.take() {
                Some(payload) => payload,
                None => match self.take_written(scratch) {
                    Some(len) => Payload::copy_from(&scratch[..len]),
                    None => return,
                },
            };
            match host.send(now, id, &mut payload, Flags::NOSIGNAL) {
                Err(Errno::EAGAIN) => {
                    self.unsent = Some(payload);
                    return;
                }
                // A native write that lost its race with a disconnect; its error would hit an innocent call.
                Ok(_) | Err(Errno::EDESTADDRREQ) => (),
                // Lost, as a datagram may be; what the network said is the next call's to know.
                Err(error) => self.note_error(error),
            }
        }
    }

    /// From the host into the program's queue, as far as the datagrams agree.
    pub(crate) fn incoming(&mut self, host: &mut Host, id: SocketId, now: Instant) -> Delivery {
        if self.held.is_some()
            && let Some(error) = host.take_error(id)
        {
            // It is told before what waits to be read.
            self.note_error(error);
        }
        loop {
            let was_there = self.held.is_some();
            let received = match self.held.take() {
                Some(received) => received,
                None => match host.recv_from(now, id, Flags::DONTWAIT) {
                    Ok(received) => received,
                    Err(Errno::EAGAIN) => return Delivery::Open,
                    Err(error) => {
                        self.note_error(error);
                        return Delivery::Open;
                    }
                },
            };
            let origin = Origin::of(&received, self.stamped);
            if self.origin != Some(origin) {
                if self.has_unread() {
                    self.hold(received);
                    return Delivery::Open;
                }
                self.origin = Some(origin);
            }
            match self.put(&received.payload) {
                Put::Full => {
                    self.hold(received);
                    return Delivery::Open;
                }
                Put::Closed if was_there => {
                    // It goes with the socket; what has come in this turn, after all else, has come to nobody.
                    let rest = core::iter::from_fn(|| host.recv_from(now, id, Flags::DONTWAIT).ok());
                    return Delivery::Closed(rest.last().filter(|it| it.timestamp == Some(now)));
                }
                Put::Closed => return Delivery::Closed(Some(received)),
                Put::Deaf => {
                    self.came = received.timestamp;
                    self.held = Some(received);
                    return Delivery::Open;
                }
                Put::Done => self.came = received.timestamp,
                Put::Lost => (),
            }
        }
    }

    /// Puts a datagram into the program's queue.
    fn put(&self, payload: &[u8]) -> Put {
        use rustix::io::Errno as E;
        if let Some(inet) = &self.inet {
            return inet.put(&self.end, payload);
        }
        match send(&self.end, payload, unix::QUIET) {
            Ok(_) => Put::Done,
            Err(E::AGAIN | E::NOBUFS) => Put::Full,
            Err(E::CONNREFUSED | E::CONNRESET) => Put::Closed,
            Err(E::PIPE) if self.deaf => Put::Deaf,
            Err(_) => Put::Lost,
        }
    }

    /// Takes what the program has written natively; gives its length.
    fn take_written(&mut self, scratch: &mut [u8]) -> Option<usize> {
        let Some(inet) = &mut self.inet else {
            return recv(&self.end, scratch, RecvFlags::DONTWAIT).ok().map(|(len, _)| len);
        };
        loop {
            match inet.take(&self.end, scratch) {
                Written::Datagram(len) => return Some(len),
                // The program's end shows no error then.
                Written::NotRefused => self.shown &= !inet.tries_again(),
                Written::Nothing => return None,
            }
        }
    }

    /// Whether another object, which has nothing of this one, may stand for the socket.
    pub(crate) fn is_untouched(&self) -> bool {
        let waits = self.held.is_some() || self.unsent.is_some() || self.error.is_some();
        !(waits || self.shown || self.deaf || self.is_inet() || self.has_unread())
    }

    /// The pair is one of UDP from now on, whose program's end has no peer yet.
    pub(crate) fn change_to(&mut self, end: OwnedFd, inet: InetPair) {
        self.end = end;
        self.inet = Some(Box::new(inet));
        (self.has_peer, self.named, self.end_named) = (false, false, false);
        (self.full, self.watched) = (false, false);
    }

    /// Whether the pair is one of UDP.
    pub(crate) fn is_inet(&self) -> bool {
        self.inet.is_some()
    }

    /// How much the program may leave unread (`SO_RCVBUF`). `copy`: its end.
    pub(crate) fn make_room(&mut self, copy: &OwnedFd, size: usize) {
        match &mut self.inet {
            Some(inet) => inet.make_room(copy, size),
            // What lies in a queue of AF_UNIX is its sender's.
            None => drop(sockopt::set_socket_send_buffer_size(&self.end, size)),
        }
    }

    /// What a socket that was shut for reading has received all the same, copied into `room`, and its whole length; `kept`: it is only
    /// looked at (`MSG_PEEK`).
    pub(crate) fn take_held(&mut self, room: &mut [u8], kept: bool) -> Option<usize> {
        let received = self.held.as_ref().filter(|_| self.deaf)?;
        let copied = received.payload.len().min(room.len());
        room[..copied].copy_from_slice(&received.payload[..copied]);
        let whole = received.payload.len();
        if !kept {
            self.held = None;
        }
        Some(whole)
    }

    /// When the datagram came that the program has received last, as far as can be seen: what it takes natively is known to be taken
    /// once its queue is empty.
    pub(crate) fn last_stamp(&mut self) -> Option<Instant> {
        if !self.has_unread() && self.held.is_none() {
            self.note_taken();
        }
        self.taken
    }

    /// The program has received one. Told of its time besides, it is not told by `SIOCGSTAMP` (`sock_recv_cmsgs`).
    pub(crate) fn note_taken(&mut self) {
        if !self.stamped {
            self.taken = self.came;
        }
    }

    /// The host has told an error. The descriptor shows it, unless it shows one that nobody has taken.
    fn note_error(&mut self, error: Errno) {
        self.error = Some(error);
        self.shown = false;
    }

    /// The socket has got a peer: native writes are datagrams for it. `copy` is the program's end.
    pub(crate) fn gain_peer(&mut self, copy: &OwnedFd) -> Result<(), rustix::io::Errno> {
        if !self.has_peer {
            match &self.inet {
                Some(inet) => connect(copy, &inet.own_name())?,
                // Nobody else can send there, because its own peer is the program's end.
                None => connect(copy, &name(&self.end, &mut self.end_named)?)?,
            }
            self.has_peer = true;
        }
        Ok(())
    }

    /// The socket's peer was taken from it. What lies in the program's queue stays there.
    pub(crate) fn lose_peer(&mut self, copy: &OwnedFd, scratch: &mut [u8]) -> Result<(), rustix::io::Errno> {
        // With a name, strangers could send to it then.
        if !self.has_peer || self.named {
            return Ok(());
        }
        if self.is_inet() {
            connect_unspec(copy)?;
            self.has_peer = false;
            return Ok(());
        }
        // The kernel drops the queue of a socket that turns away from its peer.
        let mut unread = Vec::new();
        while let Ok((len, _)) = recv(copy, &mut *scratch, RecvFlags::DONTWAIT) {
            unread.push(scratch[..len].to_vec());
        }
        connect_unspec(copy)?;
        self.has_peer = false;
        for datagram in unread {
            // It fits where it was; without memory it is lost, as a datagram may be.
            let _ = send(&self.end, &datagram, unix::QUIET);
        }
        Ok(())
    }

    /// Whether an error waits that the program's descriptor does not show.
    pub(crate) fn hides_error(&self) -> bool {
        self.error.is_some() && !self.shown
    }

    /// Makes the program's end show an error, so that who sleeps in poll(2) or in a native call wakes.
    ///
    /// The kernel does so when the other end of a datagram pair turns away from what it has not read. It says `ECONNRESET`, whatever the error:
    /// calls that are judged, and `SO_ERROR`, tell the right one. To find back, the program's end needs a name; nobody
    /// else can send to it, because its own peer is this end.
    pub(crate) fn show_error(&mut self, copy: &OwnedFd) -> Result<(), rustix::io::Errno> {
        if self.mute && unix::shows(copy, PollFlags::ERR) {
            self.shown = true;
            return Ok(());
        }
        self.gain_peer(copy)?;
        if let Some(inet) = &self.inet {
            inet.show_refusal(&self.end, copy)?;
            self.shown = true;
            return Ok(());
        }
        let name = name(copy, &mut self.named)?;
        // Something to be lost; where there is no room for it, there is something already. An error that was shown before and that nobody
        // has taken comes first.
        if send(copy, &[], unix::QUIET) == Err(rustix::io::Errno::CONNRESET) {
            let _ = send(copy, &[], unix::QUIET);
        }
        connect_unspec(&self.end)?;
        connect(&self.end, &name)?;
        self.shown = true;
        Ok(())
    }

    /// The error that waits, for a judged call. One that was shown and is shown no more was taken by a native call.
    pub(crate) fn take_error(&mut self, copy: &OwnedFd) -> Option<Errno> {
        let error = self.error.take()?;
        if self.mute && self.shown {
            // Another could not be shown for what is queued besides: it is taken off once nothing is ([`conceal`](Self::conceal)).
            self.shown = unix::shows(copy, PollFlags::ERR);
            return self.shown.then_some(error);
        }
        if core::mem::take(&mut self.shown) && matches!(sockopt::socket_error(copy), Ok(Ok(()))) {
            return None;
        }
        Some(error)
    }

    /// Whether an error waits.
    pub(crate) const fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Who takes what ICMP said off the queue of errors has been told (`sock_dequeue_err_skb`); the host has the next one.
    pub(crate) fn forget_error(&mut self) {
        self.error = None;
    }

    /// Whether the program's end shows an error.
    pub(crate) const fn shows_error(&self) -> bool {
        self.shown
    }

    /// The program's end is to show no error for now: only that errors are queued, which no call fails with.
    pub(crate) fn conceal(&mut self, copy: &OwnedFd) {
        if self.shown && self.error.is_none() {
            self.shown = false;
            // Taken off the kernel's object, whatever it was.
            let _ = sockopt::socket_error(copy);
        }
    }

    /// Whether the program's end shows an error that is not to be taken from it, because nothing can be sent on it any more by which another
    /// could be shown, and nothing lies in its queue for which it would have to be.
    pub(crate) fn shows_for_good(&self, copy: &OwnedFd) -> bool {
        self.shown && self.mute && !unix::shows(copy, PollFlags::IN)
    }

    /// Whether datagrams lie in the program's queue.
    pub(crate) fn has_unread(&self) -> bool {
        if let Some(inet) = &self.inet {
            return inet.has_unread();
        }
        prise_sys::unix::unread_by_peer(self.end.as_fd()).is_ok_and(|unread| unread > 0)
    }

    fn hold(&mut self, received: Received) {
        self.held = Some(received);
        self.full = true;
    }
}

/// The name of a socket, of the kernel's choice where it has none yet.
fn name(socket: &OwnedFd, is_named: &mut bool) -> Result<SocketAddrUnix, rustix::io::Errno> {
    if !*is_named {
        bind(socket, &SocketAddrUnix::new_unnamed())?;
        *is_named = true;
    }
    SocketAddrUnix::try_from(getsockname(socket)?)
}
