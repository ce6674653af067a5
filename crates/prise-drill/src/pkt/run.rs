//! Carries a script out.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::calls::{Calls, Descriptors};
use super::code::Program;
use super::events::{Act, CallSpec, Event, Script};
use super::outcome::{Failure, Report, at};
use super::packet::{Body, IpSpec, PacketSpec, SegmentSpec};
use super::parse::parse;
use super::sockets::{Flow, icmp_numbers};
use super::wire::{self, Content, Segment, Sniffed};
use crate::abi::Library;
use crate::stage::Settings;

const SYN: u16 = 2;
const ACK: u16 = 16;
/// `--tolerance_usecs` and `--tolerance_percent`.
const TOLERANCE: i64 = 4000;
const TOLERANCE_PERCENT: f64 = 12.5;
/// packetdrill sleeps until so shortly before an event and then looks at the clock until it is time.
const SPIN: i64 = 20;
/// How long, in real time, a blocking call may take to come back after the script has gone on.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);
/// Where live clients have their ports.
const FIRST_PORT: u16 = 40_000;

/// How scripts are to be run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Over IPv6, with an MTU of 20 octets more, so that segments are as large.
    pub ipv6: bool,
    /// Over IPv4 with sockets of IPv6, whose addresses are mapped (packetdrill's `ipv4-mapped-ipv6`).
    pub mapped: bool,
    /// The shared object to load; none for the stack that is linked in.
    pub library: Option<PathBuf>,
    /// Where the script lies, and with it what its commands name.
    pub folder: Option<PathBuf>,
    /// Flags for the library, beside those that the script's settings make.
    pub flags: String,
}

/// Runs a script.
///
/// # Errors
/// The first thing that differed from what the script says.
pub fn run(text: &str, plan: &Plan) -> Result<Report, Failure> {
    // As Linux's own runner of such scripts defines them; the cookies are those of the addresses and of the key in `defaults.sh`.
    let [level, kind] = if plan.ipv6 || plan.mapped {
        ["SOL_IPV6", "IPV6_RECVERR"]
    } else {
        ["SOL_IP", "IP_RECVERR"]
    };
    let [cookie, cookie_zero] = if plan.ipv6 {
        ["c1d1e9742a47a9bc", "82af1a8f9a205c34"]
    } else {
        ["3021b9d889017eeb", "b7c12350a90dc8f5"]
    };
    let defines = [
        ("CMSG_LEVEL_IP", level),
        ("CMSG_TYPE_RECVERR", kind),
        ("TFO_COOKIE", cookie),
        ("TFO_COOKIE_ZERO", cookie_zero),
    ];
    let defines = defines.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let script = parse(text, &defines)?;
    let library = load(text, plan).map_err(at(0))?;
    let mut player = Player::new(library, plan, &script);
    for event in &script.events {
        player.play(event)?;
    }
    player.finish()
}

/// The settings that a script's commands would make, as flags of the library's.
fn load(text: &str, plan: &Plan) -> Result<Library, String> {
    let mut settings = Settings {
        mtu: if plan.ipv6 { 1520 } else { 1500 },
        ..Settings::default()
    };
    settings.read_script(text, plan.folder.as_deref());
    let mut flags = format!("mtu={},gso={}", settings.mtu, u8::from(settings.gso));
    for (name, value) in &settings.sysctls {
        let value = value.split_whitespace().collect::<Vec<_>>().join(":");
        flags.extend([",", name, "=", &value]);
    }
    flags.push(',');
    flags.push_str(&plan.flags);
    match &plan.library {
        Some(path) => Library::load(path, &flags).map_err(|error| error.to_string()),
        None => Ok(Library::own(&flags)),
    }
}

/// A blocking call under way in its thread.
struct Pending {
    line: usize,
    answer: Receiver<Result<Duration, String>>,
    /// When it must return, in microseconds since the start, and from when that counts.
    due: i64,
    began: i64,
    any: bool,
}

struct Player {
    calls: Calls,
    flows: Vec<Flow>,
    under_test: Option<usize>,
    pending: Option<Pending>,
    program: Program,
    notes: Vec<String>,
    tolerance: i64,
    next_port: u16,
    /// Script time of the last event, and whether it was a packet that came in.
    last: i64,
    last_inbound: bool,
    first: bool,
}

