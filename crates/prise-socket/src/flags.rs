//! Two sets of bits with the kernel's own values: message flags (`send(2)`, `recv(2)`) and readiness (`poll(2)`).

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// Both sets are plain bits with the same few operations.
macro_rules! bit_set {
    ($set:ident($raw:ty)) => {
        impl $set {
            /// No bit.
            pub const EMPTY: Self = Self(0);

            /// The bits as the kernel's ABI has them; unknown ones are kept.
            pub const fn from_raw(bits: $raw) -> Self {
                Self(bits)
            }

            /// The bits as the kernel's ABI has them.
            pub const fn raw(self) -> $raw {
                self.0
            }

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any bit of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Sets the bits of `other` when `on`.
            #[must_use]
            pub const fn with(self, other: Self, on: bool) -> Self {
                if on { Self(self.0 | other.0) } else { self }
            }
        }

        impl BitOr for $set {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitOrAssign for $set {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }

        impl BitAnd for $set {
            type Output = Self;
            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }

        impl Sub for $set {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }
    };
}

/// The `MSG_*` flags of `send(2)` and `recv(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags(u32);

bit_set!(Flags(u32));

impl Flags {
    /// `MSG_OOB`: urgent data.
    pub const OOB: Self = Self(0x1);
    /// `MSG_PEEK`: leave what is received in the queue.
    pub const PEEK: Self = Self(0x2);
    /// `MSG_DONTROUTE`: only to a directly reachable host.
    pub const DONTROUTE: Self = Self(0x4);
    /// `MSG_TRUNC`: tell the true length of a datagram; on TCP, discard instead of delivering.
    pub const TRUNC: Self = Self(0x20);
    /// `MSG_DONTWAIT`: never block. Every verb here behaves so; the caller blocks.
    pub const DONTWAIT: Self = Self(0x40);
    /// `MSG_EOR`: end of record; without meaning for Internet sockets.
    pub const EOR: Self = Self(0x80);
    /// `MSG_WAITALL`: the caller's affair.
    pub const WAITALL: Self = Self(0x100);
    /// `MSG_CONFIRM`: the neighbor is reachable.
    pub const CONFIRM: Self = Self(0x800);
    /// `MSG_ERRQUEUE`: receive a queued error instead of data.
    pub const ERRQUEUE: Self = Self(0x2000);
    /// `MSG_NOSIGNAL`: no `SIGPIPE`; the caller's affair.
    pub const NOSIGNAL: Self = Self(0x4000);
    /// `MSG_MORE`: more will follow at once.
    pub const MORE: Self = Self(0x8000);
    /// `MSG_ZEROCOPY`: report completion through the error queue.
    pub const ZEROCOPY: Self = Self(0x0400_0000);
    /// `MSG_FASTOPEN`: data with the SYN.
    pub const FASTOPEN: Self = Self(0x2000_0000);
}

/// What a socket is ready for: the bits of `poll(2)` and `epoll(7)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(u16);

bit_set!(Readiness(u16));

impl Readiness {
    /// `POLLIN`: something to read: data, the end of it, a connection to accept.
    pub const IN: Self = Self(0x1);
    /// `POLLPRI`: urgent data, or an error queue that was asked for.
    pub const PRI: Self = Self(0x2);
    /// `POLLOUT`: room to write.
    pub const OUT: Self = Self(0x4);
    /// `POLLERR`: an error is pending.
    pub const ERR: Self = Self(0x8);
    /// `POLLHUP`: both directions have ended, or were never begun.
    pub const HUP: Self = Self(0x10);
    /// `POLLRDNORM`: like [`Readiness::IN`].
    pub const RDNORM: Self = Self(0x40);
    /// `POLLWRNORM`: like [`Readiness::OUT`].
    pub const WRNORM: Self = Self(0x100);
    /// `POLLWRBAND`: like [`Readiness::OUT`], which datagram sockets add.
    pub const WRBAND: Self = Self(0x200);
    /// `POLLRDHUP`: the peer has ended its sending.
    pub const RDHUP: Self = Self(0x2000);
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Readiness, &str); 6] = [
            (Readiness::IN, "IN"),
            (Readiness::PRI, "PRI"),
            (Readiness::OUT, "OUT"),
            (Readiness::ERR, "ERR"),
            (Readiness::HUP, "HUP"),
            (Readiness::RDHUP, "RDHUP"),
        ];
        let mut first = true;
        for (bit, name) in NAMES {
            if self.contains(bit) {
                if !first {
                    f.write_str("|")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("-") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn readiness_prints_like_polls_names() {
        assert_eq!(
            format!("{:?}", Readiness::IN | Readiness::RDHUP | Readiness::RDNORM),
            "IN|RDHUP"
        );
        assert_eq!(format!("{:?}", Readiness::EMPTY), "-");
    }
}
