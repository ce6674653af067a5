//! What the tests share.

use std::path::PathBuf;

/// The shared object, which cargo builds beside the binaries of the tests.
pub(crate) fn library() -> PathBuf {
    let mut folder = std::env::current_exe().expect("a path");
    folder.pop();
    let beside = [folder.clone(), folder.join("..")].map(|folder| folder.join("libprise_drill.so"));
    let found = beside.into_iter().find(|path| path.exists());
    found.expect("cargo builds the cdylib before the tests of its crate")
}
