//! What one acknowledgment tells of the segments that it covers: gathered by the flight, read by loss recovery, by the round-trip
//! estimator and by congestion control (RFC 8985 §6.2).

use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::{RETRANSMITTED, Sent};
use crate::tcp::congestion::rate::SendSnapshot;
use crate::tcp::connection::timestamp_clock;

/// What one acknowledgment tells about delivered octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivery {
    /// Newly delivered octets, cumulatively or selectively acknowledged.
    pub(crate) octets: u32,
    /// Octets by which `snd.una` advanced.
    pub(crate) acked: u32,
    /// The segment size, and the packets that the delivered octets were.
    pub(crate) mss: u32,
    pub(crate) packets: u32,
    /// Octets newly selectively acknowledged.
    pub(crate) sacked: u32,
    /// The largest transmission among those cumulatively acknowledged and not selectively before.
    pub(crate) largest: u32,
    /// The latest transmission among those delivered.
    pub(crate) latest: Option<Latest>,
    /// RFC 8985 `RACK.rtt`: the round trip of the transmission that was looked at last.
    pub(crate) rack_rtt: Option<Duration>,
    /// When the acknowledgment came, and the least round trip before it.
    pub(crate) now: Instant,
    min_rtt: Duration,
    /// The echoed timestamp, in milliseconds of our clock: what left later than that had not arrived when the cumulative
    /// acknowledgment advanced last.
    pub(crate) echo: Option<u32>,
    /// When that left which was sent only once, what is acknowledged cumulatively and what selectively.
    acked_once: Option<Departures>,
    sacked_once: Option<Departures>,
    /// Octets that were sent more than once are acknowledged cumulatively, now or selectively before.
    pub(crate) repeated: bool,
    /// A segment of ours that came twice because it was sent twice is what it answers (RFC 2883).
    pub(crate) answers_duplicate: bool,
    /// The end of the first octets that arrived and were sent only once.
    pub(crate) original: Option<SeqNum>,
    /// The counters of the latest sent segment among them, and when it left: what measures the delivery rate.
    pub(crate) measured: Option<(SendSnapshot, Instant)>,
    /// An original transmission arrived after one that was sent later.
    pub(crate) reordered: bool,
    /// Where the first such began.
    pub(crate) reordered_from: Option<SeqNum>,
}

/// When the first and the last of some segments left.
#[derive(Clone, Copy, Debug)]
struct Departures {
    first: Instant,
    last: Instant,
}

impl Departures {
    fn note(known: &mut Option<Self>, sent_at: Instant) {
        let (first, last) = known.map_or((sent_at, sent_at), |known| {
            (known.first.min(sent_at), known.last.max(sent_at))
        });
        *known = Some(Self { first, last });
    }
}

/// The clock of timestamps ticks so often: what it measures may have taken so much more.
const TICK: Duration = Duration::from_millis(1);

/// What an acknowledgment measures of the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundTrips {
    /// The first segment's, with what the receiver waited before it answered: the retransmission timer must allow for that.
    pub(crate) first: Duration,
    /// The last one's, which is nearest to the path's, and never below it.
    pub(crate) last: Duration,
}

/// The most recently sent of the delivered segments: RFC 8985 `RACK.xmit_ts` and `RACK.end_seq`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest {
    pub(crate) sent_at: Instant,
    pub(crate) end: SeqNum,
}

impl Delivery {
    /// Of an acknowledgment that came `now` and echoes a timestamp, on a path of which so much is known; nothing is delivered yet.
    pub(crate) fn new(now: Instant, min_rtt: Duration, echo: Option<u32>, mss: u32) -> Self {
        Self {
            mss,
            now,
            min_rtt,
            echo,
            ..Self::default()
        }
    }

    pub(super) fn note_reordered(&mut self, start: SeqNum) {
        self.reordered = true;
        self.reordered_from = Some(match self.reordered_from {
            Some(known) => known.earlier(start),
            None => start,
        });
    }

