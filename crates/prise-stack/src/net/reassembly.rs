//! Reassembly of fragments, both versions (RFC 791 §3.2, RFC 815, RFC 8200 §4.5, RFC 5722).
//!
//! Fragments are kept in order of their offsets; a datagram is complete when they run from zero to the last one without
//! a gap. An overlap ends the datagram in either version: RFC 5722 demands it of IPv6, and Linux does the same for IPv4,
//! where nobody overlaps fragments in good faith either. Exact copies are ignored (RFC 8200 §4.5 permits).

use super::Discard;
use super::address::key;
use super::deadlines::Deadlines;
use crate::hash::HashKey;
use crate::link::LinkId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use hashbrown::HashMap;
use prise_wire::{Body, Head, Instant, Payload};

/// How long a datagram may take (RFC 8200 §4.5 says 60 s; RFC 1122 §3.3.2 60 to 120 s, Linux 30 s for IPv4).
const TIMEOUT_V4: Duration = Duration::from_secs(30);
const TIMEOUT_V6: Duration = Duration::from_mins(1);

/// Octets held for all incomplete datagrams together: Linux's `ipfrag_high_thresh`.
const OCTETS_MAX: usize = 4 << 20;

/// Fragments of one datagram: the longest, in the shortest pieces that there are (RFC 791 §3.1: 8 octets). Linux knows no bound but
/// that of memory, which holds here, too.
const FRAGMENTS_MAX: usize = 8192;

/// What each fragment, and each datagram, is charged beside its octets.
const OVERHEAD: usize = 256;

/// Which datagram a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FragmentKey {
    src: u128,
    dst: u128,
    identification: u32,
    /// Of no meaning in IPv6, where addresses and identification say it all.
    protocol: u8,
}

impl FragmentKey {
    pub(super) fn new(src: IpAddr, dst: IpAddr, identification: u32, protocol: u8) -> Self {
        Self {
            src: key(src),
            dst: key(dst),
            identification,
            protocol,
        }
    }

    pub(super) const fn is_ipv4(&self) -> bool {
        self.dst >> 32 == 0xffff
    }
}

/// One fragment.
#[derive(Debug)]
pub(super) struct Fragment {
    /// The link that it came by.
    pub(super) link: LinkId,
    /// Whether it was sent to this host alone.
    pub(super) unicast: bool,
    /// The headers before the fragmented part, without any link header; those of the first fragment count.
    pub(super) headers: Head,
    /// Where its data goes in the original.
    pub(super) offset: usize,
    pub(super) data: Body,
    pub(super) more: bool,
    /// ECN field of its IP header (RFC 3168 §5.3).
    pub(super) ecn: u8,
    /// Whether its octets need no verification.
    pub(super) trusted: bool,
}

/// A datagram made whole.
#[derive(Debug)]
pub(super) struct Reassembled {
    /// The headers of the first fragment.
    pub(super) headers: Head,
    /// The whole of the fragmented part, in memory of its own.
    pub(super) data: Payload,
    pub(super) ecn: u8,
    pub(super) trusted: bool,
}

/// A datagram that ran out of time.
#[derive(Debug)]
pub(super) struct TimedOut {
    /// The link that the fragments came by.
    pub(super) link: LinkId,
    /// Whether the datagram was sent to this host alone.
    pub(super) unicast: bool,
    /// Headers and data of the first fragment, if it came: the error quotes it.
    pub(super) first: Option<(Head, Body)>,
}

#[derive(Debug)]
struct Datagram {
    deadline: Instant,
    link: LinkId,
    unicast: bool,
    /// By offset, without overlaps; empty once the datagram was given up for an overlap. A tree, for a peer chooses where each goes.
    pieces: BTreeMap<usize, Body>,
    headers: Option<Head>,
    /// Where the last fragment ends, once it came.
    end: Option<usize>,
    /// Octets of data here.
    octets: usize,
    charged: usize,
    marks: Marks,
    trusted: bool,
    /// Given up: fragments still to come are discarded as well (RFC 5722 §4).
    overlapped: bool,
}

