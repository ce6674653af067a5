//! Berkeley sockets over prise-stack: POSIX and Linux semantics, without I/O.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
