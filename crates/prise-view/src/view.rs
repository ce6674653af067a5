//! What is looked at.

use alloc::vec::Vec;

use prise_socket::{Errno, Host, SocketId, State};
use prise_wire::Instant;

use crate::sockets::Left;

/// A host, and what its driver knows of it besides.
pub struct View<'a> {
    /// The host. Reading some options collects what the stack has to tell, hence mutable.
    pub host: &'a mut Host,
    /// The time.
    pub now: Instant,
    /// Who knows what the host does not.
    pub driver: &'a mut dyn Driver,
}

/// The driver of a host, asked about its sockets and those of other families.
pub trait Driver {
    /// What it knows of a socket.
    fn held(&mut self, socket: SocketId) -> Held;

    /// An option at level `IPPROTO_TCP` of a stream that is carried elsewhere, as who carries it has it; none where the host's own is meant.
    fn carried_option(&mut self, socket: SocketId, name: i32) -> Option<Vec<u8>>;

    /// What is left of streams that were carried elsewhere and that no program holds any more, TIME-WAIT above all.
    fn left(&mut self) -> Vec<Left>;

    /// What is known of sockets that are not the host's, of AF_UNIX, of packet sockets, and of netlink's subsystems that do not tell of the network: the
    /// rows (`struct unix_diag_msg`, `struct packet_diag_msg`, `struct netlink_diag_msg`, and what is told besides) that answer a program's request, of a list if it asks for `many`.
    fn other_sockets(&mut self, request: &[u8], many: bool) -> Result<Vec<Vec<u8>>, Errno>;

    /// Netlink sockets that speak to the host.
    fn netlink_sockets(&mut self) -> Vec<NetlinkRow>;
}

/// A netlink socket as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetlinkRow {
    /// The number of the open file, as `/proc/PID/fd` shows it.
    pub inode: u32,
    /// `SO_COOKIE` of it.
    pub cookie: u64,
    /// `SOCK_RAW` or `SOCK_DGRAM`.
    pub kind: i32,
    /// `SO_PROTOCOL`.
    pub protocol: i32,
    /// `nl_pid`; 0 before it is bound.
    pub port: u32,
    /// Its state as the kernel counts them: 1 is connected, 0 not any more, 7 never.
    pub state: u8,
    /// Groups that it listens to, the first in bit 0.
    pub groups: u64,
}

/// What the driver of a host knows of a socket and the host does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The number of the open file that programs hold for it, as `/proc/PID/fd` shows it; 0 if nobody holds one.
    pub inode: u32,
    /// Octets that left the host and were not read yet.
    pub unread: u32,
    /// Octets that were written and have not come to the host yet.
    pub unsent: u32,
    /// The state of a stream that is carried elsewhere.
    pub state: Option<State>,
}

impl core::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("View").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// Whether it may change the network where it lives (`CAP_NET_ADMIN`); asked only where it matters.
    pub is_admin: &'a dyn Fn() -> bool,
    /// Its user, asked likewise.
    pub uid: &'a dyn Fn() -> u32,
}

impl core::fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Who").finish_non_exhaustive()
    }
}
