//! The guest's name server: port 53 of 10.0.2.3, fd00:2::3 and of every server that the host's resolv.conf names.
//!
//! Addresses and names go through the host's own resolver interface (so that its hosts file, mDNS and VPN settings
//! count), on threads of their own (`pool`); every other question is forwarded as it came (`forward`). Only names
//! that mean something inside the guest alone are answered here: `host.prise.internal` and `localhost`.

mod forward;
mod hosts;
mod message;
mod name;
mod pool;
mod resolv_conf;
mod service;
mod streams;

pub(crate) use hosts::host_table;
pub use message::{Question, RecordType, ResponseCode};
pub use name::{Name, NameError};
pub use pool::{HostResolver, Resolve, ResolveError};
pub use resolv_conf::{host_name_servers, name_servers};
pub use service::{Asker, Lookup};
pub(crate) use service::{Client, Reply, Service, Surroundings};
pub(crate) use streams::{Streams, index_of};
