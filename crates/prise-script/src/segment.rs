//! Segments of a script: built, and compared with what was seen.

use crate::flow::{Flow, pattern};
use crate::option::{self, Opt};
use crate::packet::{IcmpError, Outgoing, Seen};
use crate::run::{LISTEN_PORT, Run};
use crate::script::{Ack, Echo, Icmp, IcmpKind, Segment, Seq, flag};

/// The peer's clock: milliseconds, from here.
const PEER_CLOCK: u32 = 1000;

impl Run<'_> {
    /// A segment of the peer arrives.
    pub(crate) fn inject(&mut self, spec: &Segment) -> Result<(), String> {
        let now = self.subject.now();
        let clock = PEER_CLOCK.wrapping_add(now.as_millis() as u32);
        let addresses = self.addresses;
        let spec = &self.with_cookies(spec)?;
        let flow = self.flow(spec.flow);
        let outgoing = outgoing(spec, flow, clock)?;
        let len = outgoing.data.len() as u32;
        let text = describe(spec.flow, &outgoing, flow);
        if spec.bad_checksum || spec.data_offset.is_some() {
            // It must not count.
        } else {
            flow.note_injected(
                outgoing.seq,
                outgoing.ack,
                outgoing.flags,
                outgoing.window,
                &outgoing.options,
                len,
            );
            if outgoing.flags & flag::RST == 0 {
                flow.window = outgoing.window;
            }
            flow.irregular |= spec.data.is_some() || outgoing.flags & flag::URG != 0;
        }
        if let Some(name) = &spec.save {
            let value = outgoing.options.iter().find_map(|option| match option {
                Opt::Timestamps { value, .. } => *value,
                _ => None,
            });
            let value = value.ok_or("there is no timestamp to save")?;
            flow.saved.insert(name.clone(), value);
        }
        self.trace.add(now, &text);
        self.subject.inject(&outgoing.to_packet(addresses));
        Ok(())
    }

    /// The segment with the octets of its cookies in place of their names.
    fn with_cookies(&self, spec: &Segment) -> Result<Segment, String> {
        let mut spec = spec.clone();
        for option in spec.options.iter_mut().flatten() {
            if let Opt::FastOpenNamed(name) = option {
                let cookie = self.cookies.get(name);
                let cookie = cookie.ok_or_else(|| format!("no cookie was saved as {name}"))?;
                *option = Opt::FastOpen(Some(cookie.clone()));
            }
        }
        Ok(spec)
    }

    /// Remembers cookies that an expected segment has names for.
    pub(crate) fn remember_cookies(&mut self, spec: &Segment, seen: &Seen) {
        let named = spec.options.iter().flatten().find_map(|option| match option {
            Opt::FastOpenNamed(name) => Some(name.clone()),
            _ => None,
        });
        let cookie = seen.options.iter().find_map(|option| match option {
            Opt::FastOpen(Some(cookie)) => Some(cookie.clone()),
            _ => None,
        });
        if let (Some(name), Some(cookie)) = (named, cookie) {
            self.cookies.insert(name, cookie);
        }
    }

    /// An ICMP error arrives.
    pub(crate) fn inject_icmp(&mut self, icmp: Icmp) {
        let now = self.subject.now();
        let addresses = self.addresses;
        let flow = self.flow(icmp.flow);
        let subject_port = flow.subject_port.unwrap_or(LISTEN_PORT);
        let (v4, v6, mtu) = match icmp.kind {
            IcmpKind::TooBig(mtu) => ((3, 4), (2, 0), mtu),
            IcmpKind::Network => ((3, 0), (1, 0), 0),
            IcmpKind::Host => ((3, 1), (1, 3), 0),
            IcmpKind::Port => ((3, 3), (1, 4), 0),
            IcmpKind::Protocol => ((3, 2), (4, 1), 0),
            IcmpKind::Prohibited => ((3, 13), (1, 1), 0),
            IcmpKind::TimeExceeded => ((11, 0), (3, 0), 0),
            // No such thing in IPv6: an unknown informational type stands for it.
            IcmpKind::Quench => ((4, 0), (200, 0), 0),
        };
        let error = IcmpError {
            v4,
            v6,
            mtu,
            ports: (subject_port, flow.peer_port),
            seq: flow.subject.absolute(icmp.seq),
        };
        self.trace
            .add(now, &format!("<{} icmp {:?} seq {}", icmp.flow, icmp.kind, icmp.seq));
        self.subject.inject(&error.to_packet(addresses));
    }
}

