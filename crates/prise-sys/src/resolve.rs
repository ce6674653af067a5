//! The host's resolver: getaddrinfo(3) and getnameinfo(3), with the error codes that `std` throws away.

use core::mem::{MaybeUninit, size_of};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ffi::{CStr, CString};

/// Why a name or an address was not resolved: the `EAI_*` codes of getaddrinfo(3), by what they mean to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// The name does not exist (`EAI_NONAME`).
    NoName,
    /// The name exists but has no address (`EAI_NODATA`, `EAI_ADDRFAMILY`).
    NoData,
    /// No server answered; asking again may help (`EAI_AGAIN`).
    TryAgain,
    /// The resolver failed for good (`EAI_FAIL`, `EAI_MEMORY`, `EAI_SYSTEM` …).
    Failed,
}

impl ResolveError {
    fn from_code(code: libc::c_int) -> Self {
        /// `EAI_ADDRFAMILY` of netdb.h, which libc does not name.
        const EAI_ADDRFAMILY: libc::c_int = -9;
        match code {
            libc::EAI_NONAME => Self::NoName,
            libc::EAI_NODATA | EAI_ADDRFAMILY => Self::NoData,
            libc::EAI_AGAIN => Self::TryAgain,
            _ => Self::Failed,
        }
    }
}

/// The list that getaddrinfo allocated, freed when dropped.
struct AddrInfoList(*mut libc::addrinfo);

impl Drop for AddrInfoList {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a successful getaddrinfo and is freed once.
        unsafe { libc::freeaddrinfo(self.0) }
    }
}

/// All addresses of a name, both families, in the order that the host prefers (RFC 6724). Blocks for as long as the
/// host's resolver does.
pub fn addresses(name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let name = CString::new(name).map_err(|_| ResolveError::NoName)?;
    // SAFETY: `addrinfo` is plain data for which all-zero means "no wish".
    let mut hints: libc::addrinfo = unsafe { core::mem::zeroed() };
    hints.ai_family = libc::AF_UNSPEC;
    // One entry for each address instead of one for each socket type.
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut head = core::ptr::null_mut();
    // SAFETY: the name is a C string, the hints are initialised, and `head` receives the list.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), core::ptr::null(), &raw const hints, &raw mut head) };
    if code != 0 {
        return Err(ResolveError::from_code(code));
    }
    let list = AddrInfoList(head);
    let mut found = Vec::new();
    let mut entry = list.0;
    while !entry.is_null() {
        // SAFETY: `entry` walks the list that getaddrinfo returned, alive until `list` is dropped.
        let info = unsafe { &*entry };
        // SAFETY: `ai_addr` of an entry holds an address of the entry's family and length.
        if let Some(address) = unsafe { address_of(info) }
            && !found.contains(&address)
        {
            found.push(address);
        }
        entry = info.ai_next;
    }
    if found.is_empty() {
        Err(ResolveError::NoData)
    } else {
        Ok(found)
    }
}

/// The address of one entry.
///
/// # Safety
/// `info.ai_addr` must be null or point at `info.ai_addrlen` initialised octets.
unsafe fn address_of(info: &libc::addrinfo) -> Option<IpAddr> {
    let len = info.ai_addrlen as usize;
    if info.ai_addr.is_null() {
        return None;
    }
    match info.ai_family {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the caller promises `len` octets, enough for this family.
            let v4 = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let v6 = unsafe { info.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// The name of an address (getnameinfo with `NI_NAMEREQD`). Blocks for as long as the host's resolver does.
pub fn name(address: IpAddr) -> Result<String, ResolveError> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let at = storage.as_mut_ptr();
    let len = match address {
        IpAddr::V4(v4) => {
            // SAFETY: `sockaddr_in` is plain data for which all-zero is valid.
            let mut name: libc::sockaddr_in = unsafe { core::mem::zeroed() };
            name.sin_family = libc::AF_INET as libc::sa_family_t;
            name.sin_addr.s_addr = u32::from(v4).to_be();
            // SAFETY: `sockaddr_storage` has room and alignment for every socket address.
            unsafe { at.cast::<libc::sockaddr_in>().write(name) };
            size_of::<libc::sockaddr_in>()
        }
        IpAddr::V6(v6) => {
            // SAFETY: as for `sockaddr_in`.
            let mut name: libc::sockaddr_in6 = unsafe { core::mem::zeroed() };
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_addr.s6_addr = v6.octets();
            // SAFETY: as for `sockaddr_in`.
            unsafe { at.cast::<libc::sockaddr_in6>().write(name) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    let mut host = [0u8; libc::NI_MAXHOST as usize];
    // SAFETY: the address is initialised for `len` octets; the name is written into `host`, whose size is passed.
    let code = unsafe {
        libc::getnameinfo(
            at.cast(),
            len as libc::socklen_t,
            host.as_mut_ptr().cast(),
            host.len() as libc::socklen_t,
            core::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return Err(ResolveError::from_code(code));
    }
    let name = CStr::from_bytes_until_nul(&host).map_err(|_| ResolveError::Failed)?;
    name.to_str().map(str::to_owned).map_err(|_| ResolveError::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_found_in_the_hosts_file() {
        let found = addresses("localhost").unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn a_name_with_a_nul_does_not_exist() {
        assert_eq!(addresses("a\0b"), Err(ResolveError::NoName));
    }

    #[test]
    fn a_loopback_address_has_a_name() {
        assert!(!name(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap().is_empty());
    }
}
