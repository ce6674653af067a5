//! What a host says of its connections, held against what the RFCs allow: looked at each time a host has had its turn.
//!
//! * What has just been sent leaves no more than `cwnd` and a segment in flight (RFC 5681 §3). A FIN takes a number but is
//!   no octet of data. What was in flight when the window shrank stays there; a tail loss probe may add one segment of new
//!   octets to that, once until something is delivered (RFC 8985 §7.3).
//! * The retransmission timeout is 200 ms at least (Linux's floor; RFC 6298 would have a second) and 120 s at most.
//! * Data that has arrived in order is acknowledged within 200 ms (Linux's `TCP_DELACK_MAX`; RFC 9293 §3.8.6.3 would have
//!   500 ms, MUST-59).
//!
//! What else has a time is judged by [`Timers`].

use crate::node::Node;
use crate::timers::Timers;
use crate::watch::Watch;
use prise_socket::SocketId;
use prise_stack::TcpInfo;
use prise_wire::Instant;
use std::collections::HashMap;
use std::time::Duration;

const RTO_MIN: Duration = Duration::from_millis(200);
const RTO_MAX: Duration = Duration::from_secs(120);
const ACK_DELAY_MAX: Duration = Duration::from_millis(201);

/// What is judged of that which a host says of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    mss: u32,
    cwnd: u32,
    in_flight: u32,
    /// A FIN is among what is in flight.
    fin: bool,
    srtt: Duration,
    /// What has been sent: octets, segments of data, retransmissions.
    octets: u64,
    segments: u32,
    retransmissions: u32,
    /// What has been heard: segments delivered, timeouts instead.
    delivered: u32,
    timeouts: u16,
}

/// What was seen of a connection when it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    said: Said,
    /// Since when nothing has been sent or delivered.
    quiet_since: Instant,
    /// What had been delivered, and how many timeouts there had been, when a tail loss probe went beyond the window.
    probed_at: Option<(u32, u16)>,
    /// Since when there has been data that no acknowledgment has told of, in the host's time; and how much was told then.
    unacknowledged: Option<(Instant, u64)>,
}

/// The judgement of all hosts so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    seen: HashMap<(usize, SocketId), Seen>,
    timers: Timers,
    offence: Option<String>,
}

impl Audit {
    /// The first offence.
    pub(crate) fn offence(&self) -> Option<&str> {
        self.offence.as_deref()
    }

    /// A host has sent all that it would.
    pub(crate) fn look(&mut self, now: Instant, node: &mut Node, watch: &Watch) {
        let time = node.time(now);
        if let Err(what) = self.timers.look(now, node) {
            self.offence
                .get_or_insert_with(|| format!("{now}: {}: {what}", node.name));
        }
        let owned: Vec<SocketId> = node.owners.keys().copied().collect();
        for socket in owned {
            let Some(info) = node.host.tcp_info(time, socket) else {
                continue;
            };
            let key = (node.number(), socket);
            let mut seen = self.seen.get(&key).copied().unwrap_or_default();
            let verdict = judge_timeout(&info)
                .and_then(|()| self.timers.look_at(now, node, socket, &info))
                .and_then(|()| seen.judge(time, Said::from(&info)))
                .and_then(|()| {
                    let Some(Some(told)) = node
                        .host
                        .info(socket)
                        .map(|it| watch.acknowledged(it.local, it.remote?))
                    else {
                        return Ok(());
                    };
                    let calm = node.disturbed.is_none_or(|at| now - at > ACK_DELAY_MAX * 2);
                    seen.judge_acknowledgment(time, info.bytes_received, told, calm)
                });
            self.seen.insert(key, seen);
            if let Err(what) = verdict {
                self.offence
                    .get_or_insert_with(|| format!("{now}: {}: {socket:?}: {what}; {info:?}", node.name));
            }
        }
    }
}

impl From<&TcpInfo> for Said {
    fn from(info: &TcpInfo) -> Self {
        Self {
            mss: info.send_mss,
            cwnd: info.cwnd,
            in_flight: info.in_flight,
            fin: info.fin_unacknowledged,
            srtt: info.srtt,
            octets: info.bytes_sent,
            segments: info.data_segments_out,
            retransmissions: info.total_retransmissions,
            delivered: info.delivered,
            timeouts: info.timeouts,
        }
    }
}

impl Seen {
    fn judge(&mut self, time: Instant, said: Said) -> Result<(), String> {
        let before = *self;
        self.said = said;
        let has_sent = (before.said.segments, before.said.retransmissions) != (said.segments, said.retransmissions);
        if has_sent || said.delivered != before.said.delivered {
            self.quiet_since = time;
        }
        let allowed = said.cwnd.max(said.mss) + said.mss + u32::from(said.fin);
        // A FIN without data leaves whatever the window is, on Linux too.
        let bare_fin = said.fin && !before.said.fin && said.octets.saturating_sub(before.said.octets) <= 1;
        if has_sent && said.in_flight > allowed && !bare_fin && !self.is_tail_probe(&before, time) {
            return Err(format!(
                "{} octets in flight under a window of {}",
                said.in_flight, said.cwnd
            ));
        }
        Ok(())
    }

