//! What INET sockets can do that neither `std` nor `rustix` reaches without `unsafe`: the queue of ICMP errors
//! (ip(7) `IP_RECVERR`, `MSG_ERRQUEUE`) and the urgent mark (tcp(7) `SIOCATMARK`).

use core::mem::{MaybeUninit, size_of};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The family of an INET socket, where an option has one name for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

/// Who found the error that a socket reports: `ee_origin` of `struct sock_extended_err`, ip(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorOrigin {
    /// The sending host itself, for instance a datagram above the path MTU.
    Local,
    /// An ICMPv4 message of this type and code.
    Icmp {
        /// RFC 792 type.
        kind: u8,
        /// RFC 792 code.
        code: u8,
    },
    /// An ICMPv6 message of this type and code.
    Icmp6 {
        /// RFC 4443 type.
        kind: u8,
        /// RFC 4443 code.
        code: u8,
    },
    /// Anything else (timestamps, zero copy).
    Other,
}

/// One entry of a socket's error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedError {
    /// Where the datagram that caused the error was going.
    pub destination: Option<SocketAddr>,
    /// The errno that the error stands for.
    pub errno: i32,
    /// Who found it.
    pub origin: ErrorOrigin,
    /// `ee_info`: the path MTU for "fragmentation needed" and "packet too big".
    pub info: u32,
    /// The host that sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// Octets of the causing datagram's payload that were returned in the buffer.
    pub quoted: usize,
}

fn set_flag(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value points at a live `c_int` whose size is passed; the descriptor is borrowed, so it is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Turns the error queue of a datagram socket on: ip(7) `IP_RECVERR`, ipv6(7) `IPV6_RECVERR`.
pub fn queue_errors(socket: BorrowedFd<'_>, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => set_flag(socket, libc::IPPROTO_IP, libc::IP_RECVERR),
        Family::V6 => set_flag(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    }
}

/// Whether the next octet to read is the urgent one: tcp(7) `SIOCATMARK`.
pub fn at_urgent_mark(socket: BorrowedFd<'_>) -> io::Result<bool> {
    /// asm-generic/sockios.h; libc does not name it.
    const SIOCATMARK: libc::c_ulong = 0x8905;
    let mut at: libc::c_int = 0;
    // SAFETY: SIOCATMARK stores one `c_int` through the pointer, which is live for the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCATMARK, &raw mut at) };
    if result == 0 {
        Ok(at != 0)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Room for the control messages of one error: `sock_extended_err`, the offender's address, and alignment.
#[repr(C, align(8))]
struct ControlBuffer([u8; 256]);

/// Takes the oldest error off a socket's error queue, without waiting; `None` when it is empty. The start of the
/// payload of the datagram that caused it is written into `quote`.
pub fn take_error(socket: BorrowedFd<'_>, quote: &mut [u8]) -> io::Result<Option<QueuedError>> {
    let mut control = ControlBuffer([0; 256]);
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut piece = libc::iovec {
        iov_base: quote.as_mut_ptr().cast(),
        iov_len: quote.len(),
    };
    // SAFETY: `msghdr` is plain data for which all-zero is valid.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: every pointer in `message` refers to a live buffer of the stated length.
    let quoted = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut message,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    if quoted < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock {
            Ok(None)
        } else {
            Err(error)
        };
    }
    // SAFETY: zeroed at birth, so initialised whatever the kernel wrote.
    let name = unsafe { name.assume_init() };
    let mut found = QueuedError {
        destination: socket_address(&name),
        errno: 0,
        origin: ErrorOrigin::Other,
        info: 0,
        offender: None,
        quoted: quoted as usize,
    };
    read_control(&message, &mut found);
    Ok(Some(found))
}

/// Reads the extended error out of the control messages that `recvmsg` filled in.
fn read_control(message: &libc::msghdr, found: &mut QueuedError) {
    // SAFETY: `message` describes a control buffer that the kernel filled and that outlives this function.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: a non-null header of CMSG_FIRSTHDR/CMSG_NXTHDR lies within the control buffer.
        let (level, kind, len) = unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len) };
        let is_error = (level == libc::IPPROTO_IP && kind == libc::IP_RECVERR)
            || (level == libc::IPPROTO_IPV6 && kind == libc::IPV6_RECVERR);
        // SAFETY: CMSG_LEN only computes with its argument.
        let least = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) } as usize;
        if is_error && len >= least {
            // SAFETY: the length check above leaves room for a whole `sock_extended_err` behind this header; it may be
            // unaligned in principle, so it is read as such.
            let (error, data) = unsafe {
                let data = libc::CMSG_DATA(header);
                (data.cast::<libc::sock_extended_err>().read_unaligned(), data)
            };
            found.errno = error.ee_errno as i32;
            found.info = error.ee_info;
            found.origin = match error.ee_origin {
                libc::SO_EE_ORIGIN_LOCAL => ErrorOrigin::Local,
                libc::SO_EE_ORIGIN_ICMP => ErrorOrigin::Icmp {
                    kind: error.ee_type,
                    code: error.ee_code,
                },
                libc::SO_EE_ORIGIN_ICMP6 => ErrorOrigin::Icmp6 {
                    kind: error.ee_type,
                    code: error.ee_code,
                },
                _ => ErrorOrigin::Other,
            };
            let rest = len - least;
            let mut offender = MaybeUninit::<libc::sockaddr_storage>::zeroed();
            // SAFETY: `rest` octets follow the error inside the control message (SO_EE_OFFENDER); no more than the size
            // of the target are copied.
            let offender = unsafe {
                core::ptr::copy_nonoverlapping(
                    data.add(size_of::<libc::sock_extended_err>()),
                    offender.as_mut_ptr().cast::<u8>(),
                    rest.min(size_of::<libc::sockaddr_storage>()),
                );
                offender.assume_init()
            };
            found.offender = socket_address(&offender).map(|address| address.ip());
        }
        // SAFETY: `header` came from this very message.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
}

