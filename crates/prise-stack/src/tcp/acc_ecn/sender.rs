//! The data sender: how many of our packets were marked, from a field of three bits that wraps and an option that may be
//! missing (RFC 9768 §3.2.2.5.2, appendix A).

use prise_wire::{AccEcn, TcpFlags};

use super::receiver::{CEP_START, E0B_START, E1B_START};
use super::{AccEcnState, failure};

const ACE_MASK: u32 = 7;
const OCTETS_MASK: u32 = 0x00ff_ffff;
/// Octets that were marked less than this part of what the higher count would mean speak for the lower one.
const SAFETY_SHIFT: u32 = 1;
/// Acknowledgments that usually come for more packets than these are thinned out on the way and are no sign of loss.
const USUALLY_SPARSE: u32 = 4;

/// What one acknowledgment says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feedback {
    pub(crate) flags: TcpFlags,
    pub(crate) option: Option<AccEcn>,
    /// Newly delivered packets.
    pub(crate) packets: u32,
    pub(crate) mss: u32,
}

impl AccEcnState {
    /// Takes in an acknowledgment that is newer than those before; answers how many packets were marked.
    pub(crate) fn take_feedback(&mut self, of: &Feedback) -> u32 {
        let marked_octets = self.take_option(of.option);
        let ace = u32::from(of.flags.ae()) << 2 | u32::from(of.flags.cwr()) << 1 | u32::from(of.flags.ece());
        let delta = ace.wrapping_sub(CEP_START).wrapping_sub(self.delivered_ce) & ACE_MASK;
        self.learn_usual(of.packets);
        let marked = self.settle(delta, marked_octets, of);
        self.delivered_ce = self.delivered_ce.wrapping_add(marked);
        marked
    }

    /// Brings the counters of octets up to date; answers by how much that of marked ones has grown, if the option told.
    fn take_option(&mut self, option: Option<AccEcn>) -> Option<u32> {
        let option = option?;
        if self.failures & failure::OPTION_RECEIVED != 0 {
            return None;
        }
        self.option_seen = self.option_seen.max(if option.counters().is_empty() { 1 } else { 2 });
        let update = |known: &mut u32, told: Option<u32>, start: u32| {
            let told = told?;
            // The difference of 24-bit numbers, with its sign.
            let grown = (told.wrapping_sub(start).wrapping_sub(*known) & OCTETS_MASK) << 8;
            let grown = grown.cast_signed() >> 8;
            if grown < 0 {
                // Older than what is known.
                return None;
            }
            *known = known.wrapping_add(grown.cast_unsigned());
            Some(grown.cast_unsigned())
        };
        update(&mut self.delivered.ect0, option.ect0(), E0B_START);
        update(&mut self.delivered.ect1, option.ect1(), E1B_START);
        update(&mut self.delivered.ce, option.ce(), 0)
    }

    /// The option in the peer's SYN-ACK or in the first segment after the handshake tells whether options get through, and
    /// whether counters begin where they must (§3.2.3.2.3, §3.2.3.2.4).
    pub(crate) fn take_first_option(&mut self, option: Option<AccEcn>) {
        let Some(option) = option else { return };
        self.option_seen = if option.counters().is_empty() { 1 } else { 2 };
        if option.ect0() == Some(0) || option.ect1() == Some(0) {
            // Something on the way clears what it does not know.
            self.failures |= failure::OPTION_RECEIVED;
        }
    }
}

impl AccEcnState {
    fn learn_usual(&mut self, packets: u32) {
        let packets = packets.min(0xffff >> 6) << 6;
        let usual = u32::from(self.usual_packets);
        self.usual_packets = match usual {
            0 => packets,
            usual => (usual * 63 + packets) / 64,
        } as u16;
    }

    /// Appendix A.2: three bits tell the number of marks up to a multiple of eight. Few packets cannot hide more; of many the
    /// safe guess is that they do, unless the octets speak against it, or acknowledgments always come for many.
    fn settle(&self, delta: u32, marked_octets: Option<u32>, of: &Feedback) -> u32 {
        if of.packets <= ACE_MASK {
            return delta;
        }
        let safe = of.packets - (of.packets.wrapping_sub(delta) & ACE_MASK);
        let Some(octets) = marked_octets else {
            let sparse = u32::from(self.usual_packets) > USUALLY_SPARSE << 6;
            return if sparse { delta } else { safe };
        };
        if octets == 0 {
            return delta;
        }
        if octets > delta.saturating_mul(of.mss) {
            return safe;
        }
        if octets < safe.saturating_mul(of.mss) >> SAFETY_SHIFT {
            return delta;
        }
        safe
    }
}

#[cfg(test)]
mod tests {
    use prise_wire::AccEcnOrder;

    use super::*;

    fn feedback(ace: u32, packets: u32, option: Option<AccEcn>) -> Feedback {
        let bit = |bit: u32, flag: TcpFlags| if ace >> bit & 1 != 0 { flag } else { TcpFlags::NONE };
        Feedback {
            flags: bit(0, TcpFlags::ECE) | bit(1, TcpFlags::CWR) | bit(2, TcpFlags::AE),
            option,
            packets,
            mss: 1000,
        }
    }

    fn marked(octets: u32) -> AccEcn {
        AccEcn::new(AccEcnOrder::Ect1First, &[1, octets, 1])
    }

    #[test]
    fn few_packets_are_counted_exactly() {
        let mut state = AccEcnState::new(0);
        assert_eq!(state.take_feedback(&feedback(5, 2, None)), 0);
        assert_eq!(state.take_feedback(&feedback(7, 2, None)), 2);
        assert_eq!(state.take_feedback(&feedback(4, 5, None)), 5, "over the wrap");
        assert_eq!(state.delivered_ce, 7);
    }

    // rfc: 9768 §3.2.2.5.2
    #[test]
    fn of_many_packets_the_safe_count_is_taken_unless_octets_speak_against_it() {
        let of = |option| {
            let mut state = AccEcnState::new(0);
            state.take_feedback(&feedback(5, 1, None));
            state.take_feedback(&feedback(6, 20, option))
        };
        assert_eq!(of(None), 17, "1, 9 or 17");
        assert_eq!(of(Some(marked(0))), 1, "no octet was marked");
        assert_eq!(of(Some(marked(1000))), 1);
        assert_eq!(of(Some(marked(17_000))), 17);
    }

    #[test]
    fn where_every_acknowledgment_is_for_many_packets_none_is_taken_for_a_wrap() {
        let mut state = AccEcnState::new(0);
        assert_eq!(state.take_feedback(&feedback(5, 10, None)), 0);
        assert_eq!(state.take_feedback(&feedback(6, 10, None)), 1);
    }

    #[test]
    fn an_option_older_than_what_is_known_changes_nothing() {
        let mut state = AccEcnState::new(0);
        state.take_feedback(&feedback(5, 1, Some(marked(5000))));
        state.take_feedback(&feedback(5, 1, Some(marked(4000))));
        assert_eq!(state.delivered.ce, 5000);
    }
}
