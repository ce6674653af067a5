//! A runner of packetdrill's scripts: loads a stack through [`Library`](crate::abi::Library), carries a script out in its virtual time,
//! and compares what leaves with what the script expects.
//!
//! The language is packetdrill's own, as its scripts use it: times, packets of TCP, UDP and ICMP, calls with their results, blocking
//! calls, code for Python, commands (which are not run: `sysctl` is read from the text by the stack).

mod calls;
mod code;
mod events;
mod expression;
mod options;
mod outcome;
mod packet;
mod parse;
mod run;
mod scan;
mod sockets;
mod symbols;
mod wire;

pub use outcome::{Failure, Report};
pub use run::{Plan, run};
