//! TCP/IP sockets in user space, with std::net-shaped types.
#![forbid(unsafe_code)]
