//! What a connection says of itself: the source of `TCP_INFO`, `prise ss` and the live page.

use core::time::Duration;

use prise_wire::Instant;

use super::acc_ecn::EcnOctets;
use super::config::CongestionAlgorithm;
use super::connection::Connection;
use super::fast_open::FastOpenFailure;
use super::send::flight::Flight;

/// The states of RFC 9293 §3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for a connection request.
    Listen,
    /// Sent a SYN, waiting for its match.
    SynSent,
    /// Received a SYN and sent one, waiting for the acknowledgment.
    SynReceived,
    /// Open: data flows.
    Established,
    /// Sent a FIN, waiting for its acknowledgment or the peer's FIN.
    FinWait1,
    /// Our FIN is acknowledged, waiting for the peer's.
    FinWait2,
    /// The peer sent a FIN, waiting for the local user to close.
    CloseWait,
    /// Both sent a FIN, waiting for the acknowledgment of ours.
    Closing,
    /// The peer closed first, waiting for the acknowledgment of our FIN.
    LastAck,
    /// Waiting until old segments have left the network.
    TimeWait,
    /// No connection.
    Closed,
}

/// The sender's position in loss recovery, in the words of Linux's `tcpi_ca_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LossState {
    /// Nothing suspicious.
    #[default]
    Open,
    /// Duplicate or selective acknowledgments were seen.
    Disorder,
    /// The window was reduced by an explicit congestion signal.
    WindowReduced,
    /// Fast recovery.
    Recovery,
    /// Recovery after a retransmission timeout.
    Loss,
}

/// A snapshot of a connection. Sizes in octets.
#[derive(Clone, Copy, Debug)]
pub struct TcpInfo {
    /// Where it stands.
    pub state: State,
    /// Loss recovery.
    pub loss_state: LossState,
    /// Consecutive retransmission timeouts.
    pub backoff: u8,
    /// Both sides sent the timestamps option.
    pub timestamps: bool,
    /// Both sides permit selective acknowledgment.
    pub sack: bool,
    /// ECN was negotiated, RFC 3168's or the accurate one.
    pub ecn: bool,
    /// An ECN-capable packet has arrived.
    pub ecn_seen: bool,
    /// Marked packets that arrived (RFC 9768 `r.cep`, from zero).
    pub received_ce: u32,
    /// Our packets that the peer tells to have been marked (`s.cep`, from zero).
    pub delivered_ce: u32,
    /// Our octets by the ECN field they arrived with, as the peer tells.
    pub delivered_octets: EcnOctets,
    /// The peer's octets by the ECN field they arrived with.
    pub received_octets: EcnOctets,
    /// What is wrong with Accurate ECN on the way: `tcpi_accecn_fail_mode`.
    pub acc_ecn_failures: u8,
    /// Whether the peer's options were seen: `tcpi_accecn_opt_seen`.
    pub acc_ecn_option_seen: u8,
    /// Data went in the SYN and was taken, ours or the peer's (RFC 7413).
    pub syn_data: bool,
    /// A SYN with a Fast Open cookie opened it.
    pub fast_open_child: bool,
    /// Why data did not go in our SYN.
    pub fast_open_failure: FastOpenFailure,
    /// The peer's window shift, if scaling is on.
    pub send_scale: Option<u8>,
    /// Our window shift, if scaling is on.
    pub receive_scale: Option<u8>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// The smallest round-trip time seen lately.
    pub min_rtt: Duration,
    /// The receiver's own estimate of the round trip.
    pub receive_rtt: Duration,
    /// What the delayed acknowledgment waits.
    pub ato: Duration,
    /// How long octets may stay unacknowledged, if the program or the peer has a say in it (RFC 5482).
    pub user_timeout: Option<Duration>,
    /// What the peer has said of its own (`REMOTE_UTO`).
    pub peer_user_timeout: Option<Duration>,
    /// Segment size for sending.
    pub send_mss: u32,
    /// Segment size last seen from the peer.
    pub receive_mss: u32,
    /// The size our SYN offered, less the timestamps that each segment carries, as Linux counts it.
    pub advertised_mss: u32,
    /// Path MTU.
    pub path_mtu: u32,
    /// Congestion window.
    pub cwnd: u32,
    /// Slow-start threshold; `u32::MAX` while unknown.
    pub ssthresh: u32,
    /// Octets sent and neither acknowledged, nor selectively acknowledged, nor taken for lost.
    pub in_flight: u32,
    /// Octets sent and not acknowledged.
    pub unacked: u32,
    /// Octets selectively acknowledged.
    pub sacked: u32,
    /// Octets taken for lost, sent again or not.
    pub lost: u32,
    /// Retransmitted octets in flight.
    pub retransmitting: u32,
    /// Segments retransmitted since the start.
    pub total_retransmissions: u32,
    /// Octets waiting for the first transmission.
    pub unsent: u32,
    /// Octets in the send queue, sent or not.
    pub send_queue: u32,
    /// Our FIN was asked for and waits to be sent.
    pub fin_unsent: bool,
    /// Our FIN was asked for and is not acknowledged.
    pub fin_unacknowledged: bool,
    /// Octets that the program can read.
    pub receive_queue: u32,
    /// Octets that wait behind a hole.
    pub out_of_order: u32,
    /// The peer's window.
    pub send_window: u32,
    /// Our window.
    pub receive_window: u32,
    /// The receive buffer's current size.
    pub receive_buffer: u32,
    /// What the program reads in a round trip at most, by which the buffer grows.
    pub receive_space: u32,
    /// The send buffer's current size.
    pub send_buffer: u32,
    /// Octets acknowledged by the peer.
    pub bytes_acked: u64,
    /// Acknowledged sequence numbers of our SYN and FIN, which `tcpi_bytes_acked` counts too.
    pub control_acked: u64,
    /// Octets received in order.
    pub bytes_received: u64,
    /// Octets sent, retransmissions included.
    pub bytes_sent: u64,
    /// Octets retransmitted.
    pub bytes_retransmitted: u64,
    /// Segments sent.
    pub segments_out: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent that carried data.
    pub data_segments_out: u32,
    /// Segments received that carried data.
    pub data_segments_in: u32,
    /// Since data was last sent.
    pub since_data_sent: Duration,
    /// Since data last arrived.
    pub since_data_received: Duration,
    /// Since an acknowledgment last arrived.
    pub since_ack_received: Duration,
    /// Octets per second at which segments are let go; `None` when not paced.
    pub pacing_rate: Option<u64>,
    /// What the program has set as the most (`SO_MAX_PACING_RATE`).
    pub max_pacing_rate: Option<u64>,
    /// Octets per second that the path delivered lately.
    pub delivery_rate: u64,
    /// Whether that figure was bounded by the program rather than by the path.
    pub app_limited: bool,
    /// Packets delivered, the SYN among them.
    pub delivered: u32,
    /// Duplicate selective acknowledgments received.
    pub dsack_dups: u32,
    /// By how many segments something was late at most; 3 where nothing was later.
    pub reordering: u32,
    /// Acknowledgments that showed reordering.
    pub reordering_seen: u32,
    /// Retransmissions that proved unnecessary.
    pub spurious_retransmissions: u32,
    /// Out-of-order segments received.
    pub received_out_of_order: u32,
    /// Retransmission timeouts, and how many were the first in a row.
    pub timeouts: u16,
    /// Rows of them.
    pub timeout_recoveries: u16,
    /// Time from the first of a row to the acknowledgment that ended it.
    pub timeout_time: Duration,
    /// Time with something to send.
    pub busy: Duration,
    /// Of that, held back by the peer's window.
    pub window_limited: Duration,
    /// Of that, held back by the size of the send buffer.
    pub buffer_limited: Duration,
    /// Timeouts since the last new acknowledgment.
    pub retransmits: u8,
    /// Probes of a shut window, or of a silent peer, without an answer.
    pub probes: u8,
    /// The congestion control in use.
    pub congestion: CongestionAlgorithm,
}