impl Player {
    fn new(library: Library, plan: &Plan, script: &Script) -> Self {
        let (local, remote): (IpAddr, IpAddr) = if plan.ipv6 {
            (
                [0xfd3d, 0xa0b, 0x17d6, 0, 0, 0, 0, 1].into(),
                [0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1].into(),
            )
        } else {
            ([192, 168, 0, 1].into(), [192, 0, 2, 1].into())
        };
        let library = Arc::new(library);
        let start = library.time();
        let option = |name: &str| {
            script
                .options
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value)
        };
        Self {
            calls: Calls {
                library,
                descriptors: Arc::new(Mutex::new(Descriptors::default())),
                local: SocketAddr::new(local, 8080),
                remote: SocketAddr::new(remote, 8080),
                domain: if plan.ipv6 || plan.mapped { 10 } else { 2 },
                start,
            },
            flows: Vec::new(),
            under_test: None,
            pending: None,
            program: Program::default(),
            notes: Vec::new(),
            tolerance: option("tolerance_usecs")
                .and_then(|value| value.parse().ok())
                .unwrap_or(TOLERANCE),
            next_port: FIRST_PORT,
            last: 0,
            last_inbound: false,
            first: true,
        }
    }

    fn now(&self) -> i64 {
        self.since_start(self.calls.library.time())
    }

    fn since_start(&self, time: Duration) -> i64 {
        time.saturating_sub(self.calls.start).as_micros() as i64
    }

    fn play(&mut self, event: &Event) -> Result<(), Failure> {
        let inbound = matches!(event.act, Act::In(_));
        // Packets that come in follow each other's script times, so that no error adds up.
        let base = if !event.when.relative && !event.when.any {
            0
        } else if inbound && self.last_inbound {
            self.last
        } else {
            self.now()
        };
        let (from, to) = (base + event.when.from, event.when.to.map(|to| base + to));
        let fail = at(event.line);
        match &event.act {
            Act::In(spec) => {
                self.wait_until(from, event)?;
                self.inbound(spec).map_err(&fail)?;
            }
            Act::Out(spec) => {
                let when = self.outbound(spec).map_err(&fail)?;
                if !event.when.any {
                    self.verify(from, to, when, self.last, "the packet").map_err(&fail)?;
                }
            }
            Act::Call(spec) if spec.blocks => {
                self.await_idle(true)?;
                self.wait_until(from, event)?;
                self.spawn(spec, event, from, to.unwrap_or(from));
            }
            Act::Call(spec) => {
                self.await_idle(false)?;
                self.wait_until(from, event)?;
                self.calls.carry_out(spec).map_err(&fail)?;
                self.note_connecting();
            }
            Act::Command(command) => {
                // What stands before the first event is in the flags already.
                if !self.first {
                    self.wait_until(from, event)?;
                    self.calls.library.command(command);
                }
                self.notes.push(format!("{}: not run: {}", event.line, command.trim()));
            }
            Act::Code(code) => {
                self.wait_until(from, event)?;
                let fd = self.calls.table().under_test;
                let fd = fd.ok_or_else(|| fail("there is no socket to look at".into()))?;
                self.program.add(event.line, code, fd).map_err(&fail)?;
            }
        }
        self.last = from;
        self.last_inbound = inbound;
        self.first = false;
        Ok(())
    }

    fn wait_until(&mut self, moment: i64, event: &Event) -> Result<(), Failure> {
        loop {
            let wait = moment - self.now();
            if wait <= 0 {
                break;
            }
            if !self.first && wait > SPIN {
                self.calls.library.usleep((wait - SPIN) as u32);
            }
        }
        if self.first || event.when.any {
            return Ok(());
        }
        let now = self.now();
        self.verify(moment, None, now, self.last, "the event")
            .map_err(at(event.line))
    }

    fn verify(&self, from: i64, to: Option<i64>, actual: i64, last: i64, what: &str) -> Result<(), String> {
        let dynamic = (TOLERANCE_PERCENT / 100.0 * (from - last) as f64) as i64;
        let tolerance = self.tolerance.max(dynamic);
        if actual < from - tolerance || actual > to.unwrap_or(from) + tolerance {
            let seconds = |micros: i64| micros as f64 / 1e6;
            return Err(format!(
                "timing: {what} was due at {:.6} s and came at {:.6} s",
                seconds(from),
                seconds(actual)
            ));
        }
        Ok(())
    }

    /// A call to connect makes a new flow, to which packets belong from now on.
    fn note_connecting(&mut self) {
        let connecting = std::mem::take(&mut self.calls.table().connecting);
        if connecting {
            self.flows.push(Flow::new(None, self.calls.remote));
            self.under_test = Some(self.flows.len() - 1);
        }
    }

    fn spawn(&mut self, spec: &CallSpec, event: &Event, began: i64, due: i64) {
        let (answer_to, answer) = channel();
        let thread = Arc::new(AtomicI32::new(0));
        let (calls, spec, tid) = (self.calls.clone(), spec.clone(), thread.clone());
        std::thread::spawn(move || {
            tid.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Release);
            let _ = answer_to.send(calls.carry_out(&spec));
        });
        // Until it is done or asleep, as packetdrill waits.
        loop {
            std::thread::yield_now();
            let tid = thread.load(Ordering::Acquire);
            if tid != 0 && is_asleep(tid) {
                break;
            }
        }
        self.note_connecting();
        self.pending = Some(Pending {
            line: event.line,
            answer,
            due,
            began,
            any: event.when.any,
        });
    }

    /// Waits for the blocking call; `must`: another one is to follow, or the script is at its end.
    fn await_idle(&mut self, must: bool) -> Result<(), Failure> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let answer = match pending.answer.try_recv() {
            Err(TryRecvError::Empty) => pending.answer.recv_timeout(IDLE_PATIENCE),
            other => other.map_err(|_| RecvTimeoutError::Disconnected),
        };
        let fail = at(pending.line);
        match answer {
            Ok(answer) => {
                let returned = self.since_start(answer.map_err(&fail)?);
                if pending.any {
                    return Ok(());
                }
                self.verify(pending.due, None, returned, pending.began, "the call's return")
                    .map_err(&fail)
            }
            Err(RecvTimeoutError::Timeout) if !must => {
                self.pending = Some(pending);
                Ok(())
            }
            Err(_) => Err(fail("the call still blocks".into())),
        }
    }

    fn inbound(&mut self, spec: &PacketSpec) -> Result<(), String> {
        let opens =
            matches!(&spec.body, Body::Tcp(segment) if segment.flags & (SYN | ACK) == SYN && segment.ports.is_none());
        // As in packetdrill the first SYN that a listener gets makes the flow, and whatever comes later belongs to that.
        let taken = opens && std::mem::take(&mut self.calls.table().listening);
        let datagram = matches!(spec.body, Body::Udp(_)) && self.under_test.is_none();
        if taken || datagram {
            let remote = SocketAddr::new(self.calls.remote.ip(), self.next_port);
            self.next_port += 1;
            self.flows.push(Flow::new(Some(self.calls.local), remote));
            self.under_test = Some(self.flows.len() - 1);
        }
        let at = self.under_test.ok_or("no socket for this packet")?;
        let local = self.calls.local;
        let packet = self.flows[at].inbound(spec, local.ip(), local.port())?;
        let sent = self.calls.library.netdev_send(&packet);
        sent.map(drop)
            .map_err(|errno| format!("the stack refused the packet with errno {errno}"))
    }

    /// The next packet of the flow under test.
    fn sniff(&mut self) -> Result<(i64, usize, Sniffed), String> {
        loop {
            let next = self.calls.library.netdev_receive();
            let next = next.map_err(|errno| format!("receiving a packet failed with errno {errno}"))?;
            let Some((time, packet)) = next else {
                return Err("nothing was sent, and nothing ever will be".into());
            };
            let Some(sniffed) = wire::read(&packet) else {
                return Err("a packet was sent that cannot be read".into());
            };
            // What an older flow sends late is not the SYN of one that is just connecting.
            let known = self
                .flows
                .iter()
                .rposition(|flow| flow.is_known() && flow.has(&sniffed) && !flow.is_followed_by(&sniffed));
            if let Some(at) = known.or_else(|| self.flows.iter_mut().rposition(|flow| flow.claims(&sniffed))) {
                let since = time - self.calls.start.as_micros() as i64;
                return Ok((since, at, sniffed));
            }
        }
    }

    /// Compares what leaves next; answers when it left.
    fn outbound(&mut self, spec: &PacketSpec) -> Result<i64, String> {
        if self.under_test.is_none() && self.calls.table().datagrams {
            self.flows.push(Flow::new(None, self.calls.remote));
            self.under_test = Some(self.flows.len() - 1);
        }
        // As in packetdrill, what other connections send is passed over.
        let (when, at, first) = loop {
            let (when, at, first) = self.sniff()?;
            if Some(at) == self.under_test {
                break (when, at, first);
            }
        };
        compare_ip(spec.ip, &first)?;
        match (&spec.body, &first.content) {
            (Body::Tcp(expected), Content::Tcp(segment)) => {
                let (whole, when) = self.gather(expected, segment.clone(), when)?;
                self.flows[at].compare(expected, &whole)?;
                Ok(when)
            }
            (Body::Udp(expected), Content::Udp(length)) if expected == length => Ok(when),
            (Body::Icmp { kind, code, .. }, Content::Icmp(actual)) => {
                let expected = icmp_numbers(kind, code.as_deref(), first.from.is_ipv6())?;
                if expected == *actual {
                    Ok(when)
                } else {
                    Err(format!("ICMP: expected {expected:?}, was {actual:?}"))
                }
            }
            (_, actual) => Err(format!("another packet was sent: {actual:?}")),
        }
    }

    /// Joins segments that follow each other until there is as much payload as the script expects in one.
    fn gather(&mut self, expected: &SegmentSpec, first: Segment, when: i64) -> Result<(Segment, i64), String> {
        let (piece, mut whole, mut when) = (first.length, first, when);
        while whole.length < expected.range.length && whole.length > 0 {
            let (time, _, next) = self.sniff()?;
            let Content::Tcp(next) = next.content else {
                return Err("a segment was cut short".into());
            };
            let rest = expected.range.length - whole.length;
            if next.seq != whole.seq.wrapping_add(whole.length as u32) || next.length != piece.min(rest) {
                return Err(format!(
                    "payload: expected {} octets, were {} and then another segment of {}",
                    expected.range.length, whole.length, next.length
                ));
            }
            whole.length += next.length;
            // Of pieces that are joined, the last one's flags count.
            whole.flags = next.flags;
            when = time;
        }
        Ok((whole, when))
    }

    fn finish(mut self) -> Result<Report, Failure> {
        self.await_idle(true)?;
        match self.program.run() {
            Ok(true) => {}
            Ok(false) => self.notes.push("there is no python3 to run the script's code".into()),
            Err((line, reason)) => return Err(Failure { line, reason }),
        }
        for flow in &self.flows {
            if let Some(reset) = flow.reset() {
                let _ = self.calls.library.netdev_send(&reset);
            }
        }
        Ok(Report {
            notes: std::mem::take(&mut self.notes),
        })
    }
}

fn compare_ip(spec: IpSpec, packet: &Sniffed) -> Result<(), String> {
    let ecn = packet.tos & 3;
    if spec.ecn.is_some_and(|expected| expected != ecn) || spec.either && !matches!(ecn, 1 | 2) {
        return Err(format!("ECN: expected {spec:?}, was {ecn}"));
    }
    if let Some(tos) = spec.tos.filter(|tos| *tos != packet.tos) {
        return Err(format!("TOS: expected {tos:#x}, was {:#x}", packet.tos));
    }
    if let Some(limit) = spec.hop_limit.filter(|limit| *limit != packet.hop_limit) {
        return Err(format!("TTL: expected {limit}, was {}", packet.hop_limit));
    }
    Ok(())
}

/// Whether a thread of this process sleeps, or is gone.
fn is_asleep(tid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")) else {
        return true;
    };
    // The name in parentheses may hold anything; the state follows it.
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('S'))
}
