//! Handed streams: connections that leave the run or stay within it are the host kernel's own, while nobody needs their packets.
//!
//! ```text
//! pumped   program ── AF_UNIX ── supervisor ── TCP ── gateway ── host socket ── network
//! handed   program ─────────────────────────────────────────── host socket ── network
//! ```
//! The descriptor that the program has *is* the socket of the host that the gateway would have used, or an end of a pair
//! ([`crate::paired`]). Data calls, poll(2),
//! shutdown(2), `SO_ERROR`, `TCP_INFO` and the queues are then the kernel's; connect(2) is made here, non-blocking, so that
//! the address means what it means in the run and no call is let through that was judged. Names, the port and options that
//! are about addresses stay the host's of the run ([`prise_socket::Host::connect_elsewhere`]).
//!
//! *When an object of the kernel's is made.* By socket(2), without the supervisor, where connections that leave are handed over
//! ([`crate::adopted`]). Elsewhere a stream is born as an AF_UNIX stream, unless the last stream that its process
//! connected was handed: then, in the expectation that this one will be too, as the kernel's. A wrong guess costs a replacement of the
//! object under the program's number at connect(2), bind(2) or listen(2), while it is still unconnected; its epoll sets follow. An AF_UNIX
//! object that others hold too (dup(2), fork(2), passed on) is put back, and its connection pumped.
//!
//! *Who notices the close.* The other program, at once, from the kernel. The supervisor holds nothing of a handed stream and is
//! not woken: the ledger tells it later.

use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Destination, Errno, Family, Kind, SocketId};
use prise_sys::sockopt as options;
use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getpeername, socket_with, sockopt};

use crate::adopted::{self, Native};
use crate::calls::Target;
use crate::chosen;
use crate::epoll_sets::Watched;
use crate::ledger::Ledger;
use crate::native_listener::Names;
use crate::notify::{Answer, Call, DONE, Judged, errno};
use crate::paired::Meeting;
use crate::parked::Wish;
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;
use crate::unix;

/// Processes whose habit is remembered. Beyond it all are forgotten, and the next guesses may be wrong.
const HABITS_MAX: usize = 4096;

/// A stream whose object is the host kernel's.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) stage: Stage,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not connected.
    Idle,
    /// connect(2) was made and its end not yet seen; to this endpoint of the host's network.
    Connecting(SocketAddr),
    /// It was connected.
    Connected,
}

impl Handed {
    pub(crate) fn role(stage: Stage) -> Role {
        Role::Handed(Self { stage })
    }
}

/// Who is handed a socket of the host's.
#[derive(Debug)]
pub(crate) struct Hands {
    /// Nobody needs packets or facts of what leaves the run.
    outside: bool,
    /// Nor of what goes on within it, and pairs can be had.
    inside: bool,
    /// Streams are born as the kernel's, in this network name space where they are to be used as they are.
    native: Option<[u8; 8]>,
    /// And listeners are the kernel's.
    listen: bool,
    /// The processes whose last stream was handed.
    habits: HashMap<u32, bool>,
    /// Where the ends of pairs meet, from the first one on.
    meeting: Option<Meeting>,
    /// There may be connections that only their mark tells of ([`crate::marked`]).
    marked: bool,
    /// Tells whether an object is open anywhere.
    witness: Ledger,
}

impl Hands {
    pub(crate) fn new(outside: bool, inside: bool, born: Native) -> io::Result<Self> {
        let native = if born.families.is_empty() {
            None
        } else {
            adopted::name_space(&Supervisor::hosts_object(Family::Inet, SocketFlags::empty())?)
        };
        Ok(Self {
            outside,
            inside,
            listen: born.listeners && native.is_some(),
            native,
            habits: HashMap::new(),
            meeting: None,
            marked: false,
            witness: Ledger::new()?,
        })
    }

    /// Whether any stream may be handed.
    pub(crate) fn are_allowed(&self) -> bool {
        self.outside || self.inside
    }

    /// Whether of streams that leave the run only a note is taken ([`crate::noted`]).
    pub(crate) fn note_connections(&self) -> bool {
        self.outside && self.have_native_streams()
    }

    /// A connection was marked.
    pub(crate) fn note_marked(&mut self) {
        self.marked = true;
    }

    /// Whether any was.
    pub(crate) fn has_marked(&self) -> bool {
        self.marked
    }

