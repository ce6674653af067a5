//! The AF_UNIX ends of sockets: what is done on the supervisor's own and, through a copy, on the program's.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::How;
use prise_sys::owner;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, Timespec, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, sendmsg,
    shutdown, socket_with, socketpair, sockopt,
};

/// Sent in pieces of this size until no more fits, so that few calls are needed and little is left over.
const FILLER: [u8; 4096] = [0; 4096];

/// Neither blocking nor signalling, whatever the descriptor's own flags say.
pub(crate) const QUIET: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// A pair: the program's end, with the flags it asked for, and the supervisor's.
pub(crate) fn pair(kind: SocketType, program: SocketFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    if program.contains(SocketFlags::NONBLOCK) {
        fcntl_setfl(&theirs, OFlags::RDWR | OFlags::NONBLOCK)?;
    }
    Ok((theirs, ours))
}

/// An unconnected stream with the flags that the program asked for.
pub(crate) fn stream(program: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        program | SocketFlags::CLOEXEC,
        None,
    )
}

/// The number of the open file, as `/proc/PID/fd` shows it; 0 where it cannot be had.
pub(crate) fn inode(fd: impl AsFd) -> u32 {
    rustix::fs::fstat(fd).map_or(0, |stat| stat.st_ino as u32)
}

/// Whether calls on the open file behind this copy block.
pub(crate) fn blocks(copy: impl AsFd) -> bool {
    fcntl_getfl(copy).is_ok_and(|flags| !flags.contains(OFlags::NONBLOCK))
}

/// Gives an object the time-outs of another, `SO_RCVTIMEO` and `SO_SNDTIMEO`.
pub(crate) fn copy_timeouts(from: &OwnedFd, to: &OwnedFd) {
    for which in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        // Kept by the object; without it there is none.
        let kept = sockopt::socket_timeout(from, which).ok().flatten();
        let _ = sockopt::set_socket_timeout(to, which, kept);
    }
}

/// Gives an object the flags of another, who is told of input by signals (`O_ASYNC`), and the time-outs.
pub(crate) fn inherit(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    // An owner that is gone, nobody tells of anything natively either.
    let _ = owner::copy(from.as_fd(), to.as_fd());
    fcntl_setfl(to, fcntl_getfl(from)?)?;
    copy_timeouts(from, to);
    Ok(())
}

/// Sends all the pieces as one; gives how much was taken.
pub(crate) fn send_pieces(end: impl AsFd, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
    sendmsg(end, pieces, &mut SendAncillaryBuffer::default(), QUIET)
}

/// Sends one octet, in band.
pub(crate) fn send_octet(end: impl AsFd) -> Result<(), Errno> {
    send(end, &[0], QUIET).map(drop)
}

/// Takes one octet off a queue.
pub(crate) fn take_octet(end: impl AsFd) -> Result<(), Errno> {
    let mut octet = [0];
    recv(end, &mut octet[..], RecvFlags::DONTWAIT).map(drop)
}

/// Shuts one direction of an end, or both.
pub(crate) fn shut(end: impl AsFd, how: How) -> Result<(), Errno> {
    let half = match how {
        How::Read => Shutdown::Read,
        How::Write => Shutdown::Write,
        How::Both => Shutdown::Both,
    };
    shutdown(end, half)
}

/// The program's end, filled so that it shows no room to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Octets of filler that wait at the other end.
    pub(crate) octets: usize,
    /// `SO_SNDBUF` before, as it reads.
    pub(crate) send_buffer: usize,
}

/// Shrinks the send buffer of the program's end to the kernel's minimum and fills it: it polls as not writable, and
/// writing answers `EAGAIN` or blocks.
pub(crate) fn fill(copy: impl AsFd) -> Result<Filled, Errno> {
    let send_buffer = sockopt::socket_send_buffer_size(&copy)?;
    sockopt::set_socket_send_buffer_size(&copy, 0)?;
    let mut octets = 0;
    loop {
        match send(&copy, &FILLER, QUIET) {
            Ok(sent) => octets += sent,
            Err(Errno::AGAIN) => return Ok(Filled { octets, send_buffer }),
            Err(error) => return Err(error),
        }
    }
}

/// Gives the program's end its send buffer back.
pub(crate) fn restore_send_buffer(copy: impl AsFd, filled: Filled) -> Result<(), Errno> {
    // What is set reads back doubled (socket(7)).
    sockopt::set_socket_send_buffer_size(copy, filled.send_buffer / 2)
}

/// Takes the filler off the other end, which makes the program's writable: waiting for that, it is woken.
pub(crate) fn drain(end: impl AsFd, filled: Filled) -> Result<(), Errno> {
    let mut left = filled.octets;
    let mut buffer = [0; FILLER.len()];
    while left > 0 {
        let wanted = left.min(buffer.len());
        match recv(&end, &mut buffer[..wanted], RecvFlags::DONTWAIT)?.0 {
            0 => break,
            taken => left -= taken,
        }
    }
    Ok(())
}

/// Which of these poll(2) shows at this moment, and what it shows unasked; nothing where it cannot be asked.
fn shown(fd: impl AsFd, asked: PollFlags) -> PollFlags {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polled = [PollFd::new(&fd, asked)];
    match poll(&mut polled, Some(&now)) {
        Ok(_) => polled[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// Whether poll(2) shows any of these at this moment.
pub(crate) fn shows(fd: impl AsFd, flags: PollFlags) -> bool {
    shown(fd, flags).intersects(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness(fd: &OwnedFd) -> PollFlags {
        shown(fd, PollFlags::IN | PollFlags::OUT)
    }

    #[test]
    fn a_filled_end_shows_no_room_until_it_is_drained() {
        let (program, ours) = pair(SocketType::STREAM, SocketFlags::empty()).unwrap();
        assert_eq!(readiness(&program), PollFlags::OUT);
        let filled = fill(&program).unwrap();
        assert_eq!(readiness(&program), PollFlags::empty());
        assert!(filled.octets > 0);
        drain(&ours, filled).unwrap();
        restore_send_buffer(&program, filled).unwrap();
        assert_eq!(readiness(&program), PollFlags::OUT);
        assert_eq!(sockopt::socket_send_buffer_size(&program).unwrap(), filled.send_buffer);
        assert_eq!(take_octet(&ours), Err(Errno::AGAIN));
    }
}
