//! Carries a script out against a subject, step by step.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::failure::{Failure, Trace};
use crate::flow::Flow;
use crate::packet::{Addresses, Seen};
use crate::parse;
use crate::script::{Action, Only, Open, Script, Segment, Step, When};
use crate::sockets::Sockets;
use crate::subject::Subject;

/// The port that subjects listen on.
pub const LISTEN_PORT: u16 = 8080;
/// The peer's port of flow 0; flows count up from here.
pub const PEER_PORT: u16 = 40_000;

/// What a run varies, so that nothing rests on one choice of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Over IPv6.
    pub ipv6: bool,
    /// The peer's first ISN.
    pub isn: u32,
}

/// A script being run.
pub(crate) struct Run<'a> {
    pub(crate) subject: &'a mut dyn Subject,
    pub(crate) addresses: Addresses,
    pub(crate) flows: BTreeMap<usize, Flow>,
    pub(crate) sockets: Sockets,
    pub(crate) trace: Trace,
    /// Fast Open cookies by the names that lines gave them.
    pub(crate) cookies: BTreeMap<String, Vec<u8>>,
    variant: Variant,
    /// When the last event was.
    last: Duration,
    /// What the subject has sent and no line has asked for yet.
    pending: VecDeque<(Duration, Seen)>,
}

/// Runs a script; answers what happened, line by line.
///
/// # Errors
/// The first line that did not come true.
pub fn run(script: &Script, subject: &mut dyn Subject, variant: Variant) -> Result<Trace, Box<Failure>> {
    let start = subject.now();
    let mut run = Run {
        subject,
        addresses: Addresses::new(variant.ipv6),
        flows: BTreeMap::new(),
        sockets: Sockets::default(),
        trace: Trace::new(start),
        cookies: BTreeMap::new(),
        variant,
        last: start,
        pending: VecDeque::new(),
    };
    for step in &script.steps {
        let skip = match step.only {
            Only::Both => false,
            Only::Ours => !run.subject.is_ours(),
            Only::Linux => run.subject.is_ours(),
        };
        if skip {
            continue;
        }
        let outcome = run.step(step);
        run.fail_at(script, step.line, &step.text, outcome)?;
    }
    let last = script.steps.last().map_or(script.line, |step| step.line);
    let outcome = run.nothing_more();
    run.fail_at(script, last, "(the end of the script)", outcome)?;
    run.trace.subject_isn = run.flows.get(&1).and_then(|flow| flow.subject.isn);
    Ok(run.trace)
}

