//! NewReno's window: RFC 5681 §3.1 with the byte counting of RFC 3465.

/// Congestion avoidance: one segment for each window of acknowledged octets.
pub(super) fn avoid(cwnd: &mut u32, counted: &mut u32, acked: u32, mss: u32) {
    *counted = counted.saturating_add(acked);
    while *counted >= *cwnd {
        *counted -= *cwnd;
        *cwnd = cwnd.saturating_add(mss);
    }
}

/// `ssthresh = max(FlightSize / 2, 2 × SMSS)`: RFC 5681, equation 4.
pub(super) fn threshold(in_flight: u32, mss: u32) -> u32 {
    (in_flight / 2).max(2 * mss)
}
