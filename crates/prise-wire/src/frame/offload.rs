//! Work that a frame still needs before it may stand on a real wire, or that has been done for its receiver.

/// The state of a frame's transport checksum and segmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offload {
    /// Who vouches for the transport checksum.
    pub checksum: Checksum,
    /// Set when the frame is a train of segments under one header.
    pub gso: Option<Gso>,
}

impl Offload {
    /// Complete on the wire, to be verified by the receiver, one packet.
    pub const NONE: Self = Self {
        checksum: Checksum::Unverified,
        gso: None,
    };
}

/// The state of the transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// Complete on the wire; the receiver verifies it.
    #[default]
    Unverified,
    /// Someone who can be trusted vouches for it: loopback, a memory link, a device (virtio `DATA_VALID`).
    Verified,
    /// The field holds the sum of the pseudo-header only (virtio `NEEDS_CSUM`). Whoever puts the frame on a real wire
    /// completes it; a receiver treats it like [`Verified`](Self::Verified), since the frame never left memory.
    Partial {
        /// Where the transport header begins, from the start of the frame.
        start: u16,
        /// Where the checksum field is, from `start`.
        offset: u16,
    },
}

impl Checksum {
    /// Whether a receiver may skip its own verification.
    pub const fn is_trusted(self) -> bool {
        !matches!(self, Self::Unverified)
    }
}

/// How a train of segments is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gso {
    /// Which headers each segment gets.
    pub kind: GsoKind,
    /// Payload octets of each segment; the last may have fewer.
    pub size: u16,
}

/// The protocols of a train of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4, each segment a datagram.
    Udp4,
    /// UDP over IPv6, each segment a datagram.
    Udp6,
}

impl GsoKind {
    /// Whether the segments are TCP.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp4 | Self::Tcp6)
    }

    /// Whether the segments travel over IPv4.
    pub const fn is_ipv4(self) -> bool {
        matches!(self, Self::Tcp4 | Self::Udp4)
    }
}
