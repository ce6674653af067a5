//! One flow of a script: both sides' sequence numbers relative to their ISNs, what was negotiated, what was said; and
//! the rules that every segment of a subject must keep, whatever the script is about.

use std::collections::HashMap;

use crate::option::{self, Opt};
use crate::packet::Seen;
use crate::script::flag;

/// A flow.
#[derive(Debug)]
pub struct Flow {
    /// Its number.
    pub number: usize,
    /// The subject's port, once known.
    pub subject_port: Option<u16>,
    /// The peer's port.
    pub peer_port: u16,
    /// The subject.
    pub subject: Side,
    /// The peer that the script plays.
    pub peer: Side,
    /// The window field that the peer puts where the script does not say.
    pub window: u16,
    /// What the peer sends as data instead of the pattern was ever used, or urgent: reads cannot be checked by
    /// position.
    pub irregular: bool,
    /// What the program wrote.
    pub written: Vec<u8>,
    /// The right edge that the peer has offered, at most.
    offered: Option<u32>,
    /// The right edge that the subject has offered.
    promised: Option<u32>,
    /// TSval of segments that the script has named.
    pub saved: HashMap<String, u32>,
}

/// One side of a flow.
#[derive(Debug, Default)]
pub struct Side {
    /// The ISN, once a SYN was seen.
    pub isn: Option<u32>,
    /// The sequence number after the last sent octet.
    pub nxt: u32,
    /// The window scale of its SYN.
    pub scale: Option<u8>,
    /// The segment size of its SYN.
    pub mss: Option<u16>,
    /// Its SYN had timestamps.
    pub ts: bool,
    /// Its last TSval.
    pub ts_value: u32,
    /// Its highest acknowledgment.
    pub acked: Option<u32>,
}

impl Side {
    /// Relative to the ISN.
    pub fn relative(&self, seq: u32) -> i64 {
        i64::from(seq.wrapping_sub(self.isn.unwrap_or(0)).cast_signed())
    }

    /// From a relative number.
    pub fn absolute(&self, relative: i64) -> u32 {
        self.isn.unwrap_or(0).wrapping_add(relative as u32)
    }

    fn take_syn(&mut self, seq: u32, options: &[Opt]) {
        self.isn = Some(seq);
        self.nxt = seq.wrapping_add(1);
        self.scale = None;
        self.mss = None;
        self.ts = false;
        for option in options {
            match option {
                Opt::Scale(scale) => self.scale = Some((*scale).min(14)),
                Opt::Mss(mss) => self.mss = Some(*mss),
                Opt::Timestamps { .. } => self.ts = true,
                _ => {}
            }
        }
    }
}

