//! Packetization-layer path MTU discovery (RFC 4821, RFC 8899 §5): the size that the path takes is found by what arrives,
//! not by what routers say, so that a path that drops large packets in silence is no black hole.
//!
//! Sizes here are segment sizes without options subtracted (`mss`): an MTU less 40 or 60. The search lives in
//! [`Rare`](super::rare::Rare) and is begun by repeated timeouts of segments larger than the base size, or at birth if the
//! host asks for it ([`MtuProbing`]). A probe is new data in one segment of the size in question, with ordinary segments
//! behind it; it is sent only where its loss would be noticed by selective acknowledgments and costs nothing (§7.4), and its
//! loss alone is no congestion (§7.6.2).

use alloc::boxed::Box;
use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::connection::{Connection, Sending};
use super::info::LossState;

/// Linux's `net.ipv4.tcp_mtu_probing`: when a connection looks for the size that its path takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtuProbing {
    /// 0: never; only routers are believed.
    Off,
    /// 1: once large segments seem to vanish. The default here (Linux has 0): it costs nothing before a connection would be
    /// stuck for good.
    #[default]
    BlackHoles,
    /// 2: from the beginning, starting at the base size.
    Always,
}

/// Where a search starts (Linux's `tcp_base_mss`), and a black hole's first answer.
const BASE: u16 = 1024;
/// Nothing below these is tried: an IPv4 packet of 552 octets (Linux's `min_pmtu`), IPv6's minimum of 1280.
const FLOOR_V4: u16 = 552 - 40;
const FLOOR_V6: u16 = 1280 - 60;
/// The search ends when it would gain less (Linux's `tcp_probe_threshold`).
const THRESHOLD: u16 = 8;
/// Then it rests so long before larger sizes are tried again (RFC 8899's `PMTU_RAISE_TIMER`; Linux's `tcp_probe_interval`).
const REST: Duration = Duration::from_secs(600);
/// After a probe that told nothing, the next one waits.
const PAUSE: Duration = Duration::from_secs(1);
/// So many timeouts in a row of the same large segment are a black hole (Linux's `tcp_retries1`).
const BLACK_HOLE: u16 = 3;
/// So many where the path has taken such segments before: where a fifth of the packets is lost, three in a row are every day's, and no
/// probe ever comes through a window of a few segments to tell better.
const BLACK_HOLE_LATER: u16 = 6;
/// The congestion window, in segments, below which nothing is probed (Linux).
const CWND_MIN: u32 = 11;

/// The same for the one probe that may show a suspicion wrong: enough to see its loss by.
const CWND_MIN_DOUBTFUL: u32 = 5;

/// What is known of the size that the path takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// The largest size known to arrive.
    low: u16,
    /// The largest size that may arrive.
    high: u16,
    /// What both ends agreed on.
    ceiling: u16,
    /// No probe before this.
    rest_until: Instant,
    /// Begun by timeouts, which losses explain as well: the first probe is of the whole size.
    doubtful: bool,
}

/// A probe that is out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    start: SeqNum,
    size: u16,
    len: u32,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// It alone was lost.
    Lost,
    /// It was lost with others (RFC 4821 §7.6.3).
    Inconclusive,
}

impl Search {
    fn new(low: u16, ceiling: u16) -> Self {
        Self {
            low: low.min(ceiling),
            high: ceiling,
            ceiling,
            rest_until: Instant::ZERO,
            doubtful: false,
        }
    }

    /// A search begun by timeouts in a row.
    fn suspecting(low: u16, ceiling: u16) -> Self {
        Self {
            doubtful: true,
            ..Self::new(low, ceiling)
        }
    }

    /// The size to try now.
    fn next_size(&self, now: Instant) -> Option<u16> {
        if now < self.rest_until || self.high - self.low < THRESHOLD {
            return None;
        }
        if self.doubtful {
            return Some(self.high);
        }
        Some(self.low + (self.high - self.low).div_ceil(2))
    }

    fn arrived(&mut self, now: Instant, size: u16) {
        self.doubtful = false;
        // A router may have set a lower ceiling while the probe was on its way.
        self.low = self.low.max(size.min(self.ceiling));
        self.high = self.high.max(self.low);
        self.rest_if_done(now);
    }

    fn lost(&mut self, now: Instant, size: u16) {
        self.doubtful = false;
        self.high = self.high.min(size - 1).max(self.low);
        self.rest_if_done(now);
    }

    /// The search is over: later the path may take more.
    fn rest_if_done(&mut self, now: Instant) {
        if self.high - self.low < THRESHOLD {
            self.high = self.ceiling;
            self.rest_until = now + REST;
        }
    }

