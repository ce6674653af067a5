//! The guests' Internet sockets: what stands for each in the kernel and in the host.

pub(crate) mod arrivals;
pub(crate) mod attach;
pub(crate) mod closes;
pub(crate) mod conduit;
pub(crate) mod connecting;
pub(crate) mod datagram;
pub(crate) mod inet_pair;
pub(crate) mod keeping;
pub(crate) mod ledger;
pub(crate) mod lifecycle;
pub(crate) mod listener;
pub(crate) mod refused;
pub(crate) mod sentinel;
pub(crate) mod stream;
pub(crate) mod unix;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;

use prise_socket::{Errno, Family, Kind, SocketId};
use rustix::net::sockopt;

use crate::handed::Handed;
use crate::handed::chosen::Chosen;
use crate::handed::lingering::Ends;
use crate::handed::noted::Noted;
use crate::socket::arrivals::Arrivals;
use crate::socket::connecting::Connecting;
use crate::socket::datagram::Datagram;
use crate::socket::listener::Listening;
use crate::socket::stream::Stream;
use crate::waiting::parked::ParkId;

/// Names one socket of the table for its whole life, and nothing afterwards: places are reused, generations are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    index: u32,
    generation: u32,
}

impl Slot {
    /// No socket's.
    pub(crate) const NONE: Self = Self {
        index: u32::MAX,
        generation: 0,
    };

    /// Generations wrap here, so that a slot fits 63 bits.
    const GENERATION_MASK: u32 = 0x7fff_ffff;

    pub(crate) fn new(index: u32, generation: u32) -> Self {
        Self {
            index,
            generation: generation & Self::GENERATION_MASK,
        }
    }

    /// Indices from here on are netlink sockets'.
    const NETLINK: u32 = 1 << 31;

    /// The slot of the `n`th netlink socket of a run.
    pub(crate) fn netlink(n: u64) -> Self {
        Self::new(n as u32 | Self::NETLINK, (n >> 31) as u32)
    }

    pub(crate) fn is_netlink(self) -> bool {
        self.index & Self::NETLINK != 0
    }

    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self::new(bits as u32, (bits >> 32) as u32)
    }
}

/// A descriptor of a guest's that was seen to be the socket: a hint, to be verified by the socket's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) tid: u32,
    pub(crate) fd: i32,
}

/// `SO_SNDBUF` and `SO_RCVBUF` as the program has set them, if it has: accepted connections inherit both.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buffers {
    pub(crate) send: Option<usize>,
    pub(crate) receive: Option<usize>,
}

impl Buffers {
    /// Sets the buffers of the pair. What a program may leave unread is bounded by the sender's buffer, as AF_UNIX has
    /// it: the supervisor's.
    pub(crate) fn apply(self, program: Option<&OwnedFd>, end: &OwnedFd) {
        // Refused by the kernel, a buffer stays as it is.
        if let (Some(size), Some(program)) = (self.send, program) {
            let _ = sockopt::set_socket_send_buffer_size(program, size);
        }
        if let Some(size) = self.receive {
            let _ = sockopt::set_socket_send_buffer_size(end, size);
        }
    }
}

/// Of what a stream died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: Errno,
    /// The kernel's object says `ECONNRESET` for it, once: whoever was told so natively was told. Behind the peer's end the object
    /// says nothing, and nobody is told but by calls that are judged.
    pub(crate) is_shown: bool,
}

/// What a socket is in the kernel.
#[derive(Debug)]
pub(crate) enum Role {
    /// A stream that was created and perhaps bound: an unconnected AF_UNIX stream.
    Fresh,
    /// A stream that listens.
    Listener(Listening),
    /// A stream that is being connected.
    Connecting(Connecting),
    /// A stream whose octets are pumped.
    Stream(Stream),
    /// A stream whose object is the host kernel's.
    Handed(Handed),
    /// A stream whose other end is closed, because both directions have ended or it was reset. The program still holds it.
    /// Of what it died, as long as nobody was told.
    Ended(Option<Failure>),
    /// A datagram or raw socket.
    Datagram(Box<Datagram>),
}

