//! What the administrator of a host decides: `net.ipv4.*` by Linux's names and values (`ip-sysctl`, tcp(7), ip(7)), as text.
//!
//! and `prise.*` for what Linux has no name for. Only what changes something here is known; a value is kept to Linux's range. [`Host::set_sysctls`] applies all of them at
//! once, and [`Sysctls::memory`] gives those that a stack is born with.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use prise_stack::{
    EcnPolicy, FastOpenSettings, MemoryBudget, MtuProbing, SynCookies, TimeWaitReuse, Tuning, UserTimeoutExchange,
};

use crate::Host;
use crate::option::Opt;
use crate::settings::CONGESTION;

/// Octets of a page, in which `tcp_mem` counts.
const PAGE: u64 = 4096;
/// `SOCK_MIN_RCVBUF`: no buffer is smaller, whatever it is told to be.
const BUFFER_MIN: u32 = 2304;
const I32: i64 = i32::MAX as i64;
const U32: i64 = u32::MAX as i64;
/// `MAX_LIFETIME` of jiffies, in seconds: what a time may be.
const SECONDS: i64 = I32 / 1000;

macro_rules! sysctls {
    ($($(#[$doc:meta])* $key:ident $name:literal [$($default:expr),+] $min:expr, $max:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key {
            $($(#[$doc])* $key,)*
        }

        /// Each setting with its name, its default and the range of each of its numbers.
        const TABLE: &[Row] = &[
            $(Row { key: Key::$key, name: $name, default: &[$($default),+], min: $min, max: $max },)*
        ];
    };
}

struct Row {
    key: Key,
    name: &'static str,
    default: &'static [i64],
    min: i64,
    max: i64,
}

sysctls! {
    /// The hop limit of IPv4 packets where `IP_TTL` does not say; answers without a socket keep 64.
    DefaultTtl "net.ipv4.ip_default_ttl" [64] 1, 255;
    /// The ports to choose from, both inclusive.
    PortRange "net.ipv4.ip_local_port_range" [32_768, 60_999] 1, 65_535;
    /// A place in the table of names.
    Congestion "net.ipv4.tcp_congestion_control" [0] 0, I32;
    Ecn "net.ipv4.tcp_ecn" [2] 0, 5;
    FastOpen "net.ipv4.tcp_fastopen" [1] 0, I32;
    FastOpenBlackHole "net.ipv4.tcp_fastopen_blackhole_timeout_sec" [0] 0, I32;
    FinTimeout "net.ipv4.tcp_fin_timeout" [60] 0, SECONDS;
    KeepaliveInterval "net.ipv4.tcp_keepalive_intvl" [75] 0, SECONDS;
    KeepaliveProbes "net.ipv4.tcp_keepalive_probes" [9] 0, 255;
    KeepaliveTime "net.ipv4.tcp_keepalive_time" [7200] 0, SECONDS;
    MaxOrphans "net.ipv4.tcp_max_orphans" [16_384] 0, I32;
    MaxSynBacklog "net.ipv4.tcp_max_syn_backlog" [4096] 0, I32;
    /// Pages: low, pressure, high. All of the stack's memory, not only TCP's.
    Memory "net.ipv4.tcp_mem" [65_536, 98_304, 131_072] 0, U32;
    MinTsoSegments "net.ipv4.tcp_min_tso_segs" [2] 1, 255;
    MtuProbing "net.ipv4.tcp_mtu_probing" [1] 0, 2;
    UnsentLowWater "net.ipv4.tcp_notsent_lowat" [U32] 0, U32;
    /// The first number changes nothing: every buffer may hold more than that.
    ReceiveBuffer "net.ipv4.tcp_rmem" [4096, 262_144, 67_107_840] 1, I32;
    Sack "net.ipv4.tcp_sack" [1] 0, 255;
    SlowStartAfterIdle "net.ipv4.tcp_slow_start_after_idle" [1] 0, 255;
    SynRetries "net.ipv4.tcp_syn_retries" [6] 1, 127;
    SynAckRetries "net.ipv4.tcp_synack_retries" [5] 0, 255;
    SynCookies "net.ipv4.tcp_syncookies" [1] 0, 2;
    Timestamps "net.ipv4.tcp_timestamps" [1] 0, 2;
    /// Linux's default is 2: of a host to itself alone.
    TimeWaitReuse "net.ipv4.tcp_tw_reuse" [1] 0, 2;
    /// In milliseconds; Linux's default is a second.
    TimeWaitReuseDelay "net.ipv4.tcp_tw_reuse_delay" [1] 1, 60_000;
    WindowScaling "net.ipv4.tcp_window_scaling" [1] 0, 255;
    /// The first two numbers change nothing: send buffers grow by measurement alone.
    SendBuffer "net.ipv4.tcp_wmem" [4096, 16_384, 67_107_840] 1, I32;
    /// What peers may bring our user timeout to (RFC 5482), in seconds.
    UserTimeoutLimits "prise.tcp_user_timeout_limits" [100, 3600] 1, 32_767 * 60;
    /// RFC 5482, which Linux does not have: the timeout in seconds that peers are told, 0 for none.
    UserTimeoutOption "prise.tcp_user_timeout_option" [0] 0, 32_767 * 60;
    /// RFC 7661, which Linux does not have.
    WindowValidation "prise.tcp_window_validation" [0] 0, 1;
}

/// The most numbers that one setting has.
const NUMBERS_MAX: usize = 3;
const COUNT: usize = TABLE.len();

/// All settings of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctls([[i64; NUMBERS_MAX]; COUNT]);

/// Why a setting was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysctlError {
    /// Nothing of that name is known here.
    Unknown,
    /// It takes that many numbers.
    NotNumbers(usize),
    /// A number is outside of what it may be, both ends inclusive.
    OutOfRange(i64, i64),
    /// No such congestion control.
    NoSuchCongestionControl,
    /// The first port lies above the last.
    PortsReversed,
}

impl fmt::Display for SysctlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => {
                f.write_str("no setting that prise has; it has")?;
                Sysctls::names().try_for_each(|name| write!(f, " {name}"))
            }
            Self::NotNumbers(1) => f.write_str("not a number"),
            Self::NotNumbers(count) => write!(f, "not {count} numbers with spaces between them"),
            Self::OutOfRange(min, max) => write!(f, "out of range; write {min} to {max}"),
            Self::NoSuchCongestionControl => {
                f.write_str("no such congestion control; there are")?;
                CONGESTION.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }
            Self::PortsReversed => f.write_str("the first port lies above the last"),
        }
    }
}

