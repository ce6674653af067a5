//! Berkeley sockets over prise-stack: POSIX and Linux semantics, without I/O.
//!
//! A [`Host`] is one machine: a stack and a table of sockets. Its verbs are the socket calls, its errors are Linux's error numbers, its options are
//! Linux's raw option values. It blocks nowhere, reads no clock and knows no descriptor: who blocks, waits or copies is its driver's affair.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bind;
mod close;
mod connect;
mod datagram;
mod elsewhere;
mod errno;
mod fast_open;
mod flags;
mod flow_label;
mod host;
mod id;
mod info;
mod kind;
mod listen;
mod message;
mod option;
mod poll;
mod ports;
mod settings;
pub mod sockaddr;
mod socket;
mod stream;
mod sysctl;
mod table;
mod transmit_stamp;
mod zero_copy;

pub use elsewhere::{Bequest, Destination, LeftPort};
pub use errno::Errno;
pub use flags::{Flags, Readiness};
pub use flow_label::{Asker, LeasedLabel};
pub use host::{Host, HostConfig};
pub use id::SocketId;
pub use info::{SocketInfo, State};
pub use kind::{Family, How, Kind};
pub use listen::SOMAXCONN;
pub use message::{Control, ErrorOrigin, ErrorReport, Received};
pub use option::level;
pub use sysctl::{SysctlError, Sysctls};
pub use zero_copy::ZeroCopied;

/// Protocol numbers of IP (IANA), as `socket(2)` takes them.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
    /// `IPPROTO_RAW`: any, with a header of one's own.
    pub const RAW: u8 = 255;
}
