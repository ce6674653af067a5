//! What a program may set on a TCP socket, and how a listener is described.
//!
//! A [`TcpConfig`] is given when a connection or listener is made and can be changed while it lives
//! (`Stack::tcp_set_config`); a connection accepted from a listener starts with the listener's.

use alloc::sync::Arc;
use core::time::Duration;

use prise_wire::Ipv4Options;

use super::acc_ecn::EcnPolicy;
use super::fast_open::FastOpenKeys;
use super::loss::rtt::{RTO_MAX, RTO_MIN};
use super::signature::SignatureKeys;
use super::tuning::Tuning;
use super::tuple::FourTuple;
use crate::endpoint::Local;
use crate::net::FlowLabel;

/// The congestion controls a connection can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CongestionAlgorithm {
    /// CUBIC, RFC 9438: the default, as on Linux.
    #[default]
    Cubic,
    /// `NewReno`, RFC 5681 and RFC 6582; Linux calls it `reno`.
    NewReno,
    /// BBR version 3, draft-ietf-ccwg-bbr: model-based, indifferent to random loss.
    Bbr,
}

/// Keepalive settings, RFC 9293 §3.8.4 and tcp(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// Time between unanswered probes (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// Unanswered probes after which the connection is dropped (`TCP_KEEPCNT`).
    pub probes: u8,
}

impl Default for Keepalive {
    /// Linux: two hours, 75 seconds, nine probes.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(7200),
            interval: Duration::from_secs(75),
            probes: 9,
        }
    }
}

/// What `SO_LINGER` asks of a close (socket(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// Close in the background: the queued bytes and the FIN are still delivered.
    #[default]
    Graceful,
    /// `{on, 0}`: discard what is queued and reset.
    Reset,
}

/// How far what no program has a word on goes (RFC 1700; `ip_default_ttl`).
pub(crate) const DEFAULT_HOP_LIMIT: u8 = 64;

/// A setting that each version of IP has for itself: a socket of IPv6 may speak both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerVersion {
    /// Of IPv4.
    pub v4: u8,
    /// Of IPv6.
    pub v6: u8,
}

impl PerVersion {
    /// The same for both.
    pub const fn both(value: u8) -> Self {
        Self { v4: value, v6: value }
    }

    pub(crate) fn of(self, tuple: &FourTuple) -> u8 {
        if tuple.is_v4() { self.v4 } else { self.v6 }
    }
}

