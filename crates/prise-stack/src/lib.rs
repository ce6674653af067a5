//! A sans-I/O TCP/IP stack: links, routes, neighbors, IP, ICMP, UDP and TCP.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
