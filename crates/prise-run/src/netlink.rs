//! Netlink sockets of the guests: what stands for each in the kernel, and how datagrams pass.
//!
//! The program's descriptor is one end of an AF_UNIX pair that keeps messages apart and tells of its close; `prise-view` has
//! the answers. An answer waits in the program's own queue before the call that asked returns, as on Linux, wherever that
//! call is judged.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, SocketId};
use prise_sys::sock_diag::{self, Local, Row};
use prise_sys::sockopt::get as option_of;
use prise_view::netlink::{Protocol, Socket};
use prise_view::{Driver, Held, Left, NetlinkRow, View, Who};
use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, recv, sockopt};

use crate::calls::unix_table::Hidden;
use crate::guest::capabilities::{is_network_admin, is_of_own_user_namespace};
use crate::guest::kin::Kin;
use crate::guest::notify::errno_of;
use crate::guest::{Guests, own_number, status_field};
use crate::handed::Stage;
use crate::handed::carried::{self, INFO_ROOM};
use crate::handed::lingering::left_within;
use crate::handed::places::Places;
use crate::socket::unix::QUIET;
use crate::socket::{GuestSocket, Holder, Role, Slot, Sockets};
use crate::supervisor::Supervisor;
use crate::waiting::parked::ParkId;
use crate::world::mirror::Mirror;

/// Requests that are taken from one socket before others get their turn.
const ROUND: usize = 256;

/// One netlink socket.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    /// The kernel's `SO_COOKIE` of the object that the program holds.
    pub(crate) cookie: u64,
    /// The number of that object as `/proc/PID/fd` shows it.
    inode: u32,
    /// The supervisor's end.
    end: OwnedFd,
    pub(crate) state: Socket,
    /// Whether the program's queue is full; then the poller tells when it is not.
    full: bool,
    /// Calls that wait for a datagram.
    pub(crate) receiving: VecDeque<ParkId>,
    /// The process that made it.
    process: u32,
    /// The number that this process has for itself: the socket's name, if it is given no other.
    number: u32,
}

/// All netlink sockets. Their slots are of a space of their own, whose indices no Internet socket has.
#[derive(Debug, Default)]
pub(crate) struct NetlinkSockets {
    sockets: HashMap<Slot, NetlinkSocket>,
    by_cookie: HashMap<u64, Slot>,
    made: u64,
}

impl NetlinkSockets {
    /// The slot that the next [`insert`](Self::insert) will give out.
    pub(crate) fn next_slot(&self) -> Slot {
        Slot::netlink(self.made)
    }

    pub(crate) fn insert(&mut self, (cookie, inode): (u64, u32), end: OwnedFd, state: Socket, process: u32) -> Slot {
        let slot = self.next_slot();
        self.made += 1;
        self.by_cookie.insert(cookie, slot);
        self.sockets.insert(
            slot,
            NetlinkSocket {
                cookie,
                inode,
                end,
                state,
                full: false,
                receiving: VecDeque::new(),
                process,
                number: own_number(process).unwrap_or(process),
            },
        );
        slot
    }

    pub(crate) fn by_cookie(&self, cookie: u64) -> Option<Slot> {
        self.by_cookie.get(&cookie).copied()
    }