/// The INET address in a `sockaddr_storage`; `None` for every other family.
fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let at = (&raw const *storage).cast::<u8>();
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: `sockaddr_storage` is at least as large and as aligned as `sockaddr_in`, and is initialised.
            let v4 = unsafe { at.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let v6 = unsafe { at.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(ip.into(), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    /// Waits (poll(2), at most a second) until `socket` has an error queued: whether one came.
    fn error_came(socket: &UdpSocket) -> bool {
        let mut poll = libc::pollfd {
            fd: socket.as_raw_fd(),
            events: 0,
            revents: 0,
        };
        // SAFETY: one live `pollfd`.
        let count = unsafe { libc::poll(&raw mut poll, 1, 1000) };
        count == 1 && poll.revents & libc::POLLERR != 0
    }

    /// A datagram to a port that nobody has. Another test may bind the port that was just given up and take the datagram
    /// in, and the kernel limits how many errors it sends: then it is tried again with another port.
    fn refused_datagram(bind: &str, family: Family) -> (SocketAddr, QueuedError, Vec<u8>) {
        for _ in 0..20 {
            let target = UdpSocket::bind(bind).unwrap();
            let destination = target.local_addr().unwrap();
            drop(target);
            let sender = UdpSocket::bind(bind).unwrap();
            queue_errors(sender.as_fd(), family).unwrap();
            sender.send_to(b"hello", destination).unwrap();
            if !error_came(&sender) {
                continue;
            }
            let mut quote = [0; 64];
            let error = take_error(sender.as_fd(), &mut quote).unwrap().unwrap();
            assert_eq!(take_error(sender.as_fd(), &mut [0; 64]).unwrap(), None);
            return (destination, error, quote[..error.quoted].to_vec());
        }
        panic!("none of twenty datagrams to closed ports was refused");
    }

    #[test]
    fn port_unreachable_is_queued_with_destination_and_quote() {
        let (destination, error, quote) = refused_datagram("127.0.0.1:0", Family::V4);
        assert_eq!(error.destination, Some(destination));
        assert_eq!(error.errno, libc::ECONNREFUSED);
        assert_eq!(error.origin, ErrorOrigin::Icmp { kind: 3, code: 3 });
        assert_eq!(error.offender, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(quote, b"hello");
    }

    #[test]
    fn port_unreachable_over_ipv6_is_queued_too() {
        if UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped: this host has no ::1");
            return;
        }
        let (destination, error, quote) = refused_datagram("[::1]:0", Family::V6);
        assert_eq!(error.destination, Some(destination));
        assert_eq!(error.origin, ErrorOrigin::Icmp6 { kind: 1, code: 4 });
        assert_eq!(error.offender, Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(quote, b"hello");
    }

    #[test]
    fn urgent_mark_is_seen_before_the_urgent_octet() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        set_flag(receiver.as_fd(), libc::SOL_SOCKET, libc::SO_OOBINLINE).unwrap();
        sender.write_all(b"ab").unwrap();
        // SAFETY: one live octet is sent on an open descriptor.
        let sent = unsafe { libc::send(sender.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        sender.write_all(b"cd").unwrap();
        drop(sender);
        assert!(!at_urgent_mark(receiver.as_fd()).unwrap());
        let mut before = [0; 2];
        receiver.read_exact(&mut before).unwrap();
        assert_eq!(&before, b"ab");
        assert!(at_urgent_mark(receiver.as_fd()).unwrap());
        let mut rest = Vec::new();
        receiver.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"!cd");
    }
}
