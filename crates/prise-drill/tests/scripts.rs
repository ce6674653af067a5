//! Every script of `tests/scripts` through the shared object, loaded as packetdrill loads it, over IPv4, over IPv6, and over IPv4 by
//! IPv6 sockets.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use prise_drill::pkt::{Plan, run};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    scripts.sort();
    scripts
}

fn all_pass(ipv6: bool, mapped: bool) {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "there are no scripts");
    let mut failures = Vec::new();
    for path in scripts {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // An ICMP message or an address is of one family.
        if ipv6 && name.contains("ipv4") || !ipv6 && name.contains("ipv6") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a script");
        let plan = Plan {
            ipv6,
            mapped,
            library: Some(common::library()),
            ..Plan::default()
        };
        if let Err(failure) = run(&text, &plan) {
            failures.push(format!("{name}:{failure}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn scripts_pass_over_ipv4() {
    all_pass(false, false);
}

#[test]
fn scripts_pass_over_ipv6() {
    all_pass(true, false);
}

#[test]
fn scripts_pass_over_ipv4_by_ipv6_sockets() {
    all_pass(false, true);
}
