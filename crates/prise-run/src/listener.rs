//! A listening stream: one octet in the program's descriptor for each connection that waits, so that it polls as a
//! listener does.
//!
//! A token is sent for each connection and taken by accept(2). Each is an edge of its own, as each arriving connection
//! is. Connections themselves wait in the host, whose backlog is the one that counts.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use core::net::SocketAddr;

use prise_gateway::Caller;
use prise_socket::SocketId;

use crate::parked::ParkId;
use crate::unix;

/// A listening stream.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The supervisor's end.
    pub(crate) end: OwnedFd,
    /// Octets in the program's descriptor.
    tokens: usize,
    /// shutdown(2) has ended it.
    pub(crate) ended: bool,
    /// Connections that were accepted for a call that could not take them; the next call's.
    pub(crate) returned: VecDeque<(SocketId, SocketAddr)>,
    /// Clients of a published port whose connections are the host kernel's.
    pub(crate) callers: VecDeque<Caller>,
    /// Calls that wait for a connection, in their order.
    pub(crate) waiting: VecDeque<ParkId>,
}

impl Listening {
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self {
            end,
            tokens: 0,
            ended: false,
            returned: VecDeque::new(),
            callers: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Sends tokens until there are as many as connections wait. A full queue holds hundreds: readable all the same.
    pub(crate) fn announce(&mut self, connections: usize) {
        while self.tokens < connections && unix::send_octet(&self.end).is_ok() {
            self.tokens += 1;
        }
    }

    /// Takes tokens, through a copy of the program's descriptor, until there are no more than connections wait.
    pub(crate) fn withdraw(&mut self, connections: usize, copy: &OwnedFd) {
        while self.tokens > connections {
            self.tokens -= 1;
            // A program that reads from its listener has taken it already.
            let _ = unix::take_octet(copy);
        }
    }
}