fn outgoing(spec: &Segment, flow: &Flow, clock: u32) -> Result<Outgoing, String> {
    let seq = match spec.seq {
        Seq::Next => flow.peer.nxt,
        Seq::At(relative) => flow.peer.absolute(relative),
        Seq::New => return Err("an injected SYN says where it starts".into()),
    };
    let ack = match spec.ack {
        Some(Ack::At(relative)) => flow.subject.absolute(relative),
        _ if spec.flags & flag::ACK != 0 => flow.subject.nxt,
        _ => 0,
    };
    let data = spec.data.clone().unwrap_or_else(|| {
        let syn = i64::from(spec.flags & flag::SYN == 0);
        let start = flow.peer.relative(seq) - syn;
        (0..i64::from(spec.len.unwrap_or(0)))
            .map(|at| pattern(false, (start + at) as u64))
            .collect()
    });
    Ok(Outgoing {
        source_port: flow.peer_port,
        destination_port: flow.subject_port.unwrap_or(LISTEN_PORT),
        seq,
        ack,
        flags: spec.flags,
        window: spec.win.map_or(flow.window, |(window, _)| window),
        urgent: spec.urgent.unwrap_or(0),
        options: options_of(spec, flow, clock)?,
        data,
        ecn: spec.ecn.unwrap_or(0),
        ip_options: spec.ip_options,
        bad_checksum: spec.bad_checksum,
        data_offset: spec.data_offset,
        reserved: spec.reserved,
    })
}

/// The options as written, or those that a correct peer puts there.
fn options_of(spec: &Segment, flow: &Flow, clock: u32) -> Result<Vec<Opt>, String> {
    let mut options = spec.options.clone().unwrap_or_default();
    let bare = spec.flags & flag::SYN == 0 && spec.options.is_none();
    if bare && flow.timestamps() && !spec.no_ts {
        let timestamps = Opt::Timestamps {
            value: None,
            echo: None,
        };
        options.extend([Opt::Nop, Opt::Nop, timestamps]);
    }
    if !spec.sack.is_empty() {
        let blocks = spec.sack.iter().map(|(left, right)| (*left as u32, *right as u32));
        options.extend([Opt::Nop, Opt::Nop, Opt::Sack(blocks.collect())]);
    }
    let echoed = match &spec.echo {
        Some(Echo::Value(value)) => Some(*value),
        Some(Echo::Saved(name)) => {
            let saved = flow.saved.get(name);
            Some(*saved.ok_or_else(|| format!("nothing was saved as {name}"))?)
        }
        None => None,
    };
    for option in &mut options {
        match option {
            Opt::Timestamps { value, echo } => {
                let default = if spec.flags & flag::ACK != 0 {
                    flow.subject.ts_value
                } else {
                    0
                };
                *value = spec.ts.or(*value).or(Some(clock));
                *echo = echoed.or(*echo).or(Some(default));
            }
            // SACK blocks tell of the subject's octets.
            Opt::Sack(blocks) => {
                for (left, right) in blocks {
                    *left = flow.subject.absolute(i64::from(left.cast_signed()));
                    *right = flow.subject.absolute(i64::from(right.cast_signed()));
                }
            }
            _ => {}
        }
    }
    Ok(options)
}

/// An injected segment as a script would write it.
fn describe(number: usize, outgoing: &Outgoing, flow: &Flow) -> String {
    let start = flow.peer.relative(outgoing.seq);
    let direction = if number == 1 { "<".into() } else { format!("<{number}") };
    let mut words = vec![direction, crate::flow::letters(outgoing.flags)];
    if outgoing.data.is_empty() {
        words.push(start.to_string());
    } else {
        words.push(format!("{start}:{}", start + outgoing.data.len() as i64));
    }
    if outgoing.flags & flag::ACK != 0 {
        words.push(format!("ack {}", flow.subject.relative(outgoing.ack)));
    }
    words.push(format!("win {}", outgoing.window));
    if outgoing.flags & flag::URG != 0 {
        words.push(format!("urg {}", outgoing.urgent));
    }
    if !outgoing.options.is_empty() {
        let mut options = outgoing.options.clone();
        for option in &mut options {
            if let Opt::Sack(blocks) = option {
                for (left, right) in blocks {
                    *left = flow.subject.relative(*left) as u32;
                    *right = flow.subject.relative(*right) as u32;
                }
            }
        }
        words.push(option::list(&options));
    }
    words.join(" ")
}

