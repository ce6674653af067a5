//! What a host shows of its network, in the words of Linux: `netlink(7)` (links, addresses, routes, neighbors, rules and
//! sockets), the interface requests of `netdevice(7)` and the files of `proc_net(5)`.
//!
//! Everything here is a function of a [`View`] of a [`Host`](prise_socket::Host): no I/O, no clock, no descriptors. Octets from
//! programs are read by the parsers of [`netlink`], which have a fuzz target.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod counter_names;
mod counters;
mod ethtool;
mod fib_trie;
mod groups;
pub mod interface;
pub mod ioctl;
pub mod netlink;
mod octets;
pub mod proc_net;
mod sockets;
pub mod sys_net;
mod view;

pub use sockets::{Left, Row};
pub use view::{Driver, Held, NetlinkRow, View, Who};
