//! The Linux system interface: the only crate of prise that holds unsafe code.

pub mod inet;
pub mod resolve;