impl Role {
    /// Whether the program's object is a TCP socket of the host kernel's.
    pub(crate) fn is_hosts_object(&self) -> bool {
        match self {
            Self::Handed(_) => true,
            Self::Listener(listening) => listening.is_native(),
            Self::Fresh | Self::Connecting(_) | Self::Stream(_) | Self::Ended(_) | Self::Datagram(_) => false,
        }
    }

    /// The calls that wait for room.
    pub(crate) fn sending(&mut self) -> Option<&mut VecDeque<ParkId>> {
        match self {
            Self::Datagram(datagram) => Some(&mut datagram.sending),
            Self::Stream(stream) => Some(&mut stream.sending),
            Self::Fresh | Self::Listener(_) | Self::Connecting(_) | Self::Handed(_) | Self::Ended(_) => None,
        }
    }
}

/// One socket.
#[derive(Debug)]
pub(crate) struct GuestSocket {
    /// Its name in the host.
    pub(crate) id: SocketId,
    /// The kernel's `SO_COOKIE` of the object that the program holds: never given out twice.
    pub(crate) cookie: u64,
    /// The number of that object as `/proc/PID/fd` shows it: what `ss -p` finds programs by.
    pub(crate) inode: u32,
    pub(crate) family: Family,
    pub(crate) kind: Kind,
    pub(crate) holder: Holder,
    /// What the program asked its buffers to be.
    pub(crate) buffers: Buffers,
    /// What the program asked of a connection, where one may be handed.
    pub(crate) chosen: Chosen,
    /// The process that made it.
    pub(crate) process: u32,
    /// The kernel's names for a stream that it carries.
    pub(crate) ends: Option<Box<Ends>>,
    /// The other end of a stream that has ended both ways with octets that the program has not read: its error tells of a close that
    /// has left them unread.
    pub(crate) unread: Option<OwnedFd>,
    /// When a stream's octets came, if the program is to be told.
    pub(crate) arrivals: Option<Box<Arrivals>>,
    pub(crate) role: Role,
}

impl GuestSocket {
    /// Whether the program has closed the stream with octets unread that had come before both ways were shut.
    pub(crate) fn was_left_unread(&self) -> bool {
        let end = self.unread.as_ref();
        end.is_some_and(|end| sockopt::socket_error(end) == Ok(Err(rustix::io::Errno::CONNRESET)))
    }
}

/// All sockets, found by slot, by the kernel's cookie and by the host's name.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    places: Vec<Place>,
    free: Vec<u32>,
    by_cookie: HashMap<u64, Slot>,
    by_id: HashMap<SocketId, Slot>,
    /// Connections that are no sockets yet.
    noted: usize,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    socket: Option<GuestSocket>,
    /// The connection that is to be a socket once somebody asks for it.
    noted: Option<Noted>,
}

impl Place {
    /// A place that was never taken.
    const NEW: Self = Self {
        generation: 0,
        socket: None,
        noted: None,
    };
}

impl Sockets {
    /// The slot that the next [`Sockets::insert`] will give out.
    pub(crate) fn next_slot(&self) -> Slot {
        match self.free.last() {
            Some(&index) => Slot::new(index, self.places[index as usize].generation),
            None => Slot::new(self.places.len() as u32, 0),
        }
    }

    pub(crate) fn insert(&mut self, socket: GuestSocket) -> Slot {
        let slot = self.take_place();
        self.by_cookie.insert(socket.cookie, slot);
        self.by_id.insert(socket.id, slot);
        self.places[slot.index as usize].socket = Some(socket);
        slot
    }

    /// Gives a connection the slot that its socket will have.
    pub(crate) fn note(&mut self, noted: Noted) -> Slot {
        let slot = self.take_place();
        self.by_cookie.insert(noted.cookie, slot);
        self.places[slot.index as usize].noted = Some(noted);
        self.noted += 1;
        slot
    }

