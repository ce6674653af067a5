//! `SOL_NETLINK` options (`netlink_setsockopt`, `netlink_getsockopt`).

use super::Socket;
use crate::octets::u32_at;
use alloc::{vec, vec::Vec};
use prise_socket::Errno;

/// `SOL_SOCKET`, `SOL_NETLINK`.
const SOCKET: i32 = 1;
const NETLINK: i32 = 270;

/// `SO_TYPE`, `SO_ERROR`, `SO_PEERCRED`, `SO_PROTOCOL`, `SO_DOMAIN`.
const TYPE: i32 = 3;
const SO_ERROR: i32 = 4;
const PEER_CREDENTIALS: i32 = 17;
const PROTOCOL: i32 = 38;
const DOMAIN: i32 = 39;

/// `SO_PEEK_OFF`, `SO_PASSPIDFD`, `SO_PASSRIGHTS`, which AF_UNIX has and netlink has not.
const OF_UNIX: [i32; 3] = [42, 76, 83];
/// `SO_PEERGROUPS`, `SO_PEERPIDFD`: of a peer, which is no process here.
const OF_PEER: [i32; 2] = [59, 77];

const ADD_MEMBERSHIP: i32 = 1;
const DROP_MEMBERSHIP: i32 = 2;
const PACKET_INFO: i32 = 3;
const BROADCAST_ERROR: i32 = 4;
const NO_ENOBUFS: i32 = 5;
const LISTEN_ALL_NAMESPACES: i32 = 8;
const LIST_MEMBERSHIPS: i32 = 9;
const CAP_ACK: i32 = 10;
const EXTENDED_ACK: i32 = 11;
const STRICT_CHECK: i32 = 12;

/// What was set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Groups listened to, the first in bit 0. Nothing is ever told to a group: links, addresses and routes of a run do not change.
    pub(super) groups: u64,
    /// Whether it has listened to any: before, it has no list of them (`netlink_realloc_groups`).
    pub(super) has_groups: bool,
    pub(super) packet_info: bool,
    broadcast_error: bool,
    no_enobufs: bool,
    /// Errors quote the header of what failed, not all of it.
    pub(super) capped_errors: bool,
    extended_errors: bool,
    /// Lists are reduced to what their headers name.
    pub(super) strict: bool,
    /// An answer found the queue full.
    pub(super) lost: bool,
}

impl Socket {
    /// `setsockopt(2)` at netlink's own level. Those of `SOL_SOCKET` are the driver's affair.
    pub fn set_option(&mut self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        if level != NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        // A value that is too short for a number is 0.
        let number = if value.len() < 4 { 0 } else { u32_at(value, 0) };
        let groups = self.protocol().groups();
        let options = &mut self.options;
        match name {
            ADD_MEMBERSHIP | DROP_MEMBERSHIP => {
                if number == 0 || number > groups {
                    return Err(Errno::EINVAL);
                }
                options.has_groups = true;
                let bit = 1 << (number - 1);
                if name == ADD_MEMBERSHIP {
                    options.groups |= bit;
                } else {
                    options.groups &= !bit;
                }
            }
            PACKET_INFO => options.packet_info = number != 0,
            BROADCAST_ERROR => options.broadcast_error = number != 0,
            NO_ENOBUFS => options.no_enobufs = number != 0,
            LISTEN_ALL_NAMESPACES => return Err(Errno::EPERM),
            CAP_ACK => options.capped_errors = number != 0,
            EXTENDED_ACK => options.extended_errors = number != 0,
            STRICT_CHECK => options.strict = number != 0,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Whether an option of `SOL_SOCKET` is one that netlink has not, though others of the system's sockets have.
    pub fn refuses(level: i32, name: i32) -> bool {
        level == SOCKET && OF_UNIX.contains(&name)
    }

    /// `getsockopt(2)`, for a buffer of `room` octets: the value, and the length to say, which may be more. None leaves it to
    /// the driver.
    pub fn option(&mut self, level: i32, name: i32, room: usize) -> Result<Option<(Vec<u8>, usize)>, Errno> {
        let options = &mut self.options;
        let number = match (level, name) {
            (SOCKET, TYPE) => self.kind(),
            (SOCKET, PROTOCOL) => self.protocol().raw(),
            (SOCKET, DOMAIN) => i32::from(super::FAMILY),
            (SOCKET, SO_ERROR) if core::mem::take(&mut options.lost) => Errno::ENOBUFS.raw(),
            (SOCKET, PEER_CREDENTIALS) => {
                // No process, nobody's (`cred_to_ucred`).
                let mut octets = vec![0; 4];
                octets.resize(12, 0xff);
                octets.truncate(room);
                let len = octets.len();
                return Ok(Some((octets, len)));
            }
            (SOCKET, name) if OF_PEER.contains(&name) => return Err(Errno::ENODATA),
            (SOCKET, _) if Self::refuses(level, name) => return Err(Errno::EOPNOTSUPP),
            (SOCKET, _) => return Ok(None),
            (NETLINK, LIST_MEMBERSHIPS) => {
                let octets = options.groups.to_ne_bytes();
                if !options.has_groups {
                    return Ok(Some((Vec::new(), 0)));
                }
                let whole = (self.protocol().groups().div_ceil(32) * 4) as usize;
                return Ok(Some((octets[..whole.min(room / 4 * 4)].to_vec(), whole)));
            }
            // There is one name space.
            (NETLINK, LISTEN_ALL_NAMESPACES) => 0,
            (NETLINK, PACKET_INFO) => options.packet_info.into(),
            (NETLINK, BROADCAST_ERROR) => options.broadcast_error.into(),
            (NETLINK, NO_ENOBUFS) => options.no_enobufs.into(),
            (NETLINK, CAP_ACK) => options.capped_errors.into(),
            (NETLINK, EXTENDED_ACK) => options.extended_errors.into(),
            (NETLINK, STRICT_CHECK) => options.strict.into(),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        if level == NETLINK && room < 4 {
            return Err(Errno::EINVAL);
        }
        let mut octets = number.to_ne_bytes().to_vec();
        octets.truncate(room);
        let len = octets.len();
        Ok(Some((octets, len)))
    }
}
