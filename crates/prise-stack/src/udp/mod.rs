//! UDP (RFC 768).

/// A UDP socket of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpId(pub(crate) u64);