/// `a < b` as sequence numbers.
fn precedes(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

/// The octet of the pattern at a place of the stream, different for both directions.
pub fn pattern(from_subject: bool, offset: u64) -> u8 {
    let direction = if from_subject { 0x00 } else { 0x80 };
    (offset.wrapping_mul(7) ^ offset >> 8) as u8 ^ direction
}

impl Flow {
    /// A flow of which nothing was seen.
    pub fn new(number: usize, peer_port: u16, peer_isn: u32) -> Self {
        Self {
            number,
            subject_port: None,
            peer_port,
            subject: Side::default(),
            peer: Side {
                isn: Some(peer_isn),
                nxt: peer_isn,
                ..Side::default()
            },
            window: 65_535,
            irregular: false,
            written: Vec::new(),
            offered: None,
            promised: None,
            saved: HashMap::new(),
        }
    }

    /// Whether both SYNs had timestamps.
    pub fn timestamps(&self) -> bool {
        self.subject.ts && self.peer.ts
    }

    /// The shift of the window field in a segment with these flags from this side.
    fn scale(&self, from_subject: bool, flags: u16) -> u8 {
        match (self.subject.scale, self.peer.scale) {
            (Some(subject), Some(peer)) if flags & flag::SYN == 0 => {
                if from_subject {
                    subject
                } else {
                    peer
                }
            }
            _ => 0,
        }
    }

    /// A segment of the peer is about to arrive at the subject.
    pub fn note_injected(&mut self, seq: u32, ack: u32, flags: u16, window: u16, options: &[Opt], len: u32) {
        if flags & flag::SYN != 0 && self.peer.relative(seq) == 0 {
            self.peer.take_syn(seq, options);
        }
        if flags & flag::RST == 0 {
            let end = seq.wrapping_add(len + u32::from(flags & flag::FIN != 0) + u32::from(flags & flag::SYN != 0));
            if precedes(self.peer.nxt, end) {
                self.peer.nxt = end;
            }
        }
        if flags & flag::ACK != 0 {
            let edge = ack.wrapping_add(u32::from(window) << self.scale(false, flags));
            if self.offered.is_none_or(|known| precedes(known, edge)) {
                self.offered = Some(edge);
            }
        }
    }

    /// A segment of the subject: takes it in, and says which rule it breaks. `strict`: it is ours.
    pub fn note_seen(&mut self, seen: &Seen, new_isn: bool, strict: bool) -> Result<(), String> {
        if seen.flags & flag::SYN != 0 && (self.subject.isn.is_none() || new_isn) {
            self.subject.take_syn(seen.seq, &seen.options);
            self.subject_port = Some(seen.source_port);
            self.subject.acked = None;
            self.promised = None;
            self.offered = None;
        }
        if strict && !seen.dont_fragment {
            // Linux lets routers fragment once it has heard of a path that takes almost nothing.
            return Err("TCP without DF".into());
        }
        self.check_numbers(seen, strict)?;
        self.check_options(seen)?;
        self.check_data(seen)?;
        if seen.flags & flag::RST == 0 {
            let control = u32::from(seen.flags & flag::SYN != 0) + u32::from(seen.flags & flag::FIN != 0);
            let end = seen.seq.wrapping_add(seen.data.len() as u32 + control);
            if precedes(self.subject.nxt, end) {
                self.subject.nxt = end;
            }
        }
        Ok(())
    }

    /// Acknowledgments and the right window edge only go forward (RFC 9293 §3.8.6).
    fn check_numbers(&mut self, seen: &Seen, strict: bool) -> Result<(), String> {
        if seen.flags & flag::ACK == 0 {
            return if seen.ack == 0 || seen.flags & flag::RST != 0 {
                Ok(())
            } else {
                Err("an acknowledgment number without ACK".into())
            };
        }
        if seen.flags & flag::RST != 0 {
            return Ok(());
        }
        if self.subject.acked.is_some_and(|known| precedes(seen.ack, known)) {
            return Err("the acknowledgment number went back".into());
        }
        self.subject.acked = Some(seen.ack);
        let scale = self.scale(true, seen.flags);
        let edge = seen.ack.wrapping_add(u32::from(seen.window) << scale);
        // RFC 7323 §2.4: less than the scale's unit is not a retreat.
        let unit = 1 << scale;
        // Linux itself moves it back in TIME-WAIT and after a simultaneous open: only we are held to it.
        if strict
            && self
                .promised
                .is_some_and(|known| precedes(edge.wrapping_add(unit - 1), known))
        {
            return Err("the right edge of the window went back".into());
        }
        if self.promised.is_none_or(|known| precedes(known, edge)) {
            self.promised = Some(edge);
        }
        Ok(())
    }

    /// Options that belong to SYNs stay there; timestamps are in every segment or in none (RFC 7323 §3.2), and only go
    /// forward.
    fn check_options(&mut self, seen: &Seen) -> Result<(), String> {
        let syn = seen.flags & flag::SYN != 0;
        let misplaced = seen
            .options
            .iter()
            .find(|option| matches!(option, Opt::Mss(_) | Opt::Scale(_) | Opt::SackOk) && !syn);
        if let Some(option) = misplaced {
            return Err(format!("{option} outside of a SYN"));
        }
        match seen.timestamps() {
            Some((value, _)) => {
                // After weeks of silence nobody can tell (RFC 7323 §5.5).
                let back = self.subject.ts_value.wrapping_sub(value);
                if self.subject.ts_value != 0 && (1..1 << 30).contains(&back) {
                    return Err("the timestamp went back".into());
                }
                self.subject.ts_value = value;
                if !syn && !self.timestamps() {
                    return Err("timestamps that were not negotiated".into());
                }
            }
            None if self.timestamps() && seen.flags & (flag::RST | flag::SYN) == 0 => {
                return Err("negotiated timestamps are missing".into());
            }
            None => {}
        }
        Ok(())
    }

    /// The octets are those of the stream, no segment is larger than the peer's MSS, none lies beyond its window.
    fn check_data(&self, seen: &Seen) -> Result<(), String> {
        let len = seen.data.len() as u32;
        if len == 0 {
            return Ok(());
        }
        // RFC 9293 §3.7.1: 536 and 1220 where the peer said nothing. Below 88 Linux does not go.
        let mss = u32::from(self.peer.mss.unwrap_or(1220)).max(88);
        // A SYN goes out before the peer has said anything.
        if seen.flags & flag::SYN == 0 && len + seen.options_len > mss {
            return Err(format!(
                "{len} octets and {} of options, but the MSS is {mss}",
                seen.options_len
            ));
        }
        if seen.flags & flag::SYN == 0
            && let Some(offered) = self.offered
            && precedes(offered, seen.seq.wrapping_add(len))
        {
            return Err("data beyond the window".into());
        }
        let syn = i64::from(seen.flags & flag::SYN == 0);
        let start = self.subject.relative(seen.seq) - syn;
        let Ok(start) = usize::try_from(start) else {
            // One octet below the stream is a keepalive with garbage (RFC 9293 §3.8.4).
            return Ok(());
        };
        match self.written.get(start..start + seen.data.len()) {
            Some(octets) if octets == seen.data => Ok(()),
            Some(_) => Err("octets that the program did not write there".into()),
            None => Err("octets that the program did not write".into()),
        }
    }

    /// A segment as a script would write it, without direction.
    pub fn describe(&self, seen: &Seen) -> String {
        let mut words = vec![letters(seen.flags)];
        // A SYN says itself where it starts.
        let learnt = self.subject.isn.is_some() || seen.flags & flag::SYN == 0;
        let start = if learnt { self.subject.relative(seen.seq) } else { 0 };
        if seen.data.is_empty() {
            words.push(start.to_string());
        } else {
            words.push(format!("{start}:{}", start + seen.data.len() as i64));
        }
        if seen.flags & flag::ACK != 0 {
            words.push(format!("ack {}", self.peer.relative(seen.ack)));
        }
        words.push(format!("win {}", seen.window));
        if seen.flags & flag::URG != 0 {
            words.push(format!("urg {}", seen.urgent));
        }
        if !seen.options.is_empty() {
            words.push(option::list(&self.relative_options(&seen.options)));
        }
        match seen.ecn {
            0 => {}
            1 => words.push("ect1".into()),
            2 => words.push("ect0".into()),
            _ => words.push("ce".into()),
        }
        words.join(" ")
    }

    /// The subject's options with SACK blocks relative to the peer's ISN, as scripts have them.
    pub fn relative_options(&self, options: &[Opt]) -> Vec<Opt> {
        let relative = |seq: u32| self.peer.relative(seq) as u32;
        options
            .iter()
            .map(|option| match option {
                Opt::Sack(blocks) => Opt::Sack(
                    blocks
                        .iter()
                        .map(|(left, right)| (relative(*left), relative(*right)))
                        .collect(),
                ),
                other => other.clone(),
            })
            .collect()
    }
}

/// Flags by their letters.
pub fn letters(flags: u16) -> String {
    let text: String = flag::LETTERS
        .iter()
        .filter(|(_, bit)| flags & bit != 0)
        .map(|(letter, _)| *letter)
        .collect();
    if text.is_empty() { "-".into() } else { text }
}
