//! What the kernel still has of a TCP connection or a UDP socket whose descriptors may all be closed (sock_diag(7),
//! linux/inet_diag.h).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;

use crate::sock_diag::{LISTEN, SockDiag, word};

/// States of connections that no descriptor stands for: SYN-RECV, FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, CLOSE, LAST-ACK, CLOSING (the same).
/// Who waits for accept(2) in ESTABLISHED or CLOSE-WAIT has no descriptor either, and is the listener's.
const LEFT_STATES: u32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11;

/// States of connections. Others are TCP_LISTEN and, since Linux 6.8, TCP_BOUND_INACTIVE (13): who is bound at a published address all the time.
const OF_CONNECTIONS: u32 = LEFT_STATES | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 12;

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
        let request = request(libc::IPPROTO_TCP, [local, remote], u64::MAX);
        // Without a connection the kernel shows a listener to which one would come: struct inet_diag_msg has family, state.
        Ok(self
            .0
            .ask(&request)?
            .is_some_and(|message| message.get(1).is_some_and(|&state| state != LISTEN)))
    }

    /// Whether there is any TCP connection whose end is at `local`, TIME-WAIT included, and whose other end `counts`. The kernel goes
    /// through all of its connections for this.
    pub fn has_any_connection(local: SocketAddr, mut counts: impl FnMut(SocketAddr) -> bool) -> io::Result<bool> {
        let port = SocketAddr::new(local.ip(), 0);
        let mut is_there = |message: &[u8]| {
            let (here, there) =
                endpoints(message).map_or((port, port), |(here, there)| (canonical(here), canonical(there)));
            here == local && counts(there)
        };
        // Connections of an IPv6 listener that serves both are IPv6's.
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut request = request(libc::IPPROTO_TCP, [local, port], 0);
            request[0] = family as u8;
            request[4..8].copy_from_slice(&OF_CONNECTIONS.to_ne_bytes());
            if SockDiag::open()?.any(&request, &mut is_there)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The TCP connections by IPv4 from 127.0.0.1 to 127.0.0.1 that no descriptor stands for any more: those in TIME-WAIT and those that are
    /// still being closed or opened. The kernel goes through all of its connections for this, once for each family. No more than `max`.
    pub fn left_on_loopback(max: usize) -> io::Result<Vec<LeftConnection>> {
        let is_home = |it: SocketAddr| it.ip().to_canonical() == IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut left = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let anybody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let mut request = request(libc::IPPROTO_TCP, [anybody, anybody], 0);
            request[0] = family as u8;
            request[4..8].copy_from_slice(&LEFT_STATES.to_ne_bytes());
            SockDiag::open()?.any(&request, |message| {
                let found = LeftConnection::parse(message).filter(|it| is_home(it.local) && is_home(it.remote));
                if left.len() < max {
                    left.extend(found);
                }
                left.len() >= max
            })?;
        }
        Ok(left)
    }

    /// The TCP sockets whose handshake is not over, of which getpeername(2) does not tell where they want to connect: those of the family and
    /// at the port of `local`, or at any if that is 0. The kernel goes through all of its connections for this.
    pub fn connecting(local: SocketAddr) -> io::Result<Vec<Connecting>> {
        const SYN_SENT: u32 = 1 << 2;
        let anybody = SocketAddr::new(local.ip(), 0);
        let mut request = request(libc::IPPROTO_TCP, [local, anybody], 0);
        request[4..8].copy_from_slice(&SYN_SENT.to_ne_bytes());
        let mut found = Vec::new();
        SockDiag::open()?.any(&request, |message| {
            found.extend(Connecting::parse(message));
            false
        })?;
        Ok(found)
    }

    /// How much a UDP socket has not read yet, in the kernel's own accounting (buffers with their overhead); none if it is closed.
    /// It is the one that receives at `local` from `remote`, and has this cookie (`SO_COOKIE`).
    pub fn unread_datagrams(&self, local: SocketAddr, remote: SocketAddr, cookie: u64) -> io::Result<Option<u32>> {
        /// Octets of `struct inet_diag_msg` before `idiag_rqueue`.
        const QUEUE: usize = 56;
        // "src and dst are swapped for historical reasons" (net/ipv4/udp_diag.c).
        let request = request(libc::IPPROTO_UDP, [remote, local], cookie);
        let Some(message) = self.0.ask(&request)? else {
            return Ok(None);
        };
        word(&message, QUEUE)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// A socket whose handshake is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connecting {
    /// The inode of its descriptors.
    pub inode: u32,
    /// Its own end.
    pub local: SocketAddr,
    /// Where it wants to connect.
    pub remote: SocketAddr,
}

