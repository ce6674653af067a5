//! The far side of the host link: ends a guest's flows in the host's own sockets.
//!
//! # Theory of operation
//!
//! The guest's `eth0` is a wire with a [`Gateway`] at its other end: a stack of its own, whose link is *transparent*, so
//! that it takes packets for every address and speaks in the name of every address. No packet goes further than this
//! stack. Each flow of the guest ends here, and a socket of the host, which needs no privilege, carries its octets on:
//!
//! ```text
//! guest program ─ guest's TCP ─ eth0 ═ frames, by reference ═ gateway's TCP ─ pump ─ host socket ─ network
//! ```
//!
//! Three things follow, and the modules are cut along them.
//!
//! **The guest must see the truth.** A SYN is answered only when the host's own connect has succeeded, and refused the way
//! the host was refused (`tcp`, `dial`). A reset passes, a half-close passes, back-pressure passes: nothing is buffered
//! between the two TCPs (`flow`). An ICMP error that the host's socket reports is told to the guest's. What cannot be asked
//! of the host (a ping, where the host forbids it) is not answered. Where the guest's packets could mean the host's inside
//! (loopback, link-local, v4-mapped addresses) they stop; 10.0.2.2 and fd00:2::2 alone stand for the host's loopback.
//!
//! **Names are the host's.** Port 53 of 10.0.2.3, fd00:2::3 and of every server in the host's resolv.conf is answered by
//! the host's own resolver (`dns`), so that its hosts file, VPN and mDNS count, and policies can judge names.
//!
//! **One thread drives it.** There is no thread here but those that wait in getaddrinfo(3). The driver hands frames in,
//! waits for one descriptor (an epoll over all sockets), calls [`Gateway::process`], and takes frames out. Every table is
//! bounded ([`Limits`]); what does not fit waits in the kernel or is refused and counted ([`Discard`]).
#![forbid(unsafe_code)]

mod chunk;
mod config;
pub mod dns;
mod echo;
mod gateway;
mod ground;
mod host;
mod learned;
mod policy;
mod poll;
mod publish;
mod record;
mod slots;
mod tally;
mod tcp;
mod udp;

pub use config::{Addresses, GatewayConfig, Limits, MAC, Publish, PublishAddress};
pub use gateway::{Gateway, GatewayError};
pub use policy::{Decision, Policy, Ports, Rule, Subject};
pub use publish::PublishError;
pub use record::{Direction, End, Fact, FlowNumber, LookupAnswer, Record, Refused, Transport};
pub use tally::{Discard, Tally};
pub use tcp::Caller;
