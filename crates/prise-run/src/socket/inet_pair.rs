//! Pairs of UDP sockets of the host's, for datagram sockets whose peer refuses what they send, or that are shut for reading.
//!
//! ```text
//! usually    program ── AF_UNIX ── supervisor ── our UDP ── …
//! here       program ── the kernel's UDP on 127.0.0.1 ── supervisor ── our UDP ── …
//! ```
//! What recv(2), send(2), read(2), write(2) say of a datagram that was refused is said by the program's object itself, without the
//! supervisor. One of AF_UNIX knows `ECONNRESET` only; one of UDP says `ECONNREFUSED` when its kernel is told that a port is closed.
//! So connect(2) to a port of the run that nobody has, or only the calling process itself, gives the program such an object
//! ([`expect_refusal`](crate::supervisor::Supervisor::expect_refusal)): later, when a peer is gone, there is no call of the program's in which another could be given. Only
//! the ends of the pair are others: datagrams go by our stack as all do.
//!
//! *Showing an error.* The supervisor's end turns to another peer, so that nobody hears the program's; an empty datagram is sent on a copy
//! of the program's descriptor, and the kernel refuses it; the end turns back. Should the kernel be late with it, it arrives after that:
//! its hop limit tells it from a program's, and it is tried again.
//!
//! *Strangers.* The program's end has a filter from before it has a port: it hears the supervisor's end only, connected or not. The
//! supervisor's is always connected to a socket of ours.
//!
//! *Room.* UDP drops what a receiver has no room for. sock_diag(7) tells how much the program has not read and, where it has closed its
//! object, that there is none. Nobody tells when it has read: while something is held back the supervisor looks again
//! ([`LOOK_INTERVAL`]).
//!
//! Where it cannot be (no loopback, nothing to ask, a descriptor that others have too, one that is kept or confined) the object stays
//! AF_UNIX's, and says `ECONNRESET`.

use core::cell::OnceCell;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use prise_sys::inet_diag::InetDiag;
use prise_sys::{sockopt as options, udp};
use prise_wire::Instant;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, getsockname, recv, send, socket_with, sockopt,
};

use crate::socket::Slot;
use crate::socket::unix;

/// How often it is looked whether a program has read, while datagrams are held back for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// The hop limit of what is sent to be refused. Nothing that a program writes has it, because its options are not the object's.
const TO_BE_REFUSED: u8 = 1;

/// So often an error is tried to be shown that the kernel is late with.
const TRIES_MAX: u8 = 8;

/// So many pairs a run may have: each takes two of the ports of the machine's loopback, which others need too.
const PAIRS_MAX: usize = 1024;

/// With as many, each so many'th that is turned down has those looked for that were closed.
const SWEPT_EACH: u32 = 16;

/// Ports that are tried: with more than half of them taken all are in one run of a thousand million.
const TRIED_PORTS_MAX: u32 = 32;

/// What the supervisor's end may hold of what a program writes while the supervisor is busy: twice this is asked for, as socket(7) has it,
/// and the machine's limit holds (`net.core.rmem_max`).
const WRITTEN_MAX: usize = 1 << 20;

/// What all pairs of a run share.
#[derive(Debug)]
pub(crate) struct Ground {
    diag: InetDiag,
    /// Ours: who is connected to it hears nobody.
    nobody: SocketAddrV4,
    _socket: OwnedFd,
}

