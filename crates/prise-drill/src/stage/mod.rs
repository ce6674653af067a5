//! One host in virtual time, with descriptors, for threads that call and block as they would in a kernel.

mod advance;
mod descriptors;
mod epoll;
mod messages;
mod poll;
mod script_settings;
mod settings;
mod splice;
mod streams;
mod world;

pub use advance::Stage;
pub use messages::{Incoming, Outgoing};
pub use poll::PollEntry;
pub use settings::Settings;

/// Descriptors have numbers from here on, out of the way of everybody else's, so that the filter that answers direct calls
/// ([`prise_sys::trap`]) looks at no other.
pub const FIRST_DESCRIPTOR: i32 = 500;
