//! The host's sockets, as the gateway makes and breaks them.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use prise_stack::{IcmpError, Refusal};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags, SocketType, ipproto, sockopt,
};

/// Pieces of a gather list given to one system call; UIO_MAXIOV is 1024, but few sends have more than a window's worth.
pub(crate) const PIECES_MAX: usize = 64;

/// A kind of socket that the gateway uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    Datagram,
    /// icmp(7) "ping" sockets, for those groups that net.ipv4.ping_group_range lists.
    Echo,
}

/// A non-blocking socket of the family of `like`.
pub(crate) fn socket(kind: Kind, like: IpAddr) -> Result<OwnedFd, Errno> {
    let family = if like.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let (socket_type, protocol) = match (kind, like) {
        (Kind::Stream, _) => (SocketType::STREAM, None),
        (Kind::Datagram, _) => (SocketType::DGRAM, None),
        (Kind::Echo, IpAddr::V4(_)) => (SocketType::DGRAM, Some(ipproto::ICMP)),
        (Kind::Echo, IpAddr::V6(_)) => (SocketType::DGRAM, Some(ipproto::ICMPV6)),
    };
    net::socket_with(
        family,
        socket_type,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        protocol,
    )
}

/// Makes a stream socket carry what the guest's TCP decided, when it decided it: no second Nagle, and urgent octets at
/// their place in the stream.
pub(crate) fn tune_stream(stream: &OwnedFd) {
    // Neither can fail on a TCP socket; without them the bytes are still right.
    let _ = sockopt::set_tcp_nodelay(stream, true);
    let _ = sockopt::set_socket_oobinline(stream, true);
}

/// Starts a connect; `Ok` means that it is done or under way.
pub(crate) fn connect(stream: &OwnedFd, to: SocketAddr) -> Result<(), Errno> {
    match net::connect(stream, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The socket's pending error, taken.
pub(crate) fn take_error(socket: &OwnedFd) -> Result<(), Errno> {
    sockopt::socket_error(socket).unwrap_or_else(Err)
}

/// Closes a stream by a RST: `SO_LINGER` of zero, socket(7).
pub(crate) fn reset(stream: OwnedFd) {
    // If it fails the peer gets a FIN, which is the next best.
    let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    drop(stream);
}

/// Sends a gather list, of which at most [`PIECES_MAX`] pieces are taken, without raising SIGPIPE. A stream may take
/// less than all.
pub(crate) fn send_pieces<'a>(
    socket: &OwnedFd,
    to: Option<SocketAddr>,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<usize, Errno> {
    let mut slices = [IoSlice::new(&[]); PIECES_MAX];
    let mut count = 0;
    for (slot, piece) in slices.iter_mut().zip(pieces) {
        *slot = IoSlice::new(piece);
        count += 1;
    }
    let mut control = SendAncillaryBuffer::default();
    match to {
        None => net::sendmsg(socket, &slices[..count], &mut control, SendFlags::NOSIGNAL),
        Some(to) => net::sendmsg_addr(socket, &to, &slices[..count], &mut control, SendFlags::NOSIGNAL),
    }
}

/// The INET address that the kernel wrote.
pub(crate) fn inet(address: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address).ok()
}

/// The address that a socket is bound to.
pub(crate) fn local_address(socket: impl AsFd) -> Option<SocketAddr> {
    net::getsockname(socket).ok().and_then(inet)
}

/// Whether an error means that the process or the host is out of something that may be free again soon.
pub(crate) fn is_exhausted(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL | Errno::AGAIN
    )
}

/// The ICMP error by which a network says what `errno` says; `None` where no packet says it.
pub(crate) fn icmp_error(errno: Errno) -> Option<IcmpError> {
    match errno {
        Errno::HOSTUNREACH | Errno::HOSTDOWN => Some(IcmpError::HostUnreachable),
        Errno::NETUNREACH | Errno::NETDOWN => Some(IcmpError::NetworkUnreachable),
        Errno::CONNREFUSED => Some(IcmpError::PortUnreachable),
        Errno::NOPROTOOPT => Some(IcmpError::ProtocolUnreachable),
        Errno::ACCESS | Errno::PERM => Some(IcmpError::Prohibited),
        _ => None,
    }
}

/// How the guest is told that the host's connect failed. A time-out is told by silence: the guest's own SYN timer says
/// when it is one.
pub(crate) fn refusal(errno: Errno) -> Refusal {
    match errno {
        Errno::CONNREFUSED | Errno::CONNRESET => Refusal::Reset,
        _ => icmp_error(errno).map_or(Refusal::Drop, Refusal::Icmp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_connect_is_told_as_a_network_tells_it() {
        assert_eq!(refusal(Errno::CONNREFUSED), Refusal::Reset);
        assert_eq!(refusal(Errno::HOSTUNREACH), Refusal::Icmp(IcmpError::HostUnreachable));
        assert_eq!(refusal(Errno::NETUNREACH), Refusal::Icmp(IcmpError::NetworkUnreachable));
        assert_eq!(refusal(Errno::ACCESS), Refusal::Icmp(IcmpError::Prohibited));
        assert_eq!(refusal(Errno::TIMEDOUT), Refusal::Drop);
    }

    #[test]
    fn a_gather_list_leaves_as_one_datagram() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sender = socket(Kind::Datagram, IpAddr::from([127, 0, 0, 1])).unwrap();
        let pieces: [&[u8]; 3] = [b"ab", b"", b"cde"];
        let to = receiver.local_addr().unwrap();
        assert_eq!(send_pieces(&sender, Some(to), pieces.into_iter()), Ok(5));
        let mut buffer = [0; 16];
        let (length, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"abcde");
        assert_eq!(local_address(&sender).unwrap().port(), from.port());
    }
}
