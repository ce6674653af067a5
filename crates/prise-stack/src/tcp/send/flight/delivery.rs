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
    /// The largest transmission among those cumulatively acknowledged.
    pub(crate) largest: u32,
    /// The latest transmission among those delivered.
    pub(crate) latest: Option<Latest>,
    /// RFC 8985 `RACK.rtt`: the round trip of the transmission that was looked at last.
    pub(crate) rack_rtt: Option<Duration>,
    /// The echoed timestamp, in milliseconds of our clock: what left later than that has not arrived.
    pub(crate) echo: Option<u32>,
    /// The round trip of a segment that was sent only once.
    pub(crate) rtt: Option<Duration>,
    /// Octets arrived that were sent only once.
    pub(crate) original: bool,
    /// The counters of the latest sent segment among them, and when it left: what measures the delivery rate.
    pub(crate) measured: Option<(SendSnapshot, Instant)>,
    /// An original transmission arrived after one that was sent later.
    pub(crate) reordered: bool,
    /// Where the first such began.
    pub(crate) reordered_from: Option<SeqNum>,
}

/// The most recently sent of the delivered segments: RFC 8985 `RACK.xmit_ts` and `RACK.end_seq`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest {
    pub(crate) sent_at: Instant,
    pub(crate) end: SeqNum,
}

impl Delivery {
    pub(super) fn note_reordered(&mut self, start: SeqNum) {
        self.reordered = true;
        self.reordered_from = Some(match self.reordered_from {
            Some(known) => known.earlier(start),
            None => start,
        });
    }

    pub(super) fn deliver(&mut self, record: &Sent, now: Instant, min_rtt: Duration) {
        self.octets += record.len;
        self.packets += record.len.div_ceil(self.mss.max(1));
        if self
            .measured
            .is_none_or(|(known, _)| known.delivered <= record.snapshot.delivered)
        {
            self.measured = Some((record.snapshot, record.sent_at));
        }
        let rtt = now.saturating_since(record.sent_at);
        if record.is(RETRANSMITTED) {
            // RFC 8985 §6.2 step 2: an acknowledgment this early, or one that echoes an older timestamp, belongs to an
            // earlier transmission.
            let left = timestamp_clock(record.sent_at);
            let older = self.echo.is_some_and(|echo| echo.wrapping_sub(left).cast_signed() < 0);
            if rtt < min_rtt || older {
                return;
            }
        } else {
            self.original = true;
            if self.rtt.is_none_or(|known| rtt < known) {
                self.rtt = Some(rtt);
            }
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
