//! What a stage is told before it starts: by packetdrill's command line, by flags, by the environment, and by the script itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use prise_stack::FastOpenKeys;

use super::script_settings;

/// The settings of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The link's MTU (`--mtu`).
    pub mtu: u32,
    /// The size of the segments that a larger packet stands for (`--mss`).
    pub mss: Option<u16>,
    /// Whether the link takes units of several segments, as a TUN device of Linux does.
    pub gso: bool,
    /// The host's addresses; those that sockets are bound to and packets are sent to are added.
    pub addresses: Vec<IpAddr>,
    /// Values of `net.ipv4.*`, by their last name.
    pub sysctls: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mtu: 1500,
            mss: None,
            gso: true,
            addresses: Vec::new(),
            sysctls: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The settings for the `count`-th script that this process runs: first what the script sets by `sysctl`, then the options of
    /// the command line, then those of the environment (`PRISE_DRILL`), then `flags`; what comes later wins.
    pub fn gather(flags: &str, count: usize) -> Self {
        let mut settings = Self::default();
        let line: Vec<String> = std::env::args().skip(1).collect();
        settings.read_command_line(&line);
        let scripts: Vec<&String> = line.iter().filter(|word| is_script(word)).collect();
        if let Some(path) = scripts.get(count).map(Path::new)
            && let Ok(text) = std::fs::read_to_string(path)
        {
            settings.read_script(&text, path.parent());
        }
        settings.read_command_line(&line);
        settings.read_flags(&std::env::var("PRISE_DRILL").unwrap_or_default());
        settings.read_flags(flags);
        settings
    }

    /// What a script sets: options of its first lines, and `sysctl`, `ip link` and `ethtool` in its commands. `beside` is the folder
    /// it lies in.
    pub fn read_script(&mut self, text: &str, beside: Option<&Path>) {
        let words = script_settings::options(text);
        self.read_command_line(&words);
        if let Some(mtu) = script_settings::link_mtu(text) {
            self.set_mtu(mtu);
        }
        self.gso &= !script_settings::cuts_units_from_the_start(text);
        self.sysctls.extend(script_settings::sysctls(text, beside));
    }

    /// `name=value` words, between commas or blanks: `mtu`, `gso`, `local`, and any name of `net.ipv4`. Values of several words are
    /// in quotes or joined by colons: `tcp_rmem=4096:131072:6291456`.
    pub fn read_flags(&mut self, flags: &str) {
        for word in flags.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            let Some((name, value)) = word.split_once('=') else {
                continue;
            };
            match name {
                "mtu" => self.set_mtu(value),
                "mss" => self.set_mss(value),
                "gso" => self.gso = value != "0",
                "local" => self.set_local(value),
                _ => {
                    let name = name.rsplit('.').next().unwrap_or(name);
                    let value = value.replace(':', " ");
                    self.sysctls.insert(name.to_owned(), value.trim_matches('"').to_owned());
                }
            }
        }
    }

    /// packetdrill's own options, as far as they are about the host: `--mtu`, `--mss`, `--local_ip`.
    pub fn read_command_line(&mut self, words: &[String]) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(option) = word
                .trim_start_matches('-')
                .split('=')
                .next()
                .filter(|_| word.starts_with("--"))
            else {
                continue;
            };
            if !matches!(option, "mtu" | "mss" | "local_ip") {
                continue;
            }
            let value = match word.split_once('=') {
                Some((_, value)) => value,
                None => words.next().map_or("", String::as_str),
            };
            match option {
                "mtu" => self.set_mtu(value),
                "mss" => self.set_mss(value),
                _ => self.set_local(value),
            }
        }
    }

    fn set_mtu(&mut self, value: &str) {
        // RFC 791: every link carries 68 octets.
        if let Some(mtu) = value.trim().parse().ok().filter(|mtu| (68..=65_536).contains(mtu)) {
            self.mtu = mtu;
        }
    }

    fn set_mss(&mut self, value: &str) {
        self.mss = value.trim().parse().ok().filter(|mss| *mss > 0).or(self.mss);
    }

    fn set_local(&mut self, value: &str) {
        if let Ok(address) = value.trim().parse() {
            self.addresses.push(address);
        }
    }

    /// A setting of `net.ipv4` that is one number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.numbers(name).first().copied()
    }

    /// `tcp_fastopen_key`: one key or two, each four words in hexadecimal, whose octets are little-endian.
    pub fn fast_open_keys(&self) -> Option<FastOpenKeys> {
        let text = self.sysctls.get("tcp_fastopen_key")?;
        let words = text.split(['-', ',', ' ']).filter(|word| !word.is_empty());
        let words: Option<Vec<u32>> = words.map(|word| u32::from_str_radix(word, 16).ok()).collect();
        let octets: Vec<u8> = words?.into_iter().flat_map(u32::to_le_bytes).collect();
        FastOpenKeys::new(&octets)
    }

    /// A setting of `net.ipv4` that is several numbers.
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        let value = self.sysctls.get(name).map_or("", String::as_str);
        let number = |word: &str| match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        };
        value.split_whitespace().map_while(number).collect()
    }
}

fn is_script(word: &str) -> bool {
    !word.starts_with('-') && Path::new(word).extension().is_some_and(|it| it == "pkt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_the_link_and_any_setting() {
        let mut settings = Settings::default();
        settings.read_flags("mtu=1280,net.ipv4.tcp_ecn=1 tcp_rmem=4096:131072:6291456 local=fd00::7");
        assert_eq!(settings.mtu, 1280);
        assert_eq!(settings.number("tcp_ecn"), Some(1));
        assert_eq!(settings.numbers("tcp_rmem"), [4096, 131_072, 6_291_456]);
        assert_eq!(settings.addresses, ["fd00::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn the_command_line_is_read_in_both_forms() {
        let mut settings = Settings::default();
        let words = ["--mtu", "1520", "--local_ip=192.168.4.5", "--speed=7", "a.pkt"].map(str::to_owned);
        settings.read_command_line(&words);
        assert_eq!(settings.mtu, 1520);
        assert_eq!(settings.addresses, ["192.168.4.5".parse::<IpAddr>().unwrap()]);
    }
}
