//! The command `prise`.
#![forbid(unsafe_code)]

fn main() {}