    /// Whether streams are born as the kernel's.
    pub(crate) fn have_native_streams(&self) -> bool {
        self.native.is_some()
    }

    /// Whether listeners are the kernel's.
    pub(crate) fn listen_natively(&self) -> bool {
        self.listen
    }

    /// Whether a stream that was born so belongs to the supervisor's network.
    pub(crate) fn is_at_home(&self, stream: &OwnedFd) -> bool {
        self.native == adopted::name_space(stream)
    }

    /// Whether clients of published ports may be given to the program as they are.
    pub(crate) fn take_callers(&self) -> bool {
        self.outside
    }

    /// Whether the next stream of a process is expected to be handed.
    fn expects(&self, process: u32) -> bool {
        self.are_allowed() && self.habits.get(&process) == Some(&true)
    }

    fn note(&mut self, process: u32, handed: bool) {
        if self.habits.len() >= HABITS_MAX && !self.habits.contains_key(&process) {
            self.habits.clear();
        }
        self.habits.insert(process, handed);
    }

    /// Where the ends of pairs meet.
    pub(crate) fn meeting(&mut self) -> Result<&Meeting, rustix::io::Errno> {
        let meeting = match self.meeting.take() {
            Some(meeting) => meeting,
            None => Meeting::new()?,
        };
        Ok(self.meeting.insert(meeting))
    }
}

/// How a connection is handed.
struct Leg {
    /// Where it leads, as the run names it.
    seen: SocketAddr,
    /// The same in the host's network.
    to: SocketAddr,
    whom: Whom,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Somebody outside of the run.
    Stranger,
    /// A listener of the run that is the kernel's own.
    Listener,
    /// Another listener of the run.
    Neighbor,
    /// No listener: the kernel refuses.
    Nobody,
}

/// What becomes of a connect(2).
pub(crate) enum Way {
    /// It was decided.
    Judged(Judged),
    /// It is the run's own affair, or has to be pumped.
    Inside(Target),
}

impl Supervisor {
    /// connect(2) of a stream: made by the host's kernel where it leaves the run and may be handed.
    pub(crate) fn connect_outside(&mut self, call: &Call, target: Target, remote: SocketAddr) -> Result<Way, Errno> {
        if !self.hands.are_allowed() {
            return Ok(Way::Inside(target));
        }
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        let born_handed = match socket.role {
            Role::Fresh => false,
            Role::Handed(Handed { stage: Stage::Idle }) => true,
            Role::Handed(_) => return Ok(Way::Judged(self.connect_again(call, &target))),
            // The kernel's object is tied to its place.
            Role::Listener(ref listening) if listening.ended && listening.is_native() => {
                let target = self.renewed_natively(call, &target)?;
                return self.connect_outside(call, target, remote);
            }
            _ => return Ok(Way::Inside(target)),
        };
        let process = self.guests.process(call.tid);
        // What is known when connect(2) returns needs no object that shows it.
        let shows_failure = born_handed || !unix::blocks(&target.copy);
        let Some(leg) = self.leg(id, remote, shows_failure) else {
            self.hands.note(process, false);
            return Ok(Way::Inside(target));
        };
        if leg.whom != Whom::Nobody {
            self.hands.note(process, true);
        }
        let target = if born_handed {
            target
        } else {
            match self.replace_by_hosts(call, target) {
                Ok(target) => target,
                Err(target) => return Ok(Way::Inside(target)),
            }
        };
        if self.host.connect_elsewhere(id, leg.seen).is_err() {
            // No port that is nobody else's: the stack can share one.
            return self.unused(call, target).map(Way::Inside);
        }
        let to = for_family(leg.to, self.entry(target.slot)?.family);
        self.set_stage(target.slot, Stage::Connecting(to));
        match leg.whom {
            Whom::Listener => self.dial_within(call, target, leg.seen),
            Whom::Neighbor => self.dial_neighbor(call, target, (leg.seen, to)),
            Whom::Stranger | Whom::Nobody => Ok(Way::Judged(self.dial(call, &target, to))),
        }
    }