/// Every incomplete datagram of a stack.
#[derive(Debug)]
pub(super) struct Reassembly {
    datagrams: HashMap<FragmentKey, Datagram, HashKey>,
    deadlines: Deadlines<FragmentKey>,
    charged: usize,
}

impl Reassembly {
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            datagrams: HashMap::with_hasher(hash),
            deadlines: Deadlines::default(),
            charged: 0,
        }
    }

    /// Adds a fragment whose length and offset are plausible; the datagram if that completes it. `evicted` counts
    /// datagrams that had to give way.
    pub(super) fn add(
        &mut self,
        now: Instant,
        key: FragmentKey,
        mut fragment: Fragment,
        evicted: &mut usize,
    ) -> Result<Option<Reassembled>, Discard> {
        // A few octets must not keep the large frame that they came in, padding and all.
        fragment.data.compact();
        let charge = fragment.data.pinned().max(fragment.data.len()) + OVERHEAD;
        *evicted = self.make_room(charge, key);
        if !self.datagrams.contains_key(&key) {
            let deadline = now + if key.is_ipv4() { TIMEOUT_V4 } else { TIMEOUT_V6 };
            self.deadlines.arm(deadline, key);
            self.charged += OVERHEAD;
            self.datagrams.insert(key, Datagram::new(deadline, &fragment));
        }
        let Some(datagram) = self.datagrams.get_mut(&key) else {
            return Ok(None);
        };
        match datagram.add(fragment) {
            Ok(()) => {}
            Err(Discard::FragmentOverlap) if !key.is_ipv4() => {
                self.charged -= datagram.give_up();
                return Err(Discard::FragmentOverlap);
            }
            // IPv4's identifications come round soon: a later datagram must not suffer for this one.
            Err(reason @ (Discard::FragmentOverlap | Discard::FragmentMalformed | Discard::FragmentsTooMany)) => {
                self.remove(key);
                return Err(reason);
            }
            Err(reason) => return Err(reason),
        }
        datagram.charged += charge;
        self.charged += charge;
        if !datagram.is_complete() {
            return Ok(None);
        }
        self.remove(key).map_or(Ok(None), Datagram::into_whole)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Takes the next datagram that has run out of time.
    pub(super) fn expire(&mut self, now: Instant) -> Option<TimedOut> {
        while let Some(key) = self.deadlines.pop_due(now) {
            let Some(datagram) = self.datagrams.remove(&key) else {
                continue;
            };
            self.charged -= datagram.charged;
            if datagram.overlapped {
                continue;
            }
            let Datagram {
                headers,
                mut pieces,
                link,
                unicast,
                ..
            } = datagram;
            return Some(TimedOut {
                link,
                unicast,
                first: headers.zip(pieces.remove(&0)),
            });
        }
        None
    }

    /// Evicts the oldest other datagrams until the charge fits, and says how many.
    fn make_room(&mut self, charge: usize, keep: FragmentKey) -> usize {
        let mut evicted = 0;
        while self.charged + charge + OVERHEAD > OCTETS_MAX {
            let Some(oldest) = self.deadlines.iter().find(|&key| key != keep) else {
                break;
            };
            self.remove(oldest);
            evicted += 1;
        }
        evicted
    }

    fn remove(&mut self, key: FragmentKey) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&key)?;
        self.deadlines.disarm(datagram.deadline, key);
        self.charged -= datagram.charged;
        Some(datagram)
    }
}

#[cfg(test)]
impl Reassembly {
    pub(super) fn assert_empty(&self) {
        assert_eq!((self.datagrams.len(), self.charged), (0, 0));
    }

    /// Octets of memory that fragments keep alive, and what they are charged.
    pub(super) fn kept(&self) -> (usize, usize) {
        let pieces = self.datagrams.values().flat_map(|datagram| datagram.pieces.values());
        (pieces.map(Body::pinned).sum(), self.charged)
    }
}

