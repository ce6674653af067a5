//! `TCP_INFO`: `struct tcp_info` of `linux/tcp.h`, as of Linux 6.18 (`tcp_get_info`).

use alloc::vec::Vec;
use core::time::Duration;

use prise_stack::{FastOpenFailure, LossState, State, TcpInfo};

use crate::info;

/// The structure's size.
pub(super) const SIZE: usize = 280;

/// Octets in the order of the structure, whose fields have their natural alignment.
struct Layout(Vec<u8>);

impl Layout {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn micros(&mut self, value: Duration) {
        self.u32(u32::try_from(value.as_micros()).unwrap_or(u32::MAX));
    }

    fn millis(&mut self, value: Duration) {
        self.u32(u32::try_from(value.as_millis()).unwrap_or(u32::MAX));
    }

    /// Whole segments: Linux counts the flight in segments.
    fn segments(&mut self, octets: u32, mss: u32) {
        self.u32(octets.div_ceil(mss.max(1)));
    }
}

/// The structure for a socket in `state`: of a connection its figures, of a listener its queue, of anything else zeros.
pub(super) fn encode(state: State, connection: Option<&TcpInfo>, backlog: Option<(usize, usize)>) -> Vec<u8> {
    let mut out = Layout(Vec::with_capacity(SIZE));
    out.u8(info::State::from(state) as u8);
    match (connection, backlog) {
        (Some(of), _) => encode_connection(&mut out, of),
        (None, Some((waiting, limit))) => {
            // tcp_get_info: of a listener, unacked is the queue and sacked its limit.
            out.0.resize(24, 0);
            out.u32(waiting as u32);
            out.u32(limit as u32);
        }
        (None, None) => {}
    }
    out.0.resize(SIZE, 0);
    out.0
}

/// Everything after the first octet.
fn encode_connection(out: &mut Layout, of: &TcpInfo) {
    encode_bits(out, of);
    encode_windows(out, of);
    encode_totals(out, of);
}

/// `tcpi_ca_state` to `tcpi_rcv_mss`.
fn encode_bits(out: &mut Layout, of: &TcpInfo) {
    out.u8(match of.loss_state {
        LossState::Open => 0,
        LossState::Disorder => 1,
        LossState::WindowReduced => 2,
        LossState::Recovery => 3,
        LossState::Loss => 4,
    });
    // tcpi_retransmits, tcpi_probes, tcpi_backoff.
    out.u8(of.retransmits);
    out.u8(of.probes);
    out.u8(of.backoff);
    let bit = |on: bool, bit: u8| u8::from(on) << bit;
    let scaled = of.send_scale.is_some();
    out.u8(bit(of.timestamps, 0)
        | bit(of.sack, 1)
        | bit(scaled, 2)
        | bit(of.ecn, 3)
        | bit(of.ecn_seen, 4)
        | bit(of.syn_data, 5)
        | bit(of.fast_open_child, 7));
    out.u8(of.send_scale.unwrap_or(0) | of.receive_scale.unwrap_or(0) << 4);
    // tcpi_delivery_rate_app_limited, tcpi_fastopen_client_fail.
    let failure = match of.fast_open_failure {
        FastOpenFailure::None => 0,
        FastOpenFailure::NoCookie => 1,
        FastOpenFailure::DataNotAcknowledged => 2,
        FastOpenFailure::SynRetransmitted => 3,
    };
    out.u8(u8::from(of.app_limited) | failure << 1);
    out.micros(of.rto);
    out.micros(of.ato);
    out.u32(of.send_mss);
    out.u32(of.receive_mss);
}

/// `tcpi_unacked` to `tcpi_total_retrans`.
fn encode_windows(out: &mut Layout, of: &TcpInfo) {
    let mss = of.send_mss;
    out.segments(of.unacked, mss);
    out.segments(of.sacked, mss);
    out.segments(of.lost, mss);
    out.segments(of.retransmitting, mss);
    // tcpi_fackets went with FACK.
    out.u32(0);
    out.millis(of.since_data_sent);
    // tcpi_last_ack_sent is not remembered by Linux either.
    out.u32(0);
    out.millis(of.since_data_received);
    out.millis(of.since_ack_received);
    out.u32(of.path_mtu);
    // tcpi_rcv_ssthresh.
    out.u32(of.receive_window);
    out.micros(of.srtt);
    out.micros(of.rttvar);
    out.u32(match of.ssthresh {
        // TCP_INFINITE_SSTHRESH.
        u32::MAX => 0x7fff_ffff,
        octets => octets.div_ceil(mss.max(1)),
    });
    out.segments(of.cwnd, mss);
    out.u32(of.advertised_mss);
    out.u32(of.reordering);
    out.micros(of.receive_rtt);
    // tcpi_rcv_space.
    out.u32(of.receive_space);
    out.u32(of.total_retransmissions);
}

/// `tcpi_pacing_rate` to the end.
fn encode_totals(out: &mut Layout, of: &TcpInfo) {
    out.u64(of.pacing_rate.unwrap_or(u64::MAX));
    out.u64(of.max_pacing_rate.unwrap_or(u64::MAX));
    out.u64(of.bytes_acked + of.control_acked);
    out.u64(of.bytes_received);
    out.u32(of.segments_out);
    out.u32(of.segments_in);
    out.u32(of.unsent);
    out.micros(of.min_rtt);
    out.u32(of.data_segments_in);
    out.u32(of.data_segments_out);
    out.u64(of.delivery_rate);
    for time in [of.busy, of.window_limited, of.buffer_limited] {
        out.u64(time.as_micros() as u64);
    }
    out.u32(of.delivered);
    out.u32(of.delivered_ce);
    out.u64(of.bytes_sent);
    out.u64(of.bytes_retransmitted);
    out.u32(of.dsack_dups);
    out.u32(of.reordering_seen);
    out.u32(of.received_out_of_order);
    out.u32(of.send_window);
    out.u32(of.receive_window);
    // tcpi_rehash: Linux draws a new hash of the flow at each timeout, so that another path may be chosen.
    out.u32(of.timeouts.into());
    out.u16(of.timeouts);
    out.u16(of.timeout_recoveries);
    out.millis(of.timeout_time);
    encode_ecn(out, of);
}

/// `tcpi_received_ce` to `tcpi_accecn_opt_seen`.
fn encode_ecn(out: &mut Layout, of: &TcpInfo) {
    out.u32(of.received_ce);
    for octets in [of.delivered_octets, of.received_octets] {
        out.u32(octets.ect1);
        out.u32(octets.ect0);
        out.u32(octets.ce);
    }
    out.u16(of.acc_ecn_failures.into());
    out.u16(of.acc_ecn_option_seen.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_socket_shows_its_state_and_zeros() {
        let octets = encode(State::Closed, None, None);
        assert_eq!(octets.len(), SIZE);
        assert_eq!(octets[0], 7);
        assert!(octets[1..].iter().all(|octet| *octet == 0));
    }

    #[test]
    fn a_listener_shows_its_queue_where_linux_shows_it() {
        let octets = encode(State::Listen, None, Some((3, 128)));
        assert_eq!(octets[0], 10);
        assert_eq!(octets[24..32], [3, 0, 0, 0, 128, 0, 0, 0]);
    }
}
