//! What `prise ss` is told: the sockets of this run.

use core::time::Duration;
use std::collections::HashMap;

use prise_socket::{Host, Kind, SocketId, SocketInfo, State};

use prise_stack::{MemoryUse, TcpInfo};

use crate::clock;
use crate::handed::carried::{self, Carried};
use crate::netlink::seen;
use crate::report::{MemoryEntry, Report, SocketEntry, TcpEntry, Way};
use crate::socket::{Role, Sockets};
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(crate) fn answer_inspection(&mut self) {
        self.sweep();
        self.enter_all_noted();
        let carried = self.carried_by_kernel();
        self.answers.give(|| Report {
            supervisor: std::process::id(),
            command: self.command.clone(),
            sockets: entries(&self.host, &self.sockets, &carried),
            memory: memory(&self.host),
            strangers: self.strangers.turned_away,
        });
    }

    /// The streams that the run's own TCP does not carry, as far as a program that has one lets itself be found at once.
    pub(crate) fn carried_by_kernel(&mut self) -> HashMap<SocketId, Carried> {
        let mut found = HashMap::new();
        for (_, socket) in self.sockets.iter() {
            let Some(look) = carried::look_of(socket) else { continue };
            if let Some(carried) = seen(socket, &mut self.guests).as_ref().and_then(look) {
                found.insert(socket.id, carried);
            }
        }
        found
    }
}

fn entries(host: &Host, sockets: &Sockets, carried: &HashMap<SocketId, Carried>) -> Vec<SocketEntry> {
    let now = clock::now();
    let mut programs = HashMap::new();
    let held = host.sockets().filter_map(|id| {
        let info = host.info(id)?;
        let holder = sockets.by_id(id).and_then(|slot| sockets.get(slot));
        let process = holder.map(|socket| socket.process);
        let program = process.and_then(|process| programs.entry(process).or_insert_with(|| name(process)).clone());
        let way = match holder.map(|socket| &socket.role) {
            Some(Role::Handed(_)) => Way::Kernel,
            _ => Way::Stack,
        };
        let kernels = carried.get(&id);
        let connection = info.kind == Kind::Stream && info.state != State::Listen && way != Way::Kernel;
        Some(SocketEntry {
            protocol: protocol(&info).to_owned(),
            state: state(kernels.and_then(|kernels| kernels.state).unwrap_or(info.state)).to_owned(),
            recv_queue: kernels.map_or(info.receive_queue as u64, |kernels| kernels.unread),
            send_queue: kernels.map_or(info.send_queue as u64, |kernels| kernels.unsent),
            local: info.local,
            peer: info.remote,
            pid: process,
            program,
            way,
            tcp: match kernels.and_then(|kernels| kernels.tcp) {
                None => host.tcp_info(now, id).filter(|_| connection).map(|info| figures(&info)),
                told => told,
            },
        })
    });
    let mut entries: Vec<SocketEntry> = held.collect();
    entries.extend(host.stack().tcp_unowned().map(|summary| SocketEntry {
        protocol: "tcp".to_owned(),
        state: state(summary.state.into()).to_owned(),
        recv_queue: 0,
        send_queue: summary.send_queue.into(),
        local: summary.local,
        peer: Some(summary.remote),
        pid: None,
        program: None,
        way: Way::Stack,
        tcp: None,
    }));
    entries
}

fn memory(host: &Host) -> MemoryEntry {
    let MemoryUse {
        budget,
        used,
        peak,
        pressure,
        pressures,
    } = host.stack().memory();
    MemoryEntry {
        used,
        peak,
        low: budget.low,
        pressure_mark: budget.pressure,
        high: budget.high,
        pressure,
        pressures,
    }
}

fn name(process: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(text.trim_end().to_owned())
}

fn figures(info: &TcpInfo) -> TcpEntry {
    let micros = |duration: Duration| duration.as_micros() as u64;
    TcpEntry {
        rtt_us: micros(info.srtt),
        rttvar_us: micros(info.rttvar),
        rto_us: micros(info.rto),
        cwnd: u64::from(info.cwnd),
        ssthresh: (info.ssthresh < u32::MAX / 2).then_some(u64::from(info.ssthresh)),
        mss: info.send_mss,
        retransmissions: u64::from(info.total_retransmissions),
        bytes_sent: info.bytes_sent.saturating_sub(info.bytes_retransmitted),
        bytes_received: info.bytes_received,
    }
}

fn protocol(info: &SocketInfo) -> &'static str {
    match (info.kind, i32::from(info.protocol)) {
        (Kind::Stream, _) => "tcp",
        (Kind::Datagram, libc::IPPROTO_UDP) => "udp",
        (Kind::Datagram, libc::IPPROTO_UDPLITE) => "udplite",
        (Kind::Datagram, _) => "icmp",
        (Kind::Raw, _) => "raw",
    }
}

/// As ss(8) spells them.
fn state(state: State) -> &'static str {
    match state {
        State::Established => "ESTAB",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECV",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::TimeWait => "TIME-WAIT",
        State::Closed => "UNCONN",
        State::CloseWait => "CLOSE-WAIT",
        State::LastAck => "LAST-ACK",
        State::Listen => "LISTEN",
        State::Closing => "CLOSING",
    }
}