impl Ground {
    /// Where such pairs can be had at all: shown by one.
    fn new() -> io::Result<Rc<Self>> {
        let socket = unbound(SocketFlags::CLOEXEC)?;
        let ground = Rc::new(Self {
            diag: InetDiag::open()?,
            nobody: bind_to_loopback(&socket)?,
            _socket: socket,
        });
        let (theirs, ours, pair) = InetPair::new(&ground, SocketFlags::empty())?;
        connect(&theirs, &pair.own_name())?;
        // No answer is "closed", too, where the kernel has nothing to answer with.
        let answers = ground
            .diag
            .unread_datagrams(pair.program.into(), pair.own.into(), pair.cookie)?
            == Some(0);
        let shows = pair.show_refusal(&ours, &theirs).is_ok()
            && matches!(sockopt::socket_error(&theirs), Ok(Err(Errno::CONNREFUSED)));
        if answers && shows {
            Ok(ground)
        } else {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// The pairs of a run.
#[derive(Debug, Default)]
pub(crate) struct InetPairs {
    /// Once somebody has asked: none where they cannot be had.
    ground: OnceCell<Option<Rc<Ground>>>,
    /// When to look whether programs have read.
    next_look: Option<Instant>,
    /// Those for which something is held back.
    full: Vec<Slot>,
    /// How many could not be had because there were so many.
    turned_down: u32,
}

impl InetPairs {
    /// What they share, if another one can be had.
    pub(crate) fn ground(&self) -> Option<Rc<Ground>> {
        if self.are_many() {
            return None;
        }
        self.ground.get_or_init(|| Ground::new().ok()).clone()
    }

    /// Whether there are so many that it should be asked which of them are closed: not each time, because that takes as long as there
    /// are sockets.
    pub(crate) fn asks_for_closed(&mut self) -> bool {
        if !self.are_many() {
            return false;
        }
        self.turned_down = self.turned_down.wrapping_add(1);
        self.turned_down % SWEPT_EACH == 1
    }

    /// Whether there are as many as there may be.
    fn are_many(&self) -> bool {
        let ground = self.ground.get().and_then(Option::as_ref);
        // One holder is this.
        ground.is_some_and(|ground| Rc::strong_count(ground) > PAIRS_MAX)
    }

    /// Something is held back for a socket.
    pub(crate) fn look_again(&mut self, slot: Slot, now: Instant) {
        self.next_look.get_or_insert(now + LOOK_INTERVAL);
        self.full.push(slot);
    }

    /// Those whose programs may have read, when it is time to look.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Slot> {
        match self.next_look.take_if(|due| *due <= now) {
            Some(_) => core::mem::take(&mut self.full),
            None => Vec::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_look
    }
}

/// What became of a datagram that was for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// The program has it.
    Done,
    /// There is no room now.
    Full,
    /// The program's end is closed.
    Closed,
    /// The program's end was shut for reading, and takes nothing.
    Deaf,
    /// It is too long for the program's queue.
    Lost,
}

/// What the supervisor's end has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A datagram of the program's, so long.
    Datagram(usize),
    /// What was to be refused, and was not.
    NotRefused,
    /// Nothing more.
    Nothing,
}

/// What is known of a pair; the supervisor's end is the datagram socket's.
#[derive(Debug)]
pub(crate) struct InetPair {
    ground: Rc<Ground>,
    /// The names of the program's end and of the supervisor's.
    program: SocketAddrV4,
    own: SocketAddrV4,
    /// The kernel's `SO_COOKIE` of the program's end.
    cookie: u64,
    /// How much of the program's queue may be filled.
    room: usize,
    /// How often the kernel was late with an error.
    late: u8,
}

fn unbound(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        flags | SocketFlags::CLOEXEC,
        None,
    )
}

