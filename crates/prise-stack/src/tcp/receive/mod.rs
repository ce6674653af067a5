//! The receiving half of a connection.

pub(crate) mod acks;
pub(crate) mod kernel;
mod ranges;
pub(crate) mod reassembly;
pub(crate) mod window;
