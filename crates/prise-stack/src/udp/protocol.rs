//! The two protocols that share everything but a number, a port space and what the checksum covers.

use super::{Demux, UdpCounters};
use prise_wire::protocol;

/// UDP (RFC 768) or UDP-Lite (RFC 3828).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UdpProtocol {
    /// RFC 768: the checksum covers everything.
    #[default]
    Udp,
    /// RFC 3828: the sender says what the checksum covers, the receiver what it must.
    Lite,
}

impl UdpProtocol {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Lite];

    /// The number in the IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Udp => protocol::UDP,
            Self::Lite => protocol::UDP_LITE,
        }
    }
}

/// What each of the two protocols has of its own.
#[derive(Debug)]
pub(super) struct Space {
    /// The port space.
    pub(super) demux: Demux,
    pub(super) counters: UdpCounters,
}

/// What a UDP-Lite socket asks of checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Octets from the start of the header that are covered in what is sent (`UDPLITE_SEND_CSCOV`): 0 for all, and more
    /// than there is for all too. None leaves it at all.
    pub send: Option<u16>,
    /// The least that must be covered in what is received (`UDPLITE_RECV_CSCOV`), 0 for all. None takes whatever comes.
    pub receive: Option<u16>,
}

impl Coverage {
    /// The coverage field of a datagram of `len` octets and how many octets its checksum covers (`udplite_csum`).
    pub(super) fn of(self, len: usize) -> (u16, usize) {
        match self.send {
            Some(octets) if usize::from(octets) < len => (octets, if octets == 0 { len } else { octets.into() }),
            _ => (len as u16, len),
        }
    }

    /// Whether a datagram of `len` octets of which `covered` are covered may be received.
    pub(super) const fn admits(self, covered: usize, len: usize) -> bool {
        match self.receive {
            Some(0) => covered == len,
            Some(least) => covered == len || covered >= least as usize,
            None => true,
        }
    }
}
