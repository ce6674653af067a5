//! The sending half of a connection: what is queued, what is in flight, what goes out next.

pub(crate) mod flight;
pub(crate) mod kernel;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod queue;
mod record;
pub(crate) mod stamps;
mod unit;