    /// How a connection from `id` to `remote` can be handed, if it can.
    fn leg(&mut self, id: SocketId, remote: SocketAddr, shows_failure: bool) -> Option<Leg> {
        match self.host.leads_to(id, remote)? {
            Destination::Outside(seen) if self.hands.outside => Some(Leg {
                seen,
                to: self.gate.as_ref()?.host_endpoint(seen)?,
                whom: Whom::Stranger,
            }),
            Destination::Own { local, remote: seen } if self.hands.inside => {
                // Which port it will come from decides nothing yet but which of several equal listeners gets it.
                let from = SocketAddr::new(local, 0);
                if self.nobody_listens(id, seen, from) {
                    return shows_failure.then_some(Leg {
                        seen,
                        to: self.hands.meeting().ok()?.nobody(),
                        whom: Whom::Nobody,
                    });
                }
                if let Some(listener) = self.native_listener_within(seen, from) {
                    return Some(Leg {
                        seen,
                        to: self.native_listener(listener)?.at(),
                        whom: Whom::Listener,
                    });
                }
                self.listener_within(seen, from)?;
                Some(Leg {
                    seen,
                    to: self.hands.meeting().ok()?.at(),
                    whom: Whom::Neighbor,
                })
            }
            _ => None,
        }
    }

    /// Connects the program's socket to a listener of the kernel's.
    fn dial_within(&mut self, call: &Call, target: Target, seen: SocketAddr) -> Result<Way, Errno> {
        use rustix::io::Errno as E;
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let names = Names {
            guest: seen,
            shown: canonical(self.host.local_addr(id)?),
        };
        let flags = fcntl_getfl(&target.copy).map_err(errno)?;
        let (connected, to) = match self.dial_listener(&target, names, |at| {
            connect_without_waiting(&target.copy, for_family(at, family), flags)
        }) {
            Ok((connected, at)) => (connected, for_family(at, family)),
            Err(E::CONNREFUSED) => {
                self.let_go_of_peer(&target);
                return Ok(Way::Judged(Err(Errno::ECONNREFUSED)));
            }
            Err(_) => {
                // No port or no route of the host's: our TCP has its own.
                self.let_go_of_peer(&target);
                return self.unused(call, target).map(Way::Inside);
            }
        };
        self.set_stage(target.slot, Stage::Connecting(to));
        Ok(Way::Judged(match self.dialled(target.slot, connected.is_ok(), flags) {
            Some(judged) => judged,
            None => Ok(self.wait_for_handshake(call, &target, Errno::EINPROGRESS)),
        }))
    }

    /// What connect(2) within the run says once it is begun; none if it is to wait.
    fn dialled(&mut self, slot: Slot, connected: bool, flags: OFlags) -> Option<Judged> {
        // A call that would not wait is told so even where the end is known, and finds it out by poll(2) or another connect(2).
        if flags.contains(OFlags::NONBLOCK) {
            return Some(Err(Errno::EINPROGRESS));
        }
        connected.then(|| {
            self.set_stage(slot, Stage::Connected);
            DONE
        })
    }

    /// Makes a pair of the program's socket and one that waits at the listener.
    fn dial_neighbor(
        &mut self,
        call: &Call,
        target: Target,
        (seen, to): (SocketAddr, SocketAddr),
    ) -> Result<Way, Errno> {
        use rustix::io::Errno as E;
        let Target { slot, copy } = &target;
        let id = self.entry(*slot)?.id;
        let shown = canonical(self.host.local_addr(id)?);
        let flags = fcntl_getfl(copy).map_err(errno)?;
        let listener = self.listener_within(seen, shown);
        let connected = match listener {
            Some(_) => connect_without_waiting(copy, to, flags),
            None => Err(E::CONNREFUSED),
        };
        let begun = matches!(connected, Ok(()) | Err(E::INPROGRESS));
        let paired = |listener| self.pair(copy, listener, (seen, shown)).is_ok();
        if !(begun && listener.is_some_and(paired)) {
            // With a listener that has room only a loopback that cannot be used prevents it, now and later.
            self.hands.inside = listener.is_none();
            self.let_go_of_peer(&target);
            return self.unused(call, target).map(Way::Inside);
        }
        self.note_ends(target.slot, &target.copy);
        Ok(Way::Judged(match self.dialled(target.slot, connected.is_ok(), flags) {
            Some(judged) => judged,
            None => self.dial(call, &target, to),
        }))
    }

    /// A listener is the run's own affair.
    pub(crate) fn stays_inside_next(&mut self, call: &Call) {
        if self.hands.are_allowed() {
            let process = self.guests.process(call.tid);
            self.hands.note(process, false);
        }
    }

