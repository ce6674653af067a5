//! Where a sender stands after losses: fast recovery with proportional rate reduction (RFC 6675, RFC 9937), and
//! recovery after a timeout (RFC 5681 §3.1).

use prise_wire::SeqNum;

use crate::tcp::info::LossState;

/// The state of loss recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    pub(crate) state: LossState,
    /// `RecoveryPoint`, RFC 6675: `snd.nxt` when it began; recovery ends when this is acknowledged.
    pub(crate) point: SeqNum,
    /// Consecutive duplicate acknowledgments, for peers without SACK.
    pub(crate) duplicates: u8,
    prr_delivered: u32,
    prr_out: u32,
    /// `RecoverFS`: octets in flight when recovery began.
    recover_fs: u32,
}

impl Recovery {
    pub(crate) fn new(at: SeqNum) -> Self {
        Self {
            state: LossState::Open,
            point: at,
            duplicates: 0,
            prr_delivered: 0,
            prr_out: 0,
            recover_fs: 1,
        }
    }

    /// Whether the window is steered by recovery rather than by congestion control.
    pub(crate) fn in_recovery(&self) -> bool {
        matches!(self.state, LossState::Recovery | LossState::Loss)
    }

    pub(crate) fn enter_fast(&mut self, point: SeqNum, flight_size: u32) {
        self.state = LossState::Recovery;
        self.point = point;
        self.prr_delivered = 0;
        self.prr_out = 0;
        self.recover_fs = flight_size.max(1);
    }

    pub(crate) fn enter_loss(&mut self, point: SeqNum) {
        self.state = LossState::Loss;
        self.point = point;
        self.duplicates = 0;
    }

    pub(crate) fn leave(&mut self) {
        self.state = LossState::Open;
        self.duplicates = 0;
    }

    pub(crate) fn on_sent(&mut self, octets: u32) {
        if self.state == LossState::Recovery {
            self.prr_out = self.prr_out.saturating_add(octets);
        }
    }

    /// RFC 9937 §6.2: the window after an acknowledgment in fast recovery.
    pub(crate) fn prr_window(&mut self, delivered: u32, safe: bool, in_flight: u32, ssthresh: u32, mss: u32) -> u32 {
        self.prr_delivered = self.prr_delivered.saturating_add(delivered);
        let count = if in_flight > ssthresh {
            let share = u64::from(self.prr_delivered) * u64::from(ssthresh);
            (share.div_ceil(u64::from(self.recover_fs)) as u32).saturating_sub(self.prr_out)
        } else {
            let mut limit = self.prr_delivered.saturating_sub(self.prr_out).max(delivered);
            if safe {
                limit = limit.saturating_add(mss);
            }
            limit.min(ssthresh - in_flight)
        };
        // The fast retransmit itself goes out at once.
        let count = if self.prr_out == 0 { count.max(mss) } else { count };
        in_flight.saturating_add(count)
    }
}
