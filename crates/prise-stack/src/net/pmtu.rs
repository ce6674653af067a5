//! What is known of paths whose MTU is below their first link's (RFC 1191, RFC 8201).

use super::address::key;
use super::deadlines::Deadlines;
use crate::hash::HashKey;
use core::net::IpAddr;
use core::time::Duration;
use hashbrown::HashMap;
use prise_wire::{Instant, ipv6};

/// A lower MTU is forgotten after that long, and the path tried anew (RFC 8201 §5.3; Linux's `mtu_expires`).
const LIFETIME: Duration = Duration::from_mins(10);

/// Destinations remembered; the one that would be forgotten first gives way.
const PATHS_MAX: usize = 1024;

/// An IPv4 router may claim less, but we do not believe it: tiny MTUs are an attack (Linux's `min_pmtu`).
const IPV4_MTU_MIN: u32 = 552;

/// The plateaus of RFC 1191 §7.1, for routers that do not say their MTU.
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, IPV4_MTU_MIN];

/// The cache.
#[derive(Debug)]
pub(super) struct PathMtus {
    paths: HashMap<u128, (u32, Instant), HashKey>,
    deadlines: Deadlines<u128>,
}

impl PathMtus {
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            paths: HashMap::with_hasher(hash),
            deadlines: Deadlines::default(),
        }
    }

    /// The MTU of the path, given that of its first link.
    pub(super) fn get(&self, dst: IpAddr, link_mtu: u32) -> u32 {
        if self.paths.is_empty() {
            return link_mtu;
        }
        self.paths
            .get(&key(dst))
            .map_or(link_mtu, |&(mtu, _)| mtu.min(link_mtu))
    }

    /// Takes in what a router says, zero for one that does not; false if it lowers nothing.
    pub(super) fn lower(&mut self, now: Instant, dst: IpAddr, claimed: u32, current: u32) -> bool {
        let mtu = match (dst, claimed) {
            (IpAddr::V4(_), 0) => PLATEAUS
                .into_iter()
                .find(|&plateau| plateau < current)
                .unwrap_or(IPV4_MTU_MIN),
            (IpAddr::V4(_), claimed) => claimed.max(IPV4_MTU_MIN),
            // RFC 8201 §4: less than the minimum never is an answer.
            (IpAddr::V6(_), claimed) => claimed.max(ipv6::MTU_MIN as u32),
        };
        if mtu >= current {
            return false;
        }
        let key = key(dst);
        if let Some(&(_, deadline)) = self.paths.get(&key) {
            self.deadlines.disarm(deadline, key);
        } else if self.paths.len() >= PATHS_MAX
            && let Some(oldest) = self.deadlines.pop_due(Instant::FAR_FUTURE)
        {
            self.paths.remove(&oldest);
        }
        self.paths.insert(key, (mtu, now + LIFETIME));
        self.deadlines.arm(now + LIFETIME, key);
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Forgets what is due; true if anything was.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(key) = self.deadlines.pop_due(now) {
            self.paths.remove(&key);
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_is_lowered_for_ten_minutes_and_never_below_the_floor() {
        let mut paths = PathMtus::new(HashKey::new([0, 1]));
        for (dst, claimed, expected) in [
            ("192.0.2.1", 1400, 1400),
            ("192.0.2.2", 100, 552),
            ("192.0.2.3", 0, 1492),
            ("192.0.2.4", 9000, 1500),
            ("2001:db8::1", 1300, 1300),
            ("2001:db8::2", 600, 1280),
        ] {
            assert_eq!(
                paths.lower(Instant::ZERO, ip(dst), claimed, 1500),
                expected < 1500,
                "{dst}"
            );
            assert_eq!(paths.get(ip(dst), 1500), expected, "{dst}");
        }
        assert_eq!(
            paths.get(ip("192.0.2.1"), 1300),
            1300,
            "the link's own MTU still counts"
        );
        assert!(
            !paths.lower(Instant::ZERO, ip("192.0.2.1"), 1450, 1400),
            "only expiry raises it again"
        );
        assert!(!paths.expire(Instant::from_secs(599)));
        assert!(paths.expire(Instant::from_secs(600)));
        assert_eq!(paths.get(ip("192.0.2.1"), 1500), 1500);
        assert_eq!(paths.next_deadline(), None);
    }

    #[test]
    fn the_number_of_paths_is_bounded() {
        let mut paths = PathMtus::new(HashKey::new([0, 1]));
        for n in 0..3000_u32 {
            let dst = IpAddr::V4(core::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
            paths.lower(Instant::from_millis(u64::from(n)), dst, 1400, 1500);
        }
        assert_eq!(paths.paths.len(), PATHS_MAX);
        assert_eq!(paths.get(ip("10.0.0.1"), 1500), 1500, "the oldest is forgotten");
    }
}
