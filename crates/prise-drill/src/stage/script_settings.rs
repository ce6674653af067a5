//! What a script asks of the kernel by its commands.
//!
//! Scripts run `sysctl`, write below `/proc/sys`, or source the `defaults.sh` that both packetdrill's and Linux's own scripts start with.
//! There is no kernel behind this stack that such commands could reach, so the values are read from the script's text.

use std::collections::BTreeMap;
use std::path::Path;

/// What the `defaults.sh` of both collections sets, as far as it differs from Linux's own defaults.
const DEFAULTS: &[(&str, &str)] = &[
    ("tcp_rmem", "4096 540000 15728640"),
    ("tcp_wmem", "4096 262144 4194304"),
    ("tcp_syn_retries", "5"),
    ("tcp_synack_retries", "5"),
    ("tcp_slow_start_after_idle", "0"),
    ("tcp_ecn", "0"),
    ("tcp_fastopen", "0x70403"),
    ("tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"),
];

/// The options (`--name=value`) of a script's first lines.
pub(super) fn options(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with("//") || line.starts_with('#') || line.starts_with("--"))
        .filter(|line| line.starts_with("--"))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// Settings of `net.ipv4` by their last name that hold from the script's start. A `defaults.sh` is looked for from `beside`, the
/// script's folder.
pub(super) fn sysctls(text: &str, beside: Option<&Path>) -> BTreeMap<String, String> {
    of_commands(preamble(text), beside)
}

/// Settings of `net.ipv4` by their last name that these commands make, later ones winning.
pub(super) fn of_commands(text: &str, beside: Option<&Path>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Some(name) = text
        .split([' ', '\t', '\n', '`', ';'])
        .find(|word| word.ends_with("defaults.sh"))
    {
        match beside.and_then(|folder| std::fs::read_to_string(folder.join(name)).ok()) {
            Some(commands) => found.extend(assignments(&commands)),
            None => found.extend(
                DEFAULTS
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            ),
        }
    }
    found.extend(assignments(text));
    found
}

fn assignments(text: &str) -> impl Iterator<Item = (String, String)> {
    let markers = ["net.ipv4.", "/proc/sys/net/ipv4/"];
    markers.into_iter().flat_map(move |marker| {
        let found = text.match_indices(marker);
        found.filter_map(move |(at, _)| assignment(&text[at + marker.len()..]))
    })
}

/// The link's MTU, if a command before the first event sets it (`ip link set dev tun0 mtu 9000`).
pub(super) fn link_mtu(text: &str) -> Option<&str> {
    let line = preamble(text).lines().find(|line| line.contains("ip link set"))?;
    let mut words = line.split([' ', '`']).skip_while(|word| *word != "mtu");
    words.nth(1)
}

/// Whether a command has the device take no units of several segments.
pub(super) fn cuts_units(text: &str) -> bool {
    text.contains("ethtool") && (text.contains("gso off") || text.contains("tso off"))
}

/// Whether the commands before the first event do.
pub(super) fn cuts_units_from_the_start(text: &str) -> bool {
    cuts_units(preamble(text))
}

/// The text before the first event. What a command sets in the middle of a script is told by who runs it
/// ([`Stage::command`](super::Stage::command)), or not at all.
fn preamble(text: &str) -> &str {
    let mut inside = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begins_event = line.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '+');
        if !inside && begins_event {
            break;
        }
        inside ^= line.matches('`').count() % 2 == 1;
        at += line.len();
    }
    &text[..at]
}

/// `name=value` or `name="several values"`.
fn assignment(rest: &str) -> Option<(String, String)> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = rest.split_at(end);
    let rest = rest.strip_prefix('=')?;
    let value = match rest.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'']).next()?,
        None => rest.split([' ', '\t', '\n', '`', ';', '\\']).next()?,
    };
    let value: Vec<String> = value.split_whitespace().map(computed).collect();
    Some((name.to_owned(), value.join(" ")))
}

/// The shell's `$((15*1024*1024))`; anything else as it is.
fn computed(word: &str) -> String {
    let inner = word.strip_prefix("$((").and_then(|rest| rest.strip_suffix("))"));
    let product = inner.and_then(|inner| {
        let factors: Option<Vec<u64>> = inner.split('*').map(|factor| factor.trim().parse().ok()).collect();
        factors?.into_iter().try_fold(1_u64, u64::checked_mul)
    });
    product.map_or_else(|| word.to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_both_forms_and_win_over_the_common_ones() {
        let text = "--tolerance_usecs=10000\n--mtu=1400\n`./defaults.sh\nsysctl -q net.ipv4.tcp_ecn=1 net.ipv4.tcp_rmem=\"1 2 $((3*1024))\"`\n\
                    `./set.py /proc/sys/net/ipv4/tcp_min_tso_segs=10`\n0 socket(...) = 3\n";
        let found = sysctls(text, None);
        assert_eq!(found["tcp_ecn"], "1");
        assert_eq!(found["tcp_rmem"], "1 2 3072");
        assert_eq!(found["tcp_min_tso_segs"], "10");
        assert_eq!(found["tcp_syn_retries"], "5");
        assert_eq!(options(text), ["--tolerance_usecs=10000", "--mtu=1400"]);
    }

    #[test]
    fn a_script_without_commands_sets_nothing() {
        assert!(sysctls("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", None).is_empty());
    }
}
