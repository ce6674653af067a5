//! The sentinel: what is queued behind the last octet of a program that ends its sending, and stays unread in the supervisor's end.
//!
//! A reset after shutdown(SHUT_WR) can only be shown to the program by closing an end with unread octets ([`stream`](crate::socket::stream)).
//! shutdown(2) queues the sentinel through a copy of the program's descriptor; the stream reads up to it, and takes it where the end is to
//! be closed in order. Another thread of the program's may write meanwhile: what is written behind the sentinel was sent before the end, too,
//! and is read around it.

use std::os::fd::OwnedFd;

use prise_socket::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, send, shutdown, sockopt};

use crate::guest::notify::errno;
use crate::socket::unix;

/// Many octets, so that it is found where another thread of the program's has written behind it.
const SENTINEL: [u8; 16] = *b"\x9d\x1a\xe3\x07prise\xc4\x5b\xf0\x82\x3e\xb9\x61";

/// What a send buffer is set to for the sentinel: more than a program may have queued before it made its buffer smaller.
const ROOM: usize = 1 << 30;

/// What lies in the end of a program that has ended its sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// So many octets, then the sentinel, if there was room for it.
    Before(usize),
    /// So many octets or more, the sentinel, and more octets.
    Around {
        /// What lay there before the sentinel was queued.
        before: usize,
    },
}

/// Queues the sentinel behind what the program has sent and ends its sending; tells what lies in the end then.
pub(crate) fn end_sending(copy: &OwnedFd, end: &OwnedFd) -> Result<Left, Errno> {
    let queued = || {
        rustix::io::ioctl_fionread(end)
            .map(|queued| queued as usize)
            .map_err(errno)
    };
    let before = queued()?;
    let sentinel = queue(copy).map_err(errno)?;
    shutdown(copy, Shutdown::Write).map_err(errno)?;
    let after = queued()?;
    Ok(match before.checked_add(sentinel) {
        Some(expected) if expected == after => Left::Before(before),
        _ if sentinel == 0 => Left::Before(after),
        // Another thread of the program's has written meanwhile.
        _ => Left::Around { before },
    })
}

/// Queues the sentinel if there can be room for it: how many octets of it. Without it only a reset after this cannot be shown.
fn queue(copy: &OwnedFd) -> Result<usize, rustix::io::Errno> {
    let attempt = || send(copy, &SENTINEL, unix::QUIET);
    if attempt() == Ok(SENTINEL.len()) {
        return Ok(SENTINEL.len());
    }
    // The send buffer is full, or holds more than it now may: more is allowed for the one piece, as far as the kernel allows any
    // (net.core.wmem_max), and never used for anything else.
    let send_buffer = sockopt::socket_send_buffer_size(copy)?;
    sockopt::set_socket_send_buffer_size(copy, send_buffer.max(ROOM))?;
    let queued = attempt().unwrap_or(0);
    sockopt::set_socket_send_buffer_size(copy, send_buffer / 2)?;
    Ok(queued)
}

/// Reads all that lies in the end, of which at least `before` octets lie before the sentinel, but for that.
pub(crate) fn take_around(end: &OwnedFd, before: usize, octets: &mut Vec<u8>) {
    // An urgent octet becomes one of the others: where its place was when it was sent, nobody can say.
    let _ = sockopt::set_socket_oobinline(end, true);
    let begin = octets.len() + before;
    octets.reserve(rustix::io::ioctl_fionread(end).map_or(0, |queued| queued as usize));
    while recv(end, rustix::buffer::spare_capacity(octets), RecvFlags::DONTWAIT).is_ok_and(|it| it.0 > 0) {}
    let behind = octets.get(begin..).unwrap_or_default();
    if let Some(place) = behind.windows(SENTINEL.len()).position(|it| it == SENTINEL) {
        octets.drain(begin + place..begin + place + SENTINEL.len());
    }
}

/// Takes the sentinel, which comes next.
pub(crate) fn take(end: &OwnedFd) {
    // Whatever else the program wrote after its own shutdown cannot be.
    let _ = recv(end, &mut [0; SENTINEL.len()][..], RecvFlags::DONTWAIT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_others_write_while_a_program_ends_its_sending_is_sent() {
        let (mut program, end) = UnixStream::pair().unwrap();
        // What is a sentinel by chance is none.
        program.write_all(&SENTINEL).unwrap();
        program.write_all(b" before").unwrap();
        let before = SENTINEL.len() + b" before".len();
        program.write_all(b" just now").unwrap();
        program.write_all(&SENTINEL).unwrap();
        program.write_all(b" and behind").unwrap();
        let mut octets = b"read ".to_vec();
        take_around(&end.into(), before, &mut octets);
        let expected = [b"read ".as_slice(), &SENTINEL, b" before just now and behind"].concat();
        assert_eq!(octets, expected);
    }
}
