//! The flags AE, CWR and ECE of both SYNs, and the ECN field that each side tells the other it has seen (RFC 9768 §3.1,
//! tables 2 to 4).

use alloc::boxed::Box;

use prise_wire::TcpFlags;

use super::{AccEcnState, Ecn, EcnAgreement, failure, field};
use crate::tcp::connection::Connection;
use crate::tcp::segment::Segment;

/// The three flags as a number.
fn ace(flags: TcpFlags) -> u8 {
    u8::from(flags.ae()) << 2 | u8::from(flags.cwr()) << 1 | u8::from(flags.ece())
}

/// The three flags of a number.
fn flags_of(ace: u8) -> TcpFlags {
    let bit = |bit: u8, flag: TcpFlags| if ace >> bit & 1 != 0 { flag } else { TcpFlags::NONE };
    bit(0, TcpFlags::ECE) | bit(1, TcpFlags::CWR) | bit(2, TcpFlags::AE)
}

/// The flags that tell which ECN field has arrived (tables 2 and 3): of a SYN in the SYN-ACK, of a SYN-ACK in the ACK.
pub(crate) fn reflect(seen: u8) -> TcpFlags {
    flags_of(match seen & 3 {
        field::NOT_ECT => 0b010,
        field::ECT1 => 0b011,
        field::ECT0 => 0b100,
        _ => 0b110,
    })
}

/// The ECN field that such flags tell of.
fn reflected(ace: u8) -> Option<u8> {
    match ace {
        0b010 => Some(field::NOT_ECT),
        0b011 => Some(field::ECT1),
        0b100 => Some(field::ECT0),
        0b110 => Some(field::CE),
        _ => None,
    }
}

/// What the flags of a SYN ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SynRequest;

impl SynRequest {
    /// What the peer gets, if we answer `most` at most. A combination that nobody uses yet asks for Accurate ECN too, so
    /// that it can be given a meaning one day (§3.1.3).
    pub(crate) fn granted(flags: TcpFlags, most: Ecn) -> Ecn {
        match (ace(flags), most) {
            (0, _) | (_, Ecn::None) => Ecn::None,
            (0b011, _) => Ecn::Classic,
            (_, Ecn::Accurate) => Ecn::Accurate,
            // To who knows RFC 3168 only, a SYN asks with both flags, whatever the third (RFC 9768 §3.1.1).
            (_, Ecn::Classic) if flags.ece() && flags.cwr() => Ecn::Classic,
            (_, Ecn::Classic) => Ecn::None,
        }
    }

    /// The flags of our SYN.
    pub(crate) fn flags(ask: Ecn) -> TcpFlags {
        flags_of(match ask {
            Ecn::None => 0,
            Ecn::Classic => 0b011,
            Ecn::Accurate => 0b111,
        })
    }
}

/// The flags of a SYN-ACK that grants `granted` to a SYN which came with the ECN field `seen`.
pub(crate) fn answer_flags(granted: Ecn, seen: u8) -> TcpFlags {
    match granted {
        Ecn::None => TcpFlags::NONE,
        Ecn::Classic => TcpFlags::ECE,
        Ecn::Accurate => reflect(seen),
    }
}

/// What the flags of a SYN-ACK answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SynAnswer {
    pub(crate) agreed: Ecn,
    /// The ECN field that our SYN arrived with, if the peer tells.
    pub(crate) seen: Option<u8>,
}

impl SynAnswer {
    /// The answer to a SYN that asked for `asked`.
    pub(crate) fn new(flags: TcpFlags, asked: Ecn) -> Self {
        let bits = ace(flags);
        let (agreed, seen) = match asked {
            Ecn::Classic if flags.ece() && !flags.cwr() => (Ecn::Classic, None),
            Ecn::None | Ecn::Classic => (Ecn::None, None),
            Ecn::Accurate => match bits {
                // All zeros: no ECN. All ones: a peer that sends back what it gets.
                0b000 | 0b111 => (Ecn::None, None),
                0b001 => (Ecn::Classic, None),
                // The nonce's combination is reserved: whoever does not know what for takes it for agreement, and the SYN for
                // unchanged (§3.1.3).
                bits => (Ecn::Accurate, reflected(bits)),
            },
        };
        Self { agreed, seen }
    }
}

impl AccEcnState {
    /// The peer tells with which ECN field our SYN or SYN-ACK, sent without ECN, has arrived. A field that was changed on
    /// the way means that nothing of ours may be ECN-capable (§3.2.2.3); a mark counts.
    pub(crate) fn take_reflected(&mut self, seen: u8, fallback: bool) {
        if seen != field::NOT_ECT && fallback {
            self.failures |= failure::ACE_RECEIVED;
        }
    }

