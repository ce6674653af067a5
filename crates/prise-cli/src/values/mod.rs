//! Text of the command line into typed values: one file a kind, one error a kind. Each error says what to write instead.

mod address;
mod duration;
mod host;
mod number;
mod probability;
mod publish;
mod rate;
mod rule;
mod sysctl;

pub(crate) use address::interface_address;
pub(crate) use duration::duration;
pub(crate) use host::{audit_file, capture_file, hostname, link};
pub(crate) use number::{burst_length, packets, seed};
pub(crate) use probability::probability;
pub(crate) use publish::{Published, publish, published_twice};
pub(crate) use rate::rate;
pub(crate) use rule::{Host, host};
pub(crate) use sysctl::{Setting, congestion, sysctl};
