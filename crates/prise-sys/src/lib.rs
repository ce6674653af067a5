//! The Linux system interface: the only crate of prise that holds unsafe code.
