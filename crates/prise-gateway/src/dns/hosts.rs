//! The host's own table of names, hosts(5). Programs read the file themselves and ask no name server, so a policy by names
//! has to know what it says.

use core::net::IpAddr;

const FILE: &str = "/etc/hosts";

/// Names and their addresses, as the file has them; none where it cannot be read.
pub(crate) fn host_table() -> Vec<(String, IpAddr)> {
    std::fs::read_to_string(FILE).map_or_else(|_| Vec::new(), |text| parse(&text))
}

fn parse(text: &str) -> Vec<(String, IpAddr)> {
    let mut table = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        for name in words {
            table.push((name.trim_end_matches('.').to_ascii_lowercase(), address));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_line_has_its_address() {
        let text =
            "127.0.0.1 localhost\n# 192.0.2.9 no\n192.0.2.1\tDB.Example. db # the database\n\n::1 ip6\nbad name\n";
        let table = parse(text);
        let table: Vec<String> = table
            .iter()
            .map(|(name, address)| format!("{name}={address}"))
            .collect();
        assert_eq!(
            table,
            ["localhost=127.0.0.1", "db.example=192.0.2.1", "db=192.0.2.1", "ip6=::1"]
        );
    }
}
