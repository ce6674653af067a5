//! How a connection record comes to be: from what our SYN offers and what both SYNs agree on (RFC 9293 §3.5, RFC 7323
//! §2.2, RFC 6691).

use alloc::sync::Arc;
use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::Tcp;
use super::acc_ecn::EcnAgreement;
use super::answer_limit::AnswerLimit;
use super::config::{CongestionAlgorithm, TcpConfig};
use super::congestion::rate::DeliveryRate;
use super::connection::{
    Connection, Moment, Reader, ReceiveVariables, SendVariables, Stamp, Statistics, TimestampState, timestamp_clock,
};
use super::demux::Owner;
use super::flags::Flags;
use super::info::State;
use super::receive::acks::AckSchedule;
use super::receive::window::ReceiveWindow;
use super::tuning::BufferAccounting;
use super::tuple::FourTuple;
use crate::event::Ready;
use crate::link::{Link, LinkId};
use crate::net::Net;
use crate::slab::Key;

/// What both SYNs have agreed on, from which a connection is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreement {
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    pub(crate) peer_mss: u16,
    pub(crate) peer_scale: Option<u8>,
    /// Our window shift as a SYN-ACK told it. None where none has left yet, and behind a SYN cookie, which has no room for it: what changed
    /// at the listener since then makes us mean other windows than the peer does.
    pub(crate) told_shift: Option<u8>,
    /// The window that a SYN-ACK has offered, as far as its shift is known.
    pub(crate) told_window: Option<u16>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    pub(crate) ts_recent: u32,
    pub(crate) window: u16,
    /// The user timeout option of the SYN as it came, 0 for none (RFC 5482).
    pub(crate) user_timeout: u16,
    pub(crate) ecn: EcnAgreement,
}

/// Our window shift: enough for the largest buffer this connection may get (RFC 7323 §2.2).
pub(crate) fn window_shift(config: &TcpConfig) -> u8 {
    let buffer = config.receive_buffer.unwrap_or(config.tuning().receive_max);
    // What is never offered needs no unit (`tcp_select_initial_window`).
    let largest = buffer.min(config.window_clamp.unwrap_or(u32::MAX));
    let mut shift = 0;
    while shift < 14 && largest >> shift > 0xffff {
        shift += 1;
    }
    shift
}

/// The window that our SYN or SYN-ACK offers, with `mss` in its option; never scaled.
pub(crate) fn offered_window(config: &TcpConfig, mss: u16, timestamps: bool) -> u16 {
    if config.tuning().buffers != BufferAccounting::Payload {
        return super::receive::kernel::initial_window(config, mss, timestamps);
    }
    receive_limit(config)
        .min(config.window_clamp.unwrap_or(u32::MAX))
        .min(0xffff) as u16
}

fn receive_limit(config: &TcpConfig) -> u32 {
    config.receive_buffer.unwrap_or(config.tuning().receive_initial)
}

