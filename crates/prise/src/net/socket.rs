//! What all sockets have in common: an identity on a host, waiting, timeouts, options.

use super::option::{self, Name};
use crate::driver::{Interest, Parker, Shard, Waiter, to_std};
use crate::error::{OrIo, io_error};
use crate::host::Host;
use prise_socket::{Errno, Family, Host as Machine, Kind, SocketId};
use prise_wire::{Instant, Payload};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One socket. It is closed when the last handle to it is dropped.
pub(super) struct Socket {
    shard: Arc<Shard>,
    id: SocketId,
    nonblocking: AtomicBool,
}

/// How long a call may sleep.
#[derive(Clone, Copy, Debug)]
enum Patience {
    /// As long as the socket's timeout for this interest says.
    OfSocket,
    /// Until then.
    Until(Instant),
}

impl Socket {
    /// Opens a socket of the right family for an address.
    pub(super) fn open(host: &Host, kind: Kind, addr: SocketAddr) -> io::Result<Self> {
        let family = if addr.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let shard = Arc::clone(host.shard());
        let id = shard.run(|core, _| core.host.socket(family, kind, 0)).or_io()?;
        Ok(Self::adopt(shard, id))
    }

    fn adopt(shard: Arc<Shard>, id: SocketId) -> Self {
        let nonblocking = AtomicBool::new(false);
        Self { shard, id, nonblocking }
    }

    /// Runs a verb that never waits.
    pub(super) fn act<T>(
        &self,
        verb: impl FnOnce(&mut Machine, Instant, SocketId) -> Result<T, Errno>,
    ) -> io::Result<T> {
        self.shard.run(|core, now| verb(&mut core.host, now, self.id)).or_io()
    }

    /// Looks something up.
    pub(super) fn look<T>(&self, question: impl FnOnce(&Machine, SocketId) -> Result<T, Errno>) -> io::Result<T> {
        self.shard.look(|machine| question(machine, self.id)).or_io()
    }

    /// Runs a verb; as long as it would block, sleeps and runs it again, unless the socket is non-blocking.
    pub(super) fn wait<T>(
        &self,
        interest: Interest,
        verb: impl FnMut(&mut Machine, Instant, SocketId) -> Result<T, Errno>,
    ) -> io::Result<T> {
        self.sleep_on(interest, Patience::OfSocket, verb)
    }

    fn sleep_on<T>(
        &self,
        interest: Interest,
        mut patience: Patience,
        mut verb: impl FnMut(&mut Machine, Instant, SocketId) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let mut parker = None;
        loop {
            let outcome = self.shard.run(|core, now| {
                let outcome = verb(&mut core.host, now, self.id);
                let Err(errno) = outcome else {
                    return outcome.map_err(Some);
                };
                if !would_block(errno) || self.is_nonblocking() {
                    return Err(Some(errno));
                }
                if let Patience::OfSocket = patience {
                    let timeout = match interest {
                        Interest::Read => core.host.receive_timeout(self.id),
                        Interest::Write => core.host.send_timeout(self.id),
                    };
                    patience = Patience::Until(timeout.map_or(Instant::FAR_FUTURE, |timeout| now + timeout));
                }
                // Under the lock under which it was found that there is nothing: no event can be missed.
                let parker = parker.get_or_insert_with(Parker::of_this_thread);
                parker.reset();
                let waiter = Waiter::Thread(Arc::clone(parker));
                core.waiters.add(self.id, interest, waiter);
                Err(None)
            });
            match outcome {
                Ok(value) => return Ok(value),
                Err(Some(errno)) => return Err(io_error(errno)),
                Err(None) => {}
            }
            let Patience::Until(until) = patience else { continue };
            if let Some(parker) = &parker
                && !parker.park(to_std(until))
            {
                self.shard.run(|core, _| core.waiters.remove(self.id, parker));
                return Err(io_error(Errno::EAGAIN));
            }
        }
    }