    fn set_stage(&mut self, slot: Slot, stage: Stage) {
        if let Some(socket) = self.sockets.get_mut(slot) {
            socket.role = Handed::role(stage);
        }
    }

    /// Makes the kernel's connect, or asks how far it is; a blocking call waits.
    fn dial(&mut self, call: &Call, target: &Target, to: SocketAddr) -> Judged {
        use rustix::io::Errno as E;
        let flags = fcntl_getfl(&target.copy).map_err(errno)?;
        let blocking = !flags.contains(OFlags::NONBLOCK);
        match connect_without_waiting(&target.copy, to, flags) {
            Ok(()) => {
                self.set_stage(target.slot, Stage::Connected);
                DONE
            }
            Err(still @ (E::INPROGRESS | E::ALREADY)) if blocking => {
                Ok(self.wait_for_handshake(call, target, errno(still)))
            }
            Err(error @ (E::INPROGRESS | E::ALREADY)) => Err(errno(error)),
            Err(E::ISCONN) => {
                self.set_stage(target.slot, Stage::Connected);
                Err(Errno::EISCONN)
            }
            Err(error) => {
                self.let_go_of_peer(target);
                Err(errno(error))
            }
        }
    }

    /// A blocking call waits; one whose time is over is told that it is `still` so.
    pub(crate) fn wait_for_handshake(&mut self, call: &Call, target: &Target, still: Errno) -> Answer {
        self.watch_handed(target);
        let timeout = sockopt::socket_timeout(&target.copy, sockopt::Timeout::Send);
        self.park(call, target.slot, Wish::Connect(still), timeout.ok().flatten());
        Answer::Settled
    }

    /// connect(2) once more.
    fn connect_again(&mut self, call: &Call, target: &Target) -> Judged {
        match self.entry(target.slot)?.role {
            Role::Handed(Handed {
                stage: Stage::Connecting(to),
            }) => self.dial(call, target, to),
            _ => Err(Errno::EISCONN),
        }
    }

    /// connect(2) with `AF_UNSPEC`.
    pub(crate) fn disconnect_handed(&mut self, target: &Target) -> Judged {
        rustix::net::connect_unspec(&target.copy).map_err(errno)?;
        self.let_go_of_peer(target);
        DONE
    }

    /// The options that a program has set while the kernel alone was asked are the host's again.
    pub(crate) fn bring_back(&mut self, target: &Target) {
        let Some(socket) = self.sockets.get_mut(target.slot) else {
            return;
        };
        for (level, name) in chosen::KEPT_BY_KERNEL {
            if let Ok(value) = options::get(target.copy.as_fd(), level, name, size_of::<i32>()) {
                // What the kernel holds, the host holds too.
                let _ = self.host.set_option(self.now, socket.id, level, name, &value);
                socket.chosen.note(level, name, &value);
            }
        }
    }

    /// The socket is as before connect(2).
    fn let_go_of_peer(&mut self, target: &Target) {
        let Some(socket) = self.sockets.get(target.slot) else {
            return;
        };
        // Fails only for what is no socket.
        let _ = self.host.disconnect(self.now, socket.id);
        self.set_stage(target.slot, Stage::Idle);
        self.bring_back(target);
    }

    /// A blocking connect wants to know when the kernel's is over.
    fn watch_handed(&mut self, target: &Target) {
        let (poller, slot) = (&self.poller, target.slot);
        let interest = EventFlags::OUT | EventFlags::ONESHOT;
        // Unwatched, the call still sees signals and its timeout.
        let _ = self
            .ledger
            .through_door(target.copy.as_fd(), |door| poller.watch_once(door, slot, interest));
    }

    /// The kernel's connect may be over.
    pub(crate) fn attend_handed(&mut self, slot: Slot) {
        for id in self.parked.waiting_on(slot) {
            let Some(parked) = self.parked.remove(id) else { continue };
            let judged = match self.target_again(&parked.call, slot) {
                Some(target) => self.connect_again(&parked.call, &target),
                None => Err(Errno::EBADF),
            };
            self.answer(&parked.call, judged);
        }
    }

    /// Whether the socket has a peer, as getpeername(2) means it; the kernel knows.
    pub(crate) fn require_peer(&mut self, target: &Target) -> Result<(), Errno> {
        if !matches!(self.entry(target.slot)?.role, Role::Handed(_)) {
            return Ok(());
        }
        getpeername(&target.copy).map(drop).map_err(errno)
    }

