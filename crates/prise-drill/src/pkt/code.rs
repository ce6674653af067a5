//! `%{ ... }%`: Python, which sees what `TCP_INFO` says at that moment. As packetdrill does, all pieces run together at the end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::abi::Library;

const SOL_TCP: i32 = 6;
const TCP_INFO: i32 = 11;
const TCP_CC_INFO: i32 = 26;
const SOL_SOCKET: i32 = 1;
const SO_MEMINFO: i32 = 55;

/// packetdrill's own `struct tcp_info`, which ends where Linux's does since it counts Accurate ECN.
const TCP_INFO_ROOM: usize = 280;

/// Octets of members, in the order of `struct tcp_info`.
const MEMBERS: &[(&str, usize, usize)] = &[
    ("tcpi_state", 0, 1),
    ("tcpi_ca_state", 1, 1),
    ("tcpi_retransmits", 2, 1),
    ("tcpi_probes", 3, 1),
    ("tcpi_backoff", 4, 1),
    ("tcpi_options", 5, 1),
    ("tcpi_rto", 8, 4),
    ("tcpi_ato", 12, 4),
    ("tcpi_snd_mss", 16, 4),
    ("tcpi_rcv_mss", 20, 4),
    ("tcpi_unacked", 24, 4),
    ("tcpi_sacked", 28, 4),
    ("tcpi_lost", 32, 4),
    ("tcpi_retrans", 36, 4),
    ("tcpi_fackets", 40, 4),
    ("tcpi_last_data_sent", 44, 4),
    ("tcpi_last_ack_sent", 48, 4),
    ("tcpi_last_data_recv", 52, 4),
    ("tcpi_last_ack_recv", 56, 4),
    ("tcpi_pmtu", 60, 4),
    ("tcpi_rcv_ssthresh", 64, 4),
    ("tcpi_rtt", 68, 4),
    ("tcpi_rttvar", 72, 4),
    ("tcpi_snd_ssthresh", 76, 4),
    ("tcpi_snd_cwnd", 80, 4),
    ("tcpi_advmss", 84, 4),
    ("tcpi_reordering", 88, 4),
    ("tcpi_rcv_rtt", 92, 4),
    ("tcpi_rcv_space", 96, 4),
    ("tcpi_total_retrans", 100, 4),
    ("tcpi_pacing_rate", 104, 8),
    ("tcpi_max_pacing_rate", 112, 8),
    ("tcpi_bytes_acked", 120, 8),
    ("tcpi_bytes_received", 128, 8),
    ("tcpi_segs_out", 136, 4),
    ("tcpi_segs_in", 140, 4),
    ("tcpi_notsent_bytes", 144, 4),
    ("tcpi_min_rtt", 148, 4),
    ("tcpi_data_segs_in", 152, 4),
    ("tcpi_data_segs_out", 156, 4),
    ("tcpi_delivery_rate", 160, 8),
    ("tcpi_busy_time", 168, 8),
    ("tcpi_rwnd_limited", 176, 8),
    ("tcpi_sndbuf_limited", 184, 8),
    ("tcpi_delivered", 192, 4),
    ("tcpi_delivered_ce", 196, 4),
    ("tcpi_bytes_sent", 200, 8),
    ("tcpi_bytes_retrans", 208, 8),
    ("tcpi_dsack_dups", 216, 4),
    ("tcpi_reord_seen", 220, 4),
    ("tcpi_rcv_ooopack", 224, 4),
    ("tcpi_snd_wnd", 228, 4),
    ("tcpi_rcv_wnd", 232, 4),
    ("tcpi_rehash", 236, 4),
    ("tcpi_total_rto", 240, 2),
    ("tcpi_total_rto_recoveries", 242, 2),
    ("tcpi_total_rto_time", 244, 4),
    ("tcpi_received_ce", 248, 4),
    ("tcpi_delivered_e1_bytes", 252, 4),
    ("tcpi_delivered_e0_bytes", 256, 4),
    ("tcpi_delivered_ce_bytes", 260, 4),
    ("tcpi_received_e1_bytes", 264, 4),
    ("tcpi_received_e0_bytes", 268, 4),
    ("tcpi_received_ce_bytes", 272, 4),
];

