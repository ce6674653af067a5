//! A socket call's line: `[@socket] verb … [-> result]`.

use super::words::{Words, literal};
use crate::names;
use crate::script::{Call, Data, Ioctl, Outcome, Verb};

pub(super) fn call(words: &mut Words) -> Result<Call, String> {
    let socket = match words.peek().and_then(|word| word.strip_prefix('@')) {
        Some(name) => {
            words.next();
            name.to_string()
        }
        None => String::new(),
    };
    let verb = verb(words)?;
    let result = if words.peek() == Some("->") {
        words.next();
        outcome(words.need("the result")?)?
    } else {
        Outcome::Ok
    };
    Ok(Call { socket, verb, result })
}

/// Whether the line goes on with an argument.
fn argument<'a>(words: &mut Words<'a>) -> Option<&'a str> {
    words.peek().filter(|word| *word != "->")?;
    words.next()
}

fn number_or<N: std::str::FromStr>(words: &mut Words, default: N) -> Result<N, String> {
    match argument(words) {
        Some(word) => word.parse().map_err(|_| format!("{word} is no number")),
        None => Ok(default),
    }
}

fn verb(words: &mut Words) -> Result<Verb, String> {
    Ok(match words.need("a call")? {
        "socket" => Verb::Socket,
        "bind" => Verb::Bind(words.number("a port")?),
        "listen" => Verb::Listen(number_or(words, 128)?),
        "accept" => Verb::Accept,
        "connect" => Verb::Connect(number_or(words, 1)?),
        "disconnect" => Verb::Disconnect,
        "write" => {
            let data = data(words)?;
            Verb::Write(data, message_flags(words)?)
        }
        "sendto" => {
            let flow = words.number("a flow")?;
            let data = data(words)?;
            Verb::SendTo(flow, data, message_flags(words)?)
        }
        "read" => Verb::Read(words.number("a number of octets")?, message_flags(words)?),
        "shutdown" => Verb::Shutdown(match words.need("rd, wr or both")? {
            "rd" => 0,
            "wr" => 1,
            "both" => 2,
            other => return Err(format!("shutdown rd, wr or both, not {other}")),
        }),
        "close" => Verb::Close,
        "set" => {
            let option = option(words)?;
            Verb::Set(option, value(words.need("a value")?)?)
        }
        "get" => Verb::Get(option(words)?),
        "info" => {
            let mut checks = Vec::new();
            while let Some(word) = argument(words) {
                let (field, text) = word.split_once('=').ok_or("info FIELD=VALUE…")?;
                checks.push(names::info_check(field, text)?);
            }
            Verb::Info(checks)
        }
        "poll" => Verb::Poll,
        "inq" => Verb::Ioctl(Ioctl::Readable),
        "outq" => Verb::Ioctl(Ioctl::Unacknowledged),
        "outqnsd" => Verb::Ioctl(Ioctl::Unsent),
        "atmark" => Verb::Ioctl(Ioctl::AtMark),
        other => return Err(format!("no call {other}")),
    })
}

fn data(words: &mut Words) -> Result<Data, String> {
    let what = words.need("what to write")?;
    Ok(match literal(what) {
        Some(octets) => Data::Literal(octets),
        None => Data::Pattern(
            what.parse()
                .map_err(|_| format!("{what} is neither number nor string"))?,
        ),
    })
}

fn message_flags(words: &mut Words) -> Result<u32, String> {
    let mut flags = 0;
    while let Some(word) = argument(words) {
        flags |= names::message_flag(word).ok_or_else(|| format!("no message flag {word}"))?;
    }
    Ok(flags)
}

fn option(words: &mut Words) -> Result<crate::script::SocketOption, String> {
    let name = words.need("an option")?;
    names::socket_option(name).ok_or_else(|| format!("no option {name}"))
}

/// A number, several separated by commas (`struct linger`), or a string.
fn value(word: &str) -> Result<Vec<u8>, String> {
    if let Some(octets) = literal(word) {
        return Ok(octets);
    }
    let mut octets = Vec::new();
    for part in word.split(',') {
        let number: i32 = part.parse().map_err(|_| format!("{part} is no number"))?;
        octets.extend(number.to_ne_bytes());
    }
    Ok(octets)
}

fn outcome(word: &str) -> Result<Outcome, String> {
    if word == "ok" {
        return Ok(Outcome::Ok);
    }
    if let Some(octets) = literal(word) {
        return Ok(Outcome::Octets(octets));
    }
    if let Some(name) = names::error(word) {
        return Ok(Outcome::Error(name));
    }
    if let Some((min, max)) = word.split_once("..")
        && let (Ok(min), Ok(max)) = (min.parse(), max.parse())
    {
        return Ok(Outcome::Range(min, max));
    }
    if let Ok(number) = word.parse() {
        return Ok(Outcome::Value(number));
    }
    if word == "-" {
        return Ok(Outcome::Value(0));
    }
    let bits = word.split('|').try_fold(0, |all, part| {
        let known = names::POLL.iter().find(|(name, _)| *name == part);
        known.map(|(_, bit)| all | bit)
    });
    bits.map(Outcome::Value)
        .ok_or_else(|| format!("what result is {word}?"))
}
