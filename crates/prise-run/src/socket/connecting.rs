//! A stream that is being connected.

use core::net::SocketAddr;
use std::os::fd::OwnedFd;

use prise_wire::Payload;

use crate::guest::notify::Call;
use crate::socket::unix::Filled;
use crate::waiting::parked::ParkId;

/// How far the program's side of a connect is.
#[derive(Debug)]
pub(crate) enum Connecting {
    /// The call was just made: it is answered, or put to wait, once the host had its turn. Many connections on `lo` are
    /// made or refused within it.
    Asked(Asked),
    /// A blocking call waits; the descriptor is untouched, so that a failure leaves it as it was.
    Waiting {
        /// The call.
        parked: ParkId,
        /// Where to.
        remote: SocketAddr,
        /// What it sends besides.
        opening: Option<Opening>,
    },
    /// Nobody waits: the program polls. Its descriptor has its other end, and is filled, so that it shows nothing.
    InProgress {
        /// The supervisor's end.
        end: OwnedFd,
        /// What the program's end was filled with.
        filled: Filled,
    },
}

/// A call to connect(2) that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) call: Call,
    pub(crate) remote: SocketAddr,
    /// The program's descriptor. Held until the end of the turn only: it would hide a close.
    pub(crate) copy: OwnedFd,
    pub(crate) blocking: bool,
    /// It is no connect(2) but a message that opens the connection.
    pub(crate) opening: Option<Opening>,
}

/// A message that opens its connection (`MSG_FASTOPEN`).
#[derive(Debug)]
pub(crate) struct Opening {
    /// Octets that went with the SYN.
    pub(crate) sent: usize,
    /// What is to follow.
    pub(crate) rest: Payload,
    pub(crate) flags: i32,
}
