//! A watch on the wires: what every sender must hold to whatever the network does to its segments.
//!
//! It sees segments as they leave their senders, before anything happens to them, and holds against each other what the
//! two ends of a connection say: the first offence is kept. Nothing here depends on how the stack is made.

use crate::frames::{self, Seen};
use prise_wire::{Frame, Instant, Medium, SeqNum, TcpFlags};
use std::collections::HashMap;
use std::net::SocketAddr;

/// What is known of all senders.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    senders: HashMap<(SocketAddr, SocketAddr), Sender>,
    offence: Option<String>,
}

/// What one end of a connection has said so far. Made by its SYN.
#[derive(Clone, Copy, Debug)]
struct Sender {
    isn: SeqNum,
    /// What may be acknowledged, first and last, of another answer to the same SYN, given before the host lost power: it
    /// may be under way still, and then the peer's connection is with a host that is no more.
    former: Option<(SeqNum, SeqNum)>,
    /// The window scale in its SYN.
    scale: Option<u8>,
    /// One after the last sequence number it has sent, and after that of its SYN, which may have had data (RFC 7413).
    sent: SeqNum,
    opened: SeqNum,
    /// The right edge of the window it has advertised, the furthest so far.
    edge: Option<SeqNum>,
    /// The last sequence number of the stream, when it has been sent.
    fin: Option<SeqNum>,
    /// The last acknowledgment it has sent.
    acked: Option<SeqNum>,
    /// The last timestamp it has sent.
    stamp: Option<u32>,
}

/// Where a connection stands, as the wires have shown it: what an attacker knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// One after the last sequence number that the peer has sent: no less than the host's `rcv.nxt`.
    pub(crate) peer_sent: SeqNum,
    /// The right edge of the window that the host has told.
    pub(crate) edge: SeqNum,
    /// The host's `snd.nxt`.
    pub(crate) sent: SeqNum,
    /// The last timestamp of the peer's.
    pub(crate) peer_stamp: Option<u32>,
    /// Both have sent timestamps in their SYNs.
    pub(crate) timestamps: bool,
}

impl Watch {
    /// The first offence.
    pub(crate) fn offence(&self) -> Option<&str> {
        self.offence.as_deref()
    }

    /// How many octets of its peer's stream an end has acknowledged on the wire, the FIN's number included; `None` if the
    /// connection's beginning was not seen.
    pub(crate) fn acknowledged(&self, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
        let (sender, peer) = (self.senders.get(&(local, remote))?, self.senders.get(&(remote, local))?);
        let told = sender.acked? - (peer.isn + 1);
        Some(u64::try_from(told).unwrap_or(0))
    }

    /// Where a host's connection stands.
    pub(crate) fn standing(&self, local: SocketAddr, remote: SocketAddr) -> Option<Standing> {
        let (sender, peer) = (self.senders.get(&(local, remote))?, self.senders.get(&(remote, local))?);
        sender.acked?;
        Some(Standing {
            peer_sent: peer.sent,
            edge: sender.edge?,
            sent: sender.sent,
            peer_stamp: peer.stamp,
            timestamps: sender.stamp.is_some() && peer.stamp.is_some(),
        })
    }

    /// A sender has put this frame on a wire.
    pub(crate) fn sent(&mut self, now: Instant, medium: Medium, frame: &Frame) {
        let Some(seen) = frames::tcp(medium, frame) else { return };
        if let Err(what) = self.check(&seen) {
            self.offence
                .get_or_insert_with(|| format!("{now}: {} > {}: {what}", seen.source, seen.destination));
        }
    }

    fn check(&mut self, seen: &Seen) -> Result<(), String> {
        if !seen.checksum_ok {
            return Err("a wrong checksum was sent".into());
        }
        let (forth, back) = ((seen.source, seen.destination), (seen.destination, seen.source));
        let flags = seen.header.flags;
        if flags.contains(TcpFlags::RST) {
            self.senders.remove(&forth);
            self.senders.remove(&back);
            return Ok(());
        }
        if flags.contains(TcpFlags::SYN) {
            self.synchronize(seen);
        }
        // A segment of a connection whose beginning was not seen, or is over: a challenge, an answer from TIME-WAIT.
        let (Some(mut sender), Some(peer)) = (self.senders.get(&forth).copied(), self.senders.get(&back).copied())
        else {
            return Ok(());
        };
        // Whoever has taken the answer of a host that has lost its memory since is told so by a reset.
        let of_former = |(first, last): (SeqNum, SeqNum), ack: SeqNum| {
            first.precedes_or_equals(ack) && ack.precedes_or_equals(last)
        };
        if let (Some(former), Some(ack)) = (peer.former, seen.header.ack)
            && of_former(former, ack)
        {
            return Ok(());
        }
        sender.check_data(&peer, seen)?;
        sender.check_acknowledgment(&peer, seen)?;
        self.senders.insert(forth, sender);
        Ok(())
    }

