//! The guest's surroundings: its link, its name, the file its packets go to.

use core::fmt;
use std::path::PathBuf;

use prise_run::config::LinkChoice;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HostError {
    Link,
    /// IFNAMSIZ is 16 with the closing zero; a slash or a space cannot be in a name (netdevice(7)).
    DeviceName,
    /// RFC 1123 §2.1: letters, digits and hyphens, labels of 63 at most; HOST_NAME_MAX is 64.
    Hostname,
    /// Standard output belongs to the program.
    CaptureToOutput,
    /// The same.
    AuditToOutput,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "unknown link; write host, none or tun:NAME",
            Self::DeviceName => {
                "no device can have that name; write 1 to 15 characters without slash, colon or space, such as tun:tun0"
            }
            Self::Hostname => "not a host name; write letters, digits, hyphens and dots, 64 at most, such as guest1",
            Self::CaptureToOutput => "standard output is the program's; name a file, such as out.pcapng",
            Self::AuditToOutput => "standard output is the program's; name a file, such as net.jsonl",
        })
    }
}

impl core::error::Error for HostError {}

/// `host`, `none`, `tun:NAME`.
pub(crate) fn link(text: &str) -> Result<LinkChoice, HostError> {
    match (text, text.strip_prefix("tun:")) {
        ("host", _) => Ok(LinkChoice::Host),
        ("none", _) => Ok(LinkChoice::None),
        (_, Some(name)) => device_name(name).map(LinkChoice::Tun),
        (_, None) => Err(HostError::Link),
    }
}

fn device_name(name: &str) -> Result<String, HostError> {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    let named = (1..=15).contains(&name.len()) && name != "." && name != ".." && name.chars().all(allowed);
    named.then(|| name.to_owned()).ok_or(HostError::DeviceName)
}

/// A name that gethostname(2) could give.
pub(crate) fn hostname(text: &str) -> Result<String, HostError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (text.len() <= 64 && text.split('.').all(label))
        .then(|| text.to_owned())
        .ok_or(HostError::Hostname)
}

/// A file to write lines to.
pub(crate) fn audit_file(text: &str) -> Result<PathBuf, HostError> {
    capture_file(text).map_err(|_| HostError::AuditToOutput)
}

/// A file to write to.
pub(crate) fn capture_file(text: &str) -> Result<PathBuf, HostError> {
    if text == "-" {
        Err(HostError::CaptureToOutput)
    } else {
        Ok(PathBuf::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_the_host_nothing_or_a_named_device() {
        assert_eq!(link("host"), Ok(LinkChoice::Host));
        assert_eq!(link("none"), Ok(LinkChoice::None));
        assert_eq!(link("tun:tun0"), Ok(LinkChoice::Tun("tun0".to_owned())));
        for text in ["", "tun", "Host", "wifi", "host:1"] {
            assert_eq!(link(text), Err(HostError::Link), "{text}");
        }
        for text in ["tun:", "tun:a/b", "tun:..", "tun:sixteen-letters-", "tun:a b"] {
            assert_eq!(link(text), Err(HostError::DeviceName), "{text}");
        }
    }

    #[test]
    fn a_host_name_is_made_of_labels() {
        for text in ["guest", "guest-1.example.test", "7"] {
            assert_eq!(hostname(text).as_deref(), Ok(text));
        }
        let too_long = "a.".repeat(32) + "a";
        for text in ["", "-a", "a-", "a..b", "a b", "é", &"a".repeat(64), &too_long] {
            assert_eq!(hostname(text), Err(HostError::Hostname), "{text}");
        }
    }

    #[test]
    fn packets_cannot_go_to_the_programs_output() {
        assert_eq!(capture_file("-"), Err(HostError::CaptureToOutput));
        assert_eq!(capture_file("out.pcapng"), Ok(PathBuf::from("out.pcapng")));
    }
}
