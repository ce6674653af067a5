//! TIME-WAIT (RFC 9293 §3.6.1): what must be remembered of a closed connection so that its old segments harm no
//! successor, in 64 octets.

use alloc::sync::Arc;
use core::time::Duration;

use prise_wire::{Instant, SeqNum, TcpFlags, TcpHeader, Timestamps};

use super::answer_limit::AnswerLimit;
use super::connection::Connection;
use super::segment::Segment;
use super::signature::SignatureKeys;
use super::tuning::{TimeWaitReuse, Tuning};
use super::tuple::FourTuple;
use crate::net::FlowLabel;
use crate::wheel::TimerId;

/// 2 MSL with Linux's MSL of 30 seconds.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(60);

/// A connection in TIME-WAIT.
#[derive(Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: FourTuple,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    ts_recent: u32,
    pub(crate) ts_offset: u32,
    window: u16,
    pub(crate) timestamps: bool,
    /// Whose it was: bits, because an octet more would not fit.
    owner: u8,
    pub(crate) timer: TimerId,
    pub(crate) limit: AnswerLimit,
}

const _: () = assert!(size_of::<TimeWait>() <= 64);

/// What all segments of some connections have, those that answer from TIME-WAIT among them.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Of a signed connection.
    pub(crate) keys: Option<Arc<SignatureKeys>>,
    pub(crate) flow_label: FlowLabel,
}

impl Marks {
    /// None where there is nothing to remember; IPv4 has no labels.
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        let config = &connection.config;
        let keys = config.signature_keys.clone().filter(|_| connection.is_signed());
        let flow_label = if connection.tuple.is_v4() {
            FlowLabel::OfFlow
        } else {
            config.flow_label
        };
        (keys.is_some() || flow_label != FlowLabel::OfFlow).then_some(Self { keys, flow_label })
    }
}

/// A socket of IPv6, whatever it spoke.
const OF_IPV6: u8 = 1;
/// Its program has closed it, and is to be told when the four-tuple is free.
const CLOSED: u8 = 2;

/// What a segment means to a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Acknowledge again; `restart` the timer (the peer's FIN was retransmitted).
    Acknowledge { restart: bool },
    /// A new connection may take the four-tuple; its first sequence number must be above this.
    Reopen { above: SeqNum },
    /// Nothing.
    Ignore,
    /// A RST in the window: RFC 1337 asks to ignore it, and so we do.
    Assassination,
}

impl TimeWait {
    pub(crate) fn new(connection: &Connection) -> Self {
        let wnd = connection.rcv.window.remaining(connection.rcv.nxt);
        Self {
            tuple: connection.tuple,
            snd_nxt: connection.snd.nxt,
            rcv_nxt: connection.rcv.nxt,
            ts_recent: connection.timestamps.recent,
            ts_offset: connection.timestamps.offset,
            window: (wnd >> connection.rcv_scale).min(0xffff) as u16,
            timestamps: connection.flags.timestamps_on(),
            owner: if connection.config.listed_mapped { OF_IPV6 } else { 0 },
            timer: TimerId::NONE,
            limit: AnswerLimit::default(),
        }
    }

    /// Whether it was a socket of IPv6, which is listed by mapped addresses where it spoke IPv4.
    pub(crate) const fn listed_mapped(&self) -> bool {
        self.owner & OF_IPV6 != 0
    }

    /// Whether the program has closed its socket, and is to be told when the four-tuple is free.
    pub(crate) const fn is_closed(&self) -> bool {
        self.owner & CLOSED != 0
    }

    pub(crate) fn set_closed(&mut self) {
        self.owner |= CLOSED;
    }

    /// It remembers another connection's numbers.
    #[cfg(test)]
    pub(crate) fn displace(&mut self, by: u32) {
        self.snd_nxt += by;
        self.rcv_nxt += by;
    }

    /// RFC 9293 §3.10.7.4 for this state, with RFC 1122 §4.2.2.13 and RFC 6191 on reopening.
    pub(crate) fn judge(&self, seg: &Segment) -> Verdict {
        if seg.flags.rst() {
            return Verdict::Assassination;
        }
        let newer_timestamp = match seg.options.timestamps {
            Some(timestamps) if self.timestamps => Some(timestamps.value.wrapping_sub(self.ts_recent).cast_signed()),
            _ => None,
        };
        if seg.flags.syn() && seg.ack.is_none() {
            // RFC 6191 §2: a later timestamp proves a new connection; so does a higher sequence number.
            let newer = newer_timestamp.is_some_and(|age| age > 0) || self.rcv_nxt.precedes(seg.seq);
            if newer && newer_timestamp.is_none_or(|age| age >= 0) {
                return Verdict::Reopen {
                    above: self.snd_nxt + 65_537,
                };
            }
            return Verdict::Acknowledge { restart: false };
        }
        let in_order = seg.seq == self.rcv_nxt && seg.len() == 0;
        if in_order {
            return Verdict::Ignore;
        }
        Verdict::Acknowledge {
            restart: seg.flags.fin() && seg.end() == self.rcv_nxt,
        }
    }

    /// Whether an active open from here may take the four-tuple over (Linux's `tcp_tw_reuse`): the peer's clock
    /// tells old segments from new ones.
    pub(crate) fn is_reusable(&self) -> bool {
        self.timestamps
    }

    /// Likewise, where the port was picked for the program, with `tcp_tw_reuse` and `tcp_tw_reuse_delay`. `ends` is when TIME-WAIT does.
    pub(crate) fn is_free_to_pick(&self, now: Instant, ends: Instant, tuning: &Tuning) -> bool {
        let wanted = match tuning.time_wait_reuse {
            TimeWaitReuse::Never => false,
            TimeWaitReuse::Loopback => self.tuple.local_ip().is_loopback() || self.tuple.remote_ip().is_loopback(),
            TimeWaitReuse::Always => true,
        };
        wanted && self.is_reusable() && now + TIME_WAIT > ends + tuning.time_wait_reuse_delay
    }

    /// The peer's last timestamp, which a successor's SYN echoes (`tcp_twsk_unique`).
    pub(crate) fn ts_recent(&self) -> u32 {
        self.ts_recent
    }

    /// Where the successor's sequence numbers start, so that they lie above all that was sent.
    pub(crate) fn successor_iss(&self) -> SeqNum {
        self.snd_nxt + 65_537
    }

    pub(crate) fn acknowledgment(&self, timestamp: u32) -> TcpHeader {
        let mut header = TcpHeader {
            source_port: self.tuple.local_port,
            destination_port: self.tuple.remote_port,
            seq: self.snd_nxt,
            ack: Some(self.rcv_nxt),
            flags: TcpFlags::NONE,
            window: self.window,
            ..TcpHeader::default()
        };
        if self.timestamps {
            let value = timestamp.wrapping_add(self.ts_offset);
            header.options.timestamps = Some(Timestamps {
                value,
                echo: self.ts_recent,
            });
        }
        header
    }
}
