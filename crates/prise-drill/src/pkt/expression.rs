//! Arguments of calls.

use super::scan::Scanner;
use super::symbols::symbol;

/// A value of a call's argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(Vec<u8>),
    /// `...`: something that does not matter.
    Any,
    List(Vec<Value>),
    /// `{name = value, ...}`; names may be missing.
    Record(Vec<(String, Value)>),
    /// `htons(8080)` and the like.
    Call(String, Vec<Value>),
}

impl Value {
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Call(name, arguments) if matches!(name.as_str(), "htons" | "htonl" | "ntohs" | "ntohl") => {
                arguments.first()?.number()
            }
            _ => None,
        }
    }

    /// The one element of `[element]`, or the value itself.
    pub(super) fn single(&self) -> &Self {
        match self {
            Self::List(elements) if elements.len() == 1 => &elements[0],
            other => other,
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// A member of a record.
    pub(super) fn member(&self, wanted: &str) -> Option<&Self> {
        match self {
            Self::Record(members) => members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Names that a script's options define (`--define=NAME=VALUE`).
pub(super) type Defines = [(String, String)];

/// `a, b, c` up to a closing mark, which is passed.
pub(super) fn arguments(scanner: &mut Scanner<'_>, close: &str, defines: &Defines) -> Result<Vec<Value>, String> {
    let mut values = Vec::new();
    loop {
        if scanner.eat(close) {
            return Ok(values);
        }
        values.push(value(scanner, defines)?);
        if !scanner.eat(",") && !scanner.sees(close) {
            return Err(format!("expected ',' or '{close}' before '{}'", scanner.glimpse()));
        }
    }
}

/// A value: terms joined by `|`.
fn value(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<Value, String> {
    let mut left = term(scanner, defines)?;
    while scanner.eat("|") {
        let right = term(scanner, defines)?;
        match (left.number(), right.number()) {
            (Some(a), Some(b)) => left = Value::Number(a | b),
            _ => return Err("only numbers can be joined by '|'".into()),
        }
    }
    Ok(left)
}

fn term(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<Value, String> {
    if scanner.eat("...") {
        return Ok(Value::Any);
    }
    match scanner.peek() {
        Some('[') => {
            scanner.expect("[")?;
            Ok(Value::List(arguments(scanner, "]", defines)?))
        }
        Some('{') => {
            scanner.expect("{")?;
            record(scanner, defines)
        }
        Some('(') => {
            scanner.expect("(")?;
            let inner = value(scanner, defines)?;
            scanner.expect(")")?;
            Ok(inner)
        }
        Some('"') => {
            let mut text = Vec::new();
            while scanner.eat("\"") {
                text.extend(unescape(scanner.until("\"")?));
            }
            Ok(Value::Text(text))
        }
        Some('~') => {
            scanner.expect("~")?;
            let inner = term(scanner, defines)?;
            inner
                .number()
                .map(|number| Value::Number(!number))
                .ok_or_else(|| "'~' needs a number".into())
        }
        Some('-' | '0'..='9') => scanner.number().map(Value::Number),
        _ => named(scanner, defines),
    }
}

fn named(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<Value, String> {
    let name = scanner.word();
    if name.is_empty() {
        return Err(format!("expected a value before '{}'", scanner.glimpse()));
    }
    if scanner.eat("(") {
        return Ok(Value::Call(name.to_owned(), arguments(scanner, ")", defines)?));
    }
    number_of(name, defines).map(Value::Number)
}

/// The number that a name stands for.
pub(super) fn number_of(name: &str, defines: &Defines) -> Result<i64, String> {
    if let Some((_, value)) = defines.iter().find(|(defined, _)| defined == name) {
        return match value.parse() {
            Ok(number) => Ok(number),
            Err(_) => number_of(value, &[]),
        };
    }
    symbol(name).ok_or_else(|| format!("unknown name {name}"))
}

/// `{name = value, ...}` after its brace; `{..., 1000}` has no names, `name(...) = value` has a size that says nothing new.
fn record(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<Value, String> {
    let mut members = Vec::new();
    loop {
        if scanner.eat("}") {
            return Ok(Value::Record(members));
        }
        let mut ahead = scanner.clone();
        let name = ahead.word().to_owned();
        let sized = !name.is_empty() && ahead.eat("(") && ahead.until(")").is_ok();
        let _ = sized;
        if !name.is_empty() && ahead.eat("=") {
            *scanner = ahead;
            members.push((name, value(scanner, defines)?));
        } else {
            members.push((String::new(), value(scanner, defines)?));
        }
        if !scanner.eat(",") && !scanner.sees("}") {
            return Err(format!("expected ',' or '}}' before '{}'", scanner.glimpse()));
        }
    }
}

/// C's escapes, as far as scripts use them: hexadecimal and a few letters.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes().peekable();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        match rest.next() {
            Some(b'x') => {
                let mut value = 0_u32;
                for _ in 0..2 {
                    let Some(digit) = rest.peek().and_then(|c| (*c as char).to_digit(16)) else {
                        break;
                    };
                    value = value * 16 + digit;
                    rest.next();
                }
                octets.push(value as u8);
            }
            Some(b'0') => octets.push(0),
            Some(b'n') => octets.push(b'\n'),
            Some(b't') => octets.push(b'\t'),
            Some(b'r') => octets.push(b'\r'),
            Some(other) => octets.push(other),
            None => octets.push(b'\\'),
        }
    }
    octets
}
