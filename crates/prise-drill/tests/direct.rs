//! Calls that packetdrill makes on the object's descriptors without asking it, from a C program that loads it as packetdrill does; as
//! nobody too, where the test may become that.

mod common;

use std::path::Path;
use std::process::Command;

#[test]
fn getsockopt_and_sendfile_made_directly_are_answered() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/direct.c");
    let folder = std::env::temp_dir().join(format!("prise-drill-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (program, object) = (folder.join("direct"), folder.join("libprise_drill.so"));
    let built = Command::new("cc")
        .args(["-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .args(["-ldl", "-lpthread"])
        .status();
    let Ok(built) = built else {
        eprintln!("skipped: there is no C compiler");
        return;
    };
    assert!(built.success(), "direct.c compiles");
    std::fs::copy(common::library(), &object).expect("a copy that anybody may read");
    let mut run = Command::new(&program);
    run.arg(&object);
    // nobody, if the test may become that; the filter then needs PR_SET_NO_NEW_PRIVS.
    let mut runs = vec![run];
    if rustix::process::geteuid().is_root() {
        let mut nobody = Command::new("setpriv");
        nobody
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg(&object);
        runs.push(nobody);
    }
    for mut run in runs {
        let output = run.output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((said.trim(), output.status.code()), ("ok", Some(0)), "{run:?}");
    }
    let _ = std::fs::remove_dir_all(&folder);
}