    /// A router says what it takes.
    pub(crate) fn cap(&mut self, size: u16) {
        self.high = self.high.min(size);
        self.low = self.low.min(size);
        self.ceiling = self.ceiling.min(size);
    }
}

impl Connection {
    fn floor(&self) -> u16 {
        if self.tuple.is_v4() { FLOOR_V4 } else { FLOOR_V6 }
    }

    pub(crate) fn search_mut(&mut self) -> Option<&mut Search> {
        self.rare.as_deref_mut()?.search.as_deref_mut()
    }

    /// The handshake is over; a host may want the search from the beginning.
    pub(crate) fn begin_search(&mut self) {
        let base = BASE.max(self.floor());
        if self.config.tuning().mtu_probing == MtuProbing::Always && self.mss > base {
            self.rare().search = Some(Box::new(Search::new(base, self.mss)));
            self.mss = base;
        }
    }

    /// The oldest octets have timed out again: if they went in a segment larger than the base size, the path may swallow
    /// such (RFC 4821 §7.7).
    pub(crate) fn suspect_path_mtu(&mut self) {
        let Some(sending) = self.sending.as_deref_mut() else {
            return;
        };
        let probe = sending.mtu_probe.take();
        let front = sending.flight.front().map_or(0, |front| front.len);
        let timeouts = u16::from(sending.recovery.timeouts);
        if let (Some(probe), Some(search)) = (probe, self.search_mut()) {
            search.doubtful = false;
            search.high = search.high.min(probe.size - 1).max(search.low);
        }
        let probing = self.config.tuning().mtu_probing;
        let enough = if self.flags.full_size_acked() {
            BLACK_HOLE_LATER
        } else {
            BLACK_HOLE
        };
        if probing == MtuProbing::Off || timeouts < enough || !timeouts.is_multiple_of(BLACK_HOLE) {
            return;
        }
        let (floor, mss) = (self.floor(), self.mss);
        let base = match self.rare.as_ref().and_then(|rare| rare.search.as_ref()) {
            None => BASE.max(floor),
            Some(search) => (search.low / 2).clamp(floor, BASE.max(floor)),
        };
        let options = u32::from(mss) - self.segment_size();
        if base >= mss || front + options <= u32::from(base) {
            return;
        }
        let ceiling = self.search_mut().map_or(mss, |search| search.ceiling);
        self.rare().search = Some(Box::new(Search::suspecting(base, ceiling)));
        self.set_segment_size(base);
    }

    /// The octets of a probe, if one may be sent now.
    pub(crate) fn next_mtu_probe(&self, now: Instant) -> Option<u32> {
        let search = self.rare.as_ref()?.search.as_deref()?;
        let sending = self.sending.as_deref()?;
        let quiet = sending.recovery.state == LossState::Open && sending.flight.sacked() == 0;
        if !quiet || sending.mtu_probe.is_some() || !self.flags.sack_on() {
            return None;
        }
        let size = self.segment_size();
        let options = u32::from(self.mss) - size;
        let len = u32::from(search.next_size(now)?).checked_sub(options)?;
        // What follows it makes its loss seen (reordering of three, and one more).
        let needed = len + 4 * size;
        let window_room = self.snd.wnd.saturating_sub(self.snd.nxt.distance_from(self.snd.una));
        let cwnd = self.congestion.cwnd();
        let least = if search.doubtful { CWND_MIN_DOUBTFUL } else { CWND_MIN };
        let roomy = cwnd >= least * size && sending.flight.in_flight() + len.max(2 * size) <= cwnd;
        (len > size && roomy && self.unsent() >= needed && window_room >= needed).then_some(len)
    }

    /// A probe of `len` octets leaves at `start`; answers the segment size that it is.
    pub(crate) fn note_mtu_probe(&mut self, start: SeqNum, len: u32) -> u16 {
        let options = u32::from(self.mss) - self.segment_size();
        let size = u16::try_from(len + options).unwrap_or(u16::MAX);
        self.sending().mtu_probe = Some(Probe {
            start,
            size,
            len,
            fate: Fate::Unknown,
        });
        size
    }

    /// An acknowledgment was taken in: whether it settles the probe.
    pub(crate) fn settle_mtu_probe(&mut self, now: Instant) {
        let una = self.snd.una;
        let Some(sending) = self.sending.as_deref_mut() else {
            return;
        };
        let Some(probe) = sending.mtu_probe else { return };
        let arrived = (probe.start + probe.len).precedes_or_equals(una);
        if !arrived && probe.fate == Fate::Unknown {
            return;
        }
        sending.mtu_probe = None;
        let Some(search) = self.search_mut() else { return };
        match probe.fate {
            Fate::Unknown => {
                search.arrived(now, probe.size);
                let size = search.low;
                if size > self.mss {
                    self.set_segment_size(size);
                }
            }
            Fate::Lost => search.lost(now, probe.size),
            Fate::Inconclusive => search.rest_until = search.rest_until.max(now + PAUSE),
        }
    }

