//! `--sysctl NAME=VALUE` and `--congestion [LINK=]NAME`: what an administrator of the guest's host would decide.

use core::fmt;

use prise_run::config::{CongestionAlgorithm, SysctlError, Sysctls};

/// A name that is known, with a value that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SettingError {
    NoValue,
    Sysctl(String, SysctlError),
    Link,
    Congestion,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue => f.write_str("write NAME=VALUE, such as net.ipv4.tcp_fastopen=3"),
            Self::Sysctl(name, error) => write!(f, "{name}: {error}"),
            Self::Link => f.write_str("no link of the guest's; write eth0=NAME, lo=NAME, or NAME for eth0"),
            Self::Congestion => f.write_str("no such congestion control; there are cubic reno bbr"),
        }
    }
}

impl core::error::Error for SettingError {}

/// `net.ipv4.tcp_fastopen=3`.
pub(crate) fn sysctl(text: &str) -> Result<Setting, SettingError> {
    let (name, value) = text.split_once('=').ok_or(SettingError::NoValue)?;
    let (name, value) = (name.trim(), value.trim());
    Sysctls::default()
        .set(name, value)
        .map_err(|error| SettingError::Sysctl(name.to_owned(), error))?;
    Ok(Setting {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// `bbr`, `lo=reno`: a link and what connections over it run.
pub(crate) fn congestion(text: &str) -> Result<(String, CongestionAlgorithm), SettingError> {
    let (link, name) = text.split_once('=').unwrap_or(("eth0", text));
    if !matches!(link, "eth0" | "lo") {
        return Err(SettingError::Link);
    }
    let algorithm = match name {
        "cubic" => CongestionAlgorithm::Cubic,
        "reno" => CongestionAlgorithm::NewReno,
        "bbr" => CongestionAlgorithm::Bbr,
        _ => return Err(SettingError::Congestion),
    };
    Ok((link.to_owned(), algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_known_name_with_a_value_that_it_takes() {
        let setting = sysctl("net.ipv4.tcp_rmem = 4096 131072 6291456").unwrap();
        assert_eq!(
            (setting.name.as_str(), setting.value.as_str()),
            ("net.ipv4.tcp_rmem", "4096 131072 6291456")
        );
        assert_eq!(sysctl("net.ipv4.tcp_ecn"), Err(SettingError::NoValue));
        for text in ["net.ipv4.tcp_ecn=9", "net.ipv4.ip_forward=1", "=1", "net.ipv4.tcp_ecn="] {
            assert!(matches!(sysctl(text), Err(SettingError::Sysctl(..))), "{text}");
        }
    }

    #[test]
    fn congestion_controls_are_a_links() {
        assert_eq!(congestion("bbr"), Ok(("eth0".into(), CongestionAlgorithm::Bbr)));
        assert_eq!(congestion("lo=reno"), Ok(("lo".into(), CongestionAlgorithm::NewReno)));
        assert_eq!(congestion("eth1=bbr"), Err(SettingError::Link));
        assert_eq!(congestion("vegas"), Err(SettingError::Congestion));
    }
}
