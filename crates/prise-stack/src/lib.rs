//! A sans-I/O TCP/IP stack: links, routes, neighbors, IP, ICMP, UDP and TCP.
//!
//! [`Stack`] is one host's network: frames go in by [`receive`](Stack::receive), come out by
//! [`transmit`](Stack::transmit), and time is an argument. There is no clock, no thread, no callback and no randomness
//! but the seed given at birth: the same inputs give the same outputs.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bpf;
mod endpoint;
mod event;
#[cfg(test)]
mod fixture;
mod hash;
mod link;
mod mailbox;
mod memory;
mod net;
mod random;
mod raw;
mod send;
mod slab;
mod stack;
mod tcp;
mod udp;
mod wheel;

pub use endpoint::{Family, Local};
pub use event::{Event, Ready};
pub use hash::{HashKey, SipHasher};
pub use link::{LINK_NAME_MAX, LINKS_MAX, Link, LinkConfig, LinkCounters, LinkId, LinkSet};
pub use memory::{MemoryBudget, MemoryUse};
pub use net::{
    Discard, DiscardCounts, FlowLabel, GroupInfo, IcmpCounters, IcmpError, IcmpReport, IpCounters, LinkAddress,
    NeighborInfo, NeighborState, QuotedFlow, Route, RouteError, RouteInfo, SourceFilter, TcpCounters,
};
pub use prise_wire::IpCidr;
pub use random::Random;
pub use raw::{EchoIntercepted, IdentifierInUse, PingConfig, PingId, PingSend, RawConfig, RawId, RawMessage, RawSend};
pub use send::{DatagramError, Fragmentation};
pub use stack::{Stack, StackConfig};
pub use tcp::{
    AccEcnOption, AdmitError, BufferAccounting, CongestionAlgorithm, ConnId, ConnectError, Ecn, EcnOctets, EcnPolicy,
    FastOpenFailure, FastOpenKeys, FastOpenSettings, Keepalive, Linger, ListenConfig, ListenError, ListenerId,
    LossState, MtuProbing, PendingId, PerVersion, QuickAck, ReceiveError, Refusal, SendError, SignatureKeys,
    SocketSummary, Stamp, StampKind, StampsWanted, State, SynCookies, TcpConfig, TcpError, TcpInfo, TimeWaitReuse,
    Tuning, TupleUse, UrgentError, UserTimeoutExchange, segment_signature,
};
pub use udp::{
    AllGroups, Coverage, JoinError, UdpConfig, UdpCounters, UdpDatagram, UdpId, UdpInfo, UdpIntercepted, UdpProtocol,
    UdpSend,
};
