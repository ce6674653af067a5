//! What went wrong on a connection, and what it waited for: counters of `TCP_INFO` that most connections leave at zero,
//! and Linux's chronographs (`tcp_chrono`), which tell a slow network from a slow reader and a slow writer.

use core::time::Duration;

use prise_wire::Instant;

use super::connection::{Connection, Stamp};

/// Counters that are zero while all goes well.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) bytes_retransmitted: u64,
    /// Duplicates that the peer has reported (RFC 2883).
    pub(crate) dsack_dups: u32,
    /// Acknowledgments that showed reordering.
    pub(crate) reordering: u32,
    /// Packets that arrived behind a hole.
    pub(crate) out_of_order: u32,
    /// Retransmission timeouts, and how many were the first in a row.
    pub(crate) timeouts: u16,
    pub(crate) recoveries: u16,
    /// Time from a first timeout to the acknowledgment that ended it.
    recovering: Duration,
    since: Option<Stamp>,
    /// Packets delivered by acknowledgments with ECN-Echo (RFC 3168).
    pub(crate) delivered_ce: u32,
    pub(crate) window_limited: Duration,
    pub(crate) buffer_limited: Duration,
}

impl Troubles {
    /// A timeout; `first`: of a row.
    fn on_timeout(&mut self, now: Instant, first: bool) {
        self.timeouts = self.timeouts.saturating_add(1);
        if first {
            self.recoveries = self.recoveries.saturating_add(1);
            self.since = Some(Stamp::at(now));
        }
    }

    /// Something new was acknowledged.
    fn on_progress(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.recovering += since.age(now);
        }
    }

    /// The time spent so, that which goes on included.
    pub(crate) fn recovering(&self, now: Instant) -> Duration {
        self.recovering + self.since.map_or(Duration::ZERO, |since| since.age(now))
    }
}

/// What a sender waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it has nothing to send.
    #[default]
    Idle,
    /// The network.
    Network,
    /// The peer's window.
    Window,
    /// The program, whose send buffer is full while nothing is left to send.
    Buffer,
}

/// One stretch of waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chronograph {
    wait: Wait,
    since: Option<Instant>,
}

/// Busy time is kept in these, so that four octets last for days.
const BUSY_UNIT: u32 = 100;

impl Connection {
    /// From now on it waits for this.
    pub(crate) fn wait_for(&mut self, now: Instant, wait: Wait) {
        let Some(sending) = self.sending.as_deref_mut() else {
            return;
        };
        let Chronograph { wait: before, since } = sending.chronograph;
        if before == wait {
            return;
        }
        sending.chronograph = Chronograph { wait, since: Some(now) };
        let spent = since.map_or(Duration::ZERO, |since| now.saturating_since(since));
        match before {
            Wait::Idle => {}
            Wait::Network => {
                let units = spent.as_micros() / u128::from(BUSY_UNIT);
                self.statistics.busy = self.statistics.busy.wrapping_add(units as u32);
            }
            Wait::Window => self.rare().troubles.window_limited += spent,
            Wait::Buffer => self.rare().troubles.buffer_limited += spent,
        }
    }

    /// Whether it has been waiting for the peer's window already: one that opens, but not far enough, is the same wait.
    pub(crate) fn waits_for_window(&self) -> bool {
        let chronograph = self.sending.as_ref().map(|sending| sending.chronograph);
        chronograph.is_some_and(|chronograph| chronograph.wait == Wait::Window)
    }

    /// The program has written; `full` if not all of it fitted.
    pub(crate) fn note_write(&mut self, now: Instant, full: bool) {
        let wait = self
            .sending
            .as_ref()
            .map_or(Wait::Idle, |sending| sending.chronograph.wait);
        match wait {
            Wait::Idle if self.queued() > 0 => self.wait_for(now, Wait::Network),
            // Everything is out, and the program could send more if its buffer were larger.
            Wait::Network if full && self.unsent() == 0 => self.wait_for(now, Wait::Buffer),
            Wait::Buffer if !full => self.wait_for(now, Wait::Network),
            _ => {}
        }
    }

    /// Time with something to send, of which for the window and for the program.
    pub(crate) fn waited(&self, now: Instant) -> [Duration; 3] {
        let troubles = self.troubles();
        let mut busy = Duration::from_micros(u64::from(self.statistics.busy) * u64::from(BUSY_UNIT));
        let (mut window, mut buffer) = (troubles.window_limited, troubles.buffer_limited);
        if let Some(Chronograph {
            wait,
            since: Some(since),
        }) = self.sending.as_ref().map(|sending| sending.chronograph)
        {
            let spent = now.saturating_since(since);
            match wait {
                Wait::Idle => {}
                Wait::Network => busy += spent,
                Wait::Window => window += spent,
                Wait::Buffer => buffer += spent,
            }
        }
        [busy + window + buffer, window, buffer]
    }

    pub(crate) fn troubles(&self) -> Troubles {
        self.rare.as_ref().map_or(Troubles::default(), |rare| rare.troubles)
    }

    pub(crate) fn note_timeout(&mut self, now: Instant, first: bool) {
        self.rare().troubles.on_timeout(now, first);
    }

    pub(crate) fn note_progress(&mut self, now: Instant) {
        if let Some(rare) = &mut self.rare {
            rare.troubles.on_progress(now);
        }
    }

    /// Data leave again.
    pub(crate) fn note_retransmission(&mut self, octets: u32, segments: u32) {
        self.statistics.retransmissions = self.statistics.retransmissions.wrapping_add(segments);
        self.rare().troubles.bytes_retransmitted += u64::from(octets);
    }

    /// What an acknowledgment tells beside the flight: duplicates, reordering, echoed marks.
    pub(crate) fn note_feedback(&mut self, packets: u32, dsacks: u32, reordered: bool, echoed: bool) {
        self.statistics.delivered = self.statistics.delivered.wrapping_add(packets);
        if dsacks > 0 || reordered || echoed {
            let troubles = &mut self.rare().troubles;
            troubles.dsack_dups = troubles.dsack_dups.wrapping_add(dsacks);
            troubles.reordering += u32::from(reordered);
            troubles.delivered_ce += if echoed { packets } else { 0 };
        }
    }
}
