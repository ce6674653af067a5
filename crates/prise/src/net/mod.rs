//! Blocking sockets in the shape of [`std::net`]: the same names, signatures, errors and behaviour, on a
//! [`Host`](crate::Host) of one's own.
//!
//! A program that uses `std::net` changes its `use` lines and runs on this stack:
//!
//! ```
//! use prise::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let addr = listener.local_addr()?;
//! let server = std::thread::spawn(move || -> std::io::Result<()> {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut request = String::new();
//!     stream.read_to_string(&mut request)?;
//!     stream.write_all(request.to_uppercase().as_bytes())
//! });
//! let mut stream = TcpStream::connect(addr)?;
//! stream.write_all(b"quiet")?;
//! stream.shutdown(std::net::Shutdown::Write)?;
//! let mut response = String::new();
//! stream.read_to_string(&mut response)?;
//! assert_eq!(response, "QUIET");
//! server.join().unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! What differs: these sockets have no file descriptor, so they cannot be handed to another process; and where `std::net`
//! uses the machine's one network, these use the [current host](crate::Host::current).

mod option;
mod socket;
mod tcp;
mod udp;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs,
};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;
