//! The far side of the host link: ends a guest's flows in the host's own sockets.
#![forbid(unsafe_code)]

mod chunk;
pub mod dns;
mod policy;
mod poll;
mod record;
mod slots;
mod tally;

pub use policy::{Decision, Policy, Rule, Subject};
pub use record::{Direction, End, Fact, FlowNumber, Record, Refused, Transport};
pub use tally::{Discard, Tally};
