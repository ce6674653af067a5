//! The supervisor that gives unmodified programs prise's sockets.
#![forbid(unsafe_code)]
