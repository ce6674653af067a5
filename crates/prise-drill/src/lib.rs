//! prise under google/packetdrill.
//!
//! packetdrill runs scripts of packets and system calls against a TCP stack. Beside the kernel it takes a shared object
//! (`--so_filename`), whose entry point `packetdrill_interface_init` fills a table of functions: the socket calls, packets in and out,
//! and the clock. This crate is that object ([`abi`]), over one host in virtual time ([`stage`]), and a runner that loads it the
//! same way and carries out such scripts ([`pkt`]), for where packetdrill is not at hand. `docs/packetdrill.md` is the user's page.
//!
//! Beside `prise-sys` this is the only crate with `unsafe`: the table's functions take C's pointers, and no other crate has a use for
//! them. All of it is in [`abi`].

#![deny(unsafe_code)]

pub mod abi;
pub mod pkt;
pub mod stage;
