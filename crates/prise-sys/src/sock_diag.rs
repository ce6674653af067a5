//! Questions about sockets, asked of the kernel (sock_diag(7), linux/sock_diag.h, linux/netlink.h).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `TCP_LISTEN` (linux/tcp_states.h).
pub(crate) const LISTEN: u8 = 10;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const HEADER_LEN: usize = 16;
/// Longer than the answer to any question that is asked here.
const ANSWER_MAX: usize = 1024;
/// As much as the kernel tells at once, if there is room for it.
const ANSWERS_MAX: usize = 1 << 15;

/// A netlink socket of the caller's network namespace.
#[derive(Debug)]
pub(crate) struct SockDiag(OwnedFd);

impl SockDiag {
    pub(crate) fn open() -> io::Result<Self> {
        const NETLINK_SOCK_DIAG: i32 = 4;
        // SAFETY: no memory is involved.
        let fd = crate::check(unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        })?;
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The answer to a request, without its header; `None` where there is no such socket (any more).
    pub(crate) fn ask(&self, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.send(request, libc::NLM_F_REQUEST)?;
        let mut answer = [0u8; ANSWER_MAX];
        let answer = self.receive(&mut answer)?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let body = answer.get(HEADER_LEN..).ok_or_else(malformed)?;
        if half(answer, 4) != Some(libc::NLMSG_ERROR as u16) {
            return Ok(Some(body.to_vec()));
        }
        let errno = word(body, 0).ok_or_else(malformed)?.cast_signed();
        match -errno {
            libc::ENOENT | libc::ESTALE => Ok(None),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Whether `fits` holds for any of the answers to a request for many, however the list ends.
    pub(crate) fn any(self, request: &[u8], mut fits: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut found = false;
        self.each(request, libc::NLM_F_DUMP, |message| {
            found = fits(message);
            !found
        })?;
        Ok(found)
    }

    /// Tells `look` each answer to a request, without its header, until it wants no more: of one that asks for many (`NLM_F_DUMP`) all, else the
    /// first. What was not looked at is lost with the socket. The number is what the list has ended with: 0, or an error below it.
    fn each(self, request: &[u8], flags: i32, mut look: impl FnMut(&[u8]) -> bool) -> io::Result<i32> {
        self.send(request, libc::NLM_F_REQUEST | flags)?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let of_many = flags & libc::NLM_F_DUMP != 0;
        let mut buffer = vec![0; ANSWERS_MAX];
        loop {
            let mut rest = self.receive(&mut buffer)?;
            if rest.is_empty() {
                return Err(malformed());
            }
            while !rest.is_empty() {
                let len = word(rest, 0).ok_or_else(malformed)? as usize;
                let message = rest.get(HEADER_LEN..len).ok_or_else(malformed)?;
                let code = || Ok::<_, io::Error>(word(message, 0).ok_or_else(malformed)?.cast_signed());
                match half(rest, 4).map(i32::from) {
                    Some(libc::NLMSG_DONE) => return code(),
                    Some(libc::NLMSG_ERROR) => return Err(io::Error::from_raw_os_error(-code()?)),
                    _ if !look(message) || !of_many => return Ok(0),
                    _ => (),
                }
                // Each begins at a multiple of four (netlink(7)).
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    fn send(&self, request: &[u8], flags: i32) -> io::Result<()> {
        let len = HEADER_LEN + request.len();
        let mut message = Vec::with_capacity(len);
        message.extend_from_slice(&(len as u32).to_ne_bytes());
        message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend_from_slice(&(flags as u16).to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(request);
        // SAFETY: the kernel reads a live buffer of that length. It answers before the call returns.
        crate::check(unsafe { libc::send(self.0.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) }).map(drop)
    }

    /// What the kernel has answered: it has done so before it is asked.
    fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (at, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the kernel writes at most so many octets into a live buffer of that length.
        let len = unsafe { libc::recv(self.0.as_raw_fd(), at, room, libc::MSG_DONTWAIT) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        Ok(&buffer[..len.min(room)])
    }
}

/// A row of a list of sockets, as the kernel has it: the message without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<u8>);

/// Whose a row is, as far as it is not of an Internet family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// `AF_UNIX` (`struct unix_diag_msg`).
    Unix {
        /// The number that /proc/PID/fd shows.
        inode: u32,
        /// Whether it listens.
        listens: bool,
    },
    /// `AF_NETLINK` (`struct netlink_diag_msg`).
    Netlink {
        /// The subsystem.
        protocol: u8,
    },
    /// `AF_PACKET` (`struct packet_diag_msg`).
    Packet {
        /// The number that /proc/PID/fd shows.
        inode: u32,
    },
    /// Another.
    Other,
}

impl Row {
    /// Whose it is.
    pub fn of(&self) -> Local {
        match self.0.first().copied().map(i32::from) {
            Some(libc::AF_UNIX) => Local::Unix {
                inode: word(&self.0, 4).unwrap_or(0),
                listens: self.0.get(2) == Some(&LISTEN),
            },
            Some(libc::AF_NETLINK) => Local::Netlink {
                protocol: self.0.get(2).copied().unwrap_or(0),
            },
            Some(libc::AF_PACKET) => Local::Packet {
                inode: word(&self.0, 4).unwrap_or(0),
            },
            _ => Local::Other,
        }
    }

    /// All of it.
    pub fn into_octets(self) -> Vec<u8> {
        self.0
    }
}

/// What the kernel answers to a program's own request in the caller's network namespace: the rows of a list, if it asks for `many`, else one.
pub fn asked(request: &[u8], many: bool) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let flags = if many { libc::NLM_F_DUMP } else { 0 };
    let ended = SockDiag::open()?.each(request, flags, |row| {
        rows.push(Row(row.to_vec()));
        true
    })?;
    if ended == 0 {
        Ok(rows)
    } else {
        Err(io::Error::from_raw_os_error(-ended))
    }
}

pub(crate) fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

pub(crate) fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|half| u16::from_ne_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    #[test]
    fn lists_hold_a_listener_by_its_number_and_one_request_finds_it() {
        let name = format!("prise-diag-list-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        let file = std::fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let inode = file.ino() as u32;
        // struct unix_diag_req: family, states, number, what to show, cookie.
        let request = |inode: u32| {
            let words = [libc::AF_UNIX as u32, u32::MAX, inode, 1, u32::MAX, u32::MAX];
            words.map(u32::to_ne_bytes).concat()
        };
        let ours = Local::Unix { inode, listens: true };
        let all = asked(&request(0), true).unwrap();
        assert!(all.iter().any(|row| row.of() == ours));
        let one = asked(&request(inode), false).unwrap();
        assert_eq!(one.iter().map(Row::of).collect::<Vec<_>>(), [ours]);
        drop(listener);
        let gone = asked(&request(inode), false).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn lists_of_netlink_sockets_hold_those_of_a_subsystem_or_the_reason_why_there_is_none() {
        // struct netlink_diag_req: family, protocol, number, what to show, cookie.
        let request = |protocol: u8| {
            let mut request = vec![0; 20];
            (request[0], request[1]) = (libc::AF_NETLINK as u8, protocol);
            request
        };
        let diag = SockDiag::open().unwrap();
        diag.send(&request(4), libc::NLM_F_REQUEST).unwrap(); // which gives it a name
        let rows = asked(&request(4), true).unwrap();
        assert!(!rows.is_empty());
        assert!(rows.iter().all(|row| row.of() == Local::Netlink { protocol: 4 }));
        let none = asked(&request(32), true).unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::ENOENT));
    }
}
