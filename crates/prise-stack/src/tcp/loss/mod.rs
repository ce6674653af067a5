//! Loss detection and recovery.

pub(crate) mod duplicate;
pub(crate) mod rack;
pub(crate) mod recovery;
pub(crate) mod respond;
pub(crate) mod rtt;
