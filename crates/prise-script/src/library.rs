//! The scripts in their files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::parse;
use crate::script::Script;

/// Where the scripts are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// All scripts, in the order of their files' names.
///
/// # Errors
/// The file and line that cannot be read.
pub fn load() -> Result<Vec<Script>, String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory())
        .map_err(|error| format!("{}: {error}", directory().display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "script"))
        .collect();
    paths.sort();
    let mut scripts = Vec::new();
    for path in paths {
        scripts.extend(load_file(&path)?);
    }
    Ok(scripts)
}

/// The scripts of one file.
///
/// # Errors
/// The line that cannot be read.
pub fn load_file(path: &Path) -> Result<Vec<Script>, String> {
    let name = path
        .file_stem()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse::parse(&name, &text).map_err(|error| format!("{name}.script:{}: {}", error.line, error.message))
}

/// The first ISN of the peer: a different one for each script, the same every time.
pub fn isn(script: &Script, number: u32) -> u32 {
    let seed = script.name().bytes().fold(2_166_136_261_u32, |hash, octet| {
        (hash ^ u32::from(octet)).wrapping_mul(16_777_619)
    });
    seed.wrapping_add(number.wrapping_mul(0x9e37_79b9))
}
