//! The pages that are generated from the scripts: `docs/linux.md` and `docs/rfc.md`.

use std::collections::{BTreeMap, BTreeSet};
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
/// A mark that names no statement, a MUST that no test names, a test that does not exist, or a file that cannot be read.
pub fn pages() -> Result<Vec<Page>, String> {
    let scripts = library::load()?;
    let rfcs = statements()?;
    let mut marks = script_marks(&scripts);
    for (mark, tests) in rust_marks()? {
        marks.entry(mark).or_default().extend(tests);
    }
    add_named(&rfcs, &scripts, &mut marks)?;
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
    /// The RFC's word for how binding it is, empty where it has none.
    level: String,
    text: String,
    /// Tests that the list itself names: the beginning of `file: title` of a script, or a test function.
    tests: Vec<String>,
    /// Why no test shows it, or how we deviate.
    reason: Option<String>,
}

/// How binding a statement is, RFC 2119.
const LEVELS: [&str; 6] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "-"];

/// What each test names: `9293 MUST-4` to the tests' names.
type Marks = BTreeMap<String, Vec<String>>;

/// Reads `rfc/*.txt`: a title, then a line for each statement,
/// `LABEL | [LEVEL |] statement [| by: test + test] [| why: reason]`. RFC 9293's labels say the level.
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
    let mut parts = line.split(" | ").map(str::trim).peekable();
    let label = parts.next()?;
    let level = parts
        .next_if(|part| LEVELS.contains(part))
        .unwrap_or_else(|| level_of(label));
    let mut statement = Statement {
        label: label.into(),
        level: level.replace('-', ""),
        text: parts.next()?.into(),
        tests: Vec::new(),
        reason: None,
    };
    for part in parts {
        if let Some(tests) = part.strip_prefix("by: ") {
            statement.tests = tests.split(" + ").map(Into::into).collect();
        } else {
            statement.reason = Some(part.strip_prefix("why: ").unwrap_or(part).into());
        }
    }
    Some(statement)
}

/// `MUST-4` binds as its name says.
fn level_of(label: &str) -> &'static str {
    match label.split('-').next() {
        Some("MUST") => "MUST",
        Some("SHLD" | "REC") => "SHOULD",
        Some("MAY") => "MAY",
        _ => "-",
    }
}

/// Adds the tests that the lists name to the marks.
///
/// # Errors
/// Those that do not exist.
fn add_named(rfcs: &[Rfc], scripts: &[Script], marks: &mut Marks) -> Result<(), String> {
    let titles: Vec<String> = scripts
        .iter()
        .filter(|script| script.not_on_ours.is_none())
        .map(|script| format!("{}: {}", script.file, script.title))
        .collect();
    let functions = test_functions()?;
    let mut wrong = Vec::new();
    for rfc in rfcs {
        for statement in &rfc.statements {
            let mark = format!("{} {}", rfc.number, statement.label);
            for test in &statement.tests {
                let title = titles.iter().find(|title| title.starts_with(test.as_str())).cloned();
                let function = functions.contains(test).then(|| format!("`{test}`"));
                match title.or(function) {
                    Some(name) => {
                        let known = marks.entry(mark.clone()).or_default();
                        if !known.contains(&name) {
                            known.push(name);
                        }
                    }
                    None => wrong.push(format!(
                        "rfc/{}.txt {} names {test}, which is no test",
                        rfc.number, statement.label
                    )),
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

/// The names of all test functions of the crates.
fn test_functions() -> Result<BTreeSet<String>, String> {
    let mut functions = BTreeSet::new();
    for path in files(&repository().join("crates"), "rs")? {
        let text = read(&path)?;
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("fn ") {
                if is_test {
                    functions.insert(rest.split('(').next().unwrap_or_default().into());
                }
                is_test = false;
            }
        }
    }
    Ok(functions)
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
    let untested = rfcs.iter().flat_map(|rfc| {
        rfc.statements
            .iter()
            .filter(|it| it.level.starts_with("MUST") && it.reason.is_none())
            .filter(|it| !marks.contains_key(&format!("{} {}", rfc.number, it.label)))
            .map(|it| format!("no test names {} {}: {}", rfc.number, it.label, it.text))
    });
    unknown.chain(untested).collect()
}

const RFC_HEAD: &str = "\
# What the RFCs ask for, and the tests that show it

Generated by `cargo run -p prise-script -- docs` from the statements in `crates/prise-script/rfc` (in our words) and from the
marks of tests: `rfc:` in segment scripts (`crates/prise-script/scripts`, shown as `file: title`), `// rfc:` before test functions,
and `by:` in the lists. A test keeps this page up to date, and fails when a MUST has neither a test nor a reason, or a test that is
named does not exist. Section numbers stand where an RFC has no labels; words in italics say why no test can show a statement, or
how we deviate. A dash means that no test names the statement yet.
";

fn rfc_page(rfcs: &[Rfc], marks: &Marks) -> String {
    let mut page = String::from(RFC_HEAD);
    for rfc in rfcs {
        let tested = |it: &&Statement| marks.contains_key(&format!("{} {}", rfc.number, it.label));
        let count = rfc.statements.iter().filter(tested).count();
        let _infallible = write!(
            page,
            "\n## RFC {}: {}\n\n{count} of {} statements are named by tests.\n\n| | | statement | shown by |\n|---|---|---|---|\n",
            rfc.number,
            rfc.title,
            rfc.statements.len()
        );
        for it in &rfc.statements {
            let tests = marks.get(&format!("{} {}", rfc.number, it.label));
            let shown = shown_by(tests.map(Vec::as_slice).unwrap_or_default(), it.reason.as_deref());
            let _infallible = writeln!(page, "| {} | {} | {} | {shown} |", it.label, it.level, it.text);
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
