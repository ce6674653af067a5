//! What happened, line by line, with sequence numbers counted from each connection's first.

use crate::frames::{self, Seen, Words};
use prise_link::impairment::ImpairmentCounters;
use prise_socket::{Readiness, SocketId};
use prise_wire::{Frame, Instant, Medium, SeqNum, TcpFlags};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// A record of what happens in a world.
#[derive(Debug, Default)]
pub struct Trace {
    keep: Keep,
    lines: VecDeque<String>,
    /// The initial sequence number of each sender of each connection.
    isn: HashMap<(SocketAddr, SocketAddr), SeqNum>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keep {
    #[default]
    Nothing,
    Last(usize),
    Print,
}

impl Trace {
    /// Keeps nothing and costs nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Keeps the last `lines` lines.
    pub fn last(lines: usize) -> Self {
        Self {
            keep: Keep::Last(lines),
            ..Self::default()
        }
    }

    /// Prints every line to the standard output as it happens.
    pub fn print() -> Self {
        Self {
            keep: Keep::Print,
            ..Self::default()
        }
    }

    /// Whether lines are wanted.
    pub fn is_on(&self) -> bool {
        self.keep != Keep::Nothing
    }

    /// The lines that were kept.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    fn line(&mut self, now: Instant, host: &str, what: &str) {
        let line = format!("{now} {host:<8} {what}");
        match self.keep {
            Keep::Nothing => {}
            Keep::Print => println!("{line}"),
            Keep::Last(limit) => {
                if self.lines.len() == limit {
                    self.lines.pop_front();
                }
                self.lines.push_back(line);
            }
        }
    }

    pub(crate) fn note(&mut self, now: Instant, host: &str, line: impl FnOnce() -> String) {
        if self.is_on() {
            self.line(now, host, &line());
        }
    }

    pub(crate) fn ready(&mut self, now: Instant, host: &str, socket: SocketId, readiness: Readiness) {
        if self.is_on() {
            self.line(now, host, &format!("ready {socket:?} {readiness:?}"));
        }
    }

    /// A frame was put on a wire; what became of it is what has changed in the wire's counters.
    pub(crate) fn departure(
        &mut self,
        now: Instant,
        host: &str,
        medium: Medium,
        frame: &Frame,
        before: &ImpairmentCounters,
        after: &ImpairmentCounters,
    ) {
        let mut line = format!("-> {}", self.words(medium, frame));
        for (what, count) in [
            ("lost", after.lost - before.lost),
            ("duplicated", after.duplicated - before.duplicated),
            ("reordered", after.reordered - before.reordered),
            ("corrupted", after.corrupted - before.corrupted),
            ("queue full", after.queue_full - before.queue_full),
            ("line full", after.line_full - before.line_full),
        ] {
            if count > 0 {
                let _ = write!(line, "  !{what}");
            }
        }
        self.line(now, host, &line);
    }

    pub(crate) fn arrival(&mut self, now: Instant, host: &str, medium: Medium, frame: &Frame) {
        if self.is_on() {
            let words = self.words(medium, frame);
            self.line(now, host, &format!("<- {words}"));
        }
    }

    fn words(&mut self, medium: Medium, frame: &Frame) -> String {
        match frames::tcp(medium, frame) {
            Some(seen) => self.segment(&seen),
            None => Words(medium, frame).to_string(),
        }
    }

    /// A segment in words, much like tcpdump's.
    fn segment(&mut self, seen: &Seen) -> String {
        let header = &seen.header;
        let way = (seen.source, seen.destination);
        if header.flags.contains(TcpFlags::SYN) && seen.checksum_ok {
            self.isn.insert(way, header.seq);
        }
        let relative = |seq: SeqNum, isn: Option<&SeqNum>| seq.distance_from(isn.copied().unwrap_or(SeqNum(0)));
        let seq = relative(header.seq, self.isn.get(&way));
        let isn_back = self.isn.get(&(way.1, way.0));
        let mut out = format!("{} > {} {:?} seq {seq}", way.0, way.1, header.flags);
        if seen.len > 0 {
            let _ = write!(out, "..{}", seq.wrapping_add(seen.len as u32));
        }
        if let Some(ack) = header.ack {
            let _ = write!(out, " ack {}", relative(ack, isn_back));
        }
        let _ = write!(out, " win {}", header.window);
        for block in header.options.sack.as_slice() {
            let _ = write!(
                out,
                " sack {}..{}",
                relative(block.left, isn_back),
                relative(block.right, isn_back)
            );
        }
        if let Some(mss) = header.options.mss {
            let _ = write!(out, " mss {mss} ws {:?}", header.options.window_scale);
        }
        if let Some(stamps) = header.options.timestamps {
            let _ = write!(out, " ts {} {}", stamps.value, stamps.echo);
        }
        if !seen.checksum_ok {
            out.push_str(" BAD CHECKSUM");
        }
        out
    }
}
