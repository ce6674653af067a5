//! The pages that are generated from the scripts: `docs/linux.md` and `docs/rfc.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::library;
use crate::script::{Only, Script};

/// How many tests a line of the page names; more are counted.
const NAMED_MAX: usize = 3;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A page and where it belongs.
#[derive(Debug)]
pub struct Page {
    /// Below the root of the repository.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// Both pages.
///
/// # Errors
/// A mark that names no statement, a MUST of RFC 9293 that no test names, or a file that cannot be read.
pub fn pages() -> Result<Vec<Page>, String> {
    let scripts = library::load()?;
    let rfcs = statements()?;
    let mut marks = script_marks(&scripts);
    for (mark, tests) in rust_marks()? {
        marks.entry(mark).or_default().extend(tests);
    }
    let wrong = complaints(&rfcs, &marks);
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    Ok(vec![
        Page {
            path: "docs/linux.md",
            text: linux_page(&scripts),
        },
        Page {
            path: "docs/rfc.md",
            text: rfc_page(&rfcs, &marks),
        },
    ])
}

/// One RFC and what it asks for.
#[derive(Debug)]
struct Rfc {
    number: String,
    title: String,
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    label: String,
    text: String,
    /// Why no test shows it.
    reason: Option<String>,
}

/// What each test names: `9293 MUST-4` to the tests' names.
type Marks = BTreeMap<String, Vec<String>>;

/// Reads `rfc/*.txt`: a title, then `LABEL | statement [| reason]` a line.
fn statements() -> Result<Vec<Rfc>, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("rfc");
    let mut rfcs = Vec::new();
    for path in files(&directory, "txt")? {
        let text = read(&path)?;
        let number = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let number = number.unwrap_or_default();
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default().to_string();
        let statements = lines
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| statement(line).ok_or_else(|| format!("rfc/{number}.txt: {line}")))
            .collect::<Result<_, _>>()?;
        rfcs.push(Rfc {
            number,
            title,
            statements,
        });
    }
    rfcs.sort_by_key(|rfc| (rfc.number != "9293", rfc.number.parse::<u32>().unwrap_or(0)));
    Ok(rfcs)
}

fn statement(line: &str) -> Option<Statement> {
    let mut parts = line.split(" | ");
    Some(Statement {
        label: parts.next()?.trim().into(),
        text: parts.next()?.trim().into(),
        reason: parts.next().map(|reason| reason.trim().into()),
    })
}

fn script_marks(scripts: &[Script]) -> Marks {
    let mut marks = Marks::new();
    for script in scripts.iter().filter(|script| script.not_on_ours.is_none()) {
        for mark in &script.marks {
            let name = format!("{}: {}", script.file, script.title);
            marks.entry(mark.clone()).or_default().push(name);
        }
    }
    marks
}

/// `// rfc: 9293 MUST-8; 6528 §3` before a test function.
fn rust_marks() -> Result<Marks, String> {
    let mut marks = Marks::new();
    for path in files(&repository().join("crates"), "rs")? {
        let text = read(&path)?;
        let mut pending: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(list) = line.strip_prefix("// rfc: ") {
                for part in list.split(';') {
                    let (number, labels) = part.trim().split_once(' ').unwrap_or((part, ""));
                    pending.extend(labels.split_whitespace().map(|label| format!("{number} {label}")));
                }
            } else if let Some(rest) = line.strip_prefix("fn ") {
                let name = rest.split('(').next().unwrap_or_default();
                for mark in pending.drain(..) {
                    marks.entry(mark).or_default().push(format!("`{name}`"));
                }
            }
        }
    }
    Ok(marks)
}

/// All files with this ending below a directory, sorted.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Marks that name nothing, and MUSTs that nothing names.
fn complaints(rfcs: &[Rfc], marks: &Marks) -> Vec<String> {
    let known: Vec<String> = rfcs
        .iter()
        .flat_map(|rfc| rfc.statements.iter().map(|it| format!("{} {}", rfc.number, it.label)))
        .collect();
    let unknown = marks
        .iter()
        .filter(|(mark, _)| !known.contains(mark))
        .map(|(mark, tests)| format!("{mark} is no statement in crates/prise-script/rfc, but {tests:?} names it"));
    let untested = rfcs.iter().filter(|rfc| rfc.number == "9293").flat_map(|rfc| {
        rfc.statements
            .iter()
            .filter(|it| it.label.starts_with("MUST-") && it.reason.is_none())
            .filter(|it| !marks.contains_key(&format!("9293 {}", it.label)))
            .map(|it| format!("no test names 9293 {}: {}", it.label, it.text))
    });
    unknown.chain(untested).collect()
}

