//! Berkeley sockets over prise-stack: POSIX and Linux semantics, without I/O.
//!
//! A [`Host`] is one machine: a stack and a table of sockets. Its verbs are the socket calls, its errors are Linux's error numbers, its options are
//! Linux's raw option values. It blocks nowhere, reads no clock and knows no descriptor: who blocks, waits or copies is its driver's affair.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod errno;
mod flags;
mod host;
mod id;
mod info;
mod kind;
mod message;

pub use errno::Errno;
pub use flags::{Flags, Readiness};
pub use host::{Host, HostConfig};
pub use id::SocketId;
pub use info::{SocketInfo, State};
pub use kind::{Family, How, Kind};
pub use message::{Control, ErrorOrigin, ErrorReport, Received};
