//! The numbers behind a script's names: socket options, fields of `struct tcp_info`, states, flags, errors.

use crate::script::{InfoCheck, SocketOption};

const fn option(name: &'static str, level: i32, number: i32) -> SocketOption {
    SocketOption { name, level, number }
}

/// Level `SOL_SOCKET`.
pub const SOL_SOCKET: i32 = 1;
/// Level `IPPROTO_IP`.
pub const IPPROTO_IP: i32 = 0;
/// Level `IPPROTO_TCP`.
pub const IPPROTO_TCP: i32 = 6;
/// `TCP_INFO`.
pub const TCP_INFO: SocketOption = option("TCP_INFO", IPPROTO_TCP, 11);
/// `TCP_CONGESTION`.
pub const TCP_CONGESTION: SocketOption = option("TCP_CONGESTION", IPPROTO_TCP, 13);
/// `TCP_MD5SIG`, of which scripts give the key alone.
pub const TCP_MD5SIG: SocketOption = option("TCP_MD5SIG", IPPROTO_TCP, 14);
/// `SO_REUSEADDR`.
pub const SO_REUSEADDR: SocketOption = option("SO_REUSEADDR", SOL_SOCKET, 2);
/// `SO_ERROR`.
pub const SO_ERROR: SocketOption = option("SO_ERROR", SOL_SOCKET, 4);

/// The options that scripts may name (asm-generic/socket.h, linux/tcp.h, linux/in.h).
const OPTIONS: &[SocketOption] = &[
    SO_REUSEADDR,
    SO_ERROR,
    TCP_INFO,
    option("SO_SNDBUF", SOL_SOCKET, 7),
    option("SO_MAX_PACING_RATE", SOL_SOCKET, 47),
    option("SO_RCVBUF", SOL_SOCKET, 8),
    option("SO_KEEPALIVE", SOL_SOCKET, 9),
    option("SO_OOBINLINE", SOL_SOCKET, 10),
    option("SO_LINGER", SOL_SOCKET, 13),
    option("SO_REUSEPORT", SOL_SOCKET, 15),
    option("SO_RCVLOWAT", SOL_SOCKET, 18),
    option("TCP_NODELAY", IPPROTO_TCP, 1),
    option("TCP_MAXSEG", IPPROTO_TCP, 2),
    option("TCP_CORK", IPPROTO_TCP, 3),
    option("TCP_KEEPIDLE", IPPROTO_TCP, 4),
    option("TCP_KEEPINTVL", IPPROTO_TCP, 5),
    option("TCP_KEEPCNT", IPPROTO_TCP, 6),
    option("TCP_SYNCNT", IPPROTO_TCP, 7),
    option("TCP_LINGER2", IPPROTO_TCP, 8),
    option("TCP_DEFER_ACCEPT", IPPROTO_TCP, 9),
    option("TCP_WINDOW_CLAMP", IPPROTO_TCP, 10),
    option("TCP_QUICKACK", IPPROTO_TCP, 12),
    TCP_CONGESTION,
    TCP_MD5SIG,
    option("TCP_THIN_LINEAR_TIMEOUTS", IPPROTO_TCP, 16),
    option("TCP_USER_TIMEOUT", IPPROTO_TCP, 18),
    option("TCP_FASTOPEN", IPPROTO_TCP, 23),
    option("TCP_NOTSENT_LOWAT", IPPROTO_TCP, 25),
    option("TCP_FASTOPEN_CONNECT", IPPROTO_TCP, 30),
    option("TCP_FASTOPEN_KEY", IPPROTO_TCP, 33),
    option("TCP_FASTOPEN_NO_COOKIE", IPPROTO_TCP, 34),
    option("TCP_INQ", IPPROTO_TCP, 36),
    option("TCP_RTO_MAX_MS", IPPROTO_TCP, 44),
    option("TCP_RTO_MIN_US", IPPROTO_TCP, 45),
    option("TCP_DELACK_MAX_US", IPPROTO_TCP, 46),
    option("IP_TOS", IPPROTO_IP, 1),
    option("IP_TTL", IPPROTO_IP, 2),
    option("IP_MTU_DISCOVER", IPPROTO_IP, 10),
    option("IP_RECVERR", IPPROTO_IP, 11),
    option("IP_MTU", IPPROTO_IP, 14),
    option("IP_BIND_ADDRESS_NO_PORT", IPPROTO_IP, 24),
    option("IP_LOCAL_PORT_RANGE", IPPROTO_IP, 51),
    option("IPV6_TCLASS", 41, 67),
    option("IPV6_UNICAST_HOPS", 41, 16),
];

