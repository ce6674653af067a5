//! What can be seen of streams that the run's own TCP does not carry: through a copy of the program's descriptor, which the
//! kernel answers for.

use std::os::fd::{AsFd, OwnedFd};

use prise_socket::State;
use prise_sys::sockopt;
use rustix::io::ioctl_fionread;

use crate::netlink::is_carried;
use crate::report::TcpEntry;
use crate::socket::{GuestSocket, Role};

/// More than `struct tcp_info` (linux/tcp.h) has; `tcpi_bytes_retrans`, at 208, is the last field that is read here. Older kernels tell less.
pub(crate) const INFO_ROOM: usize = 512;

/// A stream of the kernel's as `ss` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    /// As TCP has it; of another stream nothing is known.
    pub(crate) state: Option<State>,
    /// Octets that the program has not read.
    pub(crate) unread: u64,
    /// Octets that have not arrived.
    pub(crate) unsent: u64,
    pub(crate) tcp: Option<TcpEntry>,
}

/// How what the kernel carries of a socket is looked at; none if it carries nothing.
pub(crate) fn look_of(socket: &GuestSocket) -> Option<fn(&OwnedFd) -> Option<Carried>> {
    match &socket.role {
        Role::Listener(listening) if listening.is_native() => Some(listener),
        _ if is_carried(socket) => Some(|copy| Some(by_kernel(copy))),
        _ => None,
    }
}

/// A connection of the kernel's TCP.
pub(crate) fn by_kernel(copy: &OwnedFd) -> Carried {
    let info = sockopt::get(copy.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, INFO_ROOM).unwrap_or_default();
    Carried {
        state: info.first().copied().and_then(state),
        unread: ioctl_fionread(copy).unwrap_or(0),
        unsent: sockopt::unacknowledged(copy.as_fd()).map_or(0, |octets| octets as u64),
        tcp: Some(figures(&info)),
    }
}

/// A listener of the kernel's: its queue and its backlog.
pub(crate) fn listener(copy: &OwnedFd) -> Option<Carried> {
    let info = sockopt::get(copy.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, INFO_ROOM).ok()?;
    // tcp_get_info: `tcpi_unacked` and `tcpi_sacked` stand for these.
    let word = |at| Some(u64::from(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?)));
    Some(Carried {
        state: state(*info.first()?),
        unread: word(24)?,
        unsent: word(28)?,
        tcp: None,
    })
}

/// The fields of `struct tcp_info` at their offsets.
fn figures(info: &[u8]) -> TcpEntry {
    let octets = |at: usize, len: usize| info.get(at..at + len).unwrap_or(&[]);
    let word = |at| octets(at, 4).try_into().map_or(0, u32::from_ne_bytes);
    let long = |at| octets(at, 8).try_into().map_or(0, u64::from_ne_bytes);
    let (mss, ssthresh) = (word(16), word(76));
    TcpEntry {
        rtt_us: word(68).into(),
        rttvar_us: word(72).into(),
        rto_us: word(8).into(),
        cwnd: u64::from(word(80)) * u64::from(mss),
        ssthresh: (ssthresh < u32::MAX / 2).then(|| u64::from(ssthresh) * u64::from(mss)),
        mss,
        retransmissions: word(100).into(),
        bytes_sent: long(200).saturating_sub(long(208)),
        bytes_received: long(128),
    }
}

/// `TCP_ESTABLISHED` and the others (net/tcp_states.h).
pub(crate) fn state(number: u8) -> Option<State> {
    Some(match number {
        1 => State::Established,
        2 => State::SynSent,
        3 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Supervisor;
    use core::net::SocketAddr;
    use prise_socket::Family;
    use rustix::net::SocketFlags;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_of_the_kernels_tells_its_state_its_queue_and_its_figures() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(b"abcde").unwrap();
        let seen = by_kernel(&server.into());
        assert_eq!((seen.state, seen.unread), (Some(State::Established), 5));
        let tcp = seen.tcp.unwrap();
        assert_eq!(tcp.bytes_received, 5);
        assert!(tcp.mss > 500 && tcp.cwnd >= u64::from(tcp.mss), "{tcp:?}");
    }

    #[test]
    fn a_listener_of_the_kernels_tells_its_queue_and_its_backlog() {
        let stream = Supervisor::hosts_object(Family::Inet, SocketFlags::empty()).unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        rustix::net::bind(&stream, &loopback).unwrap();
        rustix::net::listen(&stream, 7).unwrap();
        let _client = TcpStream::connect(("127.0.0.1", port_of(&stream))).unwrap();
        let seen = listener(&stream).unwrap();
        assert_eq!((seen.state, seen.unread, seen.unsent), (Some(State::Listen), 1, 7));
    }

    fn port_of(stream: &OwnedFd) -> u16 {
        SocketAddr::try_from(rustix::net::getsockname(stream).unwrap())
            .unwrap()
            .port()
    }
}
