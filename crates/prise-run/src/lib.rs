//! The supervisor that gives unmodified programs prise's sockets.
//!
//! # Theory of operation
//!
//! A seccomp filter (`start::filter`) sends the *control* calls of a program and all its descendants to the supervisor, one
//! thread with one loop (`supervisor`). A socket is a kernel object that the program holds, an AF_UNIX stream or
//! datagram socket, on which its data calls, its polls, dup(2), fork(2) and exec(2) run natively; and a socket of the
//! guest's [`Host`](prise_socket::Host), where everything is decided. Judged calls (`calls`) become the host's verbs,
//! octets are pumped between the object's other end and the host (`socket::stream`, `socket::datagram`) or need nobody
//! (`handed`), and what cannot be answered yet waits (`waiting`). No state of the program's is kept but what the
//! kernel's objects themselves show: a close is seen on the other end, or in the `socket::ledger`.
//!
//! | folder | holds |
//! |---|---|
//! | `start` | from a [`RunConfig`] to a running supervisor: what the machine must have, the filter, the program's process, how a run ends |
//! | `calls` | a file for each judged call: what it asks, in Linux's order, and the host's answer |
//! | `guest` | the programs' tasks: their descriptors and memory, signals that wait for them; addresses, messages and control data as they lie there |
//! | `socket` | what stands for a socket in the kernel, its other end, its pumps and its death |
//! | `handed` | streams that the host kernel carries while nobody needs their packets: out of the run, into it and within it |
//! | `waiting` | calls that cannot be answered yet |
//! | `world` | the links of the run, the gateway behind `eth0`, name servers |
//! | `policy` | `--allow`, `--deny`, `--audit`: attempts judged and recorded, and every way past the supervisor closed |
//! | `report` | what `prise ss` is told |
//!
//! Each trick is told of at its place: listeners that poll right (`socket::listener`), connects in progress
//! (`socket::connecting`), resets (`socket::lifecycle`), signals to a thread that waits (`guest::pending`).
#![forbid(unsafe_code)]

mod busy_poll;
mod calls;
mod clock;
mod complaints;
mod ending;
mod guest;
mod handed;
mod left_behind;
mod netlink;
mod policy;
mod poller;
pub mod report;
mod socket;
mod start;
mod supervisor;
mod waiting;
mod wakes;
mod world;

pub use report::answers::Answers;
pub use start::config::{self, RunConfig};
pub use start::outcome::{Exit, RunError};
pub use start::{probe, run};
