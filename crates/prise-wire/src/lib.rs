//! Frames, headers, options and checksums of the Internet protocols.
//!
//! Every protocol has up to two types: a borrowed *view* (`TcpSegment<'a>`) whose constructor checks all that its
//! accessors rely on, and an owned *header* (`TcpHeader`) that parses from octets and emits to octets. Nothing here
//! panics on any input from a network; emitting into a buffer that is too short is the caller's mistake and does.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
mod cidr;
mod emit;
pub mod ethernet;
mod frame;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
mod mac;
mod octets;
mod payload;
pub mod protocol;
mod seq;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod udp_lite;

pub use arp::{ArpMessage, ArpOperation, MalformedArp};
pub use cidr::{InvalidCidr, IpCidr};
pub use emit::Emit;
pub use ethernet::{EtherType, EthernetHeader};
pub use frame::{Body, Checksum, Frame, Gso, GsoKind, HEAD_MAX, Head, IpVersion, Layout, Medium, Offload, Segments};
pub use icmpv4::{Echo, Icmpv4Header, MalformedIcmpv4, QuotedIpv4};
pub use icmpv6::{Icmpv6Header, MalformedIcmpv6, QuotedIpv6};
pub use igmp::IgmpMessage;
pub use ipv4::{Ipv4Header, Ipv4Options, Ipv4Packet, MalformedIpv4};
pub use ipv6::extension::{ExtensionProblem, FragmentHeader};
pub use ipv6::{Ipv6Header, Ipv6Packet, MalformedIpv6};
pub use mac::MacAddr;
pub use payload::Payload;
pub use seq::SeqNum;
pub use tcp::{
    AccEcn, AccEcnOrder, FastOpenCookie, MalformedTcp, SackBlock, SackBlocks, TcpFlags, TcpHeader, TcpOptions,
    TcpSegment, Timestamps, acc_ecn_size,
};
pub use time::Instant;
pub use udp::{MalformedUdp, UdpDatagram, UdpHeader};
