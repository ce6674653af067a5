//! What the host has counted, as `/proc/net/snmp`, `/proc/net/netstat` and `/proc/net/snmp6` say it (`proc_net(5)`; RFC 4293, 4022, 4113).
//!
//! Names and their order are the kernel's, because some programs count columns. What is not counted here is 0. UDP and TCP count both
//! versions in one, as the kernel's TCP does: those of `Udp6` are 0.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use prise_socket::State;
use prise_stack::{Discard, IpCounters, UdpCounters, UdpProtocol};
use prise_wire::IpVersion;

use crate::View;
use crate::counter_names as names;

/// Two lines: names, and their values.
fn table(out: &mut String, title: &str, columns: &[(&str, u64)]) {
    let line = |out: &mut String, words: Vec<String>| {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{title}: {}", words.join(" "));
    };
    line(out, columns.iter().map(|(name, _)| (*name).to_string()).collect());
    line(out, columns.iter().map(|(_, value)| value.to_string()).collect());
}

/// Two lines for all these names, of which some are counted.
fn whole_table(out: &mut String, title: &str, names: &str, counted: &[(&str, u64)]) {
    let columns: Vec<_> = names.split(' ').map(|name| (name, value_of(name, counted))).collect();
    table(out, title, &columns);
}

fn value_of(name: &str, counted: &[(&str, u64)]) -> u64 {
    counted.iter().find(|it| it.0 == name).map_or(0, |it| it.1)
}

/// Discards of several kinds together.
fn discarded(view: &View<'_>, reasons: &[Discard]) -> u64 {
    let discards = view.host.stack().discards();
    reasons.iter().map(|reason| discards.get(*reason)).sum()
}

fn ip(view: &View<'_>, version: IpVersion) -> IpCounters {
    *view.host.stack().ip_counters(version)
}

/// `/proc/net/snmp`.
pub(crate) fn snmp(view: &mut View<'_>, established: u64) -> String {
    let mut out = String::new();
    let it = ip(view, IpVersion::V4);
    let headers = [Discard::IpMalformed, Discard::IpChecksum, Discard::IpOptionsMalformed];
    let reassembly = [Discard::ReassemblyEvicted, Discard::ReassemblyTimeout];
    table(
        &mut out,
        "Ip",
        &[
            ("Forwarding", 2),
            ("DefaultTTL", 64),
            ("InReceives", it.received),
            ("InHdrErrors", discarded(view, &headers)),
            ("InAddrErrors", discarded(view, &[Discard::IpNotForUs])),
            ("ForwDatagrams", 0),
            ("InUnknownProtos", discarded(view, &[Discard::IpProtocolUnknown])),
            ("InDiscards", 0),
            ("InDelivers", it.delivered),
            ("OutRequests", it.sent),
            ("OutDiscards", discarded(view, &[Discard::LinkQueueFull])),
            ("OutNoRoutes", discarded(view, &[Discard::NoRoute])),
            ("ReasmTimeout", discarded(view, &[Discard::ReassemblyTimeout])),
            ("ReasmReqds", it.fragments_received),
            ("ReasmOKs", it.reassembled),
            ("ReasmFails", discarded(view, &reassembly)),
            ("FragOKs", it.fragmented),
            ("FragFails", 0),
            ("FragCreates", it.fragments_sent),
            ("OutTransmits", it.sent + it.fragments_sent),
        ],
    );
    let icmp = *view.host.stack().icmp_counters(IpVersion::V4);
    whole_table(
        &mut out,
        "Icmp",
        names::ICMP,
        &[
            ("InMsgs", icmp.received),
            ("InDestUnreachs", icmp.errors_received),
            ("OutMsgs", icmp.sent),
            ("OutDestUnreachs", icmp.errors_sent),
        ],
    );
    tcp(&mut out, view, established);
    for (title, protocol) in [("Udp", UdpProtocol::Udp), ("UdpLite", UdpProtocol::Lite)] {
        udp(&mut out, title, view.host.stack().udp_protocol_counters(protocol));
    }
    out
}