/// The ECN fields of a datagram's fragments, one bit for each of the four.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u8);

impl Marks {
    const fn add(&mut self, ecn: u8) {
        self.0 |= 1 << (ecn & 3);
    }

    /// RFC 3168 §5.3, as Linux decides where it leaves a choice: congestion that any fragment experienced the
    /// datagram has experienced, but fragments of which only some are ECN-capable come from no honest sender.
    const fn of_whole(self) -> Result<u8, Discard> {
        let not_capable = self.0 & 1 != 0;
        if not_capable && self.0 != 1 {
            return Err(Discard::FragmentEcnMixed);
        }
        // The highest field seen: congestion experienced, else ECT(0), else ECT(1), else none.
        Ok(if self.0 == 0 {
            0
        } else {
            7 - self.0.leading_zeros() as u8
        })
    }
}

impl Datagram {
    const fn new(deadline: Instant, first: &Fragment) -> Self {
        Self {
            deadline,
            link: first.link,
            unicast: first.unicast,
            pieces: BTreeMap::new(),
            headers: None,
            end: None,
            octets: 0,
            charged: OVERHEAD,
            marks: Marks(0),
            trusted: true,
            overlapped: false,
        }
    }

    fn add(&mut self, fragment: Fragment) -> Result<(), Discard> {
        let Fragment {
            headers,
            offset,
            data,
            more,
            ecn,
            trusted,
            link: _,
            unicast: _,
        } = fragment;
        if self.overlapped {
            return Err(Discard::FragmentOfDropped);
        }
        let end = offset + data.len();
        let is_copy = self.pieces.get(&offset).is_some_and(|have| *have == data);
        if is_copy && more == (self.end != Some(end)) {
            return Err(Discard::FragmentDuplicate);
        }
        // Two ends, or data beyond the end: no honest sender makes these.
        let beyond = self.end.is_some_and(|last| end > last || !more && end != last);
        let short = !more
            && self
                .pieces
                .last_key_value()
                .is_some_and(|(last, have)| last + have.len() > end);
        let before = self.pieces.range(..offset).next_back();
        let overlaps_before = before.is_some_and(|(start, have)| start + have.len() > offset);
        let after = self.pieces.range(offset..).next();
        let overlaps_after = after.is_some_and(|(start, _)| *start < end || *start == offset);
        if beyond || short || overlaps_before || overlaps_after {
            return Err(Discard::FragmentOverlap);
        }
        if self.pieces.len() >= FRAGMENTS_MAX {
            return Err(Discard::FragmentsTooMany);
        }
        if !more {
            self.end = Some(end);
        }
        if offset == 0 {
            self.headers = Some(headers);
        }
        self.marks.add(ecn);
        self.trusted &= trusted;
        self.octets += data.len();
        self.pieces.insert(offset, data);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        // Without overlaps the octets can only all be there if nothing is missing.
        self.end == Some(self.octets) && self.headers.is_some()
    }

    /// The datagram, if its first fragment came.
    fn into_whole(self) -> Result<Option<Reassembled>, Discard> {
        let ecn = self.marks.of_whole()?;
        let Some(headers) = self.headers else { return Ok(None) };
        let mut octets = Vec::with_capacity(self.octets);
        for data in self.pieces.values() {
            data.slices().for_each(|slice| octets.extend_from_slice(slice));
        }
        Ok(Some(Reassembled {
            headers,
            data: octets.into(),
            ecn,
            trusted: self.trusted,
        }))
    }

    /// Drops what is here, remembers that it was dropped, and says what need no longer be charged.
    fn give_up(&mut self) -> usize {
        let freed = self.charged - OVERHEAD;
        self.pieces = BTreeMap::new();
        self.headers = None;
        self.charged = OVERHEAD;
        self.overlapped = true;
        freed
    }
}