/// The numbers of `SO_MEMINFO` (linux/sock_diag.h).
const MEMORY: [&str; 9] = [
    "RMEM_ALLOC",
    "RCVBUF",
    "WMEM_ALLOC",
    "SNDBUF",
    "FWD_ALLOC",
    "WMEM_QUEUED",
    "OPTMEM",
    "BACKLOG",
    "DROPS",
];

const NAMES: &str = "TCP_ESTABLISHED = 1\nTCP_SYN_SENT = 2\nTCP_SYN_RECV = 3\nTCP_FIN_WAIT1 = 4\nTCP_FIN_WAIT2 = 5\n\
                     TCP_TIME_WAIT = 6\nTCP_CLOSE = 7\nTCP_CLOSE_WAIT = 8\nTCP_LAST_ACK = 9\nTCP_LISTEN = 10\nTCP_CLOSING = 11\n\
                     TCP_CA_Open = 0\nTCP_CA_Disorder = 1\nTCP_CA_CWR = 2\nTCP_CA_Recovery = 3\nTCP_CA_Loss = 4\n\
                     TCPI_OPT_TIMESTAMPS = 1\nTCPI_OPT_SACK = 2\nTCPI_OPT_WSCALE = 4\nTCPI_OPT_ECN = 8\nTCPI_OPT_ECN_SEEN = 16\n\
                     TCPI_OPT_SYN_DATA = 32\n";

/// A failure makes Python tell the line of the script.
const PREAMBLE: &str = "import sys, traceback\n_line = 0\ndef _hook(kind, value, trace):\n  \
                        sys.stderr.write('%d: %s' % (_line, ''.join(traceback.format_exception_only(kind, value))))\nsys.excepthook = _hook\n";

/// The Python program that grows with the script.
#[derive(Debug, Default)]
pub(super) struct Program {
    text: String,
}

impl Program {
    /// Adds a piece with what the socket says of itself now.
    pub(super) fn add(&mut self, line: usize, code: &str, fd: i32) -> Result<(), String> {
        let ask = |level, name, room| Library::getsockopt_directly(fd, level, name, room);
        let info =
            ask(SOL_TCP, TCP_INFO, TCP_INFO_ROOM).map_err(|errno| format!("TCP_INFO failed with errno {errno}"))?;
        ask(SOL_TCP, TCP_CC_INFO, 64).map_err(|errno| format!("TCP_CC_INFO failed with errno {errno}"))?;
        let memory =
            ask(SOL_SOCKET, SO_MEMINFO, 36).map_err(|errno| format!("SO_MEMINFO failed with errno {errno}"))?;
        if info.len() < TCP_INFO_ROOM || memory.len() < 36 {
            return Err(format!(
                "TCP_INFO has {} octets, SO_MEMINFO {}",
                info.len(),
                memory.len()
            ));
        }
        let value = |at: usize, len: usize| {
            info[at..at + len]
                .iter()
                .rev()
                .fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet))
        };
        for (name, at, len) in MEMBERS {
            let _ = writeln!(self.text, "{name} = {}", value(*at, *len));
        }
        let _ = writeln!(
            self.text,
            "tcpi_snd_wscale = {}\ntcpi_rcv_wscale = {}",
            info[6] & 15,
            info[6] >> 4
        );
        for (name, number) in MEMORY.iter().zip(memory.chunks_exact(4)) {
            let number = number.iter().rev().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
            let _ = writeln!(self.text, "SK_MEMINFO_{name} = {number}");
        }
        let _ = writeln!(self.text, "tcpi_delivery_rate_app_limited = {}", info[7] & 1);
        let _ = writeln!(self.text, "_line = {line}\n{}\n", code.trim());
        Ok(())
    }

    /// Runs the pieces. `Ok(false)`: there is no Python here.
    pub(super) fn run(&self) -> Result<bool, (usize, String)> {
        if self.text.is_empty() {
            return Ok(true);
        }
        let child = Command::new("python3")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else { return Ok(false) };
        if let Some(mut input) = child.stdin.take() {
            let _ = input.write_all(format!("{PREAMBLE}{NAMES}{}", self.text).as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| (0, error.to_string()))?;
        if output.status.success() {
            return Ok(true);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let line = said.split(':').next().and_then(|line| line.parse().ok()).unwrap_or(0);
        let reason = said.split_once(": ").map_or(said.as_str(), |(_, reason)| reason);
        Err((line, reason.to_owned()))
    }
}
