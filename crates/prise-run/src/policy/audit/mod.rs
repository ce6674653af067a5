//! `--audit FILE`: a line of JSON for whatever crosses the edge of the run: connections, datagrams, lookups, ports opened,
//! attempts denied or failed. What stays inside the run has no line.
//!
//! The gateway tells facts about endpoints; the supervisor knows which process has which endpoint, from the calls that
//! it judges. Each line is one write(2) to a file opened for appending, at once: lines of several runs do not mix, and
//! what was begun is on record even if prise is killed.

mod line;
mod time;

use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use prise_gateway::dns::ResponseCode;
use prise_gateway::{Direction, Discard, End, Fact, FlowNumber, LookupAnswer, Record, Refused, Transport};
use prise_socket::{Errno, Kind};
use prise_wire::Instant;

use self::line::{Answered, Ends, Event, Line, Owner, Protocol, Totals, Verdict, Way, record_type};
use self::time::Calendar;
use crate::clock;
use crate::complaints::say;
use crate::guest::notify::Call;
use crate::guest::sockaddr::canonical;
use crate::socket::Slot;
use crate::start::outcome::RunError;
use crate::supervisor::Supervisor;

/// Endpoints whose process is remembered. They are overwritten as ports are reused; a run that has more at once than a
/// host has ports loses the names of some processes, no line.
const OWNERS_MAX: usize = 1 << 17;

/// What a process is remembered by: the run's port and, for a connection of TCP, the other end.
type Side = (Protocol, u16, Option<SocketAddr>);

/// A flow that has begun.
#[derive(Debug)]
struct Flow {
    ends: Ends,
    since: Instant,
}

/// The audit of one run.
#[derive(Debug)]
pub(crate) struct Audit {
    file: File,
    path: PathBuf,
    calendar: Calendar,
    owners: HashMap<Side, Owner>,
    flows: HashMap<FlowNumber, Flow>,
    lost: u64,
    /// Lines that could not be written, and whether the last one was cut.
    unwritten: u64,
    torn: bool,
    /// Whether the user was told that the file cannot be written.
    complained: bool,
}

