//! `SIOCETHTOOL` (linux/ethtool.h, `dev_ethtool`): what a link's driver tells of it. `lo` tells what Linux's does; no link can be changed.

use crate::interface;
use alloc::vec;
use alloc::vec::Vec;
use prise_socket::Errno;
use prise_stack::Link;

const GET_DRIVER: u32 = 0x03;
const GET_LINK: u32 = 0x0a;
/// `ETHTOOL_GRXCSUM`, `GTXCSUM`, `GSG`, `GTSO`, `GGSO`, `GGRO`.
const GET_OFFLOADS: [u32; 6] = [0x14, 0x16, 0x18, 0x1e, 0x23, 0x2b];
/// `ETHTOOL_GPERMADDR`.
const GET_ADDRESS: u32 = 0x20;
/// `ETHTOOL_GFLAGS`.
const GET_FLAGS: u32 = 0x25;
/// `ETHTOOL_GET_TS_INFO`.
const GET_TIME_STAMPING: u32 = 0x41;

/// What everybody may ask a driver; what else there is is a change.
const QUESTIONS: [u32; 36] = [
    0x01, 0x03, 0x07, 0x0a, 0x0e, 0x10, 0x12, 0x14, 0x16, 0x18, 0x1b, 0x1d, 0x1e, 0x20, 0x21, 0x23, 0x25, 0x27, 0x29,
    0x2b, 0x2d, 0x2e, 0x2f, 0x30, 0x37, 0x38, 0x3a, 0x3c, 0x41, 0x44, 0x46, 0x48, 0x4a, 0x4c, 0x4e, 0x50,
];

/// A command as it stands in the program's memory.
#[expect(missing_debug_implementations, reason = "who asks is a function")]
pub struct Asked<'a> {
    /// The command.
    pub command: u32,
    /// The word behind it, read where the command has one.
    pub word: &'a dyn Fn() -> Result<u32, Errno>,
    /// Whether who asks may change links.
    pub is_admin: &'a dyn Fn() -> bool,
}

/// What is written behind the command: `EOPNOTSUPP` of what the driver does not tell, `EPERM` of a change for whom it is none of his
/// affair.
pub(crate) fn answer(link: &Link, asked: &Asked<'_>) -> Result<Vec<u8>, Errno> {
    let word = |value: u32| Ok(value.to_ne_bytes().to_vec());
    match asked.command {
        // No link of a run is ever down; all of them take trains of segments, and packets without a checksum.
        GET_LINK => word(1),
        command if GET_OFFLOADS.contains(&command) => word(1),
        GET_FLAGS => word(0),
        GET_DRIVER if !link.is_loopback() => Ok(driver()),
        GET_ADDRESS => address(link, (asked.word)()?),
        GET_TIME_STAMPING => Ok(time_stamping()),
        command if QUESTIONS.contains(&command) || (asked.is_admin)() => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EPERM),
    }
}

/// `struct ethtool_drvinfo`: the name and the version of what stands behind the link. `lo` has no driver.
fn driver() -> Vec<u8> {
    const NAME: &[u8] = b"prise";
    const VERSION: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();
    const VERSION_AT: usize = 32;
    let mut info = vec![0; 192];
    info[..NAME.len()].copy_from_slice(NAME);
    info[VERSION_AT..VERSION_AT + VERSION.len()].copy_from_slice(VERSION);
    info
}

/// `struct ethtool_perm_addr`, which has room for so many octets.
fn address(link: &Link, room: u32) -> Result<Vec<u8>, Errno> {
    let mac = interface::hardware_address(link).unwrap_or_default();
    if (room as usize) < mac.len() {
        return Err(Errno::ETOOSMALL);
    }
    Ok([&(mac.len() as u32).to_ne_bytes()[..], &mac].concat())
}

/// `struct ethtool_ts_info`: the host's clock, no clock of the device's (`ethtool_op_get_ts_info`).
fn time_stamping() -> Vec<u8> {
    /// `SOF_TIMESTAMPING_TX_SOFTWARE`, `RX_SOFTWARE`, `SOFTWARE`.
    const SOFTWARE: u32 = 1 << 1 | 1 << 3 | 1 << 4;
    let mut info = vec![0; 40];
    info[..4].copy_from_slice(&SOFTWARE.to_ne_bytes());
    info[4..8].copy_from_slice(&(-1_i32).to_ne_bytes());
    info
}