    /// A SYN that was not sent before begins a new connection: what was known of both ends is history.
    fn synchronize(&mut self, seen: &Seen) {
        let header = &seen.header;
        let (forth, back) = ((seen.source, seen.destination), (seen.destination, seen.source));
        let known = self.senders.get(&forth);
        if known.is_some_and(|known| known.isn == header.seq) {
            return;
        }
        // Both answer the same SYN, the one with more of its octets than the other (Fast Open).
        let answers = |peer: &Sender, ack: Option<SeqNum>| {
            ack.is_some_and(|ack| ack.follows(peer.isn) && ack.precedes_or_equals(peer.opened))
        };
        let asker = self.senders.get(&back);
        let same = |known: &&Sender| asker.is_some_and(|peer| answers(peer, header.ack) && answers(peer, known.acked));
        let former = known.filter(same);
        let former = former.map(|known| (known.isn + 1, known.sent));
        // A SYN's answer belongs to it, unless the asker has gone on since: then the SYN was a late copy, and the asker's
        // segments belong to the connection before, which it still remembers (TIME-WAIT).
        let goes_along = |known: &Sender| header.ack.is_some() && known.sent == known.opened;
        if self.senders.get(&back).is_some_and(|known| !goes_along(known)) {
            self.senders.remove(&back);
        }
        let end = header.seq + 1 + seen.len as u32;
        self.senders.insert(
            forth,
            Sender {
                isn: header.seq,
                former,
                scale: header.options.window_scale,
                sent: end,
                opened: end,
                edge: header.ack.map(|ack| ack + u32::from(header.window)),
                fin: None,
                acked: header.ack,
                stamp: header.options.timestamps.map(|stamps| stamps.value),
            },
        );
    }
}

impl Sender {
    /// What is sent lies within the window that the peer has advertised, and not behind a FIN.
    fn check_data(&mut self, peer: &Self, seen: &Seen) -> Result<(), String> {
        let header = &seen.header;
        let syn = u32::from(header.flags.contains(TcpFlags::SYN));
        let fin = u32::from(header.flags.contains(TcpFlags::FIN));
        let data_end = header.seq + syn + seen.len as u32;
        let end = data_end + fin;
        if let Some(edge) = peer.edge {
            // One octet beyond is a zero-window probe (RFC 9293 §3.8.6.1); a FIN may lie beyond as well.
            let beyond = data_end - edge;
            if beyond > 1 && syn == 0 {
                return Err(format!("{beyond} octets were sent beyond the window's right edge"));
            }
        }
        if let Some(known) = self.fin {
            if end.follows(known + 1) {
                return Err("octets were sent behind the FIN".into());
            }
            if fin == 1 && data_end != known {
                return Err("the FIN has moved".into());
            }
        } else if fin == 1 {
            self.fin = Some(data_end);
        }
        self.sent = self.sent.later(end);
        Ok(())
    }