impl Connection {
    /// Sequence numbers of our SYN and FIN that were acknowledged: Linux counts them among the octets, of a passive open
    /// the FIN only.
    fn control_acked(&self) -> u64 {
        let opened = !self.flags.passive() && !matches!(self.state, State::SynSent | State::Closed);
        let finished = self.flags.fin_sent() && self.snd.una == self.snd.nxt;
        u64::from(opened) + u64::from(finished)
    }

    /// Timeouts since the peer has acknowledged something.
    pub(crate) fn consecutive_timeouts(&self) -> u8 {
        match self.state {
            State::SynSent | State::SynReceived => self.backoff,
            _ => self.sending.as_ref().map_or(0, |sending| sending.recovery.timeouts),
        }
    }
}

impl Connection {
    /// The rate that Linux computes for every connection and paces by if a queueing discipline asks (`tcp_update_pacing_rate`): a window
    /// in a round trip, twice that in slow start, a fifth more after it. Octets in a second; none before the first round trip.
    pub(crate) fn implied_rate(&self) -> Option<u64> {
        let rtt = self.rtt.srtt().as_micros() as u64;
        let outstanding = self.sending.as_ref().map_or(0, |sending| sending.flight.outstanding());
        let (cwnd, ssthresh) = (self.congestion.cwnd(), self.congestion.ssthresh());
        let percent = if cwnd < ssthresh / 2 { 200 } else { 120 };
        let octets = u64::from(cwnd.max(outstanding)) * percent / 100;
        (octets * 1_000_000).checked_div(rtt)
    }