    pub(crate) fn inodes(&self) -> impl Iterator<Item = u32> {
        self.sockets.values().map(|socket| socket.inode)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut NetlinkSocket> {
        self.sockets.get_mut(&slot)
    }

    /// Those that lists show.
    fn rows(&self) -> Vec<NetlinkRow> {
        let all = self.sockets.values();
        all.map(|socket| socket.state.row(socket.inode, socket.cookie))
            .collect()
    }

    /// Those whose objects' names are such.
    pub(crate) fn slots_where(&self, is_such: impl Fn(u64) -> bool) -> Vec<Slot> {
        let such = self.by_cookie.iter().filter(|(cookie, _)| is_such(**cookie));
        such.map(|(_, &slot)| slot).collect()
    }

    /// Whether it speaks of sockets.
    fn is_about_sockets(&self, slot: Slot) -> bool {
        let socket = self.sockets.get(&slot);
        socket.is_some_and(|socket| socket.state.protocol() == Protocol::SocketDiag)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<NetlinkSocket> {
        let socket = self.sockets.remove(&slot)?;
        self.by_cookie.remove(&socket.cookie);
        Some(socket)
    }

    /// Whether a socket of that subsystem has the port.
    pub(crate) fn has_port(&self, like: &Socket, port: u32) -> bool {
        let mut all = self.sockets.values().map(|socket| &socket.state);
        all.any(|other| other.protocol() == like.protocol() && other.port() == port)
    }

    /// A port for a socket that has none (`netlink_autobind`): its process's number, else one that no process has.
    fn port_for(&self, slot: Slot) -> Option<u32> {
        let socket = self.sockets.get(&slot)?;
        let own = (socket.number != 0 && !self.has_port(&socket.state, socket.number)).then_some(socket.number);
        // Beginning at −4097, as the kernel does.
        own.or_else(|| {
            let others = (0..=self.sockets.len() as u32).map(|n| 0xffff_efff - n);
            others.into_iter().find(|&port| !self.has_port(&socket.state, port))
        })
    }

    /// Names a socket that needs a name.
    pub(crate) fn autobind(&mut self, slot: Slot) {
        if self.sockets.get(&slot).is_none_or(|socket| socket.state.port() != 0) {
            return;
        }
        let port = self.port_for(slot);
        if let (Some(socket), Some(port)) = (self.sockets.get_mut(&slot), port) {
            let groups = socket.state.groups();
            // Without a name it takes any.
            let _ = socket.state.bind(port, groups);
        }
    }
}

impl Supervisor {
    /// Runs `look` with a view of the host.
    pub(crate) fn with_view<T>(&mut self, look: impl FnOnce(&mut NetlinkSockets, &mut View<'_>) -> T) -> T {
        self.with_view_for(None, look)
    }

    /// The same for who asks about sockets: `asker`, a thread, may be told of those of other families.
    fn with_view_for<T>(
        &mut self,
        asker: Option<u32>,
        look: impl FnOnce(&mut NetlinkSockets, &mut View<'_>) -> T,
    ) -> T {
        let Self {
            host,
            sockets,
            guests,
            program,
            netlink,
            places,
            mirror,
            now,
            ..
        } = self;
        let mut view = View {
            host,
            now: *now,
            driver: &mut OfGuests {
                sockets,
                guests,
                kin: &program.kin,
                places,
                mirror: mirror.as_deref(),
                moved: None,
                asker,
                netlink: asker.map_or_else(Vec::new, |_| netlink.rows()),
            },
        };
        look(netlink, &mut view)
    }

    /// Takes one datagram of the program's: `asker` is the thread that sent it, where that is known.
    pub(crate) fn submit_netlink(&mut self, slot: Slot, asker: Option<u32>, datagram: &[u8]) {
        self.netlink.autobind(slot);
        let is_about_sockets = self.netlink.is_about_sockets(slot);
        if is_about_sockets {
            // Some may be closed that did not tell.
            self.sweep();
            self.enter_all_noted();
        }
        let process = self.netlink.get_mut(slot).map_or(0, |socket| socket.process);
        let asker = asker.unwrap_or(process);
        let who = Who {
            is_admin: &|| is_network_admin(asker),
            uid: &|| user_of(asker),
        };
        self.with_view_for(is_about_sockets.then_some(asker), |netlink, view| {
            if let Some(socket) = netlink.get_mut(slot) {
                socket.state.submit(view, who, datagram);
            }
        });
        self.fill_netlink(slot);
    }

    /// Takes what the program has written natively, and gives it what it can read.
    pub(crate) fn attend_netlink(&mut self, slot: Slot) {
        let mut octets = core::mem::take(&mut self.scratch);
        for _ in 0..ROUND {
            let Some(socket) = self.netlink.get_mut(slot) else {
                break;
            };
            let taken = match recv(&socket.end, &mut octets[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(_) => break,
                Ok((taken, _)) => taken,
            };
            self.submit_netlink(slot, None, &octets[..taken]);
        }
        self.scratch = octets;
        self.fill_netlink(slot);
        self.serve_receivers(slot);
    }

    /// Puts what waits to be read into the program's queue, as far as there is room.
    pub(crate) fn fill_netlink(&mut self, slot: Slot) {
        let filled = self.with_view(|netlink, view| {
            let socket = netlink.get_mut(slot)?;
            let mut full = false;
            while let Some(datagram) = socket.state.next_datagram(view) {
                if rustix::net::send(&socket.end, &datagram, QUIET).is_err() {
                    // No room, or nobody who reads: the close is told then.
                    socket.state.put_back(datagram);
                    full = true;
                    break;
                }
            }
            Some((core::mem::replace(&mut socket.full, full), full))
        });
        if let Some((before, full)) = filled
            && before != full
            && let Some(socket) = self.netlink.get_mut(slot)
        {
            // Without it the next judged call goes on.
            let _ = self.poller.want_room(&socket.end, slot, full);
        }
    }

    /// The program's last descriptor is closed.
    pub(crate) fn close_netlink(&mut self, slot: Slot) {
        let Some(socket) = self.netlink.remove(slot) else {
            return;
        };
        self.let_go(slot);
        self.poller.forget(&socket.end);
        for id in socket.receiving {
            if let Some(parked) = self.parked.remove(id) {
                self.answer(&parked.call, Err(Errno::EBADF));
            }
        }
    }
}

/// What the kernel knows of the guests' sockets.
struct OfGuests<'a> {
    sockets: &'a Sockets,
    guests: &'a mut Guests,
    kin: &'a Kin,
    places: &'a Places,
    /// Where packet sockets are.
    mirror: Option<&'a Mirror>,
    /// Who has which socket open, by its number. Looked up once in a look at all: a program that moved each of its descriptors would have
    /// every one of them read for every socket of its.
    moved: Option<HashMap<u32, Holder>>,
    /// The thread that asks about sockets; none where sockets of other families are not asked about.
    asker: Option<u32>,
    /// The run's netlink sockets, for this thread.
    netlink: Vec<NetlinkRow>,
}

impl OfGuests<'_> {
    /// A copy of a socket's descriptor: from where it was last seen, or else from whoever has it now, be it a child that has made no call
    /// yet.
    fn found(&mut self, socket: &GuestSocket) -> Option<OwnedFd> {
        let Self { guests, kin, moved, .. } = self;
        seen(socket, guests).or_else(|| {
            let holders = moved.get_or_insert_with(|| {
                guests.know_all(kin);
                let open = guests.open_sockets().into_iter();
                open.map(|(holder, inode)| (inode, holder)).collect()
            });
            let holder = holders.get(&socket.inode)?;
            guests
                .descriptor(holder.tid, holder.fd)
                .ok()
                .filter(|copy| is_of(socket, copy))
        })
    }
}

impl OfGuests<'_> {
    /// The rows of the run's packet sockets; those of the host, which tell whether the kernel has such rows, are nobody's here.
    fn packet_sockets(&self, request: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let rows = match self.mirror {
            Some(mirror) => mirror.asked(request),
            None => sock_diag::asked(request, true).map(|_| Vec::new()),
        };
        let rows = rows.map_err(|error| errno_of(&error))?;
        Ok(rows.into_iter().map(Row::into_octets).collect())
    }
}

impl Driver for OfGuests<'_> {
    fn held(&mut self, id: SocketId) -> Held {
        let socket = self.sockets.by_id(id).and_then(|slot| self.sockets.get(slot));
        socket.map_or_else(Held::default, |socket| held(socket, || self.found(socket)))
    }

    fn carried_option(&mut self, id: SocketId, name: i32) -> Option<Vec<u8>> {
        let socket = self.sockets.by_id(id).and_then(|slot| self.sockets.get(slot))?;
        if !is_carried(socket) {
            return None;
        }
        let copy = self.found(socket)?;
        option_of(copy.as_fd(), libc::IPPROTO_TCP, name, INFO_ROOM).ok()
    }

    fn left(&mut self) -> Vec<Left> {
        left_within(self.places, self.sockets)
    }

    fn other_sockets(&mut self, request: &[u8], many: bool) -> Result<Vec<Vec<u8>>, Errno> {
        // In another name space are other sockets, of which its /proc/net tells.
        if !self.asker.is_some_and(is_of_own_network) {
            return Err(Errno::ENOENT);
        }
        if request.first().copied().map(i32::from) == Some(libc::AF_PACKET) {
            return self.packet_sockets(request);
        }
        let mut rows = sock_diag::asked(request, many).map_err(|error| errno_of(&error))?;
        let hidden = Hidden::of(self.sockets, self.netlink.iter().map(|row| row.inode));
        rows.retain(|row| match row.of() {
            Local::Unix { inode, listens } => !hidden.hides(inode, listens),
            Local::Netlink { protocol } => Protocol::from_raw(protocol.into()).is_none(),
            Local::Packet { .. } | Local::Other => false,
        });
        Ok(rows.into_iter().map(Row::into_octets).collect())
    }

    fn netlink_sockets(&mut self) -> Vec<NetlinkRow> {
        self.netlink.clone()
    }
}

/// Whether a task is in the network name space of the supervisor.
fn is_of_own_network(tid: u32) -> bool {
    let space = |task: &str| std::fs::read_link(format!("/proc/{task}/ns/net")).ok();
    space(&tid.to_string()).is_some_and(|theirs| space("self") == Some(theirs))
}

/// Whether the kernel carries a stream.
pub(crate) fn is_carried(socket: &GuestSocket) -> bool {
    matches!(&socket.role, Role::Handed(handed) if handed.stage != Stage::Idle)
}

/// A copy of a socket's descriptor, from where it was last seen.
pub(crate) fn seen(socket: &GuestSocket, guests: &mut Guests) -> Option<OwnedFd> {
    guests
        .descriptor(socket.holder.tid, socket.holder.fd)
        .ok()
        .filter(|copy| is_of(socket, copy))
}

/// Whether a descriptor is the socket's.
fn is_of(socket: &GuestSocket, copy: &OwnedFd) -> bool {
    sockopt::socket_cookie(copy).is_ok_and(|found| found == socket.cookie)
}

/// What lies in the kernel's object of a socket. Its unread octets are told by the program's end only: by the descriptor where
/// it was last seen, or not at all.
fn held(socket: &GuestSocket, copy: impl FnOnce() -> Option<OwnedFd>) -> Held {
    let mut held = Held {
        inode: socket.inode,
        ..Held::default()
    };
    let octets = |fd: &OwnedFd| ioctl_fionread(fd).map_or(0, |octets| u32::try_from(octets).unwrap_or(u32::MAX));
    if let Some(look) = carried::look_of(socket) {
        let carried = copy().as_ref().and_then(look);
        return carried.map_or(held, |carried| Held {
            unread: u32::try_from(carried.unread).unwrap_or(u32::MAX),
            unsent: u32::try_from(carried.unsent).unwrap_or(u32::MAX),
            state: carried.state,
            ..held
        });
    }
    let Role::Stream(stream) = &socket.role else {
        return held;
    };
    held.unsent = octets(&stream.end);
    if let Some(copy) = copy() {
        held.unread = octets(&copy);
    }
    held
}

/// The real user of a task, of /proc/TID/status (proc(5)), by the number that it has in the task's own user namespace; nobody's
/// (`overflowuid`) where it has none there, and where the task is gone.
fn user_of(tid: u32) -> u32 {
    const NOBODY: u32 = 65_534;
    let real = status_field(tid, "Uid:").and_then(|users| users.split_ascii_whitespace().next()?.parse().ok());
    // The map is told from outside to who is inside, whose numbers are the task's own.
    if is_of_own_user_namespace(tid) {
        return real.unwrap_or(NOBODY);
    }
    let map = std::fs::read_to_string(format!("/proc/{tid}/uid_map"));
    let inside = real.zip(map.ok()).and_then(|(real, map)| number_inside(real, &map));
    inside.unwrap_or(NOBODY)
}

/// What the user with that number here is in a namespace, by its `uid_map`: lines of the first number there, the first here, and how many
/// (user_namespaces(7)).
fn number_inside(user: u32, map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let [there, here, count] = core::array::from_fn(|_| numbers.next()?.ok());
        let at = user
            .checked_sub(here?)
            .filter(|at| count.is_some_and(|count| *at < count))?;
        there?.checked_add(at)
    })
}

#[cfg(test)]
mod tests {
    use super::number_inside;

    #[test]
    fn a_user_has_the_number_that_the_namespace_gives_him() {
        let everybody = "         0          0 4294967295\n";
        assert_eq!(number_inside(1000, everybody), Some(1000));
        let container = "0 1000 1\n1 100000 65536\n";
        assert_eq!(number_inside(1000, container), Some(0));
        assert_eq!(number_inside(100_032, container), Some(33));
        assert_eq!(number_inside(1001, container), None);
        assert_eq!(number_inside(165_536, container), None);
        assert_eq!(number_inside(0, ""), None);
    }
}
