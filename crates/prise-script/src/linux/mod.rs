//! Linux as a subject: the kernel's sockets, its packets over a TUN device, in real time.
//!
//! Each script runs in a process of its own in a network namespace of its own, so that sysctls, TIME-WAIT and caches of
//! one do not reach another; many run at once, since nearly all of their time is waiting.

mod pool;
mod subject;

pub use pool::{Outcome, Report, probe, run_all};

use std::fs;
use std::io;
use std::process::Command;

use self::subject::Linux;
use crate::failure::{Failure, Trace};
use crate::packet::Addresses;
use crate::run::{self, Variant};
use crate::script::Script;

/// The device in the namespace.
const DEVICE: &str = "tun0";

/// Runs one script against the kernel; the process must be in a namespace of its own.
///
/// # Errors
/// What could not be set up; or the script's failure.
pub fn run_here(script: &Script, variant: Variant) -> Result<Trace, String> {
    let addresses = Addresses::new(variant.ipv6);
    let mut linux = set_up(script, variant.ipv6, addresses).map_err(|error| format!("cannot set Linux up: {error}"))?;
    run::run(script, &mut linux, variant).map_err(|failure: Box<Failure>| failure.to_string())
}

fn set_up(script: &Script, ipv6: bool, addresses: Addresses) -> io::Result<Linux> {
    let linux = Linux::new(DEVICE, addresses)?;
    let mtu = script.mtu + if ipv6 { 20 } else { 0 };
    ip(&format!("link set {DEVICE} mtu {mtu}"))?;
    let address = addresses.subject;
    if ipv6 {
        ip(&format!("address add {address}/64 dev {DEVICE} nodad"))?;
    } else {
        ip(&format!("address add {address}/24 dev {DEVICE}"))?;
    }
    ip(&format!("link set {DEVICE} up"))?;
    for (name, value) in DEFAULTS {
        // Not every kernel has every one.
        let _unknown_here = sysctl(name, value);
    }
    for (name, value) in &script.sysctls {
        sysctl(name, &value.to_string())?;
    }
    Ok(linux)
}

/// What the host may have changed, or what would let one connection teach the next.
const DEFAULTS: [(&str, &str); 4] = [
    ("tcp_no_metrics_save", "1"),
    ("tcp_ecn", "2"),
    ("tcp_fastopen", "1"),
    ("tcp_fastopen_blackhole_timeout_sec", "0"),
];

fn sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
}

fn ip(command: &str) -> io::Result<()> {
    let status = Command::new("ip").args(command.split(' ')).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("ip {command} failed")))
    }
}