impl Connecting {
    /// Reads a `struct inet_diag_msg`.
    fn parse(message: &[u8]) -> Option<Self> {
        let (local, remote) = endpoints(message)?;
        Some(Self {
            inode: word(message, INODE)?,
            local,
            remote,
        })
    }
}

/// A connection of the kernel's that no descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftConnection {
    /// This end. Of a socket of IPv6 it is mapped (RFC 4291 §2.5.5.2), and so is the other.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Its state (linux/tcp_states.h).
    pub state: u8,
    /// How long TIME-WAIT lasts yet, where its timer runs.
    pub waits: Option<Duration>,
}

impl LeftConnection {
    /// Reads a `struct inet_diag_msg`, if it is about such a one.
    fn parse(message: &[u8]) -> Option<Self> {
        /// `idiag_timer` of TIME-WAIT.
        const WAITS: u8 = 3;
        const EXPIRES: usize = 52;
        if word(message, INODE)? != 0 {
            return None;
        }
        let expires = Duration::from_millis(word(message, EXPIRES)?.into());
        let (local, remote) = endpoints(message)?;
        Some(Self {
            local,
            remote,
            state: message[1],
            waits: (message[2] == WAITS).then_some(expires),
        })
    }
}

/// Where `struct inet_diag_msg` has the inode of the socket's descriptors.
const INODE: usize = 68;

/// Both ends of a `struct inet_diag_msg`.
fn endpoints(message: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let is_v4 = i32::from(*message.first()?) == libc::AF_INET;
    let endpoint = |port: usize, address: usize| {
        let port = u16::from_be_bytes(*message.get(port..)?.first_chunk()?);
        let octets: [u8; 16] = *message.get(address..)?.first_chunk()?;
        let ip: IpAddr = match octets {
            [a, b, c, d, ..] if is_v4 => Ipv4Addr::new(a, b, c, d).into(),
            octets => Ipv6Addr::from(octets).into(),
        };
        Some(SocketAddr::new(ip, port))
    };
    Some((endpoint(4, 8)?, endpoint(6, 24)?))
}

/// An IPv4 address as such, where it is mapped (RFC 4291 §2.5.5.2).
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