    /// A noted connection is a socket from now on.
    pub(crate) fn enter(&mut self, slot: Slot, socket: GuestSocket) {
        let Some(place) = self.places.get_mut(slot.index as usize) else {
            return;
        };
        self.by_id.insert(socket.id, slot);
        self.noted -= usize::from(place.noted.take().is_some());
        place.socket = Some(socket);
    }

    /// How many connections are no sockets yet.
    pub(crate) fn noted_len(&self) -> usize {
        self.noted
    }

    /// The connection that is no socket yet.
    pub(crate) fn noted(&self, slot: Slot) -> Option<&Noted> {
        let place = self.places.get(slot.index as usize)?;
        place.noted.as_ref().filter(|_| place.generation == slot.generation)
    }

    /// All connections that are no sockets yet.
    pub(crate) fn all_noted(&self) -> impl Iterator<Item = (Slot, &Noted)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let slot = Slot::new(index as u32, place.generation);
            place.noted.as_ref().map(|noted| (slot, noted))
        })
    }

    /// A noted connection was closed.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(cookie) = self.noted(slot).map(|noted| noted.cookie) {
            self.by_cookie.remove(&cookie);
            self.places[slot.index as usize].noted = None;
            self.noted -= 1;
            self.give_back_place(slot);
        }
    }

    fn take_place(&mut self) -> Slot {
        let slot = self.next_slot();
        if self.free.pop().is_none() {
            self.places.push(Place::NEW);
        }
        slot
    }

    fn give_back_place(&mut self, slot: Slot) {
        if let Some(place) = self.places.get_mut(slot.index as usize) {
            place.generation = (place.generation + 1) & Slot::GENERATION_MASK;
            self.free.push(slot.index);
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<GuestSocket> {
        let place = self.places.get_mut(slot.index as usize)?;
        if place.generation != slot.generation {
            return None;
        }
        let socket = place.socket.take()?;
        self.give_back_place(slot);
        self.by_cookie.remove(&socket.cookie);
        self.by_id.remove(&socket.id);
        Some(socket)
    }

    /// What a datagram or raw socket is.
    pub(crate) fn datagram_mut(&mut self, slot: Slot) -> Option<&mut Datagram> {
        match &mut self.get_mut(slot)?.role {
            Role::Datagram(datagram) => Some(datagram),
            _ => None,
        }
    }

    /// Another object stands for the socket from now on, a stream that is not connected.
    pub(crate) fn renew(&mut self, slot: Slot, cookie: u64, inode: u32) {
        self.renew_object(slot, cookie, inode);
        if let Some(socket) = self.get_mut(slot) {
            socket.role = Role::Fresh;
        }
    }

    /// Another object stands for the socket from now on, which is what it was.
    pub(crate) fn renew_object(&mut self, slot: Slot, cookie: u64, inode: u32) {
        let Some(socket) = self.get_mut(slot) else { return };
        socket.inode = inode;
        socket.unread = None;
        let before = core::mem::replace(&mut socket.cookie, cookie);
        self.by_cookie.remove(&before);
        self.by_cookie.insert(cookie, slot);
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&GuestSocket> {
        let place = self.places.get(slot.index as usize)?;
        place.socket.as_ref().filter(|_| place.generation == slot.generation)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut GuestSocket> {
        let place = self.places.get_mut(slot.index as usize)?;
        place.socket.as_mut().filter(|_| place.generation == slot.generation)
    }

    pub(crate) fn by_cookie(&self, cookie: u64) -> Option<Slot> {
        self.by_cookie.get(&cookie).copied()
    }

    pub(crate) fn by_id(&self, id: SocketId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &GuestSocket)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let slot = Slot::new(index as u32, place.generation);
            place.socket.as_ref().map(|socket| (slot, socket))
        })
    }
}