impl core::error::Error for SysctlError {}

impl Default for Sysctls {
    fn default() -> Self {
        let mut all = [[0; NUMBERS_MAX]; COUNT];
        for (numbers, row) in all.iter_mut().zip(TABLE) {
            numbers[..row.default.len()].copy_from_slice(row.default);
        }
        Self(all)
    }
}

impl Sysctls {
    /// The names, in the order of the alphabet.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    /// Sets one: numbers with white space between them, or a congestion control's name. Like sysctl(8), the name may have
    /// slashes for its dots.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        let row = row(name).ok_or(SysctlError::Unknown)?;
        if row.key == Key::Congestion {
            let place = CONGESTION.iter().position(|known| known.0 == value.trim());
            self.0[row.key as usize][0] = place.ok_or(SysctlError::NoSuchCongestionControl)? as i64;
            return Ok(());
        }
        let numbers: Result<Vec<i64>, _> = value.split_ascii_whitespace().map(str::parse).collect();
        let numbers = numbers
            .ok()
            .filter(|numbers| numbers.len() == row.default.len())
            .ok_or(SysctlError::NotNumbers(row.default.len()))?;
        if !numbers.iter().all(|number| (row.min..=row.max).contains(number)) {
            return Err(SysctlError::OutOfRange(row.min, row.max));
        }
        if row.key == Key::PortRange && numbers[0] > numbers[1] {
            return Err(SysctlError::PortsReversed);
        }
        self.0[row.key as usize][..numbers.len()].copy_from_slice(&numbers);
        Ok(())
    }

    /// A setting as a file of `/proc/sys` shows it, without the end of the line; none if there is no such name.
    pub fn get(&self, name: &str) -> Option<String> {
        if is_named("net.ipv4.tcp_available_congestion_control", name) {
            let names: Vec<&str> = CONGESTION.iter().map(|known| known.0).collect();
            return Some(names.join(" "));
        }
        let row = row(name)?;
        let numbers = &self.0[row.key as usize][..row.default.len()];
        if row.key == Key::Congestion {
            return CONGESTION.get(numbers[0] as usize).map(|known| known.0.to_string());
        }
        let shown: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        Some(shown.join("\t"))
    }

    /// What the stack may hold, which it is told when it is made.
    pub fn memory(&self) -> MemoryBudget {
        let [low, pressure, high] = self.0[Key::Memory as usize].map(|pages| pages as u64 * PAGE);
        MemoryBudget {
            low,
            pressure,
            high,
            orphans: self.one(Key::MaxOrphans) as u32,
            syn_backlog: self.one(Key::MaxSynBacklog) as u32,
        }
    }

    pub(crate) fn one(&self, key: Key) -> i64 {
        self.0[key as usize][0]
    }

    pub(crate) fn set_one(&mut self, key: Key, value: i64) {
        self.0[key as usize][0] = value;
    }

    /// The ports to choose from.
    pub(crate) fn ports(&self) -> (u16, u16) {
        let [low, high, _] = self.0[Key::PortRange as usize];
        (low as u16, high as u16)
    }

    /// What holds for a socket on which an option was not set.
    pub(crate) fn default_of(&self, opt: Opt) -> i64 {
        match opt {
            Opt::KeepIdle => self.one(Key::KeepaliveTime),
            Opt::KeepInterval => self.one(Key::KeepaliveInterval),
            Opt::KeepCount => self.one(Key::KeepaliveProbes),
            Opt::SynCount => self.one(Key::SynRetries),
            Opt::Linger2 => self.one(Key::FinTimeout),
            _ => opt.default(),
        }
    }

    fn user_timeout_option(&self) -> Option<UserTimeoutExchange> {
        let [least, most, _] =
            self.0[Key::UserTimeoutLimits as usize].map(|seconds| Duration::from_secs(seconds as u64));
        let advertised = Duration::from_secs(self.one(Key::UserTimeoutOption) as u64);
        (!advertised.is_zero()).then_some(UserTimeoutExchange {
            advertised,
            changeable: None,
            least,
            most,
        })
    }

    fn tuning(&self) -> Tuning {
        let [_, receive_initial, receive_max] = self.0[Key::ReceiveBuffer as usize].map(|octets| octets as u32);
        let receive_max = receive_max.max(BUFFER_MIN);
        let is_on = |key| self.one(key) != 0;
        Tuning {
            receive_initial: (receive_initial / 2).clamp(BUFFER_MIN, receive_max),
            receive_max,
            send_initial: self.0[Key::SendBuffer as usize][1] as u32,
            send_max: (self.0[Key::SendBuffer as usize][2] as u32).max(BUFFER_MIN),
            slow_start_after_idle: is_on(Key::SlowStartAfterIdle),
            window_validation: is_on(Key::WindowValidation),
            timestamps: is_on(Key::Timestamps),
            sack: is_on(Key::Sack),
            window_scaling: is_on(Key::WindowScaling),
            mtu_probing: match self.one(Key::MtuProbing) {
                0 => MtuProbing::Off,
                1 => MtuProbing::BlackHoles,
                _ => MtuProbing::Always,
            },
            user_timeout_option: self.user_timeout_option(),
            syn_cookies: match self.one(Key::SynCookies) {
                0 => SynCookies::Never,
                1 => SynCookies::WhenFull,
                _ => SynCookies::Always,
            },
            time_wait_reuse: match self.one(Key::TimeWaitReuse) {
                0 => TimeWaitReuse::Never,
                1 => TimeWaitReuse::Always,
                _ => TimeWaitReuse::Loopback,
            },
            time_wait_reuse_delay: Duration::from_millis(self.one(Key::TimeWaitReuseDelay) as u64),
            syn_ack_retries: self.one(Key::SynAckRetries) as u8,
            min_unit_segments: self.one(Key::MinTsoSegments) as u32,
            ..Tuning::DEFAULT
        }
    }
}

fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| is_named(row.name, name))
}

/// Whether `name`, perhaps with slashes for its dots, is `known`.
fn is_named(known: &str, name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a, b) == (b'.', b'/');
    known.len() == name.len() && known.bytes().zip(name.bytes()).all(same)
}

impl Host {
    /// The settings, as [`Host::set_sysctls`] has left them.
    pub fn sysctls(&self) -> &Sysctls {
        &self.sysctls
    }

    /// Decides everything that `net.ipv4.*` decides, for what is done from now on: in place of [`Host::set_ecn`],
    /// [`Host::set_tuning`], [`Host::set_syn_retries`], [`Host::set_fast_open`] and the stack's default congestion control. The
    /// memory is not among it: [`Sysctls::memory`].
    pub fn set_sysctls(&mut self, sysctls: &Sysctls) {
        self.set_ecn(EcnPolicy::from_number(sysctls.one(Key::Ecn) as u32).unwrap_or_default());
        self.set_fast_open(FastOpenSettings {
            black_hole_timeout: Duration::from_secs(sysctls.one(Key::FastOpenBlackHole) as u64),
            ..FastOpenSettings::from_bits(sysctls.one(Key::FastOpen) as u32)
        });
        let tuning = sysctls.tuning();
        if tuning != Tuning::DEFAULT {
            self.set_tuning(tuning);
        }
        if let Some(known) = CONGESTION.get(sysctls.one(Key::Congestion) as usize) {
            self.stack_mut().set_congestion(known.1);
        }
        self.sysctls = sysctls.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let sysctls = Sysctls::default();
        assert_eq!(sysctls.tuning(), Tuning::DEFAULT);
        assert_eq!(sysctls.memory(), MemoryBudget::default());
        assert_eq!(
            EcnPolicy::from_number(sysctls.one(Key::Ecn) as u32),
            Some(EcnPolicy::default())
        );
        assert_eq!(
            FastOpenSettings::from_bits(sysctls.one(Key::FastOpen) as u32),
            FastOpenSettings::default()
        );
        assert_eq!(sysctls.ports(), (32_768, 60_999));
        for opt in [
            Opt::KeepIdle,
            Opt::KeepInterval,
            Opt::KeepCount,
            Opt::SynCount,
            Opt::Linger2,
        ] {
            assert_eq!(sysctls.default_of(opt), opt.default(), "{opt:?}");
        }
    }