    /// What a router says of the path is doubted while segments of the size in use arrive: it may be forged (RFC 5927 §7.2).
    /// It is remembered, and believed once a timeout shows that something is wrong. Answers whether it was so.
    pub(crate) fn doubt_path_mtu(&mut self, mtu: u32, quoted: SeqNum) -> bool {
        let fits = super::birth::mss_for_mtu(mtu, self.tuple.is_v4());
        let troubled = self
            .sending
            .as_ref()
            .is_some_and(|sending| sending.recovery.timeouts > 0);
        let doubted = self.flags.full_size_acked() && fits < self.mss && !troubled;
        if doubted {
            self.rare().doubted_mtu = Some((mtu, quoted));
        }
        doubted
    }

    /// What was doubted, now that a timeout speaks for it.
    pub(crate) fn take_doubted_mtu(&mut self) -> Option<u32> {
        let troubled = self
            .sending
            .as_ref()
            .is_some_and(|sending| sending.recovery.timeouts > 0);
        self.rare
            .as_deref_mut()
            .filter(|_| troubled)?
            .doubted_mtu
            .take()
            .map(|(mtu, _)| mtu)
    }

    /// Octets have arrived, in segments of that size at most. Who said of one that the path does not take it was wrong, or
    /// lied.
    pub(crate) fn note_delivered_size(&mut self, largest: u32) {
        if largest >= self.segment_size() && self.sending.as_ref().is_some_and(|it| it.recovery.timeouts == 0) {
            self.flags.set_full_size_acked(true);
        }
        let una = self.snd.una;
        if let Some(rare) = self.rare.as_deref_mut()
            && rare.doubted_mtu.is_some_and(|(_, quoted)| quoted.precedes(una))
        {
            rare.doubted_mtu = None;
        }
    }

    /// Segments are of another size from now on.
    pub(crate) fn set_segment_size(&mut self, mss: u16) {
        self.mss = mss;
        self.flags.set_full_size_acked(false);
    }
}

impl Sending {
    /// Something is taken for lost: if it is the probe alone, it was too large, and is sent again in segments that are not,
    /// without a reduction.
    pub(crate) fn excuse_mtu_probe(&mut self, nxt: SeqNum) {
        let Some(probe) = &mut self.mtu_probe else { return };
        if probe.fate != Fate::Unknown || !self.flight.is_lost(probe.start) {
            return;
        }
        if self.flight.lost() != probe.len || self.recovery.in_recovery() {
            probe.fate = Fate::Inconclusive;
            return;
        }
        probe.fate = Fate::Lost;
        self.recovery.enter_repacking(nxt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_arrives_after_a_router_has_said_less_raises_nothing_beyond() {
        let mut search = Search::new(1024, 1460);
        let probe = search.next_size(Instant::ZERO).expect("there is room for one");
        search.cap(1100);
        search.arrived(Instant::ZERO, probe);
        assert_eq!((search.low, search.high, search.ceiling), (1100, 1100, 1100));
        assert_eq!(search.next_size(Instant::ZERO + REST), None);
    }

    #[test]
    fn a_suspicion_is_tried_by_the_whole_size_first() {
        let now = Instant::ZERO;
        let mut wrong = Search::suspecting(1024, 1460);
        assert_eq!(wrong.next_size(now), Some(1460));
        wrong.arrived(now, 1460);
        assert_eq!((wrong.low, wrong.next_size(now)), (1460, None));
        let mut right = Search::suspecting(1024, 1460);
        right.lost(now, 1460);
        assert_eq!(right.next_size(now), Some(1242), "then the search is an ordinary one");
    }

    #[test]
    fn a_search_closes_in_on_what_arrives_and_begins_again_later() {
        let now = Instant::ZERO;
        let mut search = Search::new(1024, 1460);
        let mut probes = 0;
        while let Some(size) = search.next_size(now) {
            probes += 1;
            if size <= 1380 {
                search.arrived(now, size);
            } else {
                search.lost(now, size);
            }
        }
        assert!((1380 - THRESHOLD..=1380).contains(&search.low), "{search:?}");
        assert!(probes <= 7, "{probes}");
        assert!(search.next_size(now + REST).is_some(), "the path may have changed");
    }
}
