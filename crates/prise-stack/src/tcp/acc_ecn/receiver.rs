//! The data receiver: counts marks and octets, tells in every segment (RFC 9768 §3.2.2, §3.2.3).

use prise_wire::{AccEcn, AccEcnOrder, SeqNum, TcpFlags, TcpHeader, TcpOptions, acc_ecn_size};

use super::{AccEcnOption, AccEcnState, EcnOctets, failure, field, reflect};
use crate::tcp::connection::Connection;
use crate::tcp::segment::Segment;

/// Where counters begin on the wire, so that a field that was zeroed is told from one that counts (§3.2.1).
pub(super) const CEP_START: u32 = 5;
pub(super) const E0B_START: u32 = 1;
pub(super) const E1B_START: u32 = 1;

/// §3.2.2.5.1: so many marks without an acknowledgment ask for one, while data wait to be acknowledged and while none do.
/// Six could still be told by three bits; half of it survives the loss of every second acknowledgment.
const MARKS_WITH_DATA: u8 = 2;
const MARKS_WITHOUT: u8 = 3;

/// A counter of octets that has gone so far since the option was last sent asks for it (§3.2.3.3, half of its range).
const OCTETS_TOLD: u32 = 1 << 22;

/// Octets of options (RFC 9293 §3.1).
const OPTIONS_MAX: usize = 40;

/// Octets for the option beside timestamps and so many blocks.
fn room_beside(options: &TcpOptions, blocks: usize) -> usize {
    let timestamps = if options.timestamps.is_some() { 12 } else { 0 };
    let sack = if blocks > 0 { 4 + 8 * blocks } else { 0 };
    OPTIONS_MAX.saturating_sub(timestamps + sack)
}

impl AccEcnState {
    /// A packet of `packets` segments with `octets` of data has arrived with this ECN field. Answers whether an
    /// acknowledgment is due at once; `owed` says whether data wait for one.
    fn count(&mut self, seen: u8, packets: u32, octets: u32, owed: bool) -> bool {
        let marked = seen == field::CE;
        if marked {
            self.received_ce = self.received_ce.wrapping_add(packets);
            self.pending = self.pending.saturating_add(packets.min(255) as u8);
        }
        let EcnOctets { ect1, ect0, ce } = &mut self.received;
        if let Some(counter) = match seen {
            field::ECT1 => Some(ect1),
            field::ECT0 => Some(ect0),
            field::CE => Some(ce),
            _ => None,
        } {
            let before = *counter;
            *counter = counter.wrapping_add(octets);
            if octets > 0 {
                self.needed = self.needed.max(match seen {
                    field::ECT1 => 1,
                    field::CE => 2,
                    _ => 3,
                });
            }
            if (*counter ^ before) >= OCTETS_TOLD {
                self.demand = self.demand.max(1);
            }
        }
        let edge = seen != self.last_field;
        self.last_field = seen;
        if edge || marked {
            // Two in a row tell beyond doubt what the later one acknowledges.
            self.demand = 2;
        }
        let enough = if owed { MARKS_WITH_DATA } else { MARKS_WITHOUT };
        (edge && octets > 0) || self.pending >= enough
    }

    /// The ACE field of the next segment; `bare` if it acknowledges only.
    pub(crate) fn ace_flags(&mut self, bare: bool) -> TcpFlags {
        self.pending = 0;
        if bare && core::mem::take(&mut self.reflect_due) {
            return reflect(self.syn_field);
        }
        self.ace_of_counter()
    }

    fn ace_of_counter(&self) -> TcpFlags {
        let ace = self.received_ce.wrapping_add(CEP_START);
        let bit = |bit: u32, flag: TcpFlags| if ace >> bit & 1 != 0 { flag } else { TcpFlags::NONE };
        bit(0, TcpFlags::ECE) | bit(1, TcpFlags::CWR) | bit(2, TcpFlags::AE)
    }

    /// Whether the field would have CWR: whoever cuts a train of segments for us clears that after the first, as RFC 3168
    /// wants it, and would change the counter.
    pub(crate) fn bars_trains(&self) -> bool {
        self.ace_of_counter().cwr()
    }

    /// The acknowledgment of a SYN or SYN-ACK tells with which ECN field that came.
    pub(crate) fn reflect_next(&mut self) {
        self.reflect_due = true;
    }

    /// Whether the next segment is to have the option.
    fn wants_option(&self, policy: AccEcnOption) -> bool {
        let wanted = match policy {
            AccEcnOption::Never => false,
            AccEcnOption::Sparse => self.demand > 0,
            AccEcnOption::Always => true,
        };
        wanted && self.option_seen > 0 && self.failures & failure::OPTION_SENT == 0
    }

    /// Puts the option into a segment, with as many counters as there is room for but at least those that have changed. For them
    /// blocks of SACK make room, down to two; where even that does not do there is no option (§3.2.3.3).
    fn add_option(&mut self, policy: AccEcnOption, options: &mut TcpOptions) {
        self.told_duplicate = None;
        let duplicate = self.duplicate.take();
        if !self.wants_option(policy) {
            return;
        }
        let Some(blocks) = self.blocks_beside(options) else {
            return;
        };
        options.sack = options.sack.iter().copied().take(blocks).collect();
        let counters = self.counters();
        let left = room_beside(options, blocks);
        let spared = if blocks > 0 { 2 } else { 0 };
        let count = (0..=3)
            .rev()
            .find(|count| acc_ecn_size(*count, spared) <= left)
            .unwrap_or(0);
        options.acc_ecn = Some(AccEcn::new(counters.order, &counters.counters()[..count]));
        self.told_duplicate = duplicate;
        self.needed = 0;
        self.demand = self.demand.saturating_sub(1);
    }

