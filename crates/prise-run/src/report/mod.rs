//! What a running prise tells `prise ss`, and how the two find each other.
//!
//! Every run listens on an abstract AF_UNIX stream socket named `prise/UID/PID`: nothing to clean up when it is killed,
//! and found through /proc/net/unix without a registry. A peer of another user (`SO_PEERCRED`) is disconnected unheard.
//! The answer is one JSON document, [`Report`], after which the run closes the connection.

pub(crate) mod answers;
pub(crate) mod inspect;

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};

use serde::{Deserialize, Serialize};

/// A report of more than this is not ours: 100,000 sockets at some 400 octets each fit.
const REPORT_MAX: u64 = 64 << 20;
/// A run that does not answer within this time is stopped or wedged, and is left out with a word.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// One run and all its sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The process of prise itself.
    pub supervisor: u32,
    /// The program that it was started for, with its arguments.
    pub command: Vec<String>,
    /// Its Internet sockets.
    pub sockets: Vec<SocketEntry>,
    /// What its stack's queues hold.
    #[serde(default)]
    pub memory: MemoryEntry,
    /// Connections to the run's places on the host's loopback that nobody of the run had made, and that were reset.
    #[serde(default)]
    pub strangers: u64,
}

/// The memory that octets hold which wait in the stack's queues, and its marks (`net.ipv4.tcp_mem`), in octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEntry {
    /// Held now.
    pub used: u64,
    /// The most that ever was.
    pub peak: u64,
    /// Below this, pressure is over.
    pub low: u64,
    /// Above this, nobody grows freely any more.
    pub pressure_mark: u64,
    /// Above this, what is new is refused.
    pub high: u64,
    /// Whether the stack is under pressure.
    pub pressure: bool,
    /// How often it came under pressure.
    pub pressures: u64,
}

/// One Internet socket of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketEntry {
    /// `tcp`, `udp`, `icmp` or `raw`.
    pub protocol: String,
    /// `LISTEN`, `ESTAB`, `TIME-WAIT` … as ss(8) spells them; `UNCONN` where there is no connection.
    pub state: String,
    /// TCP: octets received and not yet read by the program; LISTEN: connections that wait for accept; else octets queued.
    pub recv_queue: u64,
    /// TCP: octets not yet acknowledged by the peer; LISTEN: the backlog; else octets queued.
    pub send_queue: u64,
    /// This end. The unspecified address is every address.
    pub local: SocketAddr,
    /// The other end, where there is one.
    pub peer: Option<SocketAddr>,
    /// The process that made the socket, as the host numbers it; `None` once it has no process (TIME-WAIT, orphans).
    pub pid: Option<u32>,
    /// That process's name (`/proc/PID/comm`).
    pub program: Option<String>,
    /// Who carries the octets.
    #[serde(default)]
    pub way: Way,
    /// What only connections have. Where the run's own TCP does not carry the octets, see [`way`](Self::way).
    pub tcp: Option<TcpEntry>,
}

/// Who carries a socket's octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The run's own stack.
    #[default]
    Stack,
    /// The host kernel's TCP: nobody needs its packets. State, queues and figures are the kernel's.
    Kernel,
}

/// The state of a connection's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpEntry {
    /// SRTT in microseconds (RFC 6298); 0 before the first measurement.
    pub rtt_us: u64,
    /// RTTVAR in microseconds.
    pub rttvar_us: u64,
    /// RTO in microseconds.
    pub rto_us: u64,
    /// Congestion window in octets (RFC 5681).
    pub cwnd: u64,
    /// Slow-start threshold in octets; `None` before the first loss.
    pub ssthresh: Option<u64>,
    /// Largest segment sent, in octets of payload.
    pub mss: u32,
    /// Segments sent again, since the connection began.
    pub retransmissions: u64,
    /// Octets of payload sent for the first time.
    pub bytes_sent: u64,
    /// Octets of payload received in order.
    pub bytes_received: u64,
}

/// The abstract name of the run `supervisor` of user `uid`, without its leading zero octet.
pub fn abstract_name(uid: u32, supervisor: u32) -> String {
    format!("prise/{uid}/{supervisor}")
}

/// The runs of user `uid` that this machine lists, by the process of their prise, in ascending order.
pub fn running(uid: u32) -> io::Result<Vec<u32>> {
    let table = std::fs::read("/proc/net/unix")?;
    // Anybody's abstract name may be any octets; ours are ASCII.
    Ok(supervisors(&String::from_utf8_lossy(&table), uid))
}

/// Asks one run.
pub fn ask(uid: u32, supervisor: u32) -> io::Result<Report> {
    let address = UnixAddr::from_abstract_name(abstract_name(uid, supervisor))?;
    let stream = UnixStream::connect_addr(&address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut text = Vec::new();
    stream.take(REPORT_MAX).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// The supervisors of `uid` in a /proc/net/unix table (proc(5)): the path is the eighth column, `@` stands for the zero
/// octet of an abstract name, and only a socket that listens has the flag `__SO_ACCEPTCON` (0x10000).
fn supervisors(table: &str, uid: u32) -> Vec<u32> {
    let prefix = format!("@prise/{uid}/");
    let mut found: Vec<u32> = table
        .lines()
        .filter_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let listens = columns.nth(3)? == "00010000";
            let path = columns.nth(3)?;
            path.strip_prefix(&prefix)?.parse().ok().filter(|_| listens)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_user_are_runs() {
        let table = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/dbus.sock
0000000000000000: 00000002 00000000 00010000 0001 01 12 @prise/65534/812
0000000000000000: 00000003 00000000 00000000 0001 03 13 @prise/65534/812
0000000000000000: 00000002 00000000 00010000 0001 01 14 @prise/65534/77
0000000000000000: 00000002 00000000 00010000 0001 01 15 @prise/6553/78
0000000000000000: 00000002 00000000 00010000 0001 01 16 @prise/65534/not-a-pid
0000000000000000: 00000003 00000000 00000000 0001 03 17
";
        assert_eq!(supervisors(table, 65534), [77, 812]);
    }

    #[test]
    fn a_report_survives_json() {
        let report = Report {
            supervisor: 7,
            command: vec!["python3".into(), "-m".into(), "http.server".into()],
            sockets: vec![SocketEntry {
                protocol: "tcp".into(),
                state: "ESTAB".into(),
                recv_queue: 1,
                send_queue: 2,
                local: "[::1]:80".parse().unwrap(),
                peer: Some("[::1]:40000".parse().unwrap()),
                pid: Some(9),
                program: Some("python3".into()),
                way: Way::Kernel,
                tcp: Some(TcpEntry {
                    rtt_us: 30,
                    rttvar_us: 4,
                    rto_us: 200_000,
                    cwnd: 14_480,
                    ssthresh: None,
                    mss: 1448,
                    retransmissions: 0,
                    bytes_sent: 5,
                    bytes_received: 6,
                }),
            }],
            memory: MemoryEntry::default(),
            strangers: 3,
        };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
