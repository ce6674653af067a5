//! Frames, headers, options and checksums of the Internet protocols.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
