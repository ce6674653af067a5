//! What the administrator of a host decides for all its connections: Linux's `net.ipv4.tcp_*` (tcp(7)), as far as it changes what goes
//! over the wire. Each connection has it through its [`TcpConfig`](super::config::TcpConfig).

use core::time::Duration;

use super::loss::rtt::RTO_MAX;
use super::plpmtud::MtuProbing;
use super::receive::window::{BUFFER_INITIAL, BUFFER_MAX};
use super::user_timeout::UserTimeoutExchange;

/// A shorter round trip is this host's own, or nearly.
pub(crate) const NEAR: Duration = Duration::from_millis(1);

/// How far buffers grow for a peer that is [`NEAR`] where nobody has decided, in octets of payload: Linux's defaults, of `tcp_rmem` (50 Gbit/s
/// at this distance) and of `tcp_wmem`, half of which is bookkeeping. What else would fill them waits for a program that is slow, and
/// has left the processor's caches when its turn comes.
pub(crate) const NEAR_RECEIVE: u32 = 6 << 20;
pub(crate) const NEAR_SEND: u32 = 2 << 20;

/// How far a buffer grows on a path of this round trip, 0 before it was measured: up to `max`, and up to `near` where that is only the default.
pub(crate) fn bound(max: u32, near: u32, rtt: Duration) -> u32 {
    let is_near = !rtt.is_zero() && rtt < NEAR;
    if is_near && max == BUFFER_MAX { near } else { max }
}

/// What counts against a connection's buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BufferAccounting {
    /// Octets of payload: a window of the whole buffer is open from the start.
    #[default]
    Payload,
    /// What packets take up in Linux, with the window that follows from it (`SO_RCVBUF`, `SO_SNDBUF`, tcp(7)). It costs memory for
    /// each connection and speed on long paths, and is for who compares with Linux octet by octet.
    Kernel,
    /// Likewise, and the window may retreat before the peer's eyes when memory is short (`tcp_shrink_window`).
    KernelRetreating,
}

/// When a listener answers without remembering (`tcp_syncookies`, RFC 4987 §3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynCookies {
    /// Never: what does not fit the queue of half-open connections is dropped.
    Never,
    /// When that queue is full.
    #[default]
    WhenFull,
    /// Always, to try it.
    Always,
}

/// Which active opens may take over a pair of ports in TIME-WAIT whose port was picked for them (`tcp_tw_reuse`). A program that
/// has bound the port itself may always, if timestamps make it safe (RFC 6191).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// None.
    Never,
    /// Those of a host to itself.
    Loopback,
    /// All.
    #[default]
    Always,
}

/// Settings of a host's TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Where a receive buffer starts, in octets of payload (half of `tcp_rmem`'s second number, the rest of which is bookkeeping).
    pub receive_initial: u32,
    /// How far a receive buffer may grow: `tcp_rmem`'s third number, which also decides the window shift.
    pub receive_max: u32,
    /// Where a send buffer starts by Linux's account (`buffers`): `tcp_wmem`'s second number. Otherwise it follows the congestion window.
    pub send_initial: u32,
    /// How far a send buffer may grow: `tcp_wmem`'s third number.
    pub send_max: u32,
    /// `tcp_slow_start_after_idle`.
    pub slow_start_after_idle: bool,
    /// RFC 7661 in place of it: a window that the program does not use is kept for five minutes, paced when it is used again, and a
    /// congestion signal reduces from what was in use. Linux has no such rule. Not for BBR, whose model is of what was in use anyway.
    pub window_validation: bool,
    /// `tcp_timestamps`: offer and take RFC 7323's timestamps.
    pub timestamps: bool,
    /// `tcp_sack`.
    pub sack: bool,
    /// `tcp_window_scaling`.
    pub window_scaling: bool,
    /// `tcp_mtu_probing`.
    pub mtu_probing: MtuProbing,
    /// `tcp_syn_linear_timeouts`: so many timeouts of a SYN come at the same distance before it doubles, against RFC 6298 §5.5.
    pub syn_linear_timeouts: u8,
    /// `tcp_invalid_ratelimit`: answers to what lies outside of the window, and challenge ACKs, are so far apart on one connection.
    /// Two hosts that disagree must not talk for ever, and a count for the whole stack would tell an attacker of connections
    /// that are not his (RFC 5961 §7; CVE-2016-5696).
    pub challenge_interval: Duration,
    /// `tcp_rto_max_ms`: no timeout is backed off further than this.
    pub rto_max: Duration,
    /// `tcp_synack_retries`.
    pub syn_ack_retries: u8,
    /// `tcp_min_tso_segs`: units are not made smaller than this by the pace.
    pub min_unit_segments: u32,
    /// Hold a unit back for the acknowledgment that lets a larger one go, as Linux does (`tcp_tso_should_defer`). Fewer and
    /// larger units make longer bursts, which queues that are right for a short path drop: it is off unless somebody asks.
    pub defer_units: bool,
    /// `tcp_tso_win_divisor`: a unit of this part of the window is large enough to leave at once though units are held back; 0 for
    /// no such rule.
    pub unit_window_divisor: u32,
    /// With Accurate ECN every segment after the handshake is ECN-capable, acknowledgments and repetitions too, as Linux has it and
    /// the draft on generalized ECN allows; RFC 3168 §6.1.4 and §6.1.5 have only new data so.
    pub ecn_everywhere: bool,
    /// Recovery counts what has arrived in packets, as Linux does, where RFC 9937 counts octets: a small segment then lets a whole one go.
    pub recovery_by_packets: bool,
    /// `tcp_syncookies`.
    pub syn_cookies: SynCookies,
    /// The largest segment over IPv4 that a SYN cookie remembers; Linux's remember 1,460 octets, ours jumbo frames, too.
    pub cookie_segment_max: u16,
    /// RFC 5482: whether ends tell each other their user timeouts. `None`, Linux's way, neither sends nor reads the option.
    pub user_timeout_option: Option<UserTimeoutExchange>,
    /// `tcp_tw_reuse`.
    pub time_wait_reuse: TimeWaitReuse,
    /// `tcp_tw_reuse_delay`: not before a connection was in TIME-WAIT for longer than this. By default our clock of timestamps has to
    /// move on, which is what makes it safe.
    pub time_wait_reuse_delay: Duration,
    /// What counts against the buffers.
    pub buffers: BufferAccounting,
}

impl Tuning {
    /// What holds where nobody has decided anything.
    pub const DEFAULT: Self = Self {
        receive_initial: BUFFER_INITIAL,
        receive_max: BUFFER_MAX,
        // As much as a receive buffer may grow to: a smaller one would be what limits a long path.
        send_max: BUFFER_MAX,
        send_initial: 16_384,
        slow_start_after_idle: true,
        window_validation: false,
        timestamps: true,
        sack: true,
        window_scaling: true,
        mtu_probing: MtuProbing::BlackHoles,
        syn_linear_timeouts: 0,
        challenge_interval: Duration::from_millis(500),
        rto_max: RTO_MAX,
        syn_ack_retries: 5,
        min_unit_segments: 2,
        defer_units: false,
        unit_window_divisor: 3,
        ecn_everywhere: false,
        recovery_by_packets: false,
        syn_cookies: SynCookies::WhenFull,
        cookie_segment_max: u16::MAX,
        user_timeout_option: None,
        time_wait_reuse: TimeWaitReuse::Always,
        time_wait_reuse_delay: Duration::from_millis(1),
        buffers: BufferAccounting::Payload,
    };
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}
