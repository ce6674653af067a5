//! Scripts: options, then events.

use super::events::{Act, CallSpec, Event, Script, When};
use super::expression::{Defines, arguments, number_of};
use super::outcome::{Failure, at};
use super::packet::packet;
use super::scan::Scanner;

/// Reads a script; `defines` are names that it may use beside the known ones.
pub(super) fn parse(text: &str, defines: &Defines) -> Result<Script, Failure> {
    let mut scanner = Scanner::new(text);
    let mut script = Script::default();
    while scanner.sees("--") {
        scanner.expect("--").map_err(at(scanner.line()))?;
        let name = scanner.word().to_owned();
        let value = if scanner.eat("=") {
            scanner.take_while(|c| !c.is_whitespace()).trim_matches('"').to_owned()
        } else {
            String::new()
        };
        script.options.push((name, value));
    }
    let mut known = defines.to_vec();
    for (name, value) in &script.options {
        if let Some((name, value)) = value.split_once('=').filter(|_| name == "define") {
            known.push((name.to_owned(), value.to_owned()));
        }
    }
    while !scanner.at_end() {
        let line = scanner.line();
        let when = if scanner.sees("`") {
            When {
                relative: true,
                from: 0,
                to: None,
                any: false,
                blocks: false,
            }
        } else {
            when(&mut scanner).map_err(at(line))?
        };
        let act = act(&mut scanner, &known, when.blocks).map_err(at(line))?;
        script.events.push(Event { line, when, act });
    }
    Ok(script)
}

/// `0.1`, `+.1`, `+0~+.2`, `0.1...0.2`, `*`.
fn when(scanner: &mut Scanner<'_>) -> Result<When, String> {
    if scanner.eat("*") {
        return Ok(When {
            relative: false,
            from: 0,
            to: None,
            any: true,
            blocks: false,
        });
    }
    let relative = scanner.eat("+");
    let from = microseconds(scanner)?;
    let (mut to, mut blocks) = (None, false);
    if scanner.eat("...") {
        blocks = true;
        scanner.eat("+");
        to = Some(microseconds(scanner)?);
    } else if scanner.eat("~") {
        scanner.eat("+");
        to = Some(microseconds(scanner)?);
    }
    Ok(When {
        relative,
        from,
        to,
        any: false,
        blocks,
    })
}

/// Seconds with a fraction.
fn microseconds(scanner: &mut Scanner<'_>) -> Result<i64, String> {
    let whole = scanner.take_while(|c| c.is_ascii_digit());
    let mut total = if whole.is_empty() {
        0
    } else {
        whole.parse::<i64>().map_err(|_| format!("not a time: {whole}"))? * 1_000_000
    };
    // The three points of a blocking call are no fraction.
    let fraction = if scanner.rest().starts_with('.') && !scanner.rest().starts_with("...") {
        scanner.expect(".")?;
        scanner.take_while(|c| c.is_ascii_digit())
    } else if whole.is_empty() {
        return Err(format!("expected a time before '{}'", scanner.glimpse()));
    } else {
        ""
    };
    let mut unit = 100_000;
    for digit in fraction.bytes() {
        total += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    Ok(total)
}

fn act(scanner: &mut Scanner<'_>, defines: &Defines, blocks: bool) -> Result<Act, String> {
    if scanner.eat("<") {
        return Ok(Act::In(packet(scanner, defines)?));
    }
    if scanner.eat(">") {
        return Ok(Act::Out(packet(scanner, defines)?));
    }
    if scanner.eat("`") {
        return Ok(Act::Command(scanner.until("`")?.to_owned()));
    }
    if scanner.eat("%{") {
        return Ok(Act::Code(scanner.until("}%")?.to_owned()));
    }
    call(scanner, defines, blocks).map(Act::Call)
}

fn call(scanner: &mut Scanner<'_>, defines: &Defines, blocks: bool) -> Result<CallSpec, String> {
    let name = scanner.word().to_owned();
    if name.is_empty() {
        return Err(format!("expected an event before '{}'", scanner.glimpse()));
    }
    scanner.expect("(")?;
    let arguments = arguments(scanner, ")", defines)?;
    scanner.expect("=")?;
    let result = if scanner.eat("...") || scanner.eat("?") {
        None
    } else if scanner.peek().is_some_and(|c| c.is_ascii_digit() || c == '-') {
        Some(scanner.number()?)
    } else {
        Some(number_of(scanner.word(), defines)?)
    };
    let mut errno = None;
    let mut ahead = scanner.clone();
    let word = ahead.word();
    if word.starts_with('E') && word.len() > 1 {
        errno = Some(word.to_owned());
        *scanner = ahead;
    }
    if scanner.eat("(") {
        scanner.until(")")?;
    }
    Ok(CallSpec {
        name,
        arguments,
        result,
        errno,
        blocks,
    })
}