/// `struct inet_diag_req_v2`: family, protocol, extensions and padding; states; `struct inet_diag_sockid`: ports, addresses,
/// interface, cookie (of any socket: all ones).
fn request(protocol: i32, endpoints: [SocketAddr; 2], cookie: u64) -> Vec<u8> {
    let family = match endpoints[0].ip() {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    let mut request = vec![family as u8, protocol as u8, 0, 0];
    request.extend_from_slice(&u32::MAX.to_ne_bytes());
    for endpoint in endpoints {
        request.extend_from_slice(&endpoint.port().to_be_bytes());
    }
    for endpoint in endpoints {
        let mut address = [0; 16];
        match endpoint.ip() {
            IpAddr::V4(v4) => address[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => address = v6.octets(),
        }
        request.extend_from_slice(&address);
    }
    request.extend_from_slice(&0u32.to_ne_bytes());
    // Its lower half comes first.
    for half in [cookie as u32, (cookie >> 32) as u32] {
        request.extend_from_slice(&half.to_ne_bytes());
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

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
            let anybody = |_| true;
            assert!(InetDiag::has_any_connection(at, anybody).unwrap());
            assert!(!InetDiag::has_any_connection(at, |other| other != from).unwrap());
            let left = InetDiag::left_on_loopback(usize::MAX).unwrap();
            // What others left may have its port, but not both names.
            let ends = |it: &LeftConnection| [(at, from), (from, at)].contains(&(it.local, it.remote));
            assert!(!left.iter().any(ends), "it is held");
            drop(server);
            // The client's kernel has seen the end when its program does.
            let mut octet = [0];
            assert_eq!(io::Read::read(&mut &client, &mut octet).unwrap(), 0);
            drop(client);
            assert!(diag.has_connection(at, from).unwrap(), "it closed first");
            assert!(InetDiag::has_any_connection(at, anybody).unwrap(), "it closed first");
            let left = InetDiag::left_on_loopback(usize::MAX).unwrap();
            let found = left.iter().find(|it| (it.local, it.remote) == (at, from));
            assert_eq!(found.is_some(), at.ip().to_canonical().is_ipv4());
            assert!(found.is_none_or(|it| it.waits.is_some_and(|left| left <= Duration::from_secs(60))));
            let unused: [_; 16] = core::array::from_fn(|_| TcpListener::bind(address).unwrap());
            let is_unused =
                |it: &TcpListener| !InetDiag::has_any_connection(it.local_addr().unwrap(), anybody).unwrap();
            assert!(unused.iter().any(is_unused), "nobody has come there");
            // Until the last acknowledgement, which a busy kernel may put off.
            let patience = std::time::Instant::now() + Duration::from_secs(30);
            while diag.has_connection(from, at).unwrap() {
                assert!(std::time::Instant::now() < patience, "it closed last");
                std::thread::yield_now();
            }
            let nobody = SocketAddr::new(at.ip(), 1);
            assert!(!diag.has_connection(at, nobody).unwrap(), "the listener is none");
        }
    }

    #[test]
    fn what_a_socket_of_ipv6_leaves_of_a_connection_by_ipv4_is_told_with_mapped_names() {
        let Ok(listener) = TcpListener::bind("[::ffff:127.0.0.1]:0") else {
            return;
        };
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).unwrap();
        let (server, from) = listener.accept().unwrap();
        drop(server);
        assert_eq!(io::Read::read(&mut &client, &mut [0]).unwrap(), 0);
        drop(client);
        let left = InetDiag::left_on_loopback(usize::MAX).unwrap();
        let found = left.iter().find(|it| (it.local, it.remote) == (at, from));
        assert!(at.is_ipv6() && found.is_some_and(|it| it.waits.is_some()));
        assert_eq!(InetDiag::left_on_loopback(1).unwrap().len(), 1);
    }

    #[test]
    fn a_datagram_is_unread_until_it_is_read_and_a_closed_socket_is_none() {
        let diag = InetDiag::open().unwrap();
        let cookie = |socket: &UdpSocket| {
            let octets = crate::sockopt::get(socket.as_fd(), libc::SOL_SOCKET, libc::SO_COOKIE, 8).unwrap();
            u64::from_ne_bytes(octets.try_into().unwrap())
        };
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(here) = UdpSocket::bind(address) else { continue };
            let there = UdpSocket::bind(address).unwrap();
            let (at, from) = (here.local_addr().unwrap(), there.local_addr().unwrap());
            here.connect(from).unwrap();
            there.connect(at).unwrap();
            let name = cookie(&here);
            assert_eq!(diag.unread_datagrams(at, from, name).unwrap(), Some(0));
            there.send(b"abc").unwrap();
            here.peek(&mut [0]).unwrap();
            assert!(diag.unread_datagrams(at, from, name).unwrap() > Some(3));
            here.recv(&mut [0; 8]).unwrap();
            assert_eq!(diag.unread_datagrams(at, from, name).unwrap(), Some(0));
            assert_eq!(
                diag.unread_datagrams(at, from, name ^ 1).unwrap(),
                None,
                "another socket"
            );
            drop(here);
            assert_eq!(diag.unread_datagrams(at, from, name).unwrap(), None);
        }
    }
}
