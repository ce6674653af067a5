//! `prise ss`: asks every run of this user and prints what they answer.

use core::net::{IpAddr, SocketAddr};
use std::io::{self, Write};

use prise_run::report::{self, Report, SocketEntry};

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
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => answers.silent.push((supervisor, error)),
        }
    }
    Ok(answers)
}

const HEADER: [&str; 10] = [
    "Netid",
    "State",
    "Recv-Q",
    "Send-Q",
    "Local Address:Port",
    "Peer Address:Port",
    "Process",
    "RTT",
    "Cwnd",
    "Retrans",
];
/// Columns of numbers, which end at the same place; the others begin there.
const NUMERIC: [bool; 10] = [false, false, true, true, false, false, false, true, true, true];

/// One line a socket, columns as wide as their widest cell; what has no value shows as `-`.
pub(crate) fn write_table(reports: &[Report], to: &mut impl Write) -> io::Result<()> {
    let rows: Vec<[String; 10]> = reports.iter().flat_map(|report| &report.sockets).map(row).collect();
    let mut widths = HEADER.map(|title| title.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    write_row(&HEADER.map(str::to_owned), &widths, to)?;
    rows.iter().try_for_each(|row| write_row(row, &widths, to))
}

fn write_row(cells: &[String; 10], widths: &[usize; 10], to: &mut impl Write) -> io::Result<()> {
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

fn row(socket: &SocketEntry) -> [String; 10] {
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
        cell(tcp.filter(measured).map(|tcp| milliseconds(tcp.rtt_us))),
        cell(tcp.map(|tcp| tcp.cwnd.to_string())),
        cell(tcp.map(|tcp| tcp.retransmissions.to_string())),
    ]
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
            tcp: None,
        }
    }

    fn table(sockets: Vec<SocketEntry>) -> String {
        let reports = [Report {
            supervisor: 7,
            command: vec!["python3".into()],
            sockets,
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
        Netid  State      Recv-Q  Send-Q  Local Address:Port  Peer Address:Port  Process             RTT   Cwnd  Retrans
        tcp    LISTEN          0       5  0.0.0.0:8080        0.0.0.0:*          python3(4242)         -      -        -
        tcp    ESTAB          12  123456  [fd00:2::15]:40001  [fd00:2::2]:443    python3(4242)  50.123ms  14480        3
        tcp    TIME-WAIT       0       0  127.0.0.1:8080      0.0.0.0:*          -                     -      -        -
        udp    UNCONN          0       0  [::]:53             [::]:*             python3(4242)         -      -        -
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
