//! TCP/IP sockets in user space, with `std::net`-shaped types.
//!
//! A [`Host`] is a machine in this process: its own TCP/IP stack with its own addresses and ports. Hosts meet on a
//! [`Network`]. The types in [`net`] are those of [`std::net`], method by method, on such a host; no kernel socket is
//! involved, no privilege, no thread per connection.
//!
//! ```
//! use prise::{Host, Network};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let network = Network::new();
//! let server = Host::builder().attach(&network, &["10.0.0.1/24", "fd00::1/64"]).build()?;
//! let client = Host::builder().attach(&network, &["10.0.0.2/24", "fd00::2/64"]).build()?;
//!
//! let listener = server.tcp_listen("[fd00::1]:80")?;
//! let mut stream = client.tcp_connect("[fd00::1]:80")?;
//! let (mut accepted, peer) = listener.accept()?;
//! assert_eq!(peer.ip(), "fd00::2".parse::<std::net::IpAddr>().unwrap());
//!
//! stream.write_all(b"GET /")?;
//! let mut request = [0; 5];
//! accepted.read_exact(&mut request)?;
//! assert_eq!(&request, b"GET /");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod driver;
mod error;
mod host;
pub mod net;
mod network;

pub use host::{Entered, Host, HostBuilder};
pub use network::Network;
pub use prise_link::{ImpairmentConfig, Probability};
pub use prise_wire::Payload;
