//! `splice(2)` between a socket of ours and a pipe of the kernel's.

use std::os::fd::BorrowedFd;

use prise_socket::Errno;
use rustix::pipe::fcntl_getpipe_size;

use super::advance::Stage;
use super::messages::Outgoing;

/// `SPLICE_F_NONBLOCK`, `SPLICE_F_MORE`.
const NONBLOCK: u32 = 2;
const MORE: u32 = 4;
/// `MSG_DONTWAIT`, `MSG_MORE`.
const MSG_DONTWAIT: u32 = 0x40;
const MSG_MORE: u32 = 0x8000;
const SIOCATMARK: u64 = 0x8905;

fn of(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error()).unwrap_or(Errno::EIO)
}

impl Stage {
    /// From the socket `fd` into a pipe.
    pub fn splice_in(&self, fd: i32, pipe: BorrowedFd<'_>, len: usize, flags: u32) -> Result<usize, Errno> {
        let size = fcntl_getpipe_size(pipe).map_err(of)?;
        let queued = rustix::io::ioctl_fionread(pipe).map_err(of)? as usize;
        let room = size.saturating_sub(queued).min(len);
        if room == 0 {
            return Err(Errno::EAGAIN);
        }
        if self.ioctl(fd, SIOCATMARK, 0) == Ok(1) {
            // Urgent octets are not spliced, and nothing comes before this one any more.
            return Ok(0);
        }
        let dont_wait = if flags & NONBLOCK != 0 { MSG_DONTWAIT } else { 0 };
        let received = self.receive(fd, room, dont_wait)?;
        rustix::io::write(pipe, &received.octets).map_err(of)
    }

    /// From a pipe into the socket `fd`.
    pub fn splice_out(&self, pipe: BorrowedFd<'_>, fd: i32, len: usize, flags: u32) -> Result<usize, Errno> {
        let queued = rustix::io::ioctl_fionread(pipe).map_err(of)? as usize;
        let mut octets = vec![0; len.min(queued)];
        if octets.is_empty() {
            return if flags & NONBLOCK != 0 {
                Err(Errno::EAGAIN)
            } else {
                Ok(0)
            };
        }
        let read = rustix::io::read(pipe, &mut octets[..]).map_err(of)?;
        octets.truncate(read);
        let mut send_flags = if flags & NONBLOCK != 0 { MSG_DONTWAIT } else { 0 };
        if flags & MORE != 0 {
            send_flags |= MSG_MORE;
        }
        self.send(
            fd,
            Outgoing {
                octets,
                flags: send_flags,
                ..Outgoing::default()
            },
        )
    }
}