    /// How many of a segment's blocks may stay beside the counters that must go.
    fn blocks_beside(&self, options: &TcpOptions) -> Option<usize> {
        let needed = usize::from(self.needed);
        let mut blocks = options.sack.len();
        loop {
            let spared = if blocks > 0 { 2 } else { 0 };
            if acc_ecn_size(needed, spared) <= room_beside(options, blocks) {
                return Some(blocks);
            }
            if blocks <= 2 || needed == 0 {
                return None;
            }
            blocks -= 1;
        }
    }

    /// A duplicate is about to be reported that begins at `left`. If the last acknowledgment has reported the same, beside an
    /// option, that has not arrived, and options may be why: none are sent any more (§3.2.3.2.3).
    pub(crate) fn suspect_option(&mut self, left: SeqNum) {
        self.duplicate = Some(left);
        if self.told_duplicate == Some(left) {
            self.failures |= failure::OPTION_SENT;
        }
    }

    /// All counters as the wire has them.
    pub(crate) fn counters(&self) -> AccEcn {
        let EcnOctets { ect1, ect0, ce } = self.received;
        let counters = [ect1.wrapping_add(E1B_START), ce, ect0.wrapping_add(E0B_START)];
        AccEcn::new(AccEcnOrder::Ect1First, &counters)
    }

    /// How the next SYN-ACK shows it: the first with the option, the second without, later ones with no sign of ECN, lest
    /// it be that which something on the way drops (§3.2.3.2.2).
    pub(crate) fn next_syn_ack(&mut self) -> (TcpFlags, Option<AccEcn>) {
        self.syn_acks = self.syn_acks.saturating_add(1);
        match self.syn_acks {
            1 => (reflect(self.syn_field), Some(self.counters())),
            2 => (reflect(self.syn_field), None),
            _ => (TcpFlags::NONE, None),
        }
    }
}

impl Connection {
    pub(crate) fn acc_ecn(&self) -> Option<&AccEcnState> {
        self.rare.as_ref()?.acc_ecn.as_deref()
    }

    pub(crate) fn acc_ecn_mut(&mut self) -> Option<&mut AccEcnState> {
        self.rare.as_mut()?.acc_ecn.as_deref_mut()
    }

    /// Takes in the ECN field of an acceptable segment; coalesced ones count as many.
    pub(crate) fn count_ecn(&mut self, seg: &Segment) {
        let owed = self.owed() > 0 || seg.data_len() > 0;
        if let Some(state) = self.acc_ecn_mut()
            && state.count(seg.ecn, seg.count(), seg.data_len(), owed)
        {
            self.acks.now = true;
        }
    }

    /// Puts what Accurate ECN has to say into a segment that acknowledges.
    pub(crate) fn tell_marks(&mut self, header: &mut TcpHeader, empty: bool) {
        let policy = self.config.ecn.option;
        let (syn, passive) = (header.flags.syn(), self.flags.passive());
        let bare = empty && !header.flags.fin() && header.options.sack.is_empty();
        let Some(state) = self.acc_ecn_mut() else { return };
        if !syn {
            header.flags |= state.ace_flags(bare);
            state.add_option(policy, &mut header.options);
        } else if passive {
            let (flags, option) = state.next_syn_ack();
            header.flags |= flags;
            header.options.acc_ecn = option.filter(|_| policy != AccEcnOption::Never);
        }
    }

    /// What the option takes of each segment.
    pub(crate) fn acc_ecn_room(&self) -> u32 {
        /// Three counters and their padding.
        const ROOM: u32 = 12;
        let always = self.config.ecn.option == AccEcnOption::Always;
        let sent = always && self.acc_ecn().is_some_and(|state| state.option_seen > 0);
        if sent { ROOM } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_field_and_enough_marks_ask_for_an_acknowledgment() {
        let mut state = AccEcnState::new(field::NOT_ECT);
        assert!(state.count(field::ECT0, 1, 1000, true), "an edge");
        assert!(!state.count(field::ECT0, 1, 1000, true));
        assert!(state.count(field::CE, 1, 1000, true), "an edge");
        state.ace_flags(true);
        assert!(!state.count(field::CE, 1, 1000, true));
        assert!(state.count(field::CE, 1, 1000, true), "the second mark");
        state.ace_flags(true);
        assert!(!state.count(field::CE, 2, 0, false));
        assert!(state.count(field::CE, 1, 0, false), "the third without data");
        assert_eq!(state.received_ce, 6);
    }

    // rfc: 9768 §3.2.1
    #[test]
    fn counters_begin_where_a_cleared_field_is_told_from_them_and_wrap() {
        let mut state = AccEcnState::new(field::NOT_ECT);
        assert_eq!(state.ace_flags(true), TcpFlags::AE | TcpFlags::ECE);
        state.count(field::CE, 3, 3000, true);
        assert_eq!(state.ace_flags(true), TcpFlags::NONE);
        state.received = EcnOctets {
            ect1: 0xff_ffff,
            ect0: 7,
            ce: 0x0100_0002,
        };
        assert_eq!(state.counters().counters(), [0, 2, 8]);
    }
}
