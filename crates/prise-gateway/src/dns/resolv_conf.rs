//! The host's name servers, from resolv.conf(5).

use core::net::IpAddr;
use std::path::Path;

/// resolv.conf(5): `MAXNS`; further lines are ignored there, so programs never ask those servers.
const SERVERS_MAX: usize = 3;

/// The name servers that the text of a resolv.conf names, in order. A scope (`%eth0`) is left off: it means nothing
/// inside the guest.
pub fn name_servers(text: &str) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let address = words.next().map(|word| word.split('%').next().unwrap_or(word));
        if let Some(Ok(address)) = address.map(str::parse) {
            servers.push(address);
        }
        if servers.len() == SERVERS_MAX {
            break;
        }
    }
    servers
}

/// The host's name servers now. A host without the file, or without a server in it, asks 127.0.0.1, as resolv.conf(5)
/// says.
pub fn host_name_servers() -> Vec<IpAddr> {
    read(Path::new("/etc/resolv.conf"))
}

fn read(path: &Path) -> Vec<IpAddr> {
    let servers = std::fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| name_servers(&text));
    if servers.is_empty() {
        vec![IpAddr::from([127, 0, 0, 1])]
    } else {
        servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_among_other_lines() {
        let text = "# nameserver 1.1.1.1\nsearch example.com\nnameserver 127.0.0.53\n  nameserver\tfe80::1%eth0 # x\n\
                    nameserver nonsense\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions edns0\n";
        let expected: Vec<IpAddr> = ["127.0.0.53", "fe80::1", "192.0.2.1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(name_servers(text), expected);
    }

    #[test]
    fn a_host_without_servers_asks_itself() {
        let nowhere = Path::new("/nonexistent/resolv.conf");
        assert_eq!(read(nowhere), [IpAddr::from([127, 0, 0, 1])]);
    }
}