/// What can be compared before the segment is taken in: everything that is relative to what came before.
pub(crate) fn compare(spec: &Segment, seen: &Seen, flow: &Flow) -> Result<(), String> {
    let optional = if spec.flags & flag::PSH == 0 { flag::PSH } else { 0 };
    if seen.flags & !optional != spec.flags {
        return Err(format!("the flags are {}", crate::flow::letters(seen.flags)));
    }
    let first_syn = seen.flags & flag::SYN != 0 && flow.subject.isn.is_none();
    match spec.seq {
        Seq::New => {}
        Seq::Next | Seq::At(0) if first_syn => {}
        Seq::Next if seen.seq == flow.subject.nxt => {}
        Seq::At(start) if seen.seq == flow.subject.absolute(start) => {}
        _ => return Err("it starts elsewhere".into()),
    }
    let len = spec.len.unwrap_or(0);
    if seen.data.len() != len as usize {
        return Err(format!("it has {} octets, not {len}", seen.data.len()));
    }
    if spec.data.as_ref().is_some_and(|data| *data != seen.data) {
        return Err("other octets".into());
    }
    if let Some((min, max)) = spec.win
        && !(min..=max).contains(&seen.window)
    {
        return Err(format!("the window is {}", seen.window));
    }
    if spec.urgent.is_some_and(|urgent| urgent != seen.urgent) {
        return Err(format!("the urgent pointer is {}", seen.urgent));
    }
    if spec.tos.is_some_and(|tos| tos != seen.tos) {
        return Err(format!("the differentiated-services field is {}", seen.tos));
    }
    if spec.ttl.is_some_and(|ttl| ttl != seen.ttl) {
        return Err(format!("the time to live is {}", seen.ttl));
    }
    if spec.ecn.is_some_and(|ecn| ecn != seen.ecn) {
        return Err(format!("the ECN field is {}", seen.ecn));
    }
    Ok(())
}

/// The rest, once the flow knows the segment.
pub(crate) fn compare_after(spec: &Segment, seen: &Seen, flow: &mut Flow) -> Result<(), String> {
    let ack = match spec.ack {
        None => None,
        Some(Ack::All) => Some(flow.peer.nxt),
        Some(Ack::At(relative)) => Some(flow.peer.absolute(relative)),
    };
    if ack.is_some_and(|ack| ack != seen.ack) {
        return Err(format!("it acknowledges {}", flow.peer.relative(seen.ack)));
    }
    let options = flow.relative_options(&seen.options);
    if let Some(expected) = &spec.options {
        let same = expected.len() == options.len()
            && expected.iter().zip(&options).all(|(expected, option)| match expected {
                Opt::Signature(key) => seen.signature_by(key) == *option,
                expected => expected.admits(option),
            });
        if !same {
            return Err(format!("the options are {}", option::list(&options)));
        }
    } else {
        let blocks: Vec<(i64, i64)> = seen
            .sack()
            .iter()
            .map(|(left, right)| (flow.peer.relative(*left), flow.peer.relative(*right)))
            .collect();
        if blocks != spec.sack {
            return Err(format!("the SACK blocks are {blocks:?}"));
        }
    }
    let echo = match &spec.echo {
        None => None,
        Some(Echo::Value(value)) => Some(*value),
        Some(Echo::Saved(name)) => {
            let saved = flow.saved.get(name);
            Some(*saved.ok_or_else(|| format!("nothing was saved as {name}"))?)
        }
    };
    let timestamps = seen.timestamps();
    if let Some(echo) = echo
        && timestamps.is_none_or(|(_, seen)| seen != echo)
    {
        return Err(format!("it does not echo {echo}"));
    }
    if spec.no_ts && timestamps.is_some() {
        return Err("it has timestamps".into());
    }
    if let Some(name) = &spec.save {
        let (value, _) = timestamps.ok_or("there is no timestamp to save")?;
        flow.saved.insert(name.clone(), value);
    }
    Ok(())
}
