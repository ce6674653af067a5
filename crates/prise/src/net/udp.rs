//! UDP.

use super::option;
use super::socket::{Socket, copy_out};
use crate::driver::Interest;
use crate::host::try_each;
use prise_socket::{Control, Errno, Flags, Kind, Received};
use prise_wire::Payload;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// A UDP socket, as [`std::net::UdpSocket`].
///
/// ```
/// use prise::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"ping", server.local_addr()?)?;
/// let mut buf = [0; 16];
/// let (n, from) = server.recv_from(&mut buf)?;
/// assert_eq!((&buf[..n], from), (&b"ping"[..], client.local_addr()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct UdpSocket {
    socket: Arc<Socket>,
}

impl UdpSocket {
    /// Binds a socket to an address, the first that works. See [`std::net::UdpSocket::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        try_each(addr, |host, addr| {
            let socket = Socket::open(host, Kind::Datagram, addr)?;
            socket.act(|machine, now, id| machine.bind(now, id, addr))?;
            Ok(Self {
                socket: Arc::new(socket),
            })
        })
    }

    fn receive(&self, flags: Flags) -> io::Result<(Payload, Option<SocketAddr>)> {
        self.socket.wait(Interest::Read, |machine, now, id| {
            let Received { payload, source, .. } = machine.recv_from(now, id, flags)?;
            Ok((payload, source))
        })
    }

    fn receive_from(&self, buf: &mut [u8], flags: Flags) -> io::Result<(usize, SocketAddr)> {
        let (payload, source) = self.receive(flags)?;
        let source = source.ok_or_else(|| crate::error::io_error(Errno::EINVAL))?;
        Ok((copy_out(&payload, buf), source))
    }

    /// Receives a datagram, or what fits of it, and says where it came from.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, Flags::EMPTY)
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram in the queue.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, Flags::PEEK)
    }

    /// Sends a datagram to the first address that `addr` stands for.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(addr) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            ));
        };
        self.transmit(buf, Some(addr))
    }

    fn transmit(&self, buf: &[u8], addr: Option<SocketAddr>) -> io::Result<usize> {
        let payload = Payload::copy_from(buf);
        self.socket.wait(Interest::Write, |machine, now, id| {
            machine.send_to(now, id, payload.clone(), Flags::NOSIGNAL, addr, &Control::default())
        })
    }

    /// The address of the peer this socket is connected to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The address this socket is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Another handle on the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// How long receiving may wait; forever if `None`. A duration of zero is an error.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Interest::Read, dur)
    }

    /// How long sending may wait; forever if `None`. A duration of zero is an error.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Interest::Write, dur)
    }

    /// How long receiving may wait.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Interest::Read)
    }

    /// How long sending may wait.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Interest::Write)
    }

    /// Allows sending to broadcast addresses (`SO_BROADCAST`).
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket.set_flag(option::SO_BROADCAST, broadcast)
    }

    /// Whether sending to broadcast addresses is allowed.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.flag(option::SO_BROADCAST)
    }

    /// Whether multicast datagrams sent come back to this host (`IP_MULTICAST_LOOP`).
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.socket.set_flag(option::IP_MULTICAST_LOOP, multicast_loop_v4)
    }

    /// Whether multicast datagrams sent come back to this host.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket.flag(option::IP_MULTICAST_LOOP)
    }

    /// The time to live of multicast datagrams sent (`IP_MULTICAST_TTL`).
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.socket.set_int(option::IP_MULTICAST_TTL, multicast_ttl_v4 as i32)
    }

    /// The time to live of multicast datagrams sent.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket.int(option::IP_MULTICAST_TTL).map(|ttl| ttl as u32)
    }

    /// Whether IPv6 multicast datagrams sent come back to this host (`IPV6_MULTICAST_LOOP`).
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.socket.set_flag(option::IPV6_MULTICAST_LOOP, multicast_loop_v6)
    }

    /// Whether IPv6 multicast datagrams sent come back to this host.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket.flag(option::IPV6_MULTICAST_LOOP)
    }

    /// The time to live of packets sent (`IP_TTL`).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.set_int(option::IP_TTL, ttl as i32)
    }

    /// The time to live of packets sent.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.int(option::IP_TTL).map(|ttl| ttl as u32)
    }

    /// Joins a group on the link with the address `interface`; the host chooses if that is `0.0.0.0`.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket
            .set_option(option::IP_ADD_MEMBERSHIP, &ip_mreq(*multiaddr, *interface))
    }

    /// Joins a group on the link with the number `interface`; the host chooses if that is 0.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket
            .set_option(option::IPV6_ADD_MEMBERSHIP, &ipv6_mreq(*multiaddr, interface))
    }

    /// Leaves a group that was joined by [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket
            .set_option(option::IP_DROP_MEMBERSHIP, &ip_mreq(*multiaddr, *interface))
    }

    /// Leaves a group that was joined by [`join_multicast_v6`](Self::join_multicast_v6).
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket
            .set_option(option::IPV6_DROP_MEMBERSHIP, &ipv6_mreq(*multiaddr, interface))
    }

    /// The error that is pending on the socket, which is taken (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// From now on the socket sends to, and receives from, this peer only: the first address that works.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        try_each(addr, |_, addr| {
            self.socket.act(|machine, now, id| machine.connect(now, id, addr))
        })
    }

    /// Sends a datagram to the connected peer.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf, None)
    }

    /// Receives a datagram, or what fits of it, from the connected peer.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(copy_out(&self.receive(Flags::EMPTY)?.0, buf))
    }

    /// As [`recv`](Self::recv), but leaves the datagram in the queue.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(copy_out(&self.receive(Flags::PEEK)?.0, buf))
    }

    /// Whether sending and receiving return `WouldBlock` instead of waiting. Clones share this.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// `struct ip_mreq`.
fn ip_mreq(group: Ipv4Addr, interface: Ipv4Addr) -> [u8; 8] {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&group.octets());
    value[4..].copy_from_slice(&interface.octets());
    value
}

/// `struct ipv6_mreq`.
fn ipv6_mreq(group: Ipv6Addr, interface: u32) -> [u8; 20] {
    let mut value = [0; 20];
    value[..16].copy_from_slice(&group.octets());
    value[16..].copy_from_slice(&interface.to_ne_bytes());
    value
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpSocket").field(&self.socket).finish()
    }
}
