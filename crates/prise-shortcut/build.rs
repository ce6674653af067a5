//! Compiles the library that is preloaded into programs: a shared object with no dependency, not even on the C library, whose symbols it
//! takes as the program has them.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    let set = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let object = Path::new(&set("OUT_DIR")).join("preloaded.so");
    let status = Command::new(set("RUSTC"))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "--crate-name",
            "preloaded",
            "--cfg",
            "freestanding",
        ])
        .args(["--target", &set("TARGET")])
        .args([
            "-C",
            "opt-level=s",
            // The C library's symbols are weak where they are declared so.
            "-C",
            "codegen-units=1",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
            "-C",
            "debuginfo=0",
        ])
        .args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-Wl,-z,noseparate-code"])
        // One mapping of what is written, and none that the dynamic linker has to protect: each program pays for them when it starts.
        .args(["-C", "link-arg=-Wl,-z,norelro"])
        .arg("-o")
        .arg(&object)
        .arg("src/preloaded/main.rs")
        .status();
    assert!(
        status.is_ok_and(|it| it.success()),
        "the preloaded library does not compile"
    );
    for source in ["src/preloaded", "src/chart.rs", "build.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
}
