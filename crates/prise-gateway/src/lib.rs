//! The far side of the host link: ends a guest's flows in the host's own sockets.
#![forbid(unsafe_code)]