impl Audit {
    /// Opens the file; what it holds stays. Others have no business in it: it tells whom the program talks to.
    pub(crate) fn open(path: &Path) -> Result<Self, RunError> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|error| RunError::Audit {
            file: path.to_owned(),
            error,
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            calendar: Calendar::new(clock::now()),
            owners: HashMap::new(),
            flows: HashMap::new(),
            lost: 0,
            unwritten: 0,
            torn: false,
            complained: false,
        })
    }

    /// Writes a line; once that works again, how many could not be written.
    fn write(&mut self, line: &Line) {
        let written = match self.unwritten {
            0 => Ok(()),
            unwritten => self.append(&Line {
                lost: Some(unwritten),
                ..Line::new(self.calendar.text(clock::now()), Event::Lost, None)
            }),
        };
        let Err(error) = written.and_then(|()| self.append(line)) else {
            self.unwritten = 0;
            return;
        };
        self.unwritten += 1;
        if !core::mem::replace(&mut self.complained, true) {
            say(format_args!(
                "{}: the audit is incomplete: {error}",
                self.path.display()
            ));
        }
    }

    /// One write(2), unless the kernel takes a part of it only; behind a line that was cut on a line of its own.
    fn append(&mut self, line: &Line) -> io::Result<()> {
        let mut text = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
        let mut rest = &text[..];
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn remember(&mut self, side: Side, owner: Owner) {
        if self.owners.len() >= OWNERS_MAX {
            self.owners.clear();
        }
        self.owners.insert(side, owner);
    }

    fn owner(&mut self, transport: Transport, guest: SocketAddr, remote: SocketAddr, way: Way) -> Option<Owner> {
        let port = guest.port();
        match (transport, way) {
            (Transport::Tcp, Way::Out) => self.owners.remove(&(Protocol::Tcp, port, Some(remote))),
            (Transport::Tcp, Way::In) | (Transport::Udp, _) => {
                self.owners.get(&(transport.into(), port, None)).cloned()
            }
        }
    }

    fn ends(&mut self, transport: Transport, way: Way, guest: SocketAddr, remote: SocketAddr) -> Ends {
        Ends {
            protocol: transport.into(),
            direction: Some(way),
            owner: self.owner(transport, guest, remote, way),
            local: Some(guest),
            name: None,
            address: Some(remote.ip()),
            port: Some(remote.port()),
        }
    }

    /// Writes what the gateway has told. `name_of`: the name that led to an address.
    fn take(&mut self, record: Record, name_of: impl Fn(IpAddr) -> Option<String>) {
        let (at, time) = (record.at, self.calendar.text(record.at));
        let line = match record.fact {
            Fact::Opened {
                flow,
                transport,
                direction,
                guest,
                remote,
            } => {
                let way = match direction {
                    Direction::Outbound => Way::Out,
                    Direction::Published => Way::In,
                };
                let mut ends = self.ends(transport, way, guest, remote);
                ends.name = name_of(remote.ip()).filter(|_| way == Way::Out);
                self.opened(at, time, flow, ends)
            }
            Fact::Closed {
                flow,
                sent,
                received,
                end,
            } => match self.closed(at, time, flow, (sent, received), end) {
                Some(line) => line,
                None => return,
            },
            Fact::Refused {
                transport,
                guest,
                remote,
                reason,
            } => {
                let mut ends = self.ends(transport, Way::Out, guest, remote);
                ends.name = name_of(remote.ip());
                let (verdict, error) = refusal(reason);
                Line {
                    verdict: Some(verdict),
                    error,
                    ..Line::new(time, Event::Refused, Some(ends))
                }
            }
            Fact::Ping { guest, remote, denied } => self.ping(time, guest, (remote, name_of(remote)), denied),
            Fact::Lookup {
                guest,
                name,
                kind,
                answer,
            } => self.lookup(time, guest, name, kind, answer),
        };
        self.write(&line);
    }

    fn opened(&mut self, since: Instant, time: String, flow: FlowNumber, ends: Ends) -> Line {
        self.flows.insert(
            flow,
            Flow {
                ends: ends.clone(),
                since,
            },
        );
        Line {
            flow: Some(flow.0),
            verdict: Some(Verdict::Allowed),
            ..Line::new(time, Event::Open, Some(ends))
        }
    }

    fn closed(
        &mut self,
        at: Instant,
        time: String,
        flow: FlowNumber,
        (sent, received): (u64, u64),
        end: End,
    ) -> Option<Line> {
        let Flow { ends, since } = self.flows.remove(&flow)?;
        let totals = Totals {
            sent,
            received,
            duration: at.saturating_since(since).as_secs_f64(),
            end: end_name(end),
        };
        Some(Line {
            flow: Some(flow.0),
            verdict: Some(Verdict::Allowed),
            totals: Some(totals),
            ..Line::new(time, Event::Close, Some(ends))
        })
    }

    fn ping(&self, time: String, guest: SocketAddr, (remote, name): (IpAddr, Option<String>), denied: bool) -> Line {
        let ends = Ends {
            protocol: Protocol::Icmp,
            direction: Some(Way::Out),
            owner: self.owners.get(&(Protocol::Icmp, guest.port(), None)).cloned(),
            local: None,
            name,
            address: Some(remote),
            port: None,
        };
        let verdict = if denied { Verdict::Denied } else { Verdict::Allowed };
        Line {
            verdict: Some(verdict),
            ..Line::new(time, Event::Ping, Some(ends))
        }
    }

    fn lookup(&self, time: String, guest: Option<SocketAddr>, name: String, kind: u16, answer: LookupAnswer) -> Line {
        let owner = guest.and_then(|guest| self.owners.get(&(Protocol::Udp, guest.port(), None)));
        let ends = Ends {
            protocol: Protocol::Dns,
            direction: None,
            owner: owner.cloned(),
            local: guest,
            name: Some(name),
            address: None,
            port: None,
        };
        let (verdict, answer, addresses) = match answer {
            LookupAnswer::Denied => (Verdict::Denied, None, Vec::new()),
            LookupAnswer::Forwarded => (Verdict::Allowed, None, Vec::new()),
            LookupAnswer::Told { code, addresses } => (Verdict::Allowed, Some(code_name(code)), addresses),
        };
        Line {
            verdict: Some(verdict),
            answered: Some(Answered {
                kind: record_type(kind),
                answer,
                addresses,
            }),
            ..Line::new(time, Event::Lookup, Some(ends))
        }
    }
}

impl Supervisor {
    /// Remembers which process speaks from a socket, for the audit: of a connection `to` its peer, else of the port.
    pub(crate) fn note_owner(&mut self, call: &Call, slot: Slot, to: Option<SocketAddr>) {
        if self.audit.is_none() {
            return;
        }
        let Some(socket) = self.sockets.get(slot) else { return };
        let protocol = self.protocol(slot);
        let Ok(local) = self.host.local_addr(socket.id) else {
            return;
        };
        let to = to.map(canonical);
        let side = (protocol, local.port(), to);
        let pid = self.guests.process(call.tid);
        let Some(audit) = &mut self.audit else { return };
        if to.is_none() && audit.owners.get(&side).is_some_and(|owner| owner.pid == pid) {
            return;
        }
        audit.remember(side, owner_of(pid));
    }

    /// What a socket speaks.
    fn protocol(&self, slot: Slot) -> Protocol {
        let Some(socket) = self.sockets.get(slot) else {
            return Protocol::Udp;
        };
        let number = self.host.info(socket.id).map(|info| i32::from(info.protocol));
        match (socket.kind, number) {
            (Kind::Stream, _) => Protocol::Tcp,
            (_, Some(libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6)) => Protocol::Icmp,
            _ => Protocol::Udp,
        }
    }