impl Tcp {
    /// Makes a connection in SYN-RECEIVED out of what both SYNs said, and puts it into the tables.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        net: &mut Net,
        tuple: FourTuple,
        link: LinkId,
        agreement: Agreement,
        config: Arc<TcpConfig>,
    ) -> Key {
        let mut connection = self.blank(now, net, tuple, link, agreement.iss, config);
        connection.state = State::SynReceived;
        connection.flags.set_passive(true);
        connection.rcv.irs = agreement.irs;
        connection.rcv.nxt = agreement.irs + 1;
        // The window that the SYN-ACK offers is a promise.
        let promised = agreement.told_window.unwrap_or(0);
        connection.rcv.window.start_at(agreement.irs + 1, promised.into());
        connection.settle_initial_window(agreement.told_window, agreement.timestamps);
        if connection.kernel_window_field(true).is_none() && agreement.told_window.is_none() {
            let bounds = connection.window_bounds(0);
            let mss = u32::from(connection.mss);
            connection.rcv.window.advertise(agreement.irs + 1, 0, mss, 0, bounds);
        }
        connection.timestamps.last_ack_sent = agreement.irs + 1;
        connection.mss = connection.mss.min(agreement.peer_mss);
        connection.acks.expect_segments_of(connection.mss);
        connection.flags.set_window_scaling(agreement.peer_scale.is_some());
        connection.snd_scale = agreement.peer_scale.unwrap_or(0);
        connection.rcv_scale = match agreement.peer_scale {
            Some(_) => agreement.told_shift.unwrap_or(connection.rcv_scale),
            None => 0,
        };
        connection.take_timeout_of_syn(agreement.user_timeout);
        connection.agree_on_ecn(agreement.ecn);
        connection.flags.set_sack_on(agreement.sack);
        connection.flags.set_timestamps_on(agreement.timestamps);
        // With Fast Open data may leave before the handshake has ended.
        let size = connection.segment_size();
        connection.congestion.set_initial(size, false, Duration::ZERO);
        connection.timestamps.recent = agreement.ts_recent;
        connection.timestamps.recent_at = timestamp_clock(now);
        connection.snd.wnd = u32::from(agreement.window);
        connection.snd.max_wnd = connection.snd.wnd;
        connection.snd.wl1 = agreement.irs;
        let key = self.connections.insert(connection);
        self.tuples.insert(&tuple, Owner::Connection(key.index));
        key
    }

    /// The congestion control that a connection over that link starts with: the program's word, the link's, the host's.
    fn congestion(&self, net: &Net, link: LinkId, config: &TcpConfig) -> CongestionAlgorithm {
        let of_link = || net.link(link).and_then(Link::congestion);
        config.congestion.or_else(of_link).unwrap_or(self.default_congestion)
    }

    /// A connection before any segment.
    pub(crate) fn blank(
        &self,
        now: Instant,
        net: &Net,
        tuple: FourTuple,
        link: LinkId,
        iss: SeqNum,
        config: Arc<TcpConfig>,
    ) -> Connection {
        let link = net.link_towards(tuple.remote_ip(), link);
        let OwnMss {
            link: offered,
            path: mss,
        } = own_mss(net, &tuple, &config);
        let zero = SeqNum(0);
        let limit = receive_limit(&config);
        let rcv_scale = window_shift(&config);
        let mut window = ReceiveWindow::new(zero, limit, now);
        window.expect_segments_of(u32::from(offered));
        let congestion = super::congestion::Congestion::new(self.congestion(net, link, &config), u32::from(mss));
        let mut connection = Connection {
            tuple,
            token: 0,
            snd: SendVariables {
                una: iss,
                nxt: iss,
                iss,
                wl1: zero,
                wl2: zero,
                wnd: 0,
                max_wnd: 0,
                small_end: iss,
            },
            rcv: ReceiveVariables {
                nxt: zero,
                irs: zero,
                window,
                fin: None,
            },
            timestamps: TimestampState {
                recent: 0,
                recent_at: timestamp_clock(now),
                offset: self.secrets.timestamp_offset(&tuple),
                last_ack_sent: zero,
            },
            acks: AckSchedule::new(),
            rtt: super::loss::rtt::RttEstimator::new(),
            congestion,
            deadlines: super::deadlines::Deadlines::new(),
            sending: None,
            receiving: None,
            rare: None,
            statistics: Statistics::default(),
            last_sent: Stamp::at(now),
            last_received: Stamp::at(now),
            last_data: Stamp::at(now),
            trouble_since: Moment::at(now),
            limit: AnswerLimit::default(),
            came_with: 0,
            mss,
            advertised_mss: offered,
            link,
            device: None,
            state: State::Closed,
            snd_scale: 0,
            rcv_scale,
            backoff: 0,
            probes_out: 0,
            delivery_rate: DeliveryRate::NONE,
            error: None,
            soft_error: None,
            raised: Ready::NONE,
            flags: Flags::of_a_new_connection(config.tuning()),
            reader: Reader::Program,
            config,
        };
        if connection.config.tuning().window_validation {
            connection.congestion.validate_window();
        }
        if connection.is_signed() {
            // A SYN has no room for everything; Linux leaves these out.
            connection.flags.set_timestamps_on(false);
        }
        connection.begin_kernel_buffer();
        connection
    }
}

/// Segment sizes, options not subtracted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnMss {
    /// What we can take, for the MSS option: what the link takes, whatever is known of the path (RFC 1191 §3.1, RFC 6691 §2).
    pub(crate) link: u16,
    /// What fits the way to the peer (RFC 9293 §3.7.1).
    pub(crate) path: u16,
}

pub(crate) fn own_mss(net: &Net, tuple: &FourTuple, config: &TcpConfig) -> OwnMss {
    let route = net.route(tuple.remote_ip(), Some(tuple.local_ip()), None).ok();
    let path = route.map_or(576, |route| route.mtu);
    let link = route.and_then(|route| net.link(route.link)).map_or(path, Link::mtu);
    let size = |mtu| {
        let fits = mss_for_mtu(mtu, tuple.is_v4());
        config.max_segment.map_or(fits, |max| fits.min(max.max(super::MSS_MIN)))
    };
    OwnMss {
        link: size(link.max(path)),
        path: size(path),
    }
}

/// What an MTU leaves for TCP's payload and options. An IPv4 packet has 65,535 octets at most, whatever the link.
pub(crate) fn mss_for_mtu(mtu: u32, v4: bool) -> u16 {
    let fits = if v4 {
        mtu.min(65_535).saturating_sub(40)
    } else {
        mtu.saturating_sub(60)
    };
    fits.clamp(u32::from(super::MSS_MIN), 65_535) as u16
}