    /// The acknowledgment that ends the handshake at the passive side (table 4): a bare one tells of our SYN-ACK.
    pub(crate) fn take_third_ack(&mut self, flags: TcpFlags, bare: bool, fallback: bool) {
        match ace(flags) {
            // Something on the way clears the flags (§3.2.2.4).
            0 => self.failures |= failure::ACE_RECEIVED,
            bits if bare => {
                if let Some(seen) = reflected(bits) {
                    self.take_reflected(seen, fallback);
                    // The mark of the SYN-ACK counts (table 4).
                    if seen == field::CE {
                        self.delivered_ce = self.delivered_ce.max(1);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Connection {
    /// What both SYNs have agreed on.
    pub(crate) fn agree_on_ecn(&mut self, agreement: EcnAgreement) {
        self.flags.set_ecn_on(agreement.kind == Ecn::Classic);
        self.flags.set_acc_ecn(agreement.kind == Ecn::Accurate);
        if agreement.kind == Ecn::Accurate {
            let mut state = AccEcnState::new(agreement.syn_field);
            state.failures = agreement.failures;
            self.rare().acc_ecn = Some(Box::new(state));
        }
    }

    /// A SYN has come in answer to ours, or to meet it.
    pub(crate) fn adopt_ecn(&mut self, seg: &Segment) {
        let again = self.flags.syn_retransmitted();
        let asked = self.config.ecn.ask;
        let (kind, seen) = if seg.ack.is_some() {
            let answer = SynAnswer::new(seg.flags, asked);
            // The SYN that was sent again did not ask: RFC 3168 cannot tell which one is answered, Accurate ECN can.
            let believed = !again || answer.agreed == Ecn::Accurate;
            (if believed { answer.agreed } else { Ecn::None }, answer.seen)
        } else {
            let most = if again { Ecn::None } else { asked };
            (SynRequest::granted(seg.flags, most), None)
        };
        self.agree_on_ecn(EcnAgreement {
            kind,
            syn_field: seg.ecn,
            failures: 0,
        });
        let fallback = self.config.ecn.fallback;
        let Some(state) = self.acc_ecn_mut() else { return };
        if let Some(seen) = seen {
            state.take_reflected(seen, fallback);
        }
        if seg.ack.is_some() {
            state.take_syn_ack(seg);
        }
    }

    /// The flags of our SYN. One that is sent again asks for Accurate ECN once more, lest mere loss decide, and then for nothing
    /// (RFC 9768 §3.1.4.1); for RFC 3168 none asks again (RFC 3168 §6.1.1.1).
    pub(crate) fn ecn_request(&self) -> TcpFlags {
        let ask = self.config.ecn.ask;
        let tries = if ask == Ecn::Accurate { 2 } else { 1 };
        if self.backoff < tries || !self.config.ecn.fallback {
            SynRequest::flags(ask)
        } else {
            TcpFlags::NONE
        }
    }
}

impl AccEcnState {
    /// A SYN has come to an open connection: the acknowledgment that challenges it tells of its ECN field (§3.2.2.1).
    pub(crate) fn meet_syn(&mut self, seg: &Segment) {
        self.syn_field = seg.ecn;
        self.reflect_next();
    }

    /// The SYN-ACK itself: its mark counts, and its acknowledgment tells of its ECN field.
    fn take_syn_ack(&mut self, seg: &Segment) {
        if seg.ecn == field::CE {
            self.received_ce += 1;
        }
        self.take_first_option(seg.options.acc_ecn);
        self.reflect_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rfc: 9768 §3.1.1
    #[test]
    fn every_combination_of_flags_in_a_syn_gets_what_the_table_says() {
        let granted = |bits, most| SynRequest::granted(flags_of(bits), most);
        for bits in 0..8 {
            let accurate = match bits {
                0 => Ecn::None,
                0b011 => Ecn::Classic,
                _ => Ecn::Accurate,
            };
            assert_eq!(granted(bits, Ecn::Accurate), accurate, "{bits:03b}");
            let classic = if bits & 0b011 == 0b011 { Ecn::Classic } else { Ecn::None };
            assert_eq!(granted(bits, Ecn::Classic), classic, "{bits:03b}");
            assert_eq!(granted(bits, Ecn::None), Ecn::None, "{bits:03b}");
        }
    }

    // rfc: 9768 §3.1.2
    #[test]
    fn every_combination_of_flags_in_a_syn_ack_means_what_the_table_says() {
        let expected = [
            (0b000, Ecn::None, None),
            (0b001, Ecn::Classic, None),
            (0b010, Ecn::Accurate, Some(field::NOT_ECT)),
            (0b011, Ecn::Accurate, Some(field::ECT1)),
            (0b100, Ecn::Accurate, Some(field::ECT0)),
            (0b101, Ecn::Accurate, None),
            (0b110, Ecn::Accurate, Some(field::CE)),
            (0b111, Ecn::None, None),
        ];
        for (bits, agreed, seen) in expected {
            let answer = SynAnswer::new(flags_of(bits), Ecn::Accurate);
            assert_eq!((answer.agreed, answer.seen), (agreed, seen), "{bits:03b}");
            let classic = SynAnswer::new(flags_of(bits), Ecn::Classic).agreed;
            let agrees = bits & 0b011 == 0b001;
            assert_eq!(classic == Ecn::Classic, agrees, "{bits:03b}");
            assert_eq!(SynAnswer::new(flags_of(bits), Ecn::None).agreed, Ecn::None);
        }
    }

    #[test]
    fn what_one_side_tells_of_a_field_the_other_reads() {
        for seen in 0..4 {
            assert_eq!(reflected(ace(reflect(seen))), Some(seen));
        }
    }
}
