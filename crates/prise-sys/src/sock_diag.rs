//! Questions about one socket, asked of the kernel (sock_diag(7), linux/sock_diag.h, linux/netlink.h).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const HEADER_LEN: usize = 16;
/// Longer than the answer to any question that is asked here.
const ANSWER_MAX: usize = 1024;

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
        let len = HEADER_LEN + request.len();
        let mut message = Vec::with_capacity(len);
        message.extend_from_slice(&(len as u32).to_ne_bytes());
        message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(request);
        let fd = self.0.as_raw_fd();
        // SAFETY: the kernel reads a live buffer of that length. It answers before the call returns.
        let sent = unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut answer = [0u8; ANSWER_MAX];
        // SAFETY: the kernel writes at most so many octets into a live buffer of that length.
        let len = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), libc::MSG_DONTWAIT) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        let answer = &answer[..len.min(ANSWER_MAX)];
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
}

pub(crate) fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

pub(crate) fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|half| u16::from_ne_bytes(*half))
}