    /// Calls on a handed socket that are the kernel's own affair. Under a policy nothing is handed.
    pub(crate) fn is_kernels(&self, call: &Call, slot: Slot) -> bool {
        let handed = match self.sockets.get(slot).map(|socket| &socket.role) {
            Some(Role::Handed(handed)) => handed,
            // One that was shut might be connected by a message.
            Some(Role::Listener(listening)) if listening.is_native() => {
                return is_about_octets(call) && !(listening.ended && opens(call));
            }
            _ => return false,
        };
        // A message that opens a connection has an address, which means what it means in the run.
        match call.number {
            libc::SYS_sendto | libc::SYS_sendmmsg | libc::SYS_sendmsg => handed.stage != Stage::Idle || !opens(call),
            libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg | libc::SYS_shutdown => true,
            // The host learns of these when it speaks for the socket again: see `bring_back`.
            libc::SYS_setsockopt => {
                let (level, name) = (call.int(1), call.int(2));
                handed.stage != Stage::Idle && (level == libc::IPPROTO_TCP || chosen::is_kernels_alone(level, name))
            }
            libc::SYS_getsockopt => handed.stage != Stage::Idle && chosen::is_told_by_kernel(call.int(1), call.int(2)),
            libc::SYS_ioctl => is_about_octets(call),
            _ => false,
        }
    }

    /// A new object of the host kernel's; none where the host lacks the family.
    pub(crate) fn hosts_object(family: Family, flags: SocketFlags) -> Result<OwnedFd, rustix::io::Errno> {
        let family = match family {
            Family::Inet => AddressFamily::INET,
            Family::Inet6 => AddressFamily::INET6,
        };
        socket_with(family, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None)
    }

    /// Puts an object of the host kernel's in the place of a program's unconnected AF_UNIX stream, unless others hold that
    /// too; gives back what the number stands for.
    fn replace_by_hosts(&mut self, call: &Call, target: Target) -> Result<Target, Target> {
        let Target { slot, copy } = target;
        let Some(socket) = self.sockets.get(slot) else {
            return Err(Target { slot, copy });
        };
        let Ok(theirs) = self.prepare_hosts(slot, socket.family, &copy) else {
            return Err(Target { slot, copy });
        };
        let (Ok(cookie), inode) = (sockopt::socket_cookie(&theirs), unix::inode(&theirs)) else {
            return Err(Target { slot, copy });
        };
        let close_on_exec = crate::guest::closes_on_exec(call.tid, call.fd());
        let watched = Watched::of(&mut self.guests, call.tid, call.fd(), unix::inode(&copy).into());
        let replaced = self.calls.replace(call.id, theirs.as_fd(), call.fd(), close_on_exec);
        if replaced.is_err() {
            return Err(Target { slot, copy });
        }
        if self.is_held_by_others(slot, copy)
            && let Some(before) = self.copy_of(slot).or_else(|| self.copy_of_relatives(slot))
            && self
                .calls
                .replace(call.id, before.as_fd(), call.fd(), close_on_exec)
                .is_ok()
        {
            watched.follow(&before, &before);
            return Err(Target { slot, copy: before });
        }
        watched.follow(&theirs, &theirs);
        self.sockets.renew(slot, cookie, inode);
        self.set_stage(slot, Stage::Idle);
        let target = Target { slot, copy: theirs };
        self.enter_ledger(&target);
        Ok(target)
    }

    /// A new object of the kernel's, of the supervisor's own network, in place of a stream's that is not connected.
    pub(crate) fn renewed_natively(&mut self, call: &Call, target: &Target) -> Result<Target, Errno> {
        let slot = target.slot;
        let socket = self.entry(slot)?;
        let family = socket.family;
        if socket.role.is_hosts_object() {
            self.bring_back(target);
        }
        let copy = self.prepare_hosts(slot, family, &target.copy).map_err(errno)?;
        self.replace_object(call, target, &copy)?;
        self.set_stage(slot, Stage::Idle);
        let target = Target { slot, copy };
        self.enter_ledger(&target);
        Ok(target)
    }

