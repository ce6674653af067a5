//! A connection request that was received and not completed: SYN-RECEIVED of a passive open, in 76 octets.
//!
//! It holds what the SYN said and what our SYN-ACK promised; the connection record is made when the handshake's
//! last segment proves that the peer exists (RFC 4987 §3.3 calls this a SYN cache).

use prise_wire::tcp::UserTimeout;
use prise_wire::{SeqNum, TcpFlags, TcpHeader, Timestamps};

use super::acc_ecn::{Ecn, EcnAgreement, SynRequest, answer_flags, failure};
use super::answer_limit::AnswerLimit;
use super::birth::Agreement;
use super::connection::timestamp_clock;
use super::segment::Segment;
use super::tuning::Tuning;
use super::tuple::FourTuple;
use crate::link::LinkId;
use crate::slab::Key;
use crate::wheel::TimerId;

/// Who will own the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A listener.
    Listener { index: u32 },
    /// Nobody yet: a transparent link's gateway was asked (`tcp_intercept`).
    Intercepted,
}

/// A half-open connection.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: FourTuple,
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    /// `TS.Recent`; without timestamps, when the SYN-ACK left, in milliseconds, or 0.
    ts_recent: u32,
    /// The listener's slab index, or none.
    listener: u32,
    pub(crate) timer: TimerId,
    /// The peer's segment size, and the window of its SYN.
    pub(crate) mss: u16,
    pub(crate) window: u16,
    /// The peer's user timeout option as it came; 0 for none, or where nobody asks.
    user_timeout: u16,
    /// Low four bits: the peer's window shift, 15 for none. Then SACK, timestamps, whether the last ACK came while
    /// the accept queue was full.
    options: u8,
    /// SYN-ACKs sent again.
    pub(crate) retries: u8,
    /// What of ECN is granted, packed.
    ecn: u8,
    /// Our window shift as the SYN-ACK told it: the listener's settings may change before the last segment comes. [`NO_SCALE`] where none
    /// was told yet.
    told_shift: u8,
    /// The window that the first SYN-ACK offered, where one told a shift: a promise, whatever the listener's buffer is since (`rsk_rcv_wnd`).
    told_window: u16,
    pub(crate) link: LinkId,
    pub(crate) limit: AnswerLimit,
}

const _: () = assert!(size_of::<HalfOpen>() <= 76, "RFC 4987: a SYN must cost little");

const NO_SCALE: u8 = 15;
const SACK: u8 = 1 << 4;
const TIMESTAMPS: u8 = 1 << 5;
const COMPLETED: u8 = 1 << 6;

