//! The receiving half of a connection.

pub(crate) mod reassembly;
pub(crate) mod window;
