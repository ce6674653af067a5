//! Accurate ECN (RFC 9768): how many congestion marks have arrived, not only that one has.
//!
//! [`negotiate`] reads and writes the three flags of both SYNs, with all ways back to RFC 3168 and to no ECN; [`receiver`]
//! counts what arrives and says so in the ACE field and the option; [`sender`] reads the peer's counters. The state of one
//! connection hangs off its rare part: without Accurate ECN it is not there.

use prise_wire::SeqNum;

mod negotiate;
mod receiver;
mod sender;

use self::negotiate::reflect;
pub(crate) use self::negotiate::{SynRequest, answer_flags};
pub(crate) use self::sender::Feedback;

/// What becomes of explicit congestion notification in one direction of opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecn {
    /// None.
    #[default]
    None,
    /// RFC 3168.
    Classic,
    /// RFC 9768, and RFC 3168 with a peer that knows no better.
    Accurate,
}

/// When an Accurate ECN option goes out (`net.ipv4.tcp_ecn_option`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccEcnOption {
    /// Never.
    Never,
    /// On acknowledgments without data, and where a counter has changed.
    Sparse,
    /// On every segment that has room.
    #[default]
    Always,
}

/// What is asked for and what is answered (`net.ipv4.tcp_ecn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcnPolicy {
    /// What our SYNs ask for.
    pub ask: Ecn,
    /// The most that a SYN which asks for it gets.
    pub answer: Ecn,
    /// When options tell of octets.
    pub option: AccEcnOption,
    /// Whether what looks mangled on the way makes us send nothing ECN-capable (`net.ipv4.tcp_ecn_fallback`).
    pub fallback: bool,
}

impl EcnPolicy {
    /// The policy of a number of `net.ipv4.tcp_ecn`, 0 to 5.
    pub const fn from_number(number: u32) -> Option<Self> {
        let (ask, answer) = match number {
            0 => (Ecn::None, Ecn::None),
            1 => (Ecn::Classic, Ecn::Classic),
            2 => (Ecn::None, Ecn::Classic),
            3 => (Ecn::Accurate, Ecn::Accurate),
            4 => (Ecn::Classic, Ecn::Accurate),
            5 => (Ecn::None, Ecn::Accurate),
            _ => return None,
        };
        Some(Self {
            ask,
            answer,
            option: AccEcnOption::Always,
            fallback: true,
        })
    }
}

impl Default for EcnPolicy {
    /// Linux's 2: a peer that asks is answered, nobody is asked.
    fn default() -> Self {
        Self {
            ask: Ecn::None,
            answer: Ecn::Classic,
            option: AccEcnOption::Always,
            fallback: true,
        }
    }
}

/// The ECN field of an IP header (RFC 3168 §5).
pub(crate) mod field {
    pub(crate) const NOT_ECT: u8 = 0;
    pub(crate) const ECT1: u8 = 1;
    pub(crate) const ECT0: u8 = 2;
    pub(crate) const CE: u8 = 3;
}

/// What both SYNs have agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EcnAgreement {
    pub(crate) kind: Ecn,
    /// The ECN field of the peer's SYN.
    pub(crate) syn_field: u8,
    /// What has gone wrong so far ([`failure`]).
    pub(crate) failures: u8,
}

impl EcnAgreement {
    /// In five bits.
    pub(crate) fn pack(self) -> u8 {
        match self.kind {
            Ecn::None => 0,
            Ecn::Classic => 1,
            Ecn::Accurate => 4 | self.syn_field & 3 | (self.failures & 3) << 3,
        }
    }

    pub(crate) fn unpack(bits: u8) -> Self {
        match bits {
            0 => Self::default(),
            1..4 => Self {
                kind: Ecn::Classic,
                ..Self::default()
            },
            _ => Self {
                kind: Ecn::Accurate,
                syn_field: bits & 3,
                failures: bits >> 3 & 3,
            },
        }
    }
}

/// Octets by the ECN field they arrived with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EcnOctets {
    /// ECT(1).
    pub ect1: u32,
    /// ECT(0).
    pub ect0: u32,
    /// Marked.
    pub ce: u32,
}

/// What is wrong with the way, as `tcpi_accecn_fail_mode` has it.
pub(crate) mod failure {
    /// Our SYN-ACK had to be repeated until it showed no sign of Accurate ECN.
    pub(crate) const ACE_SENT: u8 = 1 << 0;
    /// The peer zeroes the ACE field, or tells of an ECN field that cannot be: we send nothing ECN-capable.
    pub(crate) const ACE_RECEIVED: u8 = 1 << 1;
    /// Our options do not arrive.
    pub(crate) const OPTION_SENT: u8 = 1 << 2;
    /// Options were announced and then missing.
    pub(crate) const OPTION_RECEIVED: u8 = 1 << 3;
}

/// Accurate ECN of one connection. All counters begin at zero here; what the wire adds is added there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccEcnState {
    /// `r.cep`: marked packets that have arrived.
    pub(crate) received_ce: u32,
    /// Of these, those that no acknowledgment has told of.
    pending: u8,
    /// `r.e0b`, `r.e1b`, `r.ceb`.
    pub(crate) received: EcnOctets,
    /// The ECN field that arrived last: a change is told at once.
    last_field: u8,
    /// The ECN field of the peer's SYN or SYN-ACK, which an acknowledgment of it tells instead of the counter.
    syn_field: u8,
    /// The next bare acknowledgment does so.
    reflect_due: bool,
    /// SYN-ACKs that have left.
    syn_acks: u8,
    /// The segment at hand ends the handshake: its flags are no counter.
    pub(crate) in_handshake: bool,
    /// Its timestamp is newer than those before.
    pub(crate) newer: bool,
    /// Acknowledgments that are to have the option, whatever the policy.
    demand: u8,
    /// Whether the peer's segments have had the option: 0 no, 1 empty, 2 with counters (`tcpi_accecn_opt_seen`).
    pub(crate) option_seen: u8,
    /// `s.cep`.
    pub(crate) delivered_ce: u32,
    /// `s.e0b`, `s.e1b`, `s.ceb`.
    pub(crate) delivered: EcnOctets,
    pub(crate) failures: u8,
    /// Counters that the next option must have: as far as the last one that has changed since.
    needed: u8,
    /// Where the duplicate begins that the next acknowledgment reports.
    duplicate: Option<SeqNum>,
    /// Where the duplicate began that the last acknowledgment reported beside an option.
    told_duplicate: Option<SeqNum>,
    /// Packets that an acknowledgment usually tells of, smoothed, in 64ths.
    usual_packets: u16,
}

impl AccEcnState {
    /// Agreed upon; the peer's SYN or SYN-ACK had arrived with `syn_field`.
    pub(crate) fn new(syn_field: u8) -> Self {
        Self {
            received_ce: 0,
            pending: 0,
            received: EcnOctets::default(),
            last_field: syn_field,
            syn_field,
            reflect_due: false,
            syn_acks: 0,
            in_handshake: true,
            newer: false,
            demand: 2,
            option_seen: 0,
            delivered_ce: 0,
            delivered: EcnOctets::default(),
            failures: 0,
            needed: 0,
            duplicate: None,
            told_duplicate: None,
            usual_packets: 0,
        }
    }

    /// Whether nothing ECN-capable may be sent: the way, or the peer, mangles it (RFC 9768 §3.2.2.3, §3.2.2.4).
    pub(crate) fn is_mute(&self) -> bool {
        self.failures & (failure::ACE_RECEIVED | failure::ACE_SENT) != 0
    }
}
