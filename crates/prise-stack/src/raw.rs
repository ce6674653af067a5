//! Raw sockets and ping sockets.

/// A ping socket of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PingId(pub(crate) u64);

/// A raw socket of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawId(pub(crate) u64);
