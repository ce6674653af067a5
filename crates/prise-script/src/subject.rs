//! What a script is run against: something with a link and sockets, in its own time.

use std::time::Duration;

use crate::script::{Ioctl, SocketOption};

/// A socket of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub usize);

/// A call on a subject's sockets, as Linux numbers it.
#[derive(Clone, Debug)]
pub enum SocketCall<'a> {
    /// A new stream socket.
    Socket,
    /// To the subject's address and this port.
    Bind(Handle, u16),
    /// With this backlog.
    Listen(Handle, i32),
    /// Answers the new socket and the peer's port.
    Accept(Handle),
    /// To the peer's address and this port.
    Connect(Handle, u16),
    /// `connect` with `AF_UNSPEC`.
    Disconnect(Handle),
    /// `send(2)`.
    Send(Handle, &'a [u8], u32),
    /// `sendto(2)` to the peer's address and this port.
    SendTo(Handle, &'a [u8], u32, u16),
    /// `recv(2)`.
    Receive(Handle, usize, u32),
    /// `shutdown(2)`.
    Shutdown(Handle, i32),
    /// `close(2)`.
    Close(Handle),
    /// `setsockopt(2)`.
    SetOption(Handle, SocketOption, &'a [u8]),
    /// `getsockopt(2)` with room for so many octets.
    Option(Handle, SocketOption, usize),
    /// `poll(2)`.
    Poll(Handle),
    /// `ioctl(2)`.
    Ioctl(Handle, Ioctl),
}

/// What a call answers when it succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Done,
    /// A number.
    Number(i64),
    /// Octets.
    Octets(Vec<u8>),
    /// A new socket.
    Socket(Handle),
    /// A new socket and its peer's port.
    Accepted(Handle, u16),
}

/// How much a subject's clock can be off.
#[derive(Clone, Copy, Debug)]
pub struct Slack {
    /// A segment may be seen so much too early (timers that are rounded).
    pub early: Duration,
    /// A segment may be seen so much too late (whoever waits for it sleeps).
    pub late: Duration,
    /// And so many thousandths of the time later.
    pub late_per_mille: u32,
}

impl Slack {
    /// Virtual time.
    pub const NONE: Self = Self {
        early: Duration::ZERO,
        late: Duration::ZERO,
        late_per_mille: 0,
    };
}

/// What a script is run against. Time counts from the subject's birth.
pub trait Subject {
    /// Which one it is.
    fn is_ours(&self) -> bool;

    /// How far its clock can be trusted.
    fn slack(&self) -> Slack;

    /// The time.
    fn now(&mut self) -> Duration;

    /// An IP packet arrives from the link.
    fn inject(&mut self, packet: &[u8]);

    /// The next IP packet that the subject sends, and when, if there is one by `until`; otherwise it is `until` afterwards.
    fn next_packet(&mut self, until: Duration) -> Option<(Duration, Vec<u8>)>;

    /// A socket call; the error is an errno.
    fn call(&mut self, call: &SocketCall<'_>) -> Result<Answer, i32>;
}
