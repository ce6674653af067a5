//! `SO_ZEROCOPY` and `MSG_ZEROCOPY` on streams: each such send has a number, and the error queue tells when the octets of which numbers may
//! be reused (the kernel's `Documentation/networking/msg_zerocopy.rst`). Octets are copied here, and the notifications say so, as the kernel
//! does where it had to copy; they come when the peer has acknowledged.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use prise_wire::Instant;

use crate::option::Opt;
use crate::{Errno, Flags, Host, Kind, SocketId, protocol};

/// Sends whose octets are not acknowledged; beyond this a send is as one without the flag, and is not told of.
const PENDING_MAX: usize = 4096;

/// Sends with `MSG_ZEROCOPY` of one socket.
#[derive(Debug, Default)]
pub(crate) struct ZeroCopies {
    /// The next send's number.
    next: u32,
    /// Ends of sends, in octets of the stream, with their numbers.
    pending: VecDeque<(u64, u32)>,
    /// Numbers to be told of, first and last.
    done: VecDeque<(u32, u32)>,
}

/// One notification: the sends from `first` to `last` are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroCopied {
    /// `ee_info`.
    pub first: u32,
    /// `ee_data`.
    pub last: u32,
}

impl Host {
    /// Every send comes through [`Host::send`], so that `SO_ZEROCOPY` can be granted to streams. A supervisor that moves octets behind the
    /// program's back does not say so.
    pub fn allow_zero_copy(&mut self) {
        self.zero_copy_allowed = true;
    }

    pub(crate) fn tells_zero_copies(&self, s: SocketId) -> bool {
        self.zero_copy_allowed && self.sockets.get(s).is_some_and(|socket| socket.kind == Kind::Stream)
    }

    /// `SO_ZEROCOPY`: streams where their sends are seen, and UDP, of which those with the flag always are.
    pub(crate) fn set_zero_copy(&mut self, s: SocketId, on: bool) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        let is_told = match socket.kind {
            Kind::Stream => self.tells_zero_copies(s),
            _ => socket.protocol == protocol::UDP,
        };
        if is_told {
            self.socket_mut(s)?.set_value(Opt::ZeroCopy, on.into());
        } else if on {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(())
    }

    /// A send was taken: notes its end, if it is to be told of.
    pub(crate) fn note_zero_copy(&mut self, now: Instant, s: SocketId, flags: Flags) {
        let wanted = flags.contains(Flags::ZEROCOPY)
            && self
                .sockets
                .get(s)
                .is_some_and(|socket| socket.value(Opt::ZeroCopy) == 1);
        let Some(info) = self.tcp_info(now, s).filter(|_| wanted) else {
            return;
        };
        let end = info.bytes_acked + u64::from(info.send_queue);
        let Ok(socket) = self.socket_mut(s) else { return };
        let copies = socket.extra_mut().zero_copies.get_or_insert_with(Box::default);
        if copies.pending.len() >= PENDING_MAX {
            return;
        }
        copies.pending.push_back((end, copies.next));
        copies.next = copies.next.wrapping_add(1);
        if !self.zero_copying.contains(&s) {
            self.zero_copying.push(s);
        }
    }

    /// Something arrived: notes which sends are done, and wakes their sockets.
    pub(crate) fn finish_zero_copies(&mut self, now: Instant) {
        let mut waiting = core::mem::take(&mut self.zero_copying);
        waiting.retain(|&s| {
            let acked = self.tcp_info(now, s).map(|info| (info.bytes_acked, info.send_queue));
            // Of a connection that is gone nothing is on the way any more.
            let acked = acked.map_or(u64::MAX, |(acked, _)| acked);
            let Some(copies) = self
                .sockets
                .get_mut(s)
                .and_then(|socket| socket.extra.as_mut()?.zero_copies.as_mut())
            else {
                return false;
            };
            let mut finished = false;
            while let Some((_, number)) = copies.pending.pop_front_if(|(end, _)| *end <= acked) {
                finished = true;
                match copies.done.back_mut() {
                    Some((_, last)) if last.wrapping_add(1) == number => *last = number,
                    _ => copies.done.push_back((number, number)),
                }
            }
            let more = !copies.pending.is_empty();
            if finished {
                self.wake(s);
            }
            more
        });
        self.zero_copying = waiting;
    }

    /// The oldest notification of sends that are done (`MSG_ERRQUEUE`).
    pub fn take_zero_copied(&mut self, s: SocketId) -> Option<ZeroCopied> {
        let copies = self.sockets.get_mut(s)?.extra.as_mut()?.zero_copies.as_mut()?;
        let (first, last) = copies.done.pop_front()?;
        Some(ZeroCopied { first, last })
    }

    /// Whether there is a notification, which readiness shows as an error.
    pub(crate) fn has_zero_copied(&self, s: SocketId) -> bool {
        let copies = self
            .sockets
            .get(s)
            .and_then(|socket| socket.extra.as_ref()?.zero_copies.as_ref());
        copies.is_some_and(|copies| !copies.done.is_empty())
    }
}
