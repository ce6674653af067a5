//! Handed streams: connections that leave the run or stay within it are the host kernel's own, while nobody needs their packets.
//!
//! ```text
//! pumped   program ── AF_UNIX ── supervisor ── TCP ── gateway ── host socket ── network
//! handed   program ─────────────────────────────────────────── host socket ── network
//! ```
//! The descriptor that the program has *is* the socket of the host that the gateway would have used, or an end of a pair
//! ([`crate::handed::paired`]). Data calls, poll(2),
//! shutdown(2), `SO_ERROR`, `TCP_INFO` and the queues are then the kernel's; connect(2) is made by the supervisor ([`crate::handed::dial`]).
//! Names, the port and options that are about addresses stay the host's of the run ([`prise_socket::Host::connect_elsewhere`]).
//!
//! *When an object of the kernel's is made.* By socket(2), without the supervisor, where connections that leave are handed over
//! ([`crate::handed::adopted`]). Elsewhere a stream is born as an AF_UNIX stream, unless the last stream that its process
//! connected was handed: then, in the expectation that this one will be too, as the kernel's. A wrong guess costs a replacement of the
//! object under the program's number at connect(2), bind(2) or listen(2), while it is still unconnected ([`crate::handed::hosts_object`]); its epoll
//! sets follow. An AF_UNIX object that others hold too (dup(2), fork(2), passed on) is put back, and its connection pumped.
//!
//! *Who notices the close.* The other program, at once, from the kernel. The supervisor holds nothing of a handed stream and is
//! not woken: the ledger tells it later.

pub(crate) mod adopted;
pub(crate) mod carried;
pub(crate) mod chosen;
pub(crate) mod dial;
pub(crate) mod direct;
pub(crate) mod direct_accept;
pub(crate) mod hosts_object;
pub(crate) mod late;
pub(crate) mod lingering;
pub(crate) mod marked;
pub(crate) mod native_accept;
pub(crate) mod native_listener;
pub(crate) mod noted;
pub(crate) mod over;
pub(crate) mod paired;
pub(crate) mod places;
pub(crate) mod plain;
pub(crate) mod published;
pub(crate) mod unasked;

use core::net::SocketAddr;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Family};
use prise_sys::sockopt as options;
use rustix::net::{SocketFlags, getpeername};

use crate::calls::Target;
use crate::guest::notify::{Call, errno};
use crate::handed::adopted::Native;
use crate::handed::paired::Meeting;
use crate::socket::ledger::Ledger;
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;

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
    /// Somebody of the run looks at packets: connections that are made now are none of the kernel's.
    watched: bool,
    /// Streams are born as the kernel's, in this network name space where they are to be used as they are.
    native: Option<[u8; 8]>,
    /// And listeners are the kernel's.
    listen: bool,
    /// The processes whose last stream was handed.
    habits: HashMap<u32, bool>,
    /// Where the ends of pairs meet, from the first one on.
    meeting: Option<Meeting>,
    /// There may be connections that only their mark tells of ([`crate::handed::marked`]).
    marked: bool,
    /// Tells whether an object is open anywhere.
    pub(crate) witness: Ledger,
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
            watched: false,
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

    /// Whether of streams that leave the run only a note is taken ([`crate::handed::noted`]).
    pub(crate) fn note_connections(&self) -> bool {
        self.outside() && self.have_native_streams()
    }

    /// Somebody looks at packets from now on, or nobody any more.
    ///
    /// Where listeners are the kernel's, its filter has let options of TCP pass unjudged since the start, which only the kernel's own
    /// streams have: an AF_UNIX object would refuse `TCP_NODELAY`, and programs stop there. So connections stay the kernel's.
    pub(crate) fn watch(&mut self, somebody: bool) {
        self.watched = somebody && !self.listen;
    }

    /// Whether who looks at packets sees those of all connections that are made now.
    pub(crate) fn shows_all_connections(&self) -> bool {
        self.watched || !self.are_allowed()
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

    /// Whether connections that leave the run may be handed, and clients of published ports given to the program as they are.
    pub(crate) fn outside(&self) -> bool {
        self.outside && !self.watched
    }

    /// Whether the gateway leaves it to the supervisor what becomes of clients of published ports.
    pub(crate) fn take_callers(&self) -> bool {
        self.outside
    }

    /// Whether connections within the run may.
    pub(crate) fn inside(&self) -> bool {
        self.inside && !self.watched
    }

    /// Pairs cannot be had.
    pub(crate) fn give_up_inside(&mut self) {
        self.inside = false;
    }

    /// Whether the next stream of a process is expected to be handed.
    pub(crate) fn expects(&self, process: u32) -> bool {
        self.are_allowed() && self.habits.get(&process) == Some(&true)
    }

    /// Whether the last stream of a process was handed.
    pub(crate) fn note(&mut self, process: u32, handed: bool) {
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

impl Supervisor {
    /// A listener is the run's own affair.
    pub(crate) fn stays_inside_next(&mut self, call: &Call) {
        if self.hands.are_allowed() {
            let process = self.guests.process(call.tid);
            self.hands.note(process, false);
        }
    }

    pub(crate) fn set_stage(&mut self, slot: Slot, stage: Stage) {
        if let Some(socket) = self.sockets.get_mut(slot) {
            socket.role = Handed::role(stage);
        }
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

    /// The other way round: an object of the kernel's has what was set on the one whose place it takes.
    pub(crate) fn lend_kept(&mut self, slot: Slot, object: &OwnedFd) {
        let Some(socket) = self.sockets.get(slot) else {
            return;
        };
        socket.chosen.apply(object);
        let mut value = Vec::new();
        for (level, name) in chosen::KEPT_BY_KERNEL {
            if self.host.option(self.now, socket.id, level, name, &mut value).is_ok() {
                // What the host holds, the kernel holds, too.
                let _ = options::set(object.as_fd(), level, name, &value);
            }
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
