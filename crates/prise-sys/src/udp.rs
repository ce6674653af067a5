//! What two UDP sockets that stand for one another's only peer need beyond `std` and `rustix`: a filter that admits nobody else,
//! and the hop limit, by which one tells what it was sent on purpose from what a program has written (ip(7)).

use core::net::SocketAddrV4;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Lets a socket receive from one endpoint only, connected or not (socket(7), `SO_ATTACH_FILTER`).
pub fn admit_only(socket: BorrowedFd<'_>, source: SocketAddrV4) -> io::Result<()> {
    /// `SKF_NET_OFF` (linux/filter.h): offsets from here on are into the IP header; others, on a UDP socket, into UDP's.
    const NETWORK_HEADER: u32 = -0x10_0000_i32 as u32;
    const SOURCE_ADDRESS: u32 = 12;
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let mut steps = [
        step(LOAD_HALF, 0, 0),
        step(IF_EQUAL, u32::from(source.port()), 3),
        step(LOAD_WORD, NETWORK_HEADER + SOURCE_ADDRESS, 0),
        step(IF_EQUAL, u32::from(*source.ip()), 1),
        step(RETURN, u32::MAX, 0),
        step(RETURN, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the kernel reads a live structure of that length, which names as many live instructions as it says, and copies both.
    crate::check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Room for a control message of one number (cmsg(3)).
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives a datagram without waiting: how long it is, and its hop limit where the socket was told to say it (`IP_RECVTTL`).
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    let mut control = Control([0; 64]);
    let mut piece = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a structure of integers and pointers may be all zeros.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: every pointer in `message` refers to a live buffer of the stated length.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: `message` describes the control buffer that the kernel filled.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return Ok((len, None));
    }
    // SAFETY: a header that is not null lies within the control buffer, which has room for a number behind it.
    let (level, kind, hops) = unsafe {
        let number = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
        ((*header).cmsg_level, (*header).cmsg_type, number)
    };
    let told = (level, kind) == (libc::IPPROTO_IP, libc::IP_TTL);
    Ok((len, u8::try_from(hops).ok().filter(|_| told)))
}

/// Sends an empty datagram with a hop limit, without waiting, to the socket's peer.
pub fn send_empty(socket: BorrowedFd<'_>, hop_limit: u8) -> io::Result<()> {
    // struct cmsghdr: its length without padding, level, type; a number.
    let mut control = Vec::with_capacity(24);
    control.extend_from_slice(&20_usize.to_ne_bytes());
    for number in [libc::IPPROTO_IP, libc::IP_TTL, i32::from(hop_limit), 0] {
        control.extend_from_slice(&number.to_ne_bytes());
    }
    let message = crate::unix::Message {
        address: &[],
        data: &[],
        control: &control,
    };
    let quiet = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    crate::unix::send_message(socket, message, quiet).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsFd;

    fn bound() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let Ok(SocketAddr::V4(name)) = socket.local_addr() else {
            panic!("bound to an IPv4 address");
        };
        (socket, name)
    }

    #[test]
    fn strangers_are_not_heard() {
        let ((guarded, at), (friend, from)) = (bound(), bound());
        admit_only(guarded.as_fd(), from).unwrap();
        for address in ["127.0.0.1:0".to_owned(), format!("127.0.0.2:{}", from.port())] {
            // Where it has no such address there is no such stranger.
            if let Ok(stranger) = UdpSocket::bind(address) {
                stranger.send_to(b"stranger", at).unwrap();
            }
        }
        friend.send_to(b"friend", at).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(guarded.recv(&mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], b"friend");
        assert!(receive(guarded.as_fd(), &mut buffer).is_err(), "nothing else has come");
    }

    #[test]
    fn a_hop_limit_is_told_where_it_was_asked_for() {
        let ((here, at), (there, from)) = (bound(), bound());
        there.connect(at).unwrap();
        here.connect(from).unwrap();
        let ready = |socket: &UdpSocket| socket.peek(&mut [0]).map(drop).unwrap();
        send_empty(there.as_fd(), 1).unwrap();
        ready(&here);
        assert_eq!(receive(here.as_fd(), &mut [0; 8]).unwrap(), (0, None));
        crate::sockopt::set(here.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTTL, &1_i32.to_ne_bytes()).unwrap();
        send_empty(there.as_fd(), 1).unwrap();
        there.send(b"abc").unwrap();
        ready(&here);
        assert_eq!(receive(here.as_fd(), &mut [0; 8]).unwrap(), (0, Some(1)));
        ready(&here);
        assert_ne!(receive(here.as_fd(), &mut [0; 8]).unwrap(), (3, Some(1)));
    }
}
