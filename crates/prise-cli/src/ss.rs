//! `prise ss`: asks every run of this user and prints what they answer.

use core::net::{IpAddr, SocketAddr};
use std::io::{self, Write};

use prise_run::report::{self, Report, SocketEntry, Way};

/// Which runs answered, and which could not be understood.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) reports: Vec<Report>,
    pub(crate) silent: Vec<(u32, io::Error)>,
}

/// Asks every run of `uid`. One that ended in the meantime is not a run any more and is left out.
pub(crate) fn ask_all(uid: u32) -> io::Result<Answers> {
    let mut answers = Answers::default();
    for supervisor in report::running(uid)? {
        match report::ask(uid, supervisor) {
            Ok(report) => answers.reports.push(report),
            // It may end between any two steps of the question: then it listens no more.
            Err(_) if !report::running(uid)?.contains(&supervisor) => {}
            Err(error) => answers.silent.push((supervisor, error)),
        }
    }
    Ok(answers)
}

const HEADER: [&str; 11] = [
    "Netid",
    "State",
    "Recv-Q",
    "Send-Q",
    "Local Address:Port",
    "Peer Address:Port",
    "Process",
    "Way",
    "RTT",
    "Cwnd",
    "Retrans",
];
/// Columns of numbers, which end at the same place; the others begin there.
const NUMERIC: [bool; 11] = [false, false, true, true, false, false, false, false, true, true, true];

/// One line a socket, columns as wide as their widest cell; what has no value shows as `-`.
pub(crate) fn write_table(reports: &[Report], to: &mut impl Write) -> io::Result<()> {
    let rows: Vec<[String; 11]> = reports.iter().flat_map(|report| &report.sockets).map(row).collect();
    let mut widths = HEADER.map(|title| title.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    write_row(&HEADER.map(str::to_owned), &widths, to)?;
    rows.iter().try_for_each(|row| write_row(row, &widths, to))
}

/// A line for each run: its sockets by state, and what its queues hold of the stack's memory.
pub(crate) fn write_summary(reports: &[Report], to: &mut impl Write) -> io::Result<()> {
    for report in reports {
        let name = report.command.first().map_or("", String::as_str);
        let program = name.rsplit('/').next().unwrap_or(name);
        let mut states: Vec<(String, usize)> = Vec::new();
        for socket in &report.sockets {
            let state = format!("{} {}", socket.protocol, socket.state);
            match states.iter_mut().find(|(known, _)| *known == state) {
                Some((_, count)) => *count += 1,
                None => states.push((state, 1)),
            }
        }
        let counts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let counts = if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        };
        let run = report.supervisor;
        writeln!(
            to,
            "{}({run}): sockets {counts}; {}",
            printable(program),
            memory(&report.memory)
        )?;
    }
    Ok(())
}

fn memory(memory: &report::MemoryEntry) -> String {
    let pressure = match (memory.pressure, memory.pressures) {
        (true, _) => ", under pressure".to_owned(),
        (false, 0) => String::new(),
        (false, times) => format!(", {times} times under pressure"),
    };
    format!(
        "memory {} of {}, at most {} so far, pressure from {} to {}{pressure}",
        octets(memory.used),
        octets(memory.high),
        octets(memory.peak),
        octets(memory.pressure_mark),
        octets(memory.low)
    )
}

/// `17.3 MiB`.
fn octets(count: u64) -> String {
    let count = count as f64;
    match count {
        _ if count < 1024.0 => format!("{count} B"),
        _ if count < 1_048_576.0 => format!("{:.1} KiB", count / 1024.0),
        _ => format!("{:.1} MiB", count / 1_048_576.0),
    }
}

fn write_row(cells: &[String; 11], widths: &[usize; 11], to: &mut impl Write) -> io::Result<()> {
    let columns = cells.iter().zip(widths).zip(NUMERIC);
    let padded: Vec<String> = columns
        .map(|((cell, &width), numeric)| {
            if numeric {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        })
        .collect();
    writeln!(to, "{}", padded.join("  ").trim_end())
}

fn row(socket: &SocketEntry) -> [String; 11] {
    let tcp = socket.tcp.as_ref();
    let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let process = socket
        .program
        .as_ref()
        .zip(socket.pid)
        .map(|(program, pid)| format!("{}({pid})", printable(program)));
    let measured = |tcp: &&report::TcpEntry| tcp.rtt_us > 0;
    [
        socket.protocol.clone(),
        socket.state.clone(),
        socket.recv_queue.to_string(),
        socket.send_queue.to_string(),
        endpoint(socket.local),
        socket.peer.map_or_else(|| wildcard(socket.local), endpoint),
        cell(process),
        way(socket).to_owned(),
        cell(tcp.filter(measured).map(|tcp| milliseconds(tcp.rtt_us))),
        cell(tcp.map(|tcp| tcp.cwnd.to_string())),
        cell(tcp.map(|tcp| tcp.retransmissions.to_string())),
    ]
}

/// Who carries a connection's octets; what is no connection has no way.
fn way(socket: &SocketEntry) -> &'static str {
    match socket.way {
        _ if socket.peer.is_none() => "-",
        Way::Stack => "stack",
        Way::Kernel => "kernel",
    }
}

