//! The supervisor that gives unmodified programs prise's sockets.
//!
//! # Theory of operation
//!
//! A seccomp filter (`filter`) sends the *control* calls of a program and all its descendants to the supervisor, one
//! thread with one loop (`supervisor`). A socket is a kernel object that the program holds, an AF_UNIX stream or
//! datagram socket, on which its data calls, its polls, dup(2), fork(2) and exec(2) run natively; and a socket of the
//! guest's [`Host`](prise_socket::Host), where everything is decided. Judged calls (`calls`) become the host's verbs,
//! octets are pumped between the object's other end and the host (`stream`, `datagram`) or need nobody (`handed`,
//! `published`, `paired`), and what cannot be answered yet waits (`parked`). No state of the program's is kept but what the
//! kernel's objects themselves show: a close is seen on the other end, or in the `ledger`.
//!
//! `docs` for each trick are at its place: listeners that poll right (`listener`), connects in progress
//! (`connecting`), resets (`lifecycle`), signals to a thread that waits (`pending`).
#![forbid(unsafe_code)]

mod adopted;
mod answers;
mod asleep;
mod attach;
mod audit;
mod calls;
mod capture_file;
mod carried;
mod chosen;
mod clock;
mod closes;
mod complaints;
pub mod config;
mod confinement;
mod connecting;
mod control;
mod datagram;
mod dial;
mod direct;
mod direct_accept;
mod ending;
mod epoll_sets;
mod filter;
mod filter_policy;
mod gate;
mod guest;
mod handed;
mod hosts_object;
mod inet_pair;
mod inspect;
mod keeping;
mod ledger;
mod lifecycle;
mod lingering;
mod listener;
mod local_sockets;
mod marked;
mod message;
mod names;
mod native_accept;
mod native_listener;
mod nested;
mod netlink;
mod noted;
mod notify;
mod outcome;
mod over;
mod paired;
mod parked;
mod pending;
mod permit;
mod places;
mod plain;
mod poller;
pub mod probe;
mod program;
mod published;
mod refused;
pub mod report;
mod slices;
mod sockaddr;
mod socket;
mod start;
mod stream;
mod supervisor;
mod unix;
mod waiting;
mod wakes;
mod world;

pub use answers::Answers;
pub use config::RunConfig;
pub use outcome::{Exit, RunError};
pub use start::run;