const RFC_HEAD: &str = "\
# What the RFCs ask for, and the tests that show it

Generated by `cargo run -p prise-script -- docs` from the statements in `crates/prise-script/rfc` (in our words) and from the
marks of tests: `rfc:` in segment scripts (`crates/prise-script/scripts`), `// rfc:` before test functions. A test keeps this page
up to date, and fails when a MUST of RFC 9293 has neither a test nor a reason. Section numbers stand where an RFC has no labels.
A dash means that no test names the statement yet.
";

fn rfc_page(rfcs: &[Rfc], marks: &Marks) -> String {
    let mut page = String::from(RFC_HEAD);
    for rfc in rfcs {
        let tested = |it: &&Statement| marks.contains_key(&format!("{} {}", rfc.number, it.label));
        let count = rfc.statements.iter().filter(tested).count();
        let _infallible = write!(
            page,
            "\n## RFC {}: {}\n\n{count} of {} statements are named by tests.\n\n| | statement | shown by |\n|---|---|---|\n",
            rfc.number,
            rfc.title,
            rfc.statements.len()
        );
        for it in &rfc.statements {
            let tests = marks.get(&format!("{} {}", rfc.number, it.label));
            let shown = shown_by(tests.map(Vec::as_slice).unwrap_or_default(), it.reason.as_deref());
            let _infallible = writeln!(page, "| {} | {} | {shown} |", it.label, it.text);
        }
    }
    page
}

fn shown_by(tests: &[String], reason: Option<&str>) -> String {
    let mut parts: Vec<String> = tests
        .iter()
        .take(NAMED_MAX)
        .map(|test| test.replace('|', "\\|"))
        .collect();
    if tests.len() > NAMED_MAX {
        parts.push(format!("and {} more", tests.len() - NAMED_MAX));
    }
    if let Some(reason) = reason {
        parts.push(format!("*{reason}*"));
    }
    if parts.is_empty() {
        "–".into()
    } else {
        parts.join("; ")
    }
}

const LINUX_HEAD: &str = "\
# Where our TCP and Linux differ

Generated by `cargo run -p prise-script -- docs` from the segment scripts marked `differs:` (`crates/prise-script/scripts`); a test
keeps it up to date. Every other script comes true on both: on our stack in virtual time with each `cargo test`, on Linux with
`cargo run -p prise-script -- linux`. The lines below are those that only one of them follows.
";

fn linux_page(scripts: &[Script]) -> String {
    let mut page = String::from(LINUX_HEAD);
    let differing: Vec<&Script> = scripts.iter().filter(|script| script.differs.is_some()).collect();
    let same = scripts.len() - differing.len();
    let _infallible = write!(
        page,
        "\n{} scripts, {same} of them the same for both, {} with a difference.\n",
        scripts.len(),
        differing.len()
    );
    for script in differing {
        let reason = sentence(script.differs.as_deref().unwrap_or_default());
        let _infallible = write!(page, "\n## {}\n\n{reason}\n\n```text\n", script.title);
        for step in script.steps.iter().filter(|step| step.only != Only::Both) {
            let _infallible = writeln!(page, "{}", step.text);
        }
        let _infallible = write!(page, "```\n\n`{}.script`\n", script.file);
    }
    page.push_str("\n## Not run on Linux\n\n");
    for script in scripts {
        if let Some(reason) = &script.not_on_linux {
            let _infallible = writeln!(page, "- {}: {reason}.", script.title);
        }
    }
    page
}

/// A reason with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

/// Writes the pages that have changed; answers their paths.
///
/// # Errors
/// As [`pages`], or a file that cannot be written.
pub fn write() -> Result<Vec<&'static str>, String> {
    let mut written = Vec::new();
    for page in pages()? {
        let path = repository().join(page.path);
        if fs::read_to_string(&path).is_ok_and(|text| text == page.text) {
            continue;
        }
        fs::write(&path, &page.text).map_err(|error| format!("{}: {error}", page.path))?;
        written.push(page.path);
    }
    Ok(written)
}
