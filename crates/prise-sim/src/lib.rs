//! A deterministic world: virtual clock, seeded faults, workloads and checkers.
#![forbid(unsafe_code)]
