//! A deterministic world: virtual clock, seeded faults, workloads and checkers.
//!
//! A [`World`] holds whole hosts ([`prise_socket::Host`]: stack and sockets), the wires between them, and the programs
//! that use them; there is no thread, no clock and no descriptor in it. Time moves from one event to the next. All chance
//! comes from one seed, so every run can be had again, and a failure is told as a seed and the command that replays it.
//!
//! What is judged in every run:
//! * every stream arrives octet for octet, with its end, and no datagram arrives that was not sent ([`talk`], [`datagram`]);
//! * all programs are done within a bound of virtual time;
//! * no sender does on a wire what no sender may: send beyond the window, take the window back, acknowledge what was
//!   never sent, emit a wrong checksum;
//! * afterwards nothing is left: no socket, no connection, no frame, and every frame is accounted for ([`run()`]).
//!
//! ```
//! use prise_sim::{Family, Scenario, run};
//!
//! run(&Scenario::new(Family::Target, 7)).unwrap_or_else(|failure| panic!("{failure}"));
//! ```
#![forbid(unsafe_code)]

mod accounts;
mod audit;
pub mod bulk;
pub mod datagram;
pub mod fault;
pub mod foe;
mod frames;
pub mod goodput;
mod hostile;
pub mod hunt;
mod icmp;
pub mod network;
mod node;
pub mod pattern;
mod prey;
pub mod program;
pub mod random;
pub mod router;
mod run;
pub mod scenario;
pub mod stream;
pub mod talk;
mod timers;
pub mod trace;
mod watch;
pub mod world;

pub use run::{Failure, Success, run, run_traced};
pub use scenario::{Family, Scenario};
pub use world::World;
