//! What a host says of its connections, held against what the RFCs allow: looked at each time a host has had its turn.
//!
//! * What has just been sent leaves no more than `cwnd` in flight, and one segment for a tail loss probe (RFC 5681 §3,
//!   RFC 8985 §7.3).
//! * The retransmission timeout is 200 ms at least (Linux's floor; RFC 6298 would have a second) and 120 s at most.
//! * Data that has arrived in order is acknowledged within 500 ms (RFC 9293 §3.8.6.3, MUST-59).
//! * A connection stays in TIME-WAIT for 60 s (twice Linux's maximum segment lifetime) after all programs are done.

use crate::node::Node;
use crate::watch::Watch;
use prise_socket::SocketId;
use prise_stack::TcpInfo;
use prise_wire::Instant;
use std::collections::HashMap;
use std::time::Duration;

const RTO_MIN: Duration = Duration::from_millis(200);
const RTO_MAX: Duration = Duration::from_secs(120);
const ACK_DELAY_MAX: Duration = Duration::from_millis(500);

/// What was seen of a connection when it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    segments_out: u32,
    retransmissions: u32,
    /// Since when there has been data that no acknowledgment has told of, in the host's time; and how much was told then.
    unacknowledged: Option<(Instant, u64)>,
}

/// The judgement of all hosts so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    seen: HashMap<(usize, SocketId), Seen>,
    offence: Option<String>,
}

impl Audit {
    /// The first offence.
    pub(crate) fn offence(&self) -> Option<&str> {
        self.offence.as_deref()
    }

    /// A host has sent all that it would.
    pub(crate) fn look(&mut self, now: Instant, node: &Node, watch: &Watch) {
        let time = node.time(now);
        for &socket in node.owners.keys() {
            let Some(info) = node.host.tcp_info(time, socket) else {
                continue;
            };
            let key = (node.number(), socket);
            let mut seen = self.seen.get(&key).copied().unwrap_or_default();
            let verdict = seen.judge(time, &info).and_then(|()| {
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

impl Seen {
    fn judge(&mut self, _: Instant, info: &TcpInfo) -> Result<(), String> {
        let before = *self;
        self.segments_out = info.data_segments_out;
        self.retransmissions = info.total_retransmissions;
        let has_sent = (before.segments_out, before.retransmissions) != (self.segments_out, self.retransmissions);
        let allowed = info.cwnd.max(info.send_mss) + info.send_mss;
        if has_sent && info.in_flight > allowed {
            return Err(format!(
                "{} octets in flight under a window of {}",
                info.in_flight, info.cwnd
            ));
        }
        if info.rto < RTO_MIN || info.rto > RTO_MAX {
            return Err(format!("a retransmission timeout of {:?}", info.rto));
        }
        Ok(())
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
