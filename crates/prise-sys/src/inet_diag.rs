//! What the kernel still has of a TCP connection whose descriptors may all be closed (sock_diag(7), linux/inet_diag.h).

use core::net::{IpAddr, SocketAddr};
use std::io;

use crate::sock_diag::SockDiag;

/// `TCP_LISTEN` (linux/tcp_states.h).
const LISTEN: u8 = 10;

/// A way to ask.
#[derive(Debug)]
pub struct InetDiag(SockDiag);

impl InetDiag {
    /// Opens it, for the caller's network namespace.
    pub fn open() -> io::Result<Self> {
        SockDiag::open().map(Self)
    }

    /// Whether there is a TCP connection between these endpoints, TIME-WAIT included: its end at `local`.
    pub fn has_connection(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<bool> {
        let family = match local.ip() {
            IpAddr::V4(_) => libc::AF_INET,
            IpAddr::V6(_) => libc::AF_INET6,
        };
        // struct inet_diag_req_v2: family, protocol, extensions and padding; states; struct inet_diag_sockid: ports,
        // addresses, interface, cookie (any).
        let mut request = vec![family as u8, libc::IPPROTO_TCP as u8, 0, 0];
        request.extend_from_slice(&u32::MAX.to_ne_bytes());
        for endpoint in [local, remote] {
            request.extend_from_slice(&endpoint.port().to_be_bytes());
        }
        for endpoint in [local, remote] {
            let mut address = [0; 16];
            match endpoint.ip() {
                IpAddr::V4(v4) => address[..4].copy_from_slice(&v4.octets()),
                IpAddr::V6(v6) => address = v6.octets(),
            }
            request.extend_from_slice(&address);
        }
        request.extend_from_slice(&0u32.to_ne_bytes());
        request.extend_from_slice(&[0xff; 8]);
        // Without a connection the kernel shows a listener to which one would come: struct inet_diag_msg has family, state.
        Ok(self
            .0
            .ask(&request)?
            .is_some_and(|message| message.get(1).is_some_and(|&state| state != LISTEN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_stays_in_time_wait_at_the_end_that_closed_first() {
        let diag = InetDiag::open().unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let at = listener.local_addr().unwrap();
            let client = TcpStream::connect(at).unwrap();
            let (server, from) = listener.accept().unwrap();
            assert!(diag.has_connection(at, from).unwrap());
            assert!(diag.has_connection(from, at).unwrap());
            drop(server);
            // The client's kernel has seen the end when its program does.
            let mut octet = [0];
            assert_eq!(io::Read::read(&mut &client, &mut octet).unwrap(), 0);
            drop(client);
            assert!(diag.has_connection(at, from).unwrap(), "it closed first");
            // Until the last acknowledgement, which a busy kernel may put off.
            let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while diag.has_connection(from, at).unwrap() {
                assert!(std::time::Instant::now() < patience, "it closed last");
                std::thread::yield_now();
            }
            let nobody = SocketAddr::new(at.ip(), 1);
            assert!(!diag.has_connection(at, nobody).unwrap(), "the listener is none");
        }
    }
}
