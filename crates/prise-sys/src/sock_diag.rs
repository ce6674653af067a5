//! Questions about one socket, asked of the kernel (sock_diag(7), linux/sock_diag.h, linux/netlink.h).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

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

    /// Whether `fits` holds for any of the answers to a request for many. What was not looked at is lost with the socket.
    pub(crate) fn any(self, request: &[u8], mut fits: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        self.send(request, libc::NLM_F_REQUEST | libc::NLM_F_DUMP)?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let mut buffer = vec![0; ANSWERS_MAX];
        loop {
            let mut rest = self.receive(&mut buffer)?;
            if rest.is_empty() {
                return Err(malformed());
            }
            while !rest.is_empty() {
                let len = word(rest, 0).ok_or_else(malformed)? as usize;
                let message = rest.get(HEADER_LEN..len).ok_or_else(malformed)?;
                match half(rest, 4).map(i32::from) {
                    Some(libc::NLMSG_DONE) => return Ok(false),
                    Some(libc::NLMSG_ERROR) => {
                        let errno = word(message, 0).ok_or_else(malformed)?.cast_signed();
                        return Err(io::Error::from_raw_os_error(-errno));
                    }
                    _ if fits(message) => return Ok(true),
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

pub(crate) fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

pub(crate) fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|half| u16::from_ne_bytes(*half))
}
