//! What the documents promise about the repository itself: which crate may use which, what each may not do, and that
//! every dependency has a reason and a licence that fits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Each crate of the workspace with the names that its manifest depends on; tests' dependencies only if asked for.
fn manifests(with_tests: bool) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let dependencies = |package: &Value| {
        let kinds = |kind: &Value| kind.is_null() || with_tests || kind != "dev";
        list(package, "dependencies")
            .filter(|d| kinds(&d["kind"]))
            .map(|d| text(d, "name").to_owned())
            .collect()
    };
    list(&metadata, "packages")
        .map(|package| (text(package, "name").to_owned(), dependencies(package)))
        .collect()
}

/// The dependencies that docs/dependencies.md gives a reason for.
fn documented() -> BTreeSet<String> {
    let page = read("docs/dependencies.md");
    let rows = page.lines().filter_map(|line| {
        let (name, reason) = line.strip_prefix("| `")?.split_once("` |")?;
        assert!(reason.len() > 20, "{name} has no reason in docs/dependencies.md");
        Some(name.to_owned())
    });
    rows.collect()
}

#[test]
fn every_dependency_is_listed_with_its_reason() {
    let used: BTreeSet<String> = manifests(true)
        .into_values()
        .flatten()
        .filter(|name| !name.starts_with("prise"))
        .collect();
    let documented = documented();
    let unlisted: Vec<_> = used.difference(&documented).collect();
    let unused: Vec<_> = documented.difference(&used).collect();
    assert!(
        unlisted.is_empty(),
        "give docs/dependencies.md a line with the reason for {unlisted:?}"
    );
    assert!(
        unused.is_empty(),
        "docs/dependencies.md lists what nothing depends on: {unused:?}"
    );
}

#[test]
fn every_licence_is_one_that_deny_toml_allows() {
    let allowed: BTreeSet<String> = read("deny.toml")
        .lines()
        .find_map(|line| line.strip_prefix("allow = ["))
        .expect("deny.toml has its list of licences on one line")
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    let metadata = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let refused: Vec<String> = list(&metadata, "packages")
        .filter(|package| !licence_allowed(text(package, "license"), &allowed))
        .map(|package| format!("{}: {}", text(package, "name"), text(package, "license")))
        .collect();
    assert!(
        refused.is_empty(),
        "licences that deny.toml does not allow: {refused:?}"
    );
}

/// SPDX expressions as crates write them: alternatives by OR or a slash, conjunctions by AND, parentheses around either.
fn licence_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let conjunctions = expression.split(" AND ");
    conjunctions.into_iter().all(|part| {
        let part = part.trim_matches(['(', ')', ' ']);
        part.split(" OR ")
            .flat_map(|choice| choice.split('/'))
            .any(|choice| allowed.contains(choice.trim()))
    })
}

#[test]
fn arrows_between_crates_point_downward_only() {
    let below: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("prise-wire", &[][..]),
        ("prise-sys", &[]),
        ("prise-stack", &["prise-wire"]),
        ("prise-socket", &["prise-stack", "prise-wire"]),
        ("prise-view", &["prise-socket", "prise-stack", "prise-wire"]),
        ("prise-link", &["prise-wire", "prise-sys"]),
        (
            "prise-gateway",
            &["prise-stack", "prise-wire", "prise-link", "prise-sys"],
        ),
        (
            "prise",
            &["prise-socket", "prise-stack", "prise-wire", "prise-link", "prise-sys"],
        ),
        (
            "prise-sim",
            &["prise-socket", "prise-stack", "prise-wire", "prise-link"],
        ),
        (
            "prise-script",
            &["prise-socket", "prise-stack", "prise-wire", "prise-link", "prise-sys"],
        ),
        (
            "prise-drill",
            &["prise-socket", "prise-stack", "prise-wire", "prise-sys"],
        ),
        (
            "prise-run",
            &[
                "prise",
                "prise-gateway",
                "prise-view",
                "prise-socket",
                "prise-stack",
                "prise-wire",
                "prise-link",
                "prise-shortcut",
                "prise-sys",
            ],
        ),
        ("prise-shortcut", &[]),
        ("prise-cli", &["prise-run", "prise-sys"]),
    ]);
    for (package, dependencies) in manifests(false) {
        let Some(allowed) = below.get(package.as_str()) else {
            panic!("{package} has no place in the map; add it here and to ARCHITECTURE.md");
        };
        let upward: Vec<&String> = dependencies
            .iter()
            .filter(|name| name.starts_with("prise") && !allowed.contains(&name.as_str()))
            .collect();
        assert!(upward.is_empty(), "{package} must not use {upward:?}");
    }
}

/// The crate's root file, `lib.rs` or `main.rs`.
fn crate_root(package: &str) -> String {
    let library = format!("crates/{package}/src/lib.rs");
    if root().join(&library).exists() {
        read(library)
    } else {
        read(format!("crates/{package}/src/main.rs"))
    }
}

#[test]
fn the_core_is_no_std() {
    for package in ["prise-wire", "prise-stack", "prise-socket", "prise-view"] {
        let text = crate_root(package);
        let without_std = ["#![no_std]", "#![cfg_attr(not(test), no_std)]"];
        assert!(
            text.lines().any(|line| without_std.contains(&line)),
            "{package} is not no_std"
        );
        let mut lines = text.lines().map(str::trim).collect::<Vec<_>>();
        lines.insert(0, "");
        for pair in lines.windows(2) {
            let links_std = pair[1].starts_with("extern crate std");
            assert!(
                !links_std || pair[0] == "#[cfg(test)]",
                "{package} links std outside of tests"
            );
        }
    }
}

/// The places beside prise-sys that hold a C interface: a folder of a crate that exports one, and the library that is preloaded into programs.
const C_INTERFACES: [(&str, &str); 2] = [("prise-drill", "src/abi"), ("prise-shortcut", "src/preloaded")];

#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_prise_sys_and_the_c_interfaces() {
    for package in manifests(false).keys().filter(|name| *name != "prise-sys") {
        let text = crate_root(package);
        let wanted = if package == C_INTERFACES[0].0 {
            "#![deny(unsafe_code)]"
        } else {
            "#![forbid(unsafe_code)]"
        };
        assert!(text.lines().any(|line| line == wanted), "{package} allows unsafe code");
    }
    let crates = root().join("crates");
    let excepted = C_INTERFACES.map(|(package, place)| crates.join(package).join(place));
    let mut folders = vec![crates.clone()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(&path).expect("a folder of a crate").flatten() {
            let path = entry.path();
            if path == crates.join("prise-sys") || excepted.iter().any(|place| path.starts_with(place)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let lifts = ["#![allow(unsafe_code", "#[allow(unsafe_code", "#[expect(unsafe_code"];
                let lifted = text
                    .lines()
                    .any(|line| lifts.iter().any(|it| line.trim_start().starts_with(it)));
                assert!(!lifted, "{} lifts the rule", path.display());
            }
        }
    }
}

#[test]
fn an_spdx_expression_is_allowed_when_one_choice_of_each_part_is() {
    let allowed = ["MIT", "Apache-2.0"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(licence_allowed(expression, &allowed), expected, "{expression}");
    }
}
