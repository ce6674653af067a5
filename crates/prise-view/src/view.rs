//! What is looked at.

use prise_socket::{Host, SocketId};
use prise_wire::Instant;

/// A host, and what its driver knows of it besides.
pub struct View<'a> {
    /// The host. Reading some options collects what the stack has to tell, hence mutable.
    pub host: &'a mut Host,
    /// The time.
    pub now: Instant,
    /// What the driver knows of a socket.
    pub held: &'a mut dyn FnMut(SocketId) -> Held,
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
}

impl core::fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Who").finish_non_exhaustive()
    }
}
