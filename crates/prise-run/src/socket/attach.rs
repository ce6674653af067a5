//! Giving an unconnected AF_UNIX stream its other end.
//!
//! A program's stream socket is an unconnected AF_UNIX stream, which polls as an unconnected TCP socket does. When it is
//! to listen or is connected, the supervisor connects it, through a copy of the program's descriptor, to a listener of
//! its own and accepts: from then on it holds the other end, and the program's descriptor never changed.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with, sockopt,
};
use rustix::process::{Pid, getpid};

/// Connections that may wait on the internal listener: never more than one of ours does.
const BACKLOG: i32 = 128;

/// The internal listener.
#[derive(Debug)]
pub(crate) struct Attacher {
    listener: OwnedFd,
    address: SocketAddrUnix,
    own: Pid,
}

impl Attacher {
    pub(crate) fn new() -> io::Result<Self> {
        let (listener, address) = open()?;
        Ok(Self {
            listener,
            address,
            own: getpid(),
        })
    }

    /// Connects `socket`, which must be an unconnected AF_UNIX stream, and gives the other end, non-blocking.
    pub(crate) fn attach(&mut self, socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        // A stranger who found the name in /proc/net/unix could fill the backlog, and connecting a blocking socket would
        // then block the supervisor: there is nothing to wait for before we have connected.
        if accept_with(&self.listener, SocketFlags::CLOEXEC).is_ok() {
            self.rename()?;
        }
        connect(socket, &self.address)?;
        loop {
            let end = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            if sockopt::socket_peercred(&end)?.pid == self.own {
                return Ok(end);
            }
        }
    }

    /// Leaves the old name, and whoever waits there, behind.
    fn rename(&mut self) -> io::Result<()> {
        (self.listener, self.address) = open()?;
        Ok(())
    }
}

fn open() -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let listener = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let address = name()?;
    bind(&listener, &address)?;
    listen(&listener, BACKLOG)?;
    Ok((listener, address))
}

/// An abstract name that nobody guesses.
pub(crate) fn name() -> io::Result<SocketAddrUnix> {
    let mut secret = [0; 16];
    rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())?;
    // Printable: it is listed in /proc/net/unix, which many read as text.
    let name = format!("prise-{:032x}", u128::from_ne_bytes(secret));
    Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvFlags, SendFlags, recv, send};
    use std::os::fd::AsFd;

    #[test]
    fn an_attached_socket_reaches_its_other_end() {
        let mut attacher = Attacher::new().unwrap();
        for round in 0..3u8 {
            attach_and_send(&mut attacher, round);
        }
    }

    #[test]
    fn a_connection_that_was_not_asked_for_is_left_behind() {
        let mut attacher = Attacher::new().unwrap();
        let stranger = unconnected();
        connect(&stranger, &attacher.address).unwrap();
        attach_and_send(&mut attacher, 9);
        let sent = send(&stranger, &[1], SendFlags::NOSIGNAL);
        assert_eq!(sent, Err(rustix::io::Errno::PIPE));
    }

    fn unconnected() -> OwnedFd {
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn attach_and_send(attacher: &mut Attacher, octet: u8) {
        let socket = unconnected();
        let end = attacher.attach(socket.as_fd()).unwrap();
        send(&socket, &[octet], SendFlags::empty()).unwrap();
        let mut received = [0];
        assert_eq!(recv(&end, &mut received[..], RecvFlags::empty()).unwrap().0, 1);
        assert_eq!(received[0], octet);
    }
}