/// `127.0.0.1:80`, `[::1]:80`; the port 0 of a socket that has none is `*`, as ss(8) shows it.
fn endpoint(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    if address.port() == 0 {
        format!("{host}:*")
    } else {
        format!("{host}:{}", address.port())
    }
}

fn wildcard(local: SocketAddr) -> String {
    if local.is_ipv4() {
        "0.0.0.0:*".to_owned()
    } else {
        "[::]:*".to_owned()
    }
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03}ms", microseconds / 1000, microseconds % 1000)
}

/// A program names itself (prctl(2) PR_SET_NAME); its name must not steer the reader's terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use prise_run::report::TcpEntry;

    use super::*;

    fn socket(protocol: &str, state: &str, local: &str) -> SocketEntry {
        SocketEntry {
            protocol: protocol.into(),
            state: state.into(),
            recv_queue: 0,
            send_queue: 0,
            local: local.parse().unwrap(),
            peer: None,
            pid: Some(4242),
            program: Some("python3".into()),
            way: Way::Stack,
            tcp: None,
        }
    }

    fn table(sockets: Vec<SocketEntry>) -> String {
        let reports = [Report {
            supervisor: 7,
            command: vec!["python3".into()],
            sockets,
            memory: report::MemoryEntry::default(),
            strangers: 0,
        }];
        let mut text = Vec::new();
        write_table(&reports, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_socket_is_one_aligned_line() {
        let tcp = TcpEntry {
            rtt_us: 50_123,
            rttvar_us: 10,
            rto_us: 250_000,
            cwnd: 14_480,
            ssthresh: Some(7240),
            mss: 1448,
            retransmissions: 3,
            bytes_sent: 1,
            bytes_received: 2,
        };
        let established = SocketEntry {
            peer: Some("[fd00:2::2]:443".parse().unwrap()),
            recv_queue: 12,
            send_queue: 123_456,
            tcp: Some(tcp),
            ..socket("tcp", "ESTAB", "[fd00:2::15]:40001")
        };
        let time_wait = SocketEntry {
            pid: None,
            program: None,
            ..socket("tcp", "TIME-WAIT", "127.0.0.1:8080")
        };
        let listening = SocketEntry {
            send_queue: 5,
            ..socket("tcp", "LISTEN", "0.0.0.0:8080")
        };
        let text = table(vec![
            listening,
            established,
            time_wait,
            socket("udp", "UNCONN", "[::]:53"),
        ]);
        insta::assert_snapshot!(text, @r"
        Netid  State      Recv-Q  Send-Q  Local Address:Port  Peer Address:Port  Process        Way         RTT   Cwnd  Retrans
        tcp    LISTEN          0       5  0.0.0.0:8080        0.0.0.0:*          python3(4242)  -             -      -        -
        tcp    ESTAB          12  123456  [fd00:2::15]:40001  [fd00:2::2]:443    python3(4242)  stack  50.123ms  14480        3
        tcp    TIME-WAIT       0       0  127.0.0.1:8080      0.0.0.0:*          -              -             -      -        -
        udp    UNCONN          0       0  [::]:53             [::]:*             python3(4242)  -             -      -        -
        ");
    }

    #[test]
    fn a_summary_counts_sockets_and_tells_of_memory() {
        let sockets = ["LISTEN", "ESTAB", "ESTAB"].map(|state| socket("tcp", state, "0.0.0.0:80"));
        let reports = [Report {
            supervisor: 7,
            command: vec!["/usr/bin/python3".into(), "-c".into()],
            sockets: sockets.into(),
            memory: report::MemoryEntry {
                used: 70_000,
                peak: 3 << 20,
                low: 256 << 20,
                pressure_mark: 384 << 20,
                high: 512 << 20,
                pressure: false,
                pressures: 2,
            },
            strangers: 0,
        }];
        let mut text = Vec::new();
        write_summary(&reports, &mut text).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        python3(7): sockets 1 tcp LISTEN, 2 tcp ESTAB; memory 68.4 KiB of 512.0 MiB, at most 3.0 MiB so far, pressure from 384.0 MiB to 256.0 MiB, 2 times under pressure
        ");
    }

    #[test]
    fn a_programs_name_cannot_steer_the_terminal() {
        let named = SocketEntry {
            program: Some("a\x1b[2Jb\n".into()),
            ..socket("udp", "UNCONN", "0.0.0.0:0")
        };
        let text = table(vec![named]);
        assert!(text.contains("a?[2Jb?(4242)") && text.lines().count() == 2, "{text}");
    }
}
