//! UDP (RFC 768) and UDP-Lite (RFC 3828): sockets, demultiplexing, interception.
//!
//! A datagram belongs to the socket connected to its sender if there is one, else to the one bound to its destination
//! address, else to a wildcard; copies of group and broadcast datagrams go to every socket that may have them. Each step
//! is one probe of a hash table ([`demux`]); no list of all sockets is ever walked.

mod arrival;
mod demux;
mod intercept;
mod output;
mod protocol;
mod socket;
mod verbs;

#[cfg(test)]
mod lite_tests;
#[cfg(test)]
mod tests;

pub use intercept::UdpIntercepted;
pub use output::UdpSend;
pub use protocol::{Coverage, UdpProtocol};
pub use socket::{AllGroups, UdpDatagram};
pub use verbs::{JoinError, UdpConfig, UdpInfo};

use crate::hash::HashKey;
use crate::mailbox::Blocked;
use crate::memory::Memory;
use crate::slab::{Slab, identifier};
use demux::Demux;
use intercept::Interception;
use protocol::Space;
use socket::Socket;

identifier! {
    /// A UDP or UDP-Lite socket of one stack. Never means another one, even after it is gone.
    UdpId
}

/// Datagrams of one stack, counted as RFC 4113 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Datagrams delivered to sockets or interception (`udpInDatagrams`).
    pub delivered: u64,
    /// Datagrams sent (`udpOutDatagrams`).
    pub sent: u64,
    /// Datagrams for ports that nobody uses (`udpNoPorts`).
    pub no_socket: u64,
    /// Datagrams that were malformed or corrupt (`udpInErrors`).
    pub errors: u64,
    /// Datagrams that found their socket's queue full (Linux's `RcvbufErrors`).
    pub overflowed: u64,
}

/// All of UDP's state.
#[derive(Debug)]
pub(crate) struct Udp {
    sockets: Slab<Socket>,
    /// By [`UdpProtocol`].
    spaces: [Space; 2],
    interception: Interception,
    /// Sockets that wait for room on a link.
    blocked: Blocked<UdpId>,
    memory: Memory,
}

impl Udp {
    pub(crate) fn new(hash: HashKey, memory: &Memory) -> Self {
        Self {
            sockets: Slab::new(),
            spaces: UdpProtocol::ALL.map(|_| Space {
                demux: Demux::new(hash),
                counters: UdpCounters::default(),
            }),
            interception: Interception::new(memory),
            blocked: Blocked::default(),
            memory: memory.clone(),
        }
    }

    const fn space(&mut self, protocol: UdpProtocol) -> &mut Space {
        &mut self.spaces[protocol as usize]
    }
}