impl HalfOpen {
    pub(crate) fn new(tuple: FourTuple, iss: SeqNum, seg: &Segment, origin: Origin, link: LinkId, ecn: Ecn) -> Self {
        let default = if tuple.is_v4() { 536 } else { 1220 };
        let mut options = seg.options.window_scale.map_or(NO_SCALE, |scale| scale.min(14));
        if seg.options.sack_permitted {
            options |= SACK;
        }
        if seg.options.timestamps.is_some() {
            options |= TIMESTAMPS;
        }
        let ecn = EcnAgreement {
            kind: SynRequest::granted(seg.flags, ecn),
            syn_field: seg.ecn,
            failures: 0,
        };
        Self {
            tuple,
            iss,
            irs: seg.seq,
            ts_recent: match seg.options.timestamps {
                Some(timestamps) => timestamps.value,
                None => timestamp_clock(seg.at),
            },
            listener: match origin {
                Origin::Listener { index } => index,
                Origin::Intercepted => u32::MAX,
            },
            timer: TimerId::NONE,
            mss: seg.options.mss.unwrap_or(default).max(super::MSS_MIN),
            window: seg.window,
            user_timeout: seg.options.user_timeout.map_or(0, UserTimeout::field),
            options,
            retries: 0,
            ecn: ecn.pack(),
            told_shift: NO_SCALE,
            told_window: 0,
            link,
            limit: AnswerLimit::default(),
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        match self.listener {
            u32::MAX => Origin::Intercepted,
            index => Origin::Listener { index },
        }
    }

    /// Beside a signature and timestamps no SACK block has room: Linux gives the timestamps up.
    pub(crate) fn choose_sack(&mut self) {
        if self.sack() {
            self.options &= !TIMESTAMPS;
        }
    }

    /// Takes out what the host does not allow.
    pub(crate) fn restrict(&mut self, tuning: &Tuning) {
        let mut refuse = |allowed: bool, bit: u8| {
            if !allowed {
                self.options &= !bit;
            }
        };
        refuse(tuning.sack, SACK);
        refuse(tuning.timestamps, TIMESTAMPS);
        if !tuning.window_scaling {
            self.options |= NO_SCALE;
        }
        if tuning.user_timeout_option.is_none() {
            self.user_timeout = 0;
        }
    }

    /// Our SYN-ACKs tell this window, and the shift of later ones (`rcv_wscale` of Linux's requests).
    pub(crate) fn tell_window(&mut self, window: u16, shift: u8) {
        self.told_window = window;
        self.told_shift = shift;
    }

    /// The window that our SYN-ACKs offer, if one did.
    pub(crate) fn told_window(&self) -> Option<u16> {
        (self.told_shift != NO_SCALE).then_some(self.told_window)
    }

    /// The window shift that our SYN-ACK told, if one did.
    fn told_shift(&self) -> Option<u8> {
        (self.told_shift != NO_SCALE && self.peer_scale().is_some()).then_some(self.told_shift)
    }

    pub(crate) fn peer_scale(&self) -> Option<u8> {
        (self.options & 15 != NO_SCALE).then_some(self.options & 15)
    }

    pub(crate) fn sack(&self) -> bool {
        self.options & SACK != 0
    }

    pub(crate) fn timestamps(&self) -> bool {
        self.options & TIMESTAMPS != 0
    }

    pub(crate) fn ecn(&self) -> EcnAgreement {
        EcnAgreement::unpack(self.ecn)
    }

    /// A cookie has no room for what Accurate ECN has to remember.
    pub(crate) fn forgo_accurate_ecn(&mut self) {
        if self.ecn().kind == Ecn::Accurate {
            self.ecn = EcnAgreement::default().pack();
        }
    }

    pub(crate) fn ts_recent(&self) -> u32 {
        if self.timestamps() { self.ts_recent } else { 0 }
    }

    /// When the SYN-ACK left, in milliseconds, if it left once and timestamps do not tell.
    pub(crate) fn answered_at(&self) -> Option<u32> {
        (!self.timestamps() && self.ts_recent != 0).then_some(self.ts_recent)
    }

    /// The SYN-ACK leaves again: nobody knows which one is answered (Karn).
    pub(crate) fn forget_time(&mut self) {
        if !self.timestamps() {
            self.ts_recent = 0;
        }
    }

    pub(crate) fn set_ts_recent(&mut self, value: u32) {
        self.ts_recent = value;
    }

    /// What both sides have agreed on.
    pub(crate) fn agreement(&self) -> Agreement {
        let mut ecn = self.ecn();
        if self.retries > 1 {
            ecn.failures |= failure::ACE_SENT;
        }
        Agreement {
            iss: self.iss,
            irs: self.irs,
            peer_mss: self.mss,
            peer_scale: self.peer_scale(),
            told_shift: self.told_shift(),
            told_window: self.told_window(),
            sack: self.sack(),
            timestamps: self.timestamps(),
            ts_recent: self.ts_recent(),
            window: self.window,
            user_timeout: self.user_timeout,
            ecn,
        }
    }

    /// The handshake's ACK has arrived although nobody could take the connection.
    pub(crate) fn is_completed(&self) -> bool {
        self.options & COMPLETED != 0
    }

    pub(crate) fn set_completed(&mut self) {
        self.options |= COMPLETED;
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`, with the window that the SYN-ACK offered.
    pub(crate) fn acknowledgment(&self, offered: u16, timestamp: u32) -> TcpHeader {
        // Rounded down (RFC 7323 §2.3), but not shut: rounded up, it would promise more than the field of a SYN-ACK, which
        // may follow, can say, and more than a buffer of 65,535 octets holds.
        let window = (offered >> self.told_shift().unwrap_or(0)).max(1.min(offered));
        let mut header = TcpHeader {
            source_port: self.tuple.local_port,
            destination_port: self.tuple.remote_port,
            seq: self.iss + 1,
            ack: Some(self.irs + 1),
            flags: TcpFlags::NONE,
            window,
            ..TcpHeader::default()
        };
        if self.timestamps() {
            header.options.timestamps = Some(Timestamps {
                value: timestamp,
                echo: self.ts_recent,
            });
        }
        header
    }

    /// The SYN has come again: the answer tells of its ECN field. One without a sign of ECN says that the way, or the peer, gave it
    /// up, and nothing of ours will be ECN-capable (RFC 9768 §3.1.5).
    pub(crate) fn meet_syn_again(&mut self, seg: &Segment) {
        let mut ecn = self.ecn();
        if ecn.kind == Ecn::Accurate {
            ecn.syn_field = seg.ecn;
            if SynRequest::granted(seg.flags, Ecn::Accurate) == Ecn::None {
                ecn.failures |= failure::ACE_RECEIVED;
            }
            self.ecn = ecn.pack();
        }
    }

    /// How the SYN-ACK answers for ECN. The second repetition shows no sign of Accurate ECN, lest that be what keeps it from
    /// arriving (RFC 9768 §3.2.3.2.2).
    fn ecn_flags(&self) -> TcpFlags {
        let EcnAgreement { kind, syn_field, .. } = self.ecn();
        if kind == Ecn::Accurate && self.retries > 1 {
            return TcpFlags::NONE;
        }
        answer_flags(kind, syn_field)
    }

    /// The SYN-ACK.
    pub(crate) fn syn_ack(&self, mss: u16, window: u16, timestamp: u32) -> TcpHeader {
        let mut header = TcpHeader {
            source_port: self.tuple.local_port,
            destination_port: self.tuple.remote_port,
            seq: self.iss,
            ack: Some(self.irs + 1),
            flags: TcpFlags::SYN | self.ecn_flags(),
            window,
            ..TcpHeader::default()
        };
        header.options.mss = Some(mss);
        header.options.sack_permitted = self.sack();
        header.options.window_scale = self.told_shift();
        if self.timestamps() {
            header.options.timestamps = Some(Timestamps {
                value: timestamp,
                echo: self.ts_recent,
            });
        }
        header
    }
}

/// A listener.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: crate::endpoint::Local,
    pub(crate) config: alloc::sync::Arc<super::config::TcpConfig>,
    pub(crate) token: u32,
    pub(crate) backlog: u32,
    /// Completed connections that wait for `accept`.
    pub(crate) queue: alloc::collections::VecDeque<Key>,
    /// Places of the queue that connections have which others carry.
    pub(crate) taken: u32,
    /// Half-open connections that will come here.
    pub(crate) half_open: u32,
    /// Cookies were handed out so lately that they may still come back.
    pub(crate) cookies_until: prise_wire::Instant,
    /// Connections opened by a SYN with data whose handshake has not ended (RFC 7413 §5.1).
    pub(crate) fast_open: Option<alloc::boxed::Box<super::fast_open::PendingQueue>>,
}

impl Listener {
    /// Linux lets one more in than the backlog says.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() + self.taken as usize > self.backlog as usize
    }
}