    /// A snapshot; walks nothing but the connection's own flight.
    pub(crate) fn info(&self, now: Instant) -> TcpInfo {
        let flight = self.sending.as_ref().map(|sending| &sending.flight);
        let rare = self.rare.as_deref();
        let troubles = self.troubles();
        let [busy, window_limited, buffer_limited] = self.waited(now);
        let acc_ecn = self.acc_ecn();
        let recovery = self.sending.as_ref().map(|sending| &sending.recovery);
        let statistics = &self.statistics;
        let retransmitting = flight.map_or(0, Flight::retransmitting);
        let in_recovery = recovery.is_some_and(super::loss::recovery::Recovery::in_recovery);
        TcpInfo {
            state: self.state,
            loss_state: recovery.map_or(LossState::Open, |recovery| recovery.state),
            backoff: self.backoff,
            timestamps: self.flags.timestamps_on(),
            sack: self.flags.sack_on(),
            ecn: self.flags.ecn_on() || acc_ecn.is_some(),
            ecn_seen: self.flags.ecn_seen(),
            received_ce: acc_ecn.map_or(0, |state| state.received_ce),
            delivered_ce: acc_ecn.map_or(troubles.delivered_ce, |state| state.delivered_ce),
            delivered_octets: acc_ecn.map_or(EcnOctets::default(), |state| state.delivered),
            received_octets: acc_ecn.map_or(EcnOctets::default(), |state| state.received),
            acc_ecn_failures: acc_ecn.map_or(0, |state| state.failures),
            acc_ecn_option_seen: acc_ecn.map_or(0, |state| state.option_seen),
            syn_data: rare.is_some_and(|rare| rare.fast_open.data_taken),
            fast_open_child: self.flags.early(),
            fast_open_failure: rare.map_or(FastOpenFailure::None, |rare| rare.fast_open.failure),
            send_scale: self.flags.window_scaling().then_some(self.snd_scale),
            receive_scale: self.flags.window_scaling().then_some(self.rcv_scale),
            rto: self.rto(),
            srtt: self.rtt.srtt(),
            rttvar: self.rtt.rttvar(),
            min_rtt: self.min_rtt(),
            receive_rtt: self.rcv.window.rtt(),
            ato: self.acks.ato(),
            user_timeout: self.user_timeout(),
            peer_user_timeout: self.remote_timeout(),
            send_mss: self.segment_size() + self.acc_ecn_room(),
            receive_mss: self.acks.peer_mss(),
            advertised_mss: u32::from(self.advertised_mss) - if self.flags.timestamps_on() { 12 } else { 0 },
            path_mtu: u32::from(self.mss) + if self.tuple.is_v4() { 40 } else { 60 },
            cwnd: self.congestion.cwnd(),
            ssthresh: self.congestion.ssthresh(),
            in_flight: self.in_flight(),
            unacked: flight.map_or(0, Flight::outstanding),
            sacked: flight.map_or(0, Flight::sacked),
            lost: flight.map_or(0, Flight::lost) + if in_recovery { retransmitting } else { 0 },
            retransmitting,
            total_retransmissions: statistics.retransmissions,
            unsent: self.unsent(),
            send_queue: self.queued(),
            fin_unsent: self.flags.fin_queued() && !self.flags.fin_sent(),
            fin_unacknowledged: self.flags.fin_queued() && !(self.flags.fin_sent() && self.snd.una == self.snd.nxt),
            receive_queue: self.readable(),
            out_of_order: self.receiving.as_ref().map_or(0, |receiving| receiving.out_of_order()),
            send_window: self.snd.wnd,
            receive_window: self.rcv.window.remaining(self.rcv.nxt),
            receive_buffer: self
                .kernel_buffer_size()
                .map_or(self.rcv.window.limit(), |size| size / 2),
            receive_space: self.rcv.window.space(),
            send_buffer: self.send_buffer(),
            bytes_acked: statistics.bytes_acked,
            control_acked: self.control_acked(),
            bytes_received: statistics.bytes_received,
            bytes_sent: statistics.bytes_acked
                + u64::from(flight.map_or(0, Flight::outstanding))
                + troubles.bytes_retransmitted,
            bytes_retransmitted: troubles.bytes_retransmitted,
            segments_out: statistics.segments_out,
            segments_in: statistics.segments_in,
            data_segments_out: statistics.data_segments_out,
            data_segments_in: statistics.data_segments_in,
            since_data_sent: self.last_sent.age(now),
            since_data_received: self.last_data.age(now),
            since_ack_received: self.last_received.age(now),
            pacing_rate: self
                .pacing_rate()
                .or_else(|| self.implied_rate())
                .map(|rate| rate.min(self.rate_limit())),
            max_pacing_rate: self.config.max_pacing_rate,
            delivery_rate: self.delivery_rate.octets_per_second(),
            app_limited: self.delivery_rate.is_app_limited(),
            delivered: statistics.delivered,
            dsack_dups: troubles.dsack_dups,
            reordering: self.sending.as_ref().map_or(3, |sending| sending.rack.degree()),
            reordering_seen: troubles.reordering,
            spurious_retransmissions: self.sending.as_ref().map_or(0, |it| u32::from(it.spurious)),
            received_out_of_order: troubles.out_of_order,
            timeouts: troubles.timeouts,
            timeout_recoveries: troubles.recoveries,
            timeout_time: troubles.recovering(now),
            busy,
            window_limited,
            buffer_limited,
            retransmits: self.consecutive_timeouts(),
            probes: self.probes_out,
            congestion: self.congestion.algorithm(),
        }
    }
}
