//! Where in a flight to look for what is lost: an acknowledgment must not walk a window of 30,000 records to find a few. Called by
//! the flight wherever a record changes.

use prise_wire::SeqNum;

/// Bounds of what is where in the records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// No record before this is lost; `None` if none is at all.
    pub(super) lost: Option<SeqNum>,
    /// Each record before this is selectively acknowledged, lost, or was sent again.
    pub(super) fresh: Option<SeqNum>,
    /// Where the farthest retransmission ended.
    resent: Option<SeqNum>,
    /// One began before that: what was sent again later no longer lies behind what was sent again before.
    pub(super) disordered: bool,
}

impl Marks {
    pub(super) fn note_lost(&mut self, start: SeqNum) {
        if self.lost.is_none_or(|known| start.precedes(known)) {
            self.lost = Some(start);
        }
    }

    pub(super) fn note_resent(&mut self, start: SeqNum, end: SeqNum) {
        match self.resent {
            Some(farthest) if start.precedes(farthest) => self.disordered = true,
            _ => self.resent = Some(end),
        }
    }

    /// What lies before `una` bounds nothing any more.
    pub(super) fn forget(&mut self, una: SeqNum) {
        let ahead = |mark: &SeqNum| una.precedes_or_equals(*mark);
        self.lost = self.lost.map(|mark| if ahead(&mark) { mark } else { una });
        self.fresh = self.fresh.filter(ahead);
        self.resent = self.resent.filter(ahead);
        self.disordered &= self.resent.is_some();
    }
}