    #[test]
    fn names_are_in_order_and_every_default_can_be_set_again() {
        let names: Vec<&str> = Sysctls::names().collect();
        assert!(names.is_sorted() && names.len() > 20, "{names:?}");
        for name in names {
            let mut sysctls = Sysctls::default();
            let shown = sysctls.get(name).unwrap();
            assert_eq!(sysctls.set(name, &shown), Ok(()), "{name} = {shown}");
            assert_eq!(sysctls, Sysctls::default(), "{name}");
            assert_eq!(sysctls.set(&name.replace('.', "/"), &shown), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused_with_its_reason() {
        let mut sysctls = Sysctls::default();
        for (name, value, error) in [
            ("net.ipv4.tcp_nonsense", "1", SysctlError::Unknown),
            ("tcp_ecn", "1", SysctlError::Unknown),
            ("net.ipv4.tcp_ecn", "", SysctlError::NotNumbers(1)),
            ("net.ipv4.tcp_ecn", "1 1", SysctlError::NotNumbers(1)),
            ("net.ipv4.tcp_ecn", "6", SysctlError::OutOfRange(0, 5)),
            ("net.ipv4.tcp_ecn", "-1", SysctlError::OutOfRange(0, 5)),
            ("net.ipv4.tcp_syn_retries", "0", SysctlError::OutOfRange(1, 127)),
            ("net.ipv4.tcp_rmem", "4096 131072", SysctlError::NotNumbers(3)),
            ("net.ipv4.tcp_rmem", "4096 131072 x", SysctlError::NotNumbers(3)),
            ("net.ipv4.ip_local_port_range", "2000 1000", SysctlError::PortsReversed),
            (
                "net.ipv4.ip_local_port_range",
                "0 1000",
                SysctlError::OutOfRange(1, 65_535),
            ),
            (
                "net.ipv4.tcp_congestion_control",
                "vegas",
                SysctlError::NoSuchCongestionControl,
            ),
        ] {
            assert_eq!(sysctls.set(name, value), Err(error), "{name} = {value}");
        }
        assert_eq!(sysctls, Sysctls::default());
    }

    #[test]
    fn values_reach_what_they_are_about() {
        let mut sysctls = Sysctls::default();
        for (name, value) in [
            ("net.ipv4.tcp_rmem", "4096\t131072 6291456"),
            ("net.ipv4.tcp_wmem", "4096 16384 4194304"),
            ("net.ipv4.tcp_mem", "10 20 30"),
            ("net/ipv4/tcp_congestion_control", "bbr"),
            ("net.ipv4.tcp_sack", "0"),
        ] {
            assert_eq!(sysctls.set(name, value), Ok(()), "{name}");
        }
        let tuning = sysctls.tuning();
        assert_eq!(
            (tuning.receive_initial, tuning.receive_max, tuning.send_max, tuning.sack),
            (65_536, 6_291_456, 4_194_304, false)
        );
        let memory = sysctls.memory();
        assert_eq!([memory.low, memory.pressure, memory.high], [40_960, 81_920, 122_880]);
        assert_eq!(sysctls.get("net.ipv4.tcp_congestion_control").unwrap(), "bbr");
        assert_eq!(sysctls.get("net.ipv4.tcp_rmem").unwrap(), "4096\t131072\t6291456");
        assert_eq!(
            sysctls.get("net/ipv4/tcp_available_congestion_control").unwrap(),
            "cubic reno bbr"
        );
    }
}