    /// What is acknowledged was sent; the window's right edge does not move left (RFC 9293 §3.8.6).
    fn check_acknowledgment(&mut self, peer: &Self, seen: &Seen) -> Result<(), String> {
        let header = &seen.header;
        let Some(ack) = header.ack else { return Ok(()) };
        if ack.follows(peer.sent) {
            return Err(format!(
                "{} octets were acknowledged that were never sent",
                ack - peer.sent
            ));
        }
        for block in header.options.sack.as_slice() {
            if block.right.follows(peer.sent) || !block.left.precedes(block.right) {
                return Err(format!(
                    "a SACK block reaches {} beyond what was sent",
                    block.right - peer.sent
                ));
            }
        }
        let shift = match (self.scale, peer.scale) {
            (Some(own), Some(_)) if !header.flags.contains(TcpFlags::SYN) => u32::from(own.min(14)),
            _ => 0,
        };
        let edge = ack + (u32::from(header.window) << shift);
        // A scaled window is rounded down; the edge may seem to move by less than one unit (RFC 7323 §2.4).
        // The answer to a SYN with data says what 16 bits can when it comes again; who has its first octets knows more.
        let again = header.flags.contains(TcpFlags::SYN) && peer.opened != peer.isn + 1;
        if let Some(known) = self.edge.filter(|_| !again)
            && known - edge >= 1 << shift
        {
            return Err(format!("the window's right edge moved left by {}", known - edge));
        }
        self.edge = Some(self.edge.map_or(edge, |known| known.later(edge)));
        self.acked = Some(self.acked.map_or(ack, |known| known.later(ack)));
        if let Some(stamps) = header.options.timestamps {
            self.stamp = Some(stamps.value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prise_wire::{Body, Ipv4Header, Payload, TcpHeader, checksum, protocol};

    /// A segment of a connection between ports 1 and 2 of one address; from 1 if `client`.
    fn segment(client: bool, seq: u32, ack: Option<u32>, window: u16, flags: TcpFlags, len: usize) -> Frame {
        let address = std::net::Ipv4Addr::new(10, 0, 0, 1);
        let (source_port, destination_port) = if client { (1, 2) } else { (2, 1) };
        let mut header = TcpHeader {
            source_port,
            destination_port,
            seq: SeqNum(seq),
            ack: ack.map(SeqNum),
            window,
            flags,
            ..TcpHeader::default()
        };
        if flags.contains(TcpFlags::SYN) {
            header.options.window_scale = Some(2);
        }
        let build = |header: &TcpHeader| Frame::with_header(header, Body::from(Payload::from(vec![0; len])));
        let pseudo = checksum::pseudo_header(
            address.into(),
            address.into(),
            protocol::TCP,
            build(&header).total_len(),
        );
        header.checksum = !checksum::combine(pseudo, build(&header).sum_from(0));
        let mut frame = build(&header);
        let ip = Ipv4Header::new(address, address, protocol::TCP, frame.total_len());
        frame.push_header(&ip);
        frame
    }

    /// What the watch says of these segments after a handshake with initial sequence numbers 100 and 500, in which both
    /// offer a window of 1,000 octets with a scale of 2.
    fn verdict(segments: impl IntoIterator<Item = Frame>) -> Option<String> {
        let mut watch = Watch::default();
        let handshake = [
            segment(true, 100, None, 1000, TcpFlags::SYN, 0),
            segment(false, 500, Some(101), 1000, TcpFlags::SYN, 0),
            segment(true, 101, Some(501), 250, TcpFlags::NONE, 0),
        ];
        for frame in handshake.into_iter().chain(segments) {
            watch.sent(Instant::ZERO, Medium::Ip, &frame);
        }
        watch.offence().map(str::to_owned)
    }

    fn assert_offence(segments: impl IntoIterator<Item = Frame>, what: &str) {
        let said = verdict(segments);
        assert!(
            said.as_ref().is_some_and(|said| said.contains(what)),
            "{said:?} does not say {what:?}"
        );
    }

    #[test]
    fn a_blameless_exchange_is_not_blamed() {
        let exchange = [
            segment(true, 101, Some(501), 250, TcpFlags::PSH, 1000),
            segment(false, 501, Some(1101), 0, TcpFlags::NONE, 0),
            // A probe of the shut window, its answer, more room, the rest.
            segment(true, 1101, Some(501), 250, TcpFlags::NONE, 1),
            segment(false, 501, Some(1101), 0, TcpFlags::NONE, 0),
            segment(false, 501, Some(1101), 2, TcpFlags::FIN, 0),
            segment(true, 1101, Some(502), 250, TcpFlags::FIN, 8),
            segment(false, 502, Some(1110), 0, TcpFlags::NONE, 0),
        ];
        assert_eq!(verdict(exchange), None);
    }

    #[test]
    fn octets_beyond_the_window_are_an_offence() {
        assert_offence(
            [segment(true, 101, Some(501), 250, TcpFlags::NONE, 1002)],
            "2 octets were sent beyond",
        );
    }

    #[test]
    fn a_window_taken_back_is_an_offence_unless_it_is_rounding() {
        let rounded = [
            segment(false, 501, Some(101), 250, TcpFlags::PSH, 3),
            segment(true, 101, Some(504), 249, TcpFlags::NONE, 0),
        ];
        assert_eq!(verdict(rounded), None);
        let back = [
            segment(true, 101, Some(501), 250, TcpFlags::NONE, 0),
            segment(true, 101, Some(501), 248, TcpFlags::NONE, 0),
        ];
        assert_offence(back, "right edge moved left by 8");
    }

    #[test]
    fn acknowledging_what_was_never_sent_is_an_offence() {
        assert_offence(
            [segment(true, 101, Some(502), 250, TcpFlags::NONE, 0)],
            "1 octets were acknowledged",
        );
    }

    #[test]
    fn the_answer_of_a_host_that_has_lost_its_memory_may_still_be_taken() {
        let taken = |ack| {
            let mut watch = Watch::default();
            let segments = [
                segment(true, 100, None, 1000, TcpFlags::SYN, 0),
                segment(false, 500, Some(101), 1000, TcpFlags::SYN, 0),
                segment(false, 400, Some(101), 1000, TcpFlags::SYN, 0),
                segment(true, 101, Some(ack), 250, TcpFlags::PSH, 10),
            ];
            for frame in segments {
                watch.sent(Instant::ZERO, Medium::Ip, &frame);
            }
            watch.offence().map(str::to_owned)
        };
        assert_eq!(taken(401), None);
        assert_eq!(taken(501), None);
        assert!(taken(502).is_some_and(|said| said.contains("101 octets were acknowledged")));
    }

    #[test]
    fn octets_behind_a_fin_and_a_fin_that_moves_are_offences() {
        let fin = |seq| segment(true, seq, Some(501), 250, TcpFlags::FIN, 0);
        assert_offence(
            [fin(101), segment(true, 102, Some(501), 250, TcpFlags::NONE, 1)],
            "behind the FIN",
        );
        assert_offence([fin(102), fin(101)], "the FIN has moved");
    }

    #[test]
    fn a_wrong_checksum_is_an_offence() {
        let mut frame = segment(true, 101, Some(501), 250, TcpFlags::NONE, 0);
        frame.head_mut()[30] ^= 1;
        assert_offence([frame], "checksum");
    }
}