/// The option of a name.
pub fn socket_option(name: &str) -> Option<SocketOption> {
    OPTIONS.iter().copied().find(|option| option.name == name)
}

/// `MSG_*` by the words that scripts use.
pub fn message_flag(word: &str) -> Option<u32> {
    Some(match word {
        "oob" => 0x1,
        "peek" => 0x2,
        "trunc" => 0x20,
        "more" => 0x8000,
        "fastopen" => 0x2000_0000,
        _ => return None,
    })
}

/// `MSG_NOSIGNAL`: a script has no use for SIGPIPE.
pub const MSG_NOSIGNAL: u32 = 0x4000;
/// `MSG_OOB`.
pub const MSG_OOB: u32 = 0x1;
/// `MSG_PEEK`.
pub const MSG_PEEK: u32 = 0x2;

/// The bits of `poll(2)` that scripts may name.
pub const POLL: [(&str, i64); 6] = [
    ("IN", 0x1),
    ("PRI", 0x2),
    ("OUT", 0x4),
    ("ERR", 0x8),
    ("HUP", 0x10),
    ("RDHUP", 0x2000),
];

/// Poll bits as a script writes them.
pub fn poll_words(bits: i64) -> String {
    let words: Vec<&str> = POLL
        .iter()
        .filter(|(_, bit)| bits & bit != 0)
        .map(|(word, _)| *word)
        .collect();
    if words.is_empty() { "-".into() } else { words.join("|") }
}

/// The states by their numbers (net/tcp_states.h).
const STATES: [(&str, u64); 12] = [
    ("ESTABLISHED", 1),
    ("SYN-SENT", 2),
    ("SYN-RECEIVED", 3),
    ("FIN-WAIT-1", 4),
    ("FIN-WAIT-2", 5),
    ("TIME-WAIT", 6),
    ("CLOSED", 7),
    ("CLOSE-WAIT", 8),
    ("LAST-ACK", 9),
    ("LISTEN", 10),
    ("CLOSING", 11),
    ("NEW-SYN-RECV", 12),
];

/// `enum tcp_ca_state`.
const CA_STATES: [(&str, u64); 5] = [("open", 0), ("disorder", 1), ("cwr", 2), ("recovery", 3), ("loss", 4)];

/// Name, offset and size of the fields of `struct tcp_info` (linux/tcp.h).
const FIELDS: &[(&str, usize, usize)] = &[
    ("state", 0, 1),
    ("ca_state", 1, 1),
    ("retransmits", 2, 1),
    ("probes", 3, 1),
    ("backoff", 4, 1),
    ("options", 5, 1),
    ("wscales", 6, 1),
    ("rto", 8, 4),
    ("ato", 12, 4),
    ("snd_mss", 16, 4),
    ("rcv_mss", 20, 4),
    ("unacked", 24, 4),
    ("sacked", 28, 4),
    ("lost", 32, 4),
    ("retrans", 36, 4),
    ("pmtu", 60, 4),
    ("rcv_ssthresh", 64, 4),
    ("rtt", 68, 4),
    ("rttvar", 72, 4),
    ("snd_ssthresh", 76, 4),
    ("snd_cwnd", 80, 4),
    ("advmss", 84, 4),
    ("reordering", 88, 4),
    ("rcv_space", 96, 4),
    ("pacing_rate", 104, 8),
    ("max_pacing_rate", 112, 8),
    ("total_retrans", 100, 4),
    ("bytes_acked", 120, 8),
    ("bytes_received", 128, 8),
    ("segs_out", 136, 4),
    ("segs_in", 140, 4),
    ("notsent_bytes", 144, 4),
    ("min_rtt", 148, 4),
    ("data_segs_in", 152, 4),
    ("data_segs_out", 156, 4),
    ("delivered", 192, 4),
    ("delivered_ce", 196, 4),
    ("bytes_sent", 200, 8),
    ("bytes_retrans", 208, 8),
    ("dsack_dups", 216, 4),
    ("reord_seen", 220, 4),
    ("rcv_ooopack", 224, 4),
    ("delivery_rate", 160, 8),
    ("busy_time", 168, 8),
    ("rwnd_limited", 176, 8),
    ("sndbuf_limited", 184, 8),
    ("snd_wnd", 228, 4),
    ("rcv_wnd", 232, 4),
    ("rehash", 236, 4),
    ("total_rto", 240, 2),
    ("total_rto_recoveries", 242, 2),
    ("total_rto_time", 244, 4),
    ("received_ce", 248, 4),
    ("delivered_e1_bytes", 252, 4),
    ("delivered_e0_bytes", 256, 4),
    ("delivered_ce_bytes", 260, 4),
    ("received_e1_bytes", 264, 4),
    ("received_e0_bytes", 268, 4),
    ("received_ce_bytes", 272, 4),
    ("accecn_fail_mode", 276, 2),
    ("accecn_opt_seen", 278, 2),
];