    /// The policy has denied a call.
    pub(crate) fn audit_denied(&mut self, call: &Call, slot: Slot, to: SocketAddr) {
        let protocol = self.protocol(slot);
        let pid = self.guests.process(call.tid);
        let name = self.gate.as_ref().and_then(|gate| gate.name_of(self.now, to.ip()));
        let Some(audit) = &mut self.audit else { return };
        let ends = Ends {
            protocol,
            direction: Some(Way::Out),
            owner: Some(owner_of(pid)),
            local: None,
            name,
            address: Some(to.ip()),
            port: Some(to.port()).filter(|_| protocol != Protocol::Icmp),
        };
        let line = Line {
            verdict: Some(Verdict::Denied),
            error: Some("EACCES".to_owned()),
            ..Line::new(audit.calendar.text(self.now), Event::Refused, Some(ends))
        };
        audit.write(&line);
    }

    /// The policy has denied an AF_UNIX name, which begins with a zero where it is abstract.
    pub(crate) fn audit_denied_local(&mut self, call: &Call, name: &[u8]) {
        let pid = self.guests.process(call.tid);
        let Some(audit) = &mut self.audit else { return };
        let text = String::from_utf8_lossy(name).replacen('\0', "@", usize::from(name.first() == Some(&0)));
        let ends = Ends {
            protocol: Protocol::Unix,
            direction: Some(Way::Out),
            owner: Some(owner_of(pid)),
            local: None,
            name: Some(text.trim_end_matches('\0').to_owned()),
            address: None,
            port: None,
        };
        let line = Line {
            verdict: Some(Verdict::Denied),
            error: Some("EACCES".to_owned()),
            ..Line::new(audit.calendar.text(self.now), Event::Refused, Some(ends))
        };
        audit.write(&line);
    }

    /// A stream has begun to listen.
    pub(crate) fn audit_listen(&mut self, call: &Call, slot: Slot) {
        self.audit_port(call, slot, Transport::Tcp);
    }

    /// A datagram socket was given its port.
    pub(crate) fn audit_bind(&mut self, call: &Call, slot: Slot) {
        if self
            .sockets
            .get(slot)
            .is_some_and(|socket| socket.kind == Kind::Datagram)
        {
            self.audit_port(call, slot, Transport::Udp);
        }
    }

    fn audit_port(&mut self, call: &Call, slot: Slot, transport: Transport) {
        if self.audit.is_none() {
            return;
        }
        self.note_owner(call, slot, None);
        let pid = self.guests.process(call.tid);
        let Some(local) = self
            .sockets
            .get(slot)
            .and_then(|socket| self.host.local_addr(socket.id).ok())
        else {
            return;
        };
        let Some(audit) = &mut self.audit else { return };
        let ends = Ends {
            protocol: transport.into(),
            direction: Some(Way::In),
            owner: Some(owner_of(pid)),
            local: Some(local),
            name: None,
            address: None,
            port: None,
        };
        let line = Line {
            verdict: Some(Verdict::Allowed),
            ..Line::new(audit.calendar.text(self.now), Event::Listen, Some(ends))
        };
        audit.write(&line);
    }

    /// Writes what has happened since the last time.
    pub(crate) fn write_audit(&mut self) {
        let (Some(audit), Some(gate)) = (&mut self.audit, &self.gate) else {
            return;
        };
        while let Some(record) = gate.record() {
            audit.take(record, |address| gate.name_of(self.now, address));
        }
        let lost = gate.records_lost();
        if lost > audit.lost {
            let line = Line {
                lost: Some(lost - audit.lost),
                ..Line::new(audit.calendar.text(self.now), Event::Lost, None)
            };
            audit.write(&line);
            audit.lost = lost;
        }
    }

    /// The run is over: what is still open is closed on record.
    pub(crate) fn finish_audit(&mut self) {
        if self.audit.is_none() {
            return;
        }
        self.write_audit();
        if let Some(gate) = &self.gate {
            gate.close_records(clock::now());
        }
        self.write_audit();
        if let Some(audit) = &self.audit {
            // A pipe has nothing to be synchronised, and says so.
            let _ = audit.file.sync_data();
        }
    }
}

fn owner_of(pid: u32) -> Owner {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    Owner {
        pid,
        program: program.map(|path| path.to_string_lossy().into_owned()),
    }
}

fn refusal(reason: Refused) -> (Verdict, Option<String>) {
    match reason {
        Refused::Gateway(Discard::ConnectDenied | Discard::UdpDenied | Discard::EchoDenied) => {
            (Verdict::Denied, Some("EACCES".to_owned()))
        }
        Refused::Gateway(reason) => (Verdict::Allowed, Some(reason.name().to_owned())),
        Refused::Host(errno) => {
            let name = Errno::from_raw(errno).map(|errno| errno.name().to_owned());
            (Verdict::Allowed, name.or_else(|| Some(errno.to_string())))
        }
    }
}

fn end_name(end: End) -> &'static str {
    match end {
        End::Finished => "finished",
        End::GuestReset => "reset by program",
        End::HostReset => "reset by peer",
        End::Idle => "idle",
        End::Evicted => "evicted",
        End::Cut => "run ended",
    }
}

fn code_name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NxDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BadVers => "BADVERS",
    }
}
