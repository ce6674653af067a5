//! `TCP_MD5SIG` and `TCP_MD5SIG_EXT` (tcp(7), `tcp_v4_parse_md5_keys`): a `struct tcp_md5sig` names peers and the key for them, or no key
//! to forget theirs.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use prise_stack::SignatureKeys;
use prise_wire::IpCidr;

use super::Call;
use crate::sockaddr::{Given, decode};
use crate::{Errno, Family};

/// `struct tcp_md5sig`: an address in a `sockaddr_storage`, flags, a prefix length, a key's length, an interface, the key.
const SIZE: usize = 216;
const FLAGS_AT: usize = 128;
const PREFIX_AT: usize = 129;
const KEY_LEN_AT: usize = 130;
const INTERFACE_AT: usize = 132;
const KEY_AT: usize = 136;
/// `TCP_MD5SIG_FLAG_PREFIX`.
const HAS_PREFIX: u8 = 1;
/// `TCP_MD5SIG_FLAG_IFINDEX`: for a routing domain (VRF) only, and there are none.
const HAS_INTERFACE: u8 = 2;

/// `TCP_MD5SIG`: one peer.
pub(super) fn set(call: &mut Call<'_>) -> Result<(), Errno> {
    change(call, false)
}

/// `TCP_MD5SIG_EXT`: the flags count.
pub(super) fn set_extended(call: &mut Call<'_>) -> Result<(), Errno> {
    change(call, true)
}

fn change(call: &mut Call<'_>, extended: bool) -> Result<(), Errno> {
    let request: [u8; SIZE] = *call.value.first_chunk().ok_or(Errno::EINVAL)?;
    let flags = if extended { request[FLAGS_AT] } else { 0 };
    let peers = peers(call, &request, flags)?;
    let word = |at: usize| [request[at], request[at + 1]];
    if flags & HAS_INTERFACE != 0 && [word(INTERFACE_AT), word(INTERFACE_AT + 2)] != [[0; 2]; 2] {
        return Err(Errno::EINVAL);
    }
    let len = usize::from(u16::from_le_bytes(word(KEY_LEN_AT)));
    if len > SignatureKeys::KEY_MAX {
        return Err(Errno::EINVAL);
    }
    let place = &mut call.socket().extra_mut().signature_keys;
    let mut keys = place.as_deref().cloned().unwrap_or_default();
    if len == 0 {
        if !keys.remove(peers) {
            return Err(Errno::ENOENT);
        }
    } else if !keys.set(peers, &request[KEY_AT..KEY_AT + len]) {
        return Err(Errno::ENOMEM);
    }
    *place = (!keys.is_empty()).then(|| Arc::new(keys));
    Ok(())
}

/// The address has the socket's family; with `HAS_PREFIX` it names a network. A mapped address of IPv4 is one of IPv4.
fn peers(call: &mut Call<'_>, request: &[u8; SIZE], flags: u8) -> Result<IpCidr, Errno> {
    let address = match (decode(&request[..FLAGS_AT]), call.socket().family) {
        (Ok(Given::Internet(SocketAddr::V4(v4))), Family::Inet) => IpAddr::V4(*v4.ip()),
        (Ok(Given::Internet(SocketAddr::V6(v6))), Family::Inet6) => IpAddr::V6(*v6.ip()).to_canonical(),
        _ => return Err(Errno::EINVAL),
    };
    if flags & HAS_PREFIX == 0 {
        return Ok(IpCidr::host(address));
    }
    IpCidr::new(address, request[PREFIX_AT]).ok_or(Errno::EINVAL)
}
