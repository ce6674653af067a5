//! TCP: streams and listeners.

use super::option;
use super::socket::{Socket, copy_out};
use crate::driver::Interest;
use crate::host::{Host, try_each};
use prise_socket::{Flags, How, Kind};
use prise_wire::Payload;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::iter::FusedIterator;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Octets that are copied at once on their way out; more only makes the copy fall out of the cache.
const WRITE_CHUNK: usize = 256 * 1024;

/// Pieces that one read takes out under one lock.
const READ_PIECES: usize = 16;

/// Connections that may wait to be accepted: what `SOMAXCONN` allows.
const BACKLOG: i32 = 4096;

/// A TCP connection, as [`std::net::TcpStream`].
///
/// The connection is closed when the last [clone](Self::try_clone) is dropped.
///
/// ```
/// use prise::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("[::1]:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, peer) = listener.accept()?;
/// assert_eq!(peer, client.local_addr()?);
/// client.write_all(&[1])?;
/// let mut buf = [0; 128];
/// assert_eq!(server.read(&mut buf)?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TcpStream {
    socket: Arc<Socket>,
}

impl TcpStream {
    /// Opens a connection to a remote host, trying each address in turn. See [`std::net::TcpStream::connect`].
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        try_each(addr, |host, addr| {
            let socket = Socket::open(host, Kind::Stream, addr)?;
            socket.connect(addr)?;
            Ok(Self::new(socket))
        })
    }

    /// Opens a connection to a remote host within a time. See [`std::net::TcpStream::connect_timeout`].
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        let socket = Socket::open(&Host::current(), Kind::Stream, *addr)?;
        socket.connect_timeout(*addr, timeout)?;
        Ok(Self::new(socket))
    }

    fn new(socket: Socket) -> Self {
        Self {
            socket: Arc::new(socket),
        }
    }

    /// The address of the remote half of the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The address of the local half of the connection.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Ends reading, writing, or both. See [`std::net::TcpStream::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => How::Read,
            Shutdown::Write => How::Write,
            Shutdown::Both => How::Both,
        };
        self.socket.act(|machine, now, id| machine.shutdown(now, id, how))
    }

    /// Another handle on the same connection.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// How long a read may wait; forever if `None`. A duration of zero is an error.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Interest::Read, dur)
    }

    /// How long a write may wait; forever if `None`. A duration of zero is an error.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Interest::Write, dur)
    }

    /// How long a read may wait.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Interest::Read)
    }

    /// How long a write may wait.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Interest::Write)
    }

    /// Reads without consuming: the next read returns the same octets.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let max = buf.len();
        let peeked = self.socket.wait(Interest::Read, |machine, now, id| {
            machine.recv(now, id, max, Flags::PEEK)
        })?;
        Ok(copy_out(&peeked, buf))
    }

    /// Sends small segments at once (`TCP_NODELAY`), without waiting to fill them (RFC 9293 §3.7.4).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_flag(option::TCP_NODELAY, nodelay)
    }

    /// Whether small segments are sent at once.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.flag(option::TCP_NODELAY)
    }

    /// The time to live of packets sent (`IP_TTL`).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.set_int(option::IP_TTL, ttl as i32)
    }

    /// The time to live of packets sent.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.int(option::IP_TTL).map(|ttl| ttl as u32)
    }

    /// What happens to unsent octets on close (`SO_LINGER`): with a time of zero the connection is reset.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        let seconds = linger.map_or(0, |linger| i32::try_from(linger.as_secs()).unwrap_or(i32::MAX));
        let mut value = [0; 8];
        value[..4].copy_from_slice(&i32::from(linger.is_some()).to_ne_bytes());
        value[4..].copy_from_slice(&seconds.to_ne_bytes());
        self.socket.set_option(option::SO_LINGER, &value)
    }

    /// The error that is pending on the socket, which is taken (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Whether reads and writes return `WouldBlock` instead of waiting. Clones share this.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Takes up to `max` octets as they are, without a copy: the first that wait, in one piece. Empty at the end of the
    /// stream. Not in `std::net`.
    pub fn read_payload(&self, max: usize) -> io::Result<Payload> {
        self.socket.wait(Interest::Read, |machine, now, id| {
            machine.recv(now, id, max, Flags::EMPTY)
        })
    }

    /// Sends octets by reference, without a copy, and waits until the last of them has been taken into the send buffer.
    /// What could not be sent is left in `payload`. Not in `std::net`.
    pub fn write_payload(&self, payload: &mut Payload) -> io::Result<usize> {
        let mut sent = 0;
        while !payload.is_empty() {
            let outcome = self.socket.wait(Interest::Write, |machine, now, id| {
                machine.send(now, id, payload, Flags::NOSIGNAL)
            });
            match outcome {
                Ok(n) => sent += n,
                Err(error) if sent == 0 => return Err(error),
                // What was sent first counts; the error will be there the next time.
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Takes what waits into `bufs`: waits for the first octet only.
    fn read_into(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut room: usize = bufs.iter().map(|buf| buf.len()).sum();
        if room == 0 {
            return Ok(0);
        }
        let mut pieces: [Payload; READ_PIECES] = std::array::from_fn(|_| Payload::new());
        self.socket.wait(Interest::Read, |machine, now, id| {
            pieces[0] = machine.recv(now, id, room, Flags::EMPTY)?;
            room -= pieces[0].len();
            for piece in &mut pieces[1..] {
                if room == 0 || machine.receive_queue(id) == Ok(0) {
                    break;
                }
                match machine.recv(now, id, room, Flags::EMPTY) {
                    Ok(next) => *piece = next,
                    // What was received first counts; the error, or the end, will be there the next time.
                    Err(_) => break,
                }
                room -= piece.len();
            }
            Ok(())
        })?;
        Ok(scatter(&pieces, bufs))
    }

    /// Sends the octets of `bufs`: on a blocking socket all of them.
    fn write_from(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for buf in bufs {
            let mut rest = &buf[..];
            while !rest.is_empty() {
                let mut most = rest.len().min(WRITE_CHUNK);
                if self.socket.is_nonblocking() {
                    // Nothing is copied that would not be taken; one octet finds out why nothing would.
                    let space = self.socket.look(|machine, id| Ok(machine.send_space(id)))?;
                    most = most.min(space.max(1));
                }
                let mut payload = Payload::copy_from(&rest[..most]);
                match self.write_payload(&mut payload) {
                    Ok(n) => sent += n,
                    Err(error) if sent == 0 => return Err(error),
                    Err(_) => return Ok(sent),
                }
                if !payload.is_empty() {
                    return Ok(sent);
                }
                rest = &rest[most..];
            }
        }
        Ok(sent)
    }
}

/// Copies pieces into buffers, both in order.
fn scatter(pieces: &[Payload], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut bufs = bufs.iter_mut();
    let mut out: &mut [u8] = &mut [];
    let mut copied = 0;
    for piece in pieces {
        let mut left: &[u8] = piece;
        while !left.is_empty() {
            if out.is_empty() {
                let Some(next) = bufs.next() else { return copied };
                out = next;
                continue;
            }
            let n = left.len().min(out.len());
            let (filled, rest) = std::mem::take(&mut out).split_at_mut(n);
            filled.copy_from_slice(&left[..n]);
            (out, left) = (rest, &left[n..]);
            copied += n;
        }
    }
    copied
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_into(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_into(bufs)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_from(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_from(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpStream").field(&self.socket).finish()
    }
}

/// A TCP socket that listens for connections, as [`std::net::TcpListener`].
///
/// ```no_run
/// use prise::net::{TcpListener, TcpStream};
///
/// fn serve(stream: TcpStream) {}
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("0.0.0.0:80")?;
/// for stream in listener.incoming() {
///     serve(stream?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TcpListener {
    socket: Arc<Socket>,
}

impl TcpListener {
    /// Listens at an address, the first that works. See [`std::net::TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        try_each(addr, |host, addr| {
            let socket = Socket::open(host, Kind::Stream, addr)?;
            // As std does on Unix: a port whose connections are in TIME-WAIT can be bound again.
            socket.set_flag(option::SO_REUSEADDR, true)?;
            socket.act(|machine, now, id| {
                machine.bind(now, id, addr)?;
                machine.listen(now, id, BACKLOG)
            })?;
            Ok(Self {
                socket: Arc::new(socket),
            })
        })
    }

    /// The address at which this listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Another handle on the same listener.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// Waits for a connection, and says who made it.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.socket.accept()?;
        Ok((TcpStream::new(socket), peer))
    }

    /// All connections to come; it never ends.
    pub const fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The time to live of packets sent on accepted connections (`IP_TTL`).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.set_int(option::IP_TTL, ttl as i32)
    }

    /// The time to live of packets sent.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.int(option::IP_TTL).map(|ttl| ttl as u32)
    }

    /// Whether an IPv6 listener takes IPv6 connections only. Linux and std allow this before binding only.
    #[deprecated = "this option can only be set before the socket is bound"]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        self.socket.set_flag(option::IPV6_V6ONLY, only_v6)
    }

    /// Whether an IPv6 listener takes IPv6 connections only.
    #[deprecated = "this option can only be set before the socket is bound"]
    pub fn only_v6(&self) -> io::Result<bool> {
        self.socket.flag(option::IPV6_V6ONLY)
    }

    /// The error that is pending on the socket, which is taken (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Whether `accept` returns `WouldBlock` instead of waiting. Clones share this.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpListener").field(&self.socket).finish()
    }
}

/// An iterator over the connections of a [`TcpListener`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