    /// What it measures of the round trip, if that is anything: of segments that were sent once, else what the echoed timestamp tells
    /// (`tcp_ack_update_rtt`). The estimator and congestion control believe the same.
    ///
    /// Where acknowledgments are lost, what another one tells had arrived long before. So we take less than Linux, whose round trips become
    /// seconds where a fifth of the packets is lost: nothing from the answer to a duplicate, whatever else it acknowledges; and from one to a
    /// repetition that filled a hole no more than the age of the timestamp.
    pub(crate) fn round_trips(&self) -> Option<RoundTrips> {
        if self.answers_duplicate {
            return None;
        }
        let echoed = self.echoed_rtt().map(|rtt| RoundTrips {
            first: rtt,
            last: rtt + TICK,
        });
        let Some(sent_once) = self.sent_once() else {
            return echoed;
        };
        let bound = echoed.filter(|_| self.repeated).unwrap_or(sent_once);
        Some(RoundTrips {
            first: sent_once.first.min(bound.first),
            last: sent_once.last.min(bound.last),
        })
    }

    /// Karn's algorithm, RFC 6298 §3: what was sent once counts, unless a repetition is acknowledged cumulatively with it. Then it may
    /// have arrived long before, and have waited for the repetition to be acknowledged; what is reported selectively has just arrived.
    fn sent_once(&self) -> Option<RoundTrips> {
        let acked = self.acked_once.filter(|_| !self.repeated);
        let first = acked.or(self.sacked_once)?.first;
        let last = self.sacked_once.or(acked)?.last;
        Some(RoundTrips {
            first: self.now.saturating_since(first),
            last: self.now.saturating_since(last),
        })
    }

    /// The round trip that the echoed timestamp tells, to a millisecond, whatever was sent how often: RFC 7323 §4, and §4.1, by which the
    /// acknowledgment must be of new octets.
    fn echoed_rtt(&self) -> Option<Duration> {
        let echo = self.echo.filter(|_| self.acked > 0)?;
        let millis = timestamp_clock(self.now).wrapping_sub(echo);
        // An echo of nothing that we sent lately is none.
        (millis < 60_000).then(|| Duration::from_millis(u64::from(millis.max(1))))
    }

    /// Whether something that was sent once is reported for the first time, and had left before then.
    pub(crate) fn reports_what_left_before(&self, then: Instant) -> bool {
        self.sacked_once.is_some_and(|departures| departures.first < then)
    }

    pub(super) fn deliver_cumulatively(&mut self, record: &Sent) {
        // What arrived is what answers this, and what it says of the clock: RFC 8985 §6.2 step 2, as Linux does it.
        let left = timestamp_clock(record.sent_at);
        let older = self.echo.is_some_and(|echo| echo.wrapping_sub(left).cast_signed() < 0);
        if !record.is(RETRANSMITTED) {
            Departures::note(&mut self.acked_once, record.sent_at);
        }
        self.deliver(record, older);
    }

    pub(super) fn deliver_selectively(&mut self, record: &Sent) {
        if !record.is(RETRANSMITTED) {
            Departures::note(&mut self.sacked_once, record.sent_at);
        }
        // The echo is that of what moved the left edge last (RFC 7323 §4.3), and says nothing of what arrived beyond it: by
        // it no repetition would ever count as arrived, and those that were lost before it would stay unknown.
        self.deliver(record, false);
    }

    /// `older`: if it was sent more than once, an earlier transmission is what arrived.
    fn deliver(&mut self, record: &Sent, older: bool) {
        self.octets += record.len;
        self.packets += record.len.div_ceil(self.mss.max(1));
        if self
            .measured
            .is_none_or(|(known, _)| known.delivered <= record.snapshot.delivered)
        {
            self.measured = Some((record.snapshot, record.sent_at));
        }
        let rtt = self.now.saturating_since(record.sent_at);
        if record.is(RETRANSMITTED) {
            // RFC 8985 §6.2 step 2: an acknowledgment this early belongs to an earlier transmission.
            if rtt < self.min_rtt || older {
                return;
            }
        } else {
            self.original = Some(self.original.map_or(record.end(), |known| known.earlier(record.end())));
        }
        self.rack_rtt = Some(rtt);
        let later = self.latest.is_none_or(|latest| {
            record.sent_at > latest.sent_at || (record.sent_at == latest.sent_at && latest.end.precedes(record.end()))
        });
        if later {
            self.latest = Some(Latest {
                sent_at: record.sent_at,
                end: record.end(),
            });
        }
    }
}
