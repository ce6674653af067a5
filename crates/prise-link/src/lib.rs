//! Devices that carry frames: memory, TUN, packet sockets, impairment and capture.
#![forbid(unsafe_code)]