impl Run<'_> {
    fn fail_at(
        &mut self,
        script: &Script,
        line: usize,
        text: &str,
        outcome: Result<(), String>,
    ) -> Result<(), Box<Failure>> {
        outcome.map_err(|message| {
            Box::new(Failure {
                file: script.file.clone(),
                title: script.title.clone(),
                line,
                text: text.into(),
                message,
                trace: std::mem::take(&mut self.trace),
            })
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Expect(segment) => return self.expect(segment, step.when),
            Action::Open(open) => return self.open(open),
            _ => self.pass(step.when)?,
        }
        match &step.action {
            Action::Inject(segment) => self.inject(segment)?,
            Action::InjectIcmp(icmp) => self.inject_icmp(*icmp),
            Action::Call(call) => self.call(call)?,
            Action::Wait(time) => self.wait(*time)?,
            Action::Expect(_) | Action::Open(_) => {}
        }
        self.last = self.subject.now();
        Ok(())
    }

    /// Lets the time before a step pass.
    fn pass(&mut self, when: When) -> Result<(), String> {
        let time = match when {
            When::Now => return Ok(()),
            When::After { time, .. } | When::Between(time, _) => time,
        };
        let until = self.last + time;
        while let Some((at, packet)) = self.subject.next_packet(until) {
            self.take(at, &packet)?;
        }
        Ok(())
    }

    /// Reads a packet of the subject into the queue.
    fn take(&mut self, at: Duration, packet: &[u8]) -> Result<(), String> {
        match Seen::parse(packet, self.addresses) {
            Ok(Some(seen)) => {
                self.pending.push_back((at, seen));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(message) => Err(format!("the subject sent what is no segment: {message}")),
        }
    }

    /// The next segment that the subject sends until then.
    fn next_seen(&mut self, until: Duration) -> Result<Option<(Duration, Seen)>, String> {
        loop {
            if let Some(next) = self.pending.pop_front() {
                return Ok(Some(next));
            }
            match self.subject.next_packet(until) {
                Some((at, packet)) => self.take(at, &packet)?,
                None => return Ok(None),
            }
        }
    }

    fn wait(&mut self, time: Duration) -> Result<(), String> {
        let until = self.last + time;
        match self.next_seen(until)? {
            Some((at, seen)) => Err(format!("expected silence\nseen     {}", self.tell(at, &seen))),
            None => Ok(()),
        }
    }

    fn nothing_more(&mut self) -> Result<(), String> {
        let now = self.subject.now();
        match self.next_seen(now)? {
            Some((at, seen)) => Err(format!("expected nothing more\nseen     {}", self.tell(at, &seen))),
            None => Ok(()),
        }
    }

    /// The flow of this number, made if it is new.
    pub(crate) fn flow(&mut self, number: usize) -> &mut Flow {
        let isn = self.variant.isn.wrapping_add(number as u32 * 0x0100_0000);
        self.flows
            .entry(number)
            .or_insert_with(|| Flow::new(number, PEER_PORT + number as u16, isn))
    }

    fn flow_of_port(&self, peer_port: u16) -> Option<usize> {
        self.flows
            .values()
            .find(|flow| flow.peer_port == peer_port)
            .map(|flow| flow.number)
    }

    /// Puts a seen segment into the trace and into words.
    fn tell(&mut self, at: Duration, seen: &Seen) -> String {
        let number = self.flow_of_port(seen.destination_port);
        let text = match number.and_then(|number| self.flows.get(&number)) {
            Some(flow) => flow.describe(seen),
            None => format!("{} to an unknown port", crate::flow::letters(seen.flags)),
        };
        let direction = match number {
            Some(1) => ">".to_string(),
            Some(number) => format!(">{number}"),
            None => ">?".to_string(),
        };
        let line = format!("{direction} {text}");
        self.trace.add(at, &line);
        format!("{line}   after {}", crate::failure::time(at.saturating_sub(self.last)))
    }

    fn expect(&mut self, segment: &Segment, when: When) -> Result<(), String> {
        let slack = self.subject.slack();
        let (min, max) = match when {
            When::Now => (Duration::ZERO, Duration::ZERO),
            When::After { time, tolerance } => (time.saturating_sub(tolerance), time + tolerance),
            When::Between(min, max) => (min, max),
        };
        let late = slack.late + max / 1000 * slack.late_per_mille;
        let (from, to) = ((self.last + min).saturating_sub(slack.early), self.last + max + late);
        let Some((at, seen)) = self.next_seen(to)? else {
            let waited = crate::failure::time(to.saturating_sub(self.last));
            return Err(format!("seen     nothing for {waited}"));
        };
        let number = self.flow(segment.flow).number;
        let told = self.tell(at, &seen);
        let wrong = |message: String| format!("seen     {told}\nwhich is wrong: {message}");
        if self.flow_of_port(seen.destination_port) != Some(number) {
            return Err(wrong("it belongs to another flow".into()));
        }
        if at < from {
            return Err(wrong("it is too early".into()));
        }
        if at > to {
            return Err(wrong("it is too late".into()));
        }
        let strict = self.subject.is_ours();
        let flow = self.flow(number);
        crate::segment::compare(segment, &seen, flow).map_err(wrong)?;
        flow.note_seen(&seen, segment.seq == crate::script::Seq::New, strict)
            .map_err(|message| format!("seen     {told}\nwhich no segment may be: {message}"))?;
        crate::segment::compare_after(segment, &seen, flow)
            .map_err(|message| format!("seen     {told}\nwhich is wrong: {message}"))?;
        self.remember_cookies(segment, &seen);
        self.last = at;
        Ok(())
    }

    /// The usual handshake, as the lines that it stands for.
    fn open(&mut self, open: &Open) -> Result<(), String> {
        for line in opening(open, self.sockets.is_listening()) {
            let text = format!("== open\n{line}");
            let scripts = parse::parse("open", &text).map_err(|error| format!("{line}: {}", error.message))?;
            for step in scripts.iter().flat_map(|script| &script.steps) {
                self.step(step)
                    .map_err(|message| format!("in {}\n{message}", step.text))?;
            }
        }
        Ok(())
    }
}

/// The lines that `open` stands for.
fn opening(open: &Open, listening: bool) -> Vec<String> {
    let &Open {
        flow,
        active,
        win,
        then_win,
        rtt,
        ecn,
        ref options,
    } = open;
    let options = crate::option::list(options);
    let after = format!("+{}us", rtt.as_micros());
    if active {
        let (asks, agrees) = if ecn { ("SEW", "SE.") } else { ("S", "S.") };
        return vec![
            format!("connect {flow} -> EINPROGRESS"),
            format!(">{flow} {asks} 0"),
            format!("{after} <{flow} {agrees} 0 ack 1 win {win} {options}"),
            format!(">{flow} . 1 ack 1"),
            "connect".into(),
        ];
    }
    let (asks, agrees) = if ecn { ("SEW", "SE.") } else { ("S", "S.") };
    let mut lines = Vec::new();
    if !listening {
        lines.push("listen".into());
    }
    lines.extend([
        format!("<{flow} {asks} 0 win {win} {options}"),
        format!(">{flow} {agrees} 0 ack 1"),
        format!("{after} <{flow} . 1 ack 1 win {}", then_win.unwrap_or(win)),
        "accept".into(),
    ]);
    lines
}