    /// What has just been sent beyond the window is a tail loss probe's: one segment, after a round trip at least (a probe
    /// timeout is two) in which nothing was sent and nothing delivered, and the first since something was.
    fn is_tail_probe(&mut self, before: &Self, time: Instant) -> bool {
        let (said, then) = (&self.said, &before.said);
        let one = said.octets.saturating_sub(then.octets) <= u64::from(said.mss);
        let late = time - before.quiet_since >= said.srtt && said.delivered == then.delivered;
        let now = Some((said.delivered, said.timeouts));
        if !one || !late || self.probed_at == now {
            return false;
        }
        self.probed_at = now;
        true
    }

    /// `received` octets have arrived in order; acknowledgments on the wire have told of `told`.
    fn judge_acknowledgment(&mut self, time: Instant, received: u64, told: u64, calm: bool) -> Result<(), String> {
        if received <= told {
            self.unacknowledged = None;
            return Ok(());
        }
        match self.unacknowledged {
            Some((since, then)) if then == told => {
                if calm && time - since > ACK_DELAY_MAX {
                    return Err(format!("{} octets not acknowledged since {since}", received - told));
                }
            }
            _ => self.unacknowledged = Some((time, told)),
        }
        Ok(())
    }
}

fn judge_timeout(info: &TcpInfo) -> Result<(), String> {
    if info.rto < RTO_MIN || info.rto > RTO_MAX {
        return Err(format!("a retransmission timeout of {:?}", info.rto));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const RTT: Duration = Duration::from_millis(100);

    /// A connection that has `in_flight` segments in flight under a window of `cwnd`, of `sent` segments.
    fn said(cwnd: u32, in_flight: u32, sent: u32) -> Said {
        Said {
            mss: MSS,
            cwnd: cwnd * MSS,
            in_flight: in_flight * MSS,
            srtt: RTT,
            octets: u64::from(sent * MSS),
            segments: sent,
            ..Said::default()
        }
    }

    /// What is said of a connection that has ten segments in flight when its window shrinks to four, and then these.
    fn verdict(steps: impl IntoIterator<Item = (Duration, Said)>) -> Result<(), String> {
        let mut seen = Seen::default();
        seen.judge(Instant::ZERO, said(10, 10, 10))?;
        seen.judge(Instant::ZERO, said(4, 10, 10))?;
        let mut steps = steps.into_iter();
        steps.try_for_each(|(after, said)| seen.judge(Instant::ZERO + after, said))
    }

    #[test]
    fn one_tail_probe_may_be_added_to_what_a_smaller_window_left_in_flight() {
        let probe = (RTT * 2, said(4, 11, 11));
        assert_eq!(verdict([probe]), Ok(()));
        assert!(verdict([probe, (RTT * 4, said(4, 12, 12))]).is_err());
        let delivered = |said| Said { delivered: 1, ..said };
        let heard = (RTT * 3, delivered(said(4, 10, 11)));
        assert_eq!(verdict([probe, heard, (RTT * 5, delivered(said(4, 11, 12)))]), Ok(()));
        assert!(verdict([probe, heard, (RTT * 3, delivered(said(4, 11, 12)))]).is_err());
    }

    #[test]
    fn what_is_sent_early_or_in_twos_is_no_tail_probe() {
        assert!(verdict([(RTT / 2, said(4, 11, 11))]).is_err());
        assert!(verdict([(RTT * 2, said(4, 12, 12))]).is_err());
    }

    #[test]
    fn a_fin_is_no_octet_of_the_window() {
        let closing = Said {
            in_flight: 11 * MSS + 1,
            fin: true,
            ..said(10, 11, 11)
        };
        assert_eq!(verdict([(RTT / 2, closing)]), Ok(()));
        assert!(verdict([(RTT / 2, Said { fin: false, ..closing })]).is_err());
    }

    #[test]
    fn a_fin_without_data_may_leave_under_a_window_that_is_full() {
        let closing = Said {
            octets: u64::from(10 * MSS) + 1,
            in_flight: 10 * MSS + 1,
            fin: true,
            ..said(4, 10, 11)
        };
        assert_eq!(verdict([(RTT / 2, closing)]), Ok(()));
        let with_data = Said {
            octets: u64::from(11 * MSS) + 1,
            in_flight: 11 * MSS + 1,
            ..closing
        };
        assert!(verdict([(RTT / 2, with_data)]).is_err());
    }
}