/// Name, octet, lowest bit and number of bits of those that share an octet.
const BIT_FIELDS: &[(&str, usize, u32, u32)] = &[("app_limited", 7, 0, 1), ("fastopen_client_fail", 7, 1, 2)];

/// The bits of `tcpi_options`.
const OPTION_BITS: [(&str, u64); 8] = [
    ("ts", 1),
    ("sack", 2),
    ("wscale", 4),
    ("ecn", 8),
    ("ecn_seen", 16),
    ("syn_data", 32),
    ("usec_ts", 64),
    ("tfo_child", 128),
];

/// One check of a field: `field`, and the text after its `=`.
pub fn info_check(field: &str, text: &str) -> Result<InfoCheck, String> {
    let whole = FIELDS.iter().find(|(name, ..)| *name == field);
    let part = BIT_FIELDS.iter().find(|(name, ..)| *name == field);
    let (field, offset, size, bits) = match (whole, part) {
        (Some(&(field, offset, size)), _) => (field, offset, size, (0, 8 * size as u32)),
        (None, Some(&(field, offset, shift, bits))) => (field, offset, 1, (shift, bits)),
        (None, None) => return Err(format!("no field {field} in tcp_info")),
    };
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (info_value(field, min)?, info_value(field, max)?),
        None => (info_value(field, text)?, info_value(field, text)?),
    };
    Ok(InfoCheck {
        field,
        offset,
        size,
        bits,
        min,
        max,
    })
}

fn info_value(field: &str, text: &str) -> Result<u64, String> {
    let table: &[(&str, u64)] = match field {
        "state" => &STATES,
        "ca_state" => &CA_STATES,
        "options" => {
            return text.split('|').filter(|word| *word != "-").try_fold(0, |all, word| {
                let bit = OPTION_BITS.iter().find(|(name, _)| *name == word);
                bit.map(|(_, bit)| all | bit)
                    .ok_or_else(|| format!("no option bit {word}"))
            });
        }
        _ => &[],
    };
    match table.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => text.parse().map_err(|_| format!("{field}: what is {text}?")),
    }
}

/// A field's value as a script writes it.
pub fn info_words(field: &str, value: u64) -> String {
    let table: &[(&str, u64)] = match field {
        "state" => &STATES,
        "ca_state" => &CA_STATES,
        _ => &[],
    };
    let name = table.iter().find(|(_, number)| *number == value);
    name.map_or_else(|| value.to_string(), |(name, _)| (*name).to_string())
}

/// The errors that scripts may expect.
const ERRORS: &[(&str, i32)] = &[
    ("ENOENT", 2),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EINVAL", 22),
    ("EPIPE", 32),
    ("EPROTO", 71),
    ("EMSGSIZE", 90),
    ("ENOPROTOOPT", 92),
    ("EOPNOTSUPP", 95),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETDOWN", 100),
    ("ENETUNREACH", 101),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
];

/// The error of a name, as the table spells it.
pub fn error(name: &str) -> Option<&'static str> {
    ERRORS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known)
}

/// The number of an error's name.
pub fn error_number(name: &str) -> Option<i32> {
    ERRORS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// The name of an error's number.
pub fn error_name(number: i32) -> String {
    ERRORS
        .iter()
        .find(|(_, known)| *known == number)
        .map_or_else(|| format!("errno {number}"), |(name, _)| (*name).to_string())
}