/// Settings of one connection or listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// `TCP_NODELAY`: do not hold small segments back (RFC 9293 §3.7.4).
    pub nodelay: bool,
    /// `TCP_CORK`: send only full segments until cleared (200 ms at most).
    pub cork: bool,
    /// `SO_KEEPALIVE` with its three times; `None` when off.
    pub keepalive: Option<Keepalive>,
    /// `SO_LINGER`, so far as it decides between FIN and RST.
    pub linger: Linger,
    /// `TCP_USER_TIMEOUT`, RFC 5482: how long data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// `TCP_MAXSEG`: an upper bound on the segment size offered and used.
    pub max_segment: Option<u16>,
    /// Octets the receive queue may hold; `None` lets it grow by measurement.
    pub receive_buffer: Option<u32>,
    /// Octets the send queue may hold; `None` lets it grow by measurement.
    pub send_buffer: Option<u32>,
    /// `TCP_RTO_MAX_MS`: how far a timeout is backed off at most.
    pub rto_max: Duration,
    /// `TCP_RTO_MIN_US`: what a timeout has beyond the round trip at least.
    pub rto_min: Duration,
    /// `TCP_DELACK_MAX_US`: how long an acknowledgment is delayed at most.
    pub delayed_ack_max: Duration,
    /// `TCP_SYNCNT`: retransmissions of a SYN before giving up.
    pub syn_retries: u8,
    /// `TCP_LINGER2`: how long an orphan may stay in FIN-WAIT-2; not at all if `None`.
    pub fin_wait_2: Option<Duration>,
    /// `TCP_NOTSENT_LOWAT`: unsent octets above which the socket is not writable.
    pub unsent_low_water: Option<u32>,
    /// `SO_MAX_PACING_RATE`: octets per second at which data are let go at most, whatever the congestion control (socket(7)).
    pub max_pacing_rate: Option<u64>,
    /// `TCP_WINDOW_CLAMP`: an upper bound on the advertised window.
    pub window_clamp: Option<u32>,
    /// `TCP_THIN_LINEAR_TIMEOUTS`: the first six timeouts are not backed off while fewer than four segments are out (tcp(7)), against
    /// RFC 6298 §5.5.
    pub thin_linear_timeouts: bool,
    /// `TCP_DEFER_ACCEPT`: do not show a connection before its first data, or so many timeouts of its SYN-ACK; 0 for no such wait.
    pub defer_accept: u8,
    /// `SO_OOBINLINE`: urgent octets stay in the stream.
    pub oob_inline: bool,
    /// `IP_RECVERR`, `IPV6_RECVERR`: ICMP errors that do not end the connection are shown at once (ip(7)).
    pub report_errors: bool,
    /// `IP_TTL`, `IPV6_UNICAST_HOPS`.
    pub hop_limit: PerVersion,
    /// `IP_OPTIONS`: what every segment carries over IPv4; a listener's connections have their peers' instead.
    pub ip_options: Option<Arc<Ipv4Options>>,
    /// The fewest hops that a segment must have left when it arrives, 0 for any (`IP_MINTTL`, `IPV6_MINHOPCOUNT`).
    pub least_hops: PerVersion,
    /// `IP_TOS`, `IPV6_TCLASS`.
    pub tos: PerVersion,
    /// The flow label of IPv6.
    pub flow_label: FlowLabel,
    /// Whether ECN is asked for and answered, and which (RFC 3168, RFC 9768).
    pub ecn: EcnPolicy,
    /// `TCP_CONGESTION`; `None` for that of the link (`Stack::set_link_congestion`), else of the host
    /// (`Stack::set_congestion`).
    pub congestion: Option<CongestionAlgorithm>,
    /// `TCP_FASTOPEN`: connections that a SYN with data may open before their handshake has ended, 0 for none (RFC 7413).
    pub fast_open_queue: u32,
    /// `TCP_FASTOPEN_NO_COOKIE`: data in a SYN is taken, or sent, without a cookie.
    pub fast_open_without_cookie: bool,
    /// `TCP_FASTOPEN_KEY`: what a listener's cookies are made with, if not the host's keys.
    pub fast_open_keys: Option<FastOpenKeys>,
    /// `TCP_MD5SIG`: the keys with which segments to some peers, and from them, are signed (RFC 2385).
    pub signature_keys: Option<Arc<SignatureKeys>>,
    /// The socket is one of IPv6: what no program holds any more is listed by mapped addresses where it speaks IPv4 (RFC 4291 §2.5.5.2).
    pub listed_mapped: bool,
    /// The host's settings; `None` for [`Tuning::DEFAULT`].
    pub tuning: Option<Arc<Tuning>>,
}

impl TcpConfig {
    /// The host's settings.
    pub fn tuning(&self) -> &Tuning {
        const DEFAULT: &Tuning = &Tuning::DEFAULT;
        self.tuning.as_deref().unwrap_or(DEFAULT)
    }

    /// The longest timeout: the program's word or the host's.
    pub(crate) fn rto_limit(&self) -> Duration {
        self.rto_max.min(self.tuning().rto_max)
    }

    /// The longest delay of an acknowledgment: it comes before a timeout as short as ours (`tcp_delack_max`).
    pub(crate) fn delayed_ack_limit(&self) -> Duration {
        let before_timeout = self.rto_min.saturating_sub(Duration::from_millis(1));
        self.delayed_ack_max.min(before_timeout)
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            nodelay: false,
            cork: false,
            keepalive: None,
            linger: Linger::Graceful,
            user_timeout: None,
            max_segment: None,
            receive_buffer: None,
            send_buffer: None,
            rto_max: RTO_MAX,
            rto_min: RTO_MIN,
            delayed_ack_max: RTO_MIN,
            syn_retries: 6,
            fin_wait_2: Some(Duration::from_secs(60)),
            unsent_low_water: None,
            max_pacing_rate: None,
            window_clamp: None,
            thin_linear_timeouts: false,
            defer_accept: 0,
            oob_inline: false,
            report_errors: false,
            hop_limit: PerVersion::both(DEFAULT_HOP_LIMIT),
            ip_options: None,
            least_hops: PerVersion::default(),
            tos: PerVersion::default(),
            flow_label: FlowLabel::default(),
            ecn: EcnPolicy::default(),
            congestion: None,
            fast_open_queue: 0,
            fast_open_without_cookie: false,
            fast_open_keys: None,
            signature_keys: None,
            listed_mapped: false,
            tuning: None,
        }
    }
}

/// Everything that makes a listener.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// Where it listens.
    pub local: Local,
    /// Connections that may wait for `accept` (Linux lets one more in).
    pub backlog: u32,
    /// `SO_REUSEPORT`: several listeners of one address share the connections by flow hash.
    pub reuse_port: bool,
    /// The settings its connections start with.
    pub config: TcpConfig,
    /// The caller's number, handed back in events.
    pub token: u32,
}
