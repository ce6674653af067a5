//! What servers have given us (RFC 7413 §4.1.3): cookie and segment size, by pair of addresses.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use prise_wire::{FastOpenCookie, Instant};

use super::Shape;

/// A client talks to few servers that do this; the one not used for longest is forgotten first.
const ENTRIES_MAX: usize = 1024;

/// What is known of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The segment size of its last SYN-ACK.
    pub(super) mss: u16,
    pub(super) cookie: Option<FastOpenCookie>,
    /// How to ask for a cookie.
    pub(super) shape: Shape,
    /// Both shapes were tried: no more changes.
    settled: bool,
    /// SYNs with data that vanished, in a row, and when the last did.
    lost: u8,
    lost_at: Instant,
    used_at: Instant,
}

/// After the second SYN with data in a row that vanished, the next ones go without for so long; twice as long for each
/// that follows, this often (what Linux did before it paused Fast Open for all servers at once).
const SILENCE: Duration = Duration::from_secs(60);
const DOUBLINGS_MAX: u8 = 10;

impl Entry {
    /// Whether SYNs with data have vanished on the way to this server lately (RFC 7413 §4.1.3.1).
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.lost > 1 && now < self.lost_at + SILENCE * (1 << self.lost.min(DOUBLINGS_MAX))
    }
}

/// What a SYN-ACK has told, or its absence.
#[derive(Clone, Copy, Debug)]
pub(in crate::tcp) struct Answer {
    pub(super) mss: u16,
    pub(super) cookie: Option<FastOpenCookie>,
    /// The request was not understood: ask in this shape next time.
    pub(super) next_shape: Option<Shape>,
    /// The SYN with data, or the answer to it, was lost.
    pub(super) lost: bool,
}

/// All servers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    // A tree: what a peer says never decides how long a look-up takes, and few are looked up.
    entries: BTreeMap<(IpAddr, IpAddr), Entry>,
}

impl Cache {
    /// What is known of `server` as seen from `local`.
    pub(super) fn find(&mut self, now: Instant, local: IpAddr, server: IpAddr) -> Option<Entry> {
        let entry = self.entries.get_mut(&(local, server))?;
        entry.used_at = now;
        Some(*entry)
    }

    /// Takes in what became of a SYN.
    pub(super) fn learn(&mut self, now: Instant, (local, server): (IpAddr, IpAddr), answer: Answer) {
        let Answer {
            mss,
            cookie,
            next_shape,
            lost,
        } = answer;
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&(local, server)) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used_at);
            if let Some(oldest) = oldest.map(|(pair, _)| *pair) {
                self.entries.remove(&oldest);
            }
        }
        let entry = self.entries.entry((local, server)).or_insert(Entry {
            mss,
            cookie: None,
            shape: Shape::Standard,
            settled: false,
            lost: 0,
            lost_at: now,
            used_at: now,
        });
        entry.mss = mss;
        entry.used_at = now;
        entry.lost = if lost { entry.lost.saturating_add(1) } else { 0 };
        entry.lost_at = now;
        if cookie.is_some() {
            entry.cookie = cookie;
        } else if let Some(shape) = next_shape
            && entry.cookie.is_none()
            && !entry.settled
        {
            entry.settled = entry.shape == Shape::Experimental;
            entry.shape = shape;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn server(number: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number as u32).into()
    }

    fn answer(cookie: Option<FastOpenCookie>, lost: bool) -> Answer {
        Answer {
            mss: 1460,
            cookie,
            next_shape: Some(Shape::Experimental),
            lost,
        }
    }

    // rfc: 7413 §4.1.3
    #[test]
    fn the_server_not_used_for_longest_is_forgotten_first() {
        let mut cache = Cache::default();
        let local = server(1 << 20);
        for number in 0..=ENTRIES_MAX {
            let now = Instant::ZERO + Duration::from_secs(number as u64);
            let cookie = FastOpenCookie::new(&[1; 8]);
            cache.learn(now, (local, server(number)), answer(cookie, false));
            assert!(cache.find(now, local, server(0)).is_some(), "used all the time");
        }
        assert_eq!(cache.entries.len(), ENTRIES_MAX);
        assert!(cache.find(Instant::ZERO, local, server(1)).is_none());
    }

    #[test]
    fn an_answer_without_a_cookie_keeps_the_one_that_is_known() {
        let mut cache = Cache::default();
        let pair = (server(1), server(2));
        let cookie = FastOpenCookie::new(&[1; 8]);
        cache.learn(Instant::ZERO, pair, answer(cookie, false));
        cache.learn(Instant::ZERO, pair, answer(None, false));
        let entry = cache.find(Instant::ZERO, pair.0, pair.1).expect("known");
        assert_eq!((entry.cookie, entry.shape), (cookie, Shape::Standard));
    }

    // rfc: 7413 §4.1.3.1
    #[test]
    fn two_vanished_syns_in_a_row_silence_a_server_for_a_while_and_an_answer_ends_it() {
        let mut cache = Cache::default();
        let pair = (server(1), server(2));
        let mut silent = |now, lost| {
            cache.learn(now, pair, answer(FastOpenCookie::new(&[1; 8]), lost));
            let entry = cache.find(now, pair.0, pair.1).expect("known");
            (0..3000).find(|minutes| !entry.is_silent(now + SILENCE * *minutes))
        };
        let now = Instant::from_secs(10);
        assert_eq!(silent(now, true), Some(0));
        assert_eq!(silent(now, true), Some(4));
        assert_eq!(silent(now, true), Some(8));
        assert_eq!(silent(now, false), Some(0));
        assert_eq!(silent(now, true), Some(0));
        for _ in 0..300 {
            assert!(silent(now, true).is_some_and(|minutes| minutes <= 1024));
        }
    }
}
