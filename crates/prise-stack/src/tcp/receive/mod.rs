//! The receiving half of a connection.

pub(crate) mod kernel;
pub(crate) mod reassembly;
pub(crate) mod window;
