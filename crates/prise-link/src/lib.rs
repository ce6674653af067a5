//! Devices that carry frames: memory, loopback, TUN and packet sockets, with impairment and capture around them.
//!
//! Everything here is a [`Link`]. [`Impairment`] is the engine behind [`Impaired`]: pure, it knows time and chance only
//! as arguments, so that the simulator runs the same faults under a virtual clock.
#![forbid(unsafe_code)]

mod capture;
mod device;
mod impaired;
pub mod impairment;
mod link;
mod loopback;
mod memory;
mod packet;
mod tap;
mod tun;
mod virtio;

pub use capture::{Capture, CaptureInterface, CaptureOfLoopback, Captured, WallClock};
pub use device::DeviceCounters;
pub use impaired::Impaired;
pub use impairment::{BurstLoss, Early, Impairment, ImpairmentConfig, Probability};
pub use link::Link;
pub use loopback::Loopback;
pub use memory::{MemoryLink, memory_pair};
pub use packet::PacketLink;
pub use tap::{Direction, Tap, Tapped, each_packet};
pub use tun::TunLink;