fn tcp(out: &mut String, view: &View<'_>, established: u64) {
    let it = view.host.stack().tcp_counters();
    let sent_first = it.sent.saturating_sub(it.retransmitted);
    let columns = [
        ("RtoAlgorithm", 1),
        ("RtoMin", 200),
        ("RtoMax", 120_000),
        ("MaxConn", u64::MAX),
        ("ActiveOpens", it.active_opens),
        ("PassiveOpens", it.passive_opens),
        ("AttemptFails", it.attempt_fails),
        ("EstabResets", it.established_resets),
        ("CurrEstab", established),
        ("InSegs", it.received),
        ("OutSegs", sent_first),
        ("RetransSegs", it.retransmitted),
        ("InErrs", it.errors),
        ("OutRsts", it.resets_sent),
        ("InCsumErrors", discarded(view, &[Discard::TcpChecksum])),
    ];
    let mut text = String::new();
    table(&mut text, "Tcp", &columns);
    // The one number that is signed: no limit.
    out.push_str(&text.replace(&format!(" {} ", u64::MAX), " -1 "));
}

fn udp(out: &mut String, title: &str, it: &UdpCounters) {
    table(
        out,
        title,
        &[
            ("InDatagrams", it.delivered),
            ("NoPorts", it.no_socket),
            ("InErrors", it.errors + it.overflowed),
            ("OutDatagrams", it.sent),
            ("RcvbufErrors", it.overflowed),
            ("SndbufErrors", 0),
            ("InCsumErrors", 0),
            ("IgnoredMulti", 0),
            ("MemErrors", 0),
        ],
    );
}

/// `/proc/net/netstat`.
pub(crate) fn netstat(view: &View<'_>, waiting: u64) -> String {
    let mut out = String::new();
    whole_table(
        &mut out,
        "TcpExt",
        names::TCP,
        &[
            ("TW", waiting),
            ("PAWSEstab", discarded(view, &[Discard::TcpStaleTimestamp])),
            ("ListenOverflows", discarded(view, &[Discard::TcpAcceptQueueFull])),
            ("ListenDrops", discarded(view, &[Discard::TcpAcceptQueueFull])),
            ("TCPOFODrop", discarded(view, &[Discard::TcpOutOfOrderPruned])),
            ("TCPMinTTLDrop", discarded(view, &[Discard::TcpTooFar])),
            ("TCPMD5NotFound", discarded(view, &[Discard::TcpSignatureMissing])),
            ("TCPMD5Unexpected", discarded(view, &[Discard::TcpSignatureUnexpected])),
            ("TCPMD5Failure", discarded(view, &[Discard::TcpSignatureWrong])),
        ],
    );
    let links = view.host.stack().links();
    let received = links.iter().map(|link| link.counters().received_octets).sum();
    let sent = links.iter().map(|link| link.counters().transmitted_octets).sum();
    whole_table(
        &mut out,
        "IpExt",
        names::IP,
        &[
            ("InNoRoutes", discarded(view, &[Discard::NoRoute])),
            ("InOctets", received),
            ("OutOctets", sent),
        ],
    );
    out
}

/// `/proc/net/snmp6`.
pub(crate) fn snmp6(view: &View<'_>) -> String {
    let it = ip(view, IpVersion::V6);
    let icmp = *view.host.stack().icmp_counters(IpVersion::V6);
    let rows = [
        ("Ip6InReceives", it.received),
        ("Ip6InHdrErrors", discarded(view, &[Discard::IpExtensionMalformed])),
        ("Ip6InDelivers", it.delivered),
        ("Ip6OutRequests", it.sent),
        ("Ip6ReasmReqds", it.fragments_received),
        ("Ip6ReasmOKs", it.reassembled),
        ("Ip6FragOKs", it.fragmented),
        ("Ip6FragCreates", it.fragments_sent),
        ("Ip6OutTransmits", it.sent + it.fragments_sent),
        ("Icmp6InMsgs", icmp.received),
        ("Icmp6OutMsgs", icmp.sent),
        ("Icmp6InDestUnreachs", icmp.errors_received),
        ("Icmp6OutDestUnreachs", icmp.errors_sent),
    ];
    let mut out = String::new();
    for name in names::SNMP6.split(' ') {
        let value = value_of(name, &rows);
        let _ = writeln!(out, "{name:<32}\t{value}");
    }
    out
}

/// Whether a state counts as established (`tcpCurrEstab`).
pub(crate) const fn is_established(state: State) -> bool {
    matches!(state, State::Established | State::CloseWait)
}