    /// The kernel's object with everything that was set on the one that it stands in for.
    fn prepare_hosts(&self, slot: Slot, family: Family, before: &OwnedFd) -> Result<OwnedFd, rustix::io::Errno> {
        let known = OFlags::RDWR | OFlags::NONBLOCK | OFlags::LARGEFILE;
        let status = fcntl_getfl(before)?;
        if !known.contains(status) {
            // Signals on input (O_ASYNC) have an owner, which would be lost.
            return Err(rustix::io::Errno::NOTSUP);
        }
        let mut flags = SocketFlags::empty();
        flags.set(SocketFlags::NONBLOCK, status.contains(OFlags::NONBLOCK));
        let theirs = Self::hosts_object(family, flags)?;
        for which in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            // Kept by the object; without it there is none.
            let kept = sockopt::socket_timeout(before, which).ok().flatten();
            let _ = sockopt::set_socket_timeout(&theirs, which, kept);
        }
        if let Some(socket) = self.sockets.get(slot) {
            socket.chosen.apply(&theirs);
        }
        Ok(theirs)
    }

    /// Whether somebody has the object open besides the caller, in whose table it was just replaced.
    fn is_held_by_others(&mut self, slot: Slot, last_copy: OwnedFd) -> bool {
        let entered = self.hands.witness.enter(last_copy.as_fd(), slot);
        // Ours being the last, the kernel takes the object apart within this call.
        drop(last_copy);
        entered.is_err() || self.hands.witness.open_sockets().is_ok_and(|open| open.contains(&slot))
    }

    /// A copy of the socket from a process that has not made a call yet: a child that inherited it.
    fn copy_of_relatives(&mut self, slot: Slot) -> Option<OwnedFd> {
        self.guests.know_descendants(std::process::id());
        self.copy_of(slot)
    }

    /// The object for a stream that is expected to leave the run.
    pub(crate) fn expected_object(
        &mut self,
        call: &Call,
        kind: Kind,
        family: Family,
        flags: SocketFlags,
    ) -> Option<OwnedFd> {
        if kind != Kind::Stream || !self.hands.are_allowed() {
            return None;
        }
        if !self.is_expected_to_be_handed(call) {
            return None;
        }
        Self::hosts_object(family, flags).ok()
    }

    /// Whether the next stream of the calling process is expected to be handed.
    fn is_expected_to_be_handed(&mut self, call: &Call) -> bool {
        let process = self.guests.process(call.tid);
        self.hands.expects(process)
    }
}

/// A message that opens a connection.
fn opens(call: &Call) -> bool {
    let flags = match call.number {
        libc::SYS_sendto | libc::SYS_sendmmsg => call.int(3),
        libc::SYS_sendmsg => call.int(2),
        _ => 0,
    };
    flags & libc::MSG_FASTOPEN != 0
}

/// Calls that send, receive or ask about queues.
fn is_about_octets(call: &Call) -> bool {
    /// The first request about the network rather than the socket (`SIOCADDRT`, linux/sockios.h).
    const NETWORK: u32 = 0x890b;
    const SIOCOUTQNSD: u32 = 0x894b;
    match call.number {
        libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg => true,
        libc::SYS_ioctl => {
            let request = call.args[1] as u32;
            request < NETWORK || request == SIOCOUTQNSD || request == libc::TIOCOUTQ as u32
        }
        _ => false,
    }
}

/// connect(2) on an open file that others share: without waiting, whatever its flags say.
pub(crate) fn connect_without_waiting(copy: &OwnedFd, to: SocketAddr, flags: OFlags) -> Result<(), rustix::io::Errno> {
    if flags.contains(OFlags::NONBLOCK) {
        return connect(copy, &to);
    }
    fcntl_setfl(copy, flags | OFlags::NONBLOCK)?;
    let connected = match connect(copy, &to) {
        // On loopback the handshake is over by now.
        Err(rustix::io::Errno::INPROGRESS) => match connect(copy, &to) {
            Err(rustix::io::Errno::ALREADY) => Err(rustix::io::Errno::INPROGRESS),
            other => other,
        },
        other => other,
    };
    fcntl_setfl(copy, flags)?;
    connected
}

/// An IPv4 endpoint as such.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An endpoint as a socket of `family` names it.
pub(crate) fn for_family(endpoint: SocketAddr, family: Family) -> SocketAddr {
    match (family, endpoint.ip()) {
        (Family::Inet6, IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), endpoint.port()),
        _ => endpoint,
    }
}