    /// Connects a stream and waits until that is done.
    pub(super) fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.wait(Interest::Write, connecting(addr))
            .map_err(|error| match error.raw_os_error() {
                // `SO_SNDTIMEO` has passed while connecting.
                Some(errno) if errno == Errno::EAGAIN.raw() && !self.is_nonblocking() => io_error(Errno::EINPROGRESS),
                _ => error,
            })
    }

    /// Connects a stream within `timeout`.
    pub(super) fn connect_timeout(&self, addr: SocketAddr, timeout: Duration) -> io::Result<()> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        let until = Patience::Until(crate::driver::now() + timeout);
        self.sleep_on(Interest::Write, until, connecting(addr))
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
                _ => error,
            })
    }

    /// Waits for a connection.
    pub(super) fn accept(&self) -> io::Result<(Self, SocketAddr)> {
        let (id, peer) = self.wait(Interest::Read, Machine::accept)?;
        Ok((Self::adopt(Arc::clone(&self.shard), id), peer))
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(super) fn set_option(&self, Name(level, name): Name, value: &[u8]) -> io::Result<()> {
        self.act(|machine, now, id| machine.set_option(now, id, level, name, value))
    }

    pub(super) fn set_int(&self, name: Name, value: i32) -> io::Result<()> {
        self.set_option(name, &value.to_ne_bytes())
    }

    pub(super) fn set_flag(&self, name: Name, on: bool) -> io::Result<()> {
        self.set_int(name, i32::from(on))
    }

    fn option(&self, Name(level, name): Name) -> io::Result<Vec<u8>> {
        let mut value = Vec::new();
        self.act(|machine, now, id| machine.option(now, id, level, name, &mut value))?;
        Ok(value)
    }

    pub(super) fn int(&self, name: Name) -> io::Result<i32> {
        let value = self.option(name)?;
        let octets = value.first_chunk().copied().ok_or_else(|| io_error(Errno::EINVAL))?;
        Ok(i32::from_ne_bytes(octets))
    }

    pub(super) fn flag(&self, name: Name) -> io::Result<bool> {
        Ok(self.int(name)? != 0)
    }

    /// `SO_RCVTIMEO` or `SO_SNDTIMEO`: a `struct timeval`.
    pub(super) fn set_timeout(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = match timeout {
            Some(Duration::ZERO) => return Err(zero_timeout()),
            // A timeout that rounds to zero would be none at all.
            Some(timeout) => timeout.max(Duration::from_micros(1)),
            None => Duration::ZERO,
        };
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let mut value = [0; 16];
        value[..8].copy_from_slice(&seconds.to_ne_bytes());
        value[8..].copy_from_slice(&i64::from(timeout.subsec_micros()).to_ne_bytes());
        let name = match interest {
            Interest::Read => option::SO_RCVTIMEO,
            Interest::Write => option::SO_SNDTIMEO,
        };
        self.set_option(name, &value)
    }

    pub(super) fn timeout(&self, interest: Interest) -> io::Result<Option<Duration>> {
        self.look(|machine, id| {
            Ok(match interest {
                Interest::Read => machine.receive_timeout(id),
                Interest::Write => machine.send_timeout(id),
            })
        })
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.act(|machine, _, id| Ok(machine.take_error(id).map(io_error)))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.look(Machine::local_addr)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.look(Machine::peer_addr)
    }
}

/// Begins to connect, then asks how that goes.
fn connecting(addr: SocketAddr) -> impl FnMut(&mut Machine, Instant, SocketId) -> Result<(), Errno> {
    let mut begun = false;
    move |machine, now, id| {
        let outcome = machine.connect(now, id, addr);
        match outcome {
            // Done between two questions.
            Err(Errno::EISCONN) if begun => Ok(()),
            _ => {
                begun = true;
                outcome
            }
        }
    }
}

fn would_block(errno: Errno) -> bool {
    matches!(errno, Errno::EAGAIN | Errno::EINPROGRESS | Errno::EALREADY)
}

fn zero_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout")
}

/// Copies a datagram, or what fits of it, as `recv(2)` does.
pub(super) fn copy_out(payload: &Payload, buf: &mut [u8]) -> usize {
    let n = payload.len().min(buf.len());
    buf[..n].copy_from_slice(&payload[..n]);
    n
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shard.run(|core, now| core.host.close(now, self.id));
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = |addr: io::Result<SocketAddr>| addr.map_or_else(|_| "-".to_owned(), |addr| addr.to_string());
        f.debug_struct("Socket")
            .field("addr", &addr(self.local_addr()))
            .field("peer", &addr(self.peer_addr()))
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