fn bind_to_loopback(socket: &OwnedFd) -> io::Result<SocketAddrV4> {
    bind(socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    match SocketAddr::try_from(getsockname(socket)?)? {
        SocketAddr::V4(name) => Ok(name),
        SocketAddr::V6(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Gives a socket a port that it keeps when its peer is taken from it: one that the kernel picks it would lose
/// (`__udp_disconnect`). Looked for from `near` on.
fn bind_for_good(socket: &OwnedFd, near: SocketAddrV4) -> io::Result<SocketAddrV4> {
    /// The ports that kernels pick from, in which steps of so many lead to all (it is a prime number).
    const FIRST: u32 = 32_768;
    const COUNT: u32 = 28_232;
    const STEP: u32 = 4_099;
    for n in 1..=TRIED_PORTS_MAX {
        let port = FIRST + (u32::from(near.port()) + n * STEP) % COUNT;
        let name = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port as u16);
        match bind(socket, &SocketAddr::from(name)) {
            Ok(()) => return Ok(name),
            Err(Errno::ADDRINUSE) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::ADDRINUSE.into())
}

impl InetPair {
    /// A pair: the program's end, not connected, and the supervisor's.
    pub(crate) fn new(ground: &Rc<Ground>, flags: SocketFlags) -> io::Result<(OwnedFd, OwnedFd, Self)> {
        let (ours, theirs) = (unbound(SocketFlags::empty())?, unbound(flags)?);
        let own = bind_to_loopback(&ours)?;
        udp::admit_only(theirs.as_fd(), own)?;
        let program = bind_for_good(&theirs, own)?;
        connect(&ours, &SocketAddr::from(program))?;
        // What strangers have sent before it was connected.
        while recv(&ours, &mut [0; 1], RecvFlags::DONTWAIT).is_ok() {}
        options::set(ours.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTTL, &1_i32.to_ne_bytes())?;
        // As much as the machine allows.
        let _ = sockopt::set_socket_recv_buffer_size(&ours, WRITTEN_MAX);
        let mut pair = Self {
            ground: Rc::clone(ground),
            program,
            own,
            cookie: sockopt::socket_cookie(&theirs)?,
            room: 0,
            late: 0,
        };
        let usual = sockopt::socket_recv_buffer_size(&theirs)?;
        pair.make_room(&theirs, usual);
        Ok((theirs, ours, pair))
    }

    /// The program may leave so much unread, in the kernel's accounting. Its buffer is twice as large (socket(7)): what the kernel has not
    /// yet put into it, because it was busy, finds room, too.
    pub(crate) fn make_room(&mut self, theirs: &OwnedFd, room: usize) {
        // Refused by the kernel, the buffer stays as it is.
        let _ = sockopt::set_socket_recv_buffer_size(theirs, room);
        self.room = sockopt::socket_recv_buffer_size(theirs).map_or(room, |whole| whole / 2);
    }

    /// Where the program's end is connected to.
    pub(crate) fn own_name(&self) -> SocketAddr {
        self.own.into()
    }

    /// What the program has not read: none where it has closed its end.
    fn unread(&self) -> Option<usize> {
        let asked = self
            .ground
            .diag
            .unread_datagrams(self.program.into(), self.own.into(), self.cookie);
        // Not answered (no memory), it is as if all were read.
        asked.map_or(Some(0), |unread| unread.map(|octets| octets as usize))
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.unread().is_some_and(|unread| unread > 0)
    }

    /// Puts a datagram into the program's queue.
    pub(crate) fn put(&self, end: &OwnedFd, payload: &[u8]) -> Put {
        /// What a buffer takes besides its octets is less than them and this.
        const OVERHEAD: usize = 1024;
        let Some(unread) = self.unread() else {
            return Put::Closed;
        };
        if unread > 0 && unread + 2 * payload.len() + OVERHEAD > self.room {
            return Put::Full;
        }
        let sent = match send(end, payload, unix::QUIET) {
            // What came before was refused: the next is another matter.
            Err(Errno::CONNREFUSED) => send(end, payload, unix::QUIET),
            sent => sent,
        };
        match sent {
            Err(Errno::AGAIN | Errno::NOBUFS) => Put::Full,
            Ok(_) => Put::Done,
            Err(_) => Put::Lost,
        }
    }

    /// Takes what the program has written.
    pub(crate) fn take(&mut self, end: &OwnedFd, scratch: &mut [u8]) -> Written {
        loop {
            match udp::receive(end.as_fd(), scratch) {
                Ok((0, Some(TO_BE_REFUSED))) => {
                    self.late = self.late.saturating_add(1);
                    return Written::NotRefused;
                }
                Ok((len, _)) => return Written::Datagram(len),
                // Of what was sent to a program that has closed its end. Told once.
                Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => (),
                Err(_) => return Written::Nothing,
            }
        }
    }

    /// Whether an error that the kernel was late with is to be tried again.
    pub(crate) fn tries_again(&self) -> bool {
        self.late < TRIES_MAX
    }

    /// Makes the program's end say `ECONNREFUSED`. `theirs` is connected to this end.
    pub(crate) fn show_refusal(&self, end: &OwnedFd, theirs: &OwnedFd) -> Result<(), Errno> {
        connect(end, &SocketAddr::from(self.ground.nobody))?;
        let refused = |error: &io::Error| error.raw_os_error() == Some(libc::ECONNREFUSED);
        if udp::send_empty(theirs.as_fd(), TO_BE_REFUSED).is_err_and(|error| refused(&error)) {
            // An error that was shown before and that nobody has taken comes first.
            let _ = udp::send_empty(theirs.as_fd(), TO_BE_REFUSED);
        }
        connect(end, &SocketAddr::from(self.program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags};

    /// A pair whose program's end is connected; none where the kernel has none of these.
    fn connected() -> Option<(OwnedFd, OwnedFd, InetPair)> {
        let ground = Ground::new().ok()?;
        let (theirs, ours, pair) = InetPair::new(&ground, SocketFlags::NONBLOCK).unwrap();
        connect(&theirs, &pair.own_name()).unwrap();
        Some((theirs, ours, pair))
    }

    /// What comes, an error included, however busy the kernel is.
    fn awaited(theirs: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let mut polled = [PollFd::new(theirs, PollFlags::IN)];
        rustix::event::poll(&mut polled, None)?;
        received(theirs)
    }

    fn awaited_by(pair: &mut InetPair, ours: &OwnedFd) -> Written {
        rustix::event::poll(&mut [PollFd::new(ours, PollFlags::IN)], None).unwrap();
        pair.take(ours, &mut [0; 8])
    }

    /// Shows a refusal, as often as the kernel is late with it.
    fn show(pair: &mut InetPair, ours: &OwnedFd, theirs: &OwnedFd) {
        pair.show_refusal(ours, theirs).unwrap();
        while pair.take(ours, &mut [0; 8]) == Written::NotRefused {
            pair.show_refusal(ours, theirs).unwrap();
        }
    }

    fn received(theirs: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0; 1 << 16];
        let (len, _) = recv(theirs, &mut buffer[..], RecvFlags::empty())?;
        buffer.truncate(len);
        Ok(buffer)
    }

    #[test]
    fn a_refusal_is_told_once_and_is_nothing_that_the_program_has_written() {
        let Some((theirs, ours, mut pair)) = connected() else {
            return;
        };
        for _ in 0..3 {
            show(&mut pair, &ours, &theirs);
            // Twice before it is taken is once.
            show(&mut pair, &ours, &theirs);
            assert_eq!(awaited(&theirs), Err(Errno::CONNREFUSED));
            assert_eq!(received(&theirs), Err(Errno::AGAIN));
            assert_eq!(pair.take(&ours, &mut [0; 8]), Written::Nothing);
        }
        for octets in [&b""[..], b"abc"] {
            send(&theirs, octets, unix::QUIET).unwrap();
            assert_eq!(awaited_by(&mut pair, &ours), Written::Datagram(octets.len()));
        }
    }

    #[test]
    fn what_the_kernel_was_late_with_is_tried_again_but_not_for_ever() {
        let Some((theirs, ours, mut pair)) = connected() else {
            return;
        };
        for _ in 0..TRIES_MAX {
            assert!(pair.tries_again());
            udp::send_empty(theirs.as_fd(), TO_BE_REFUSED).unwrap();
            assert_eq!(awaited_by(&mut pair, &ours), Written::NotRefused);
        }
        assert!(!pair.tries_again());
    }

    #[test]
    fn a_queue_takes_no_more_than_its_room_and_loses_nothing() {
        let Some((theirs, ours, mut pair)) = connected() else {
            return;
        };
        pair.make_room(&theirs, 64 << 10);
        for payload in [vec![1; 1], vec![2; 1500], vec![3; 60_000]] {
            let mut taken = 0;
            while pair.put(&ours, &payload) == Put::Done {
                taken += 1;
            }
            assert!(taken > 0 && pair.has_unread());
            assert_eq!(pair.put(&ours, &payload), Put::Full);
            for _ in 0..taken {
                assert_eq!(awaited(&theirs).as_ref(), Ok(&payload));
            }
            assert_eq!(received(&theirs), Err(Errno::AGAIN));
            assert!(!pair.has_unread());
        }
    }

    #[test]
    fn a_run_has_no_more_pairs_than_it_may_and_asks_now_and_then_which_are_closed() {
        let mut pairs = InetPairs::default();
        let Some(first) = pairs.ground() else { return };
        let held: Vec<Rc<Ground>> = (1..PAIRS_MAX).map(|_| pairs.ground().unwrap()).collect();
        assert!(pairs.ground().is_none());
        let asked = (0..2 * SWEPT_EACH).filter(|_| pairs.asks_for_closed()).count();
        assert_eq!(asked, 2);
        drop(held);
        assert!(!pairs.asks_for_closed() && pairs.ground().is_some());
        drop(first);
    }

    #[test]
    fn a_closed_end_is_known_to_be_closed_and_a_copy_keeps_it_open() {
        let Some((theirs, ours, pair)) = connected() else {
            return;
        };
        let copy = theirs.try_clone().unwrap();
        drop(theirs);
        assert_eq!(pair.put(&ours, b"x"), Put::Done);
        drop(copy);
        assert_eq!(pair.put(&ours, b"x"), Put::Closed);
    }

    #[test]
    fn without_a_peer_the_program_hears_its_pair_only_and_cannot_write() {
        let Some((theirs, ours, pair)) = connected() else {
            return;
        };
        rustix::net::connect_unspec(&theirs).unwrap();
        assert_eq!(send(&theirs, b"x", unix::QUIET), Err(Errno::DESTADDRREQ));
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"stranger", pair.program).unwrap();
        assert_eq!(pair.put(&ours, b"friend"), Put::Done);
        assert_eq!(awaited(&theirs).as_deref(), Ok(&b"friend"[..]));
        assert_eq!(received(&theirs), Err(Errno::AGAIN));
    }
}
