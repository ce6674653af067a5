//! From text to [`Script`]s. The language is described at the head of the crate.

mod call;
mod segment;
mod words;

use std::time::Duration;

use self::words::Words;
use crate::script::{Action, Icmp, IcmpKind, Only, Open, Script, Step, When};

/// Where a script is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// What a step may differ from its time in where the script does not say.
pub const TOLERANCE: Duration = Duration::from_millis(2);
/// `+*`: any time up to this.
const PATIENCE: Duration = Duration::from_secs(5);

/// All scripts of a file, in order.
pub fn parse(file: &str, text: &str) -> Result<Vec<Script>, ParseError> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, without_comment(line).trim()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let mut scripts = Vec::new();
    let mut at = 0;
    while let Some(&(line, title)) = lines.get(at) {
        let Some(title) = title.strip_prefix("==") else {
            return Err(ParseError {
                line,
                message: "a script begins with == and its title".into(),
            });
        };
        let end = lines[at + 1..]
            .iter()
            .position(|(_, line)| line.starts_with("=="))
            .map_or(lines.len(), |length| at + 1 + length);
        scripts.push(one(file, line, title.trim(), &lines[at + 1..end])?);
        at = end;
    }
    Ok(scripts)
}

/// A `#` that is not inside a string begins a comment.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (index, letter) in line.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..index],
            _ => {}
        }
    }
    line
}

fn one(file: &str, line: usize, title: &str, lines: &[(usize, &str)]) -> Result<Script, ParseError> {
    let mut script = Script {
        file: file.into(),
        line,
        title: title.into(),
        marks: Vec::new(),
        differs: None,
        not_on_linux: None,
        not_on_ours: None,
        ipv4_only: None,
        sysctls: Vec::new(),
        kernel_buffers: false,
        mtu: 1500,
        steps: Vec::new(),
    };
    let mut body = lines;
    while let Some((&(line, text), rest)) = body.split_first() {
        let known = header(&mut script, text).map_err(|message| ParseError { line, message })?;
        if !known {
            break;
        }
        body = rest;
    }
    script.steps = steps(body)?;
    if script.steps.iter().any(|step| step.only != Only::Both) && script.differs.is_none() {
        return Err(ParseError {
            line,
            message: "lines for one subject only need `differs:` and the reason".into(),
        });
    }
    Ok(script)
}

/// Takes a line like `rfc: 9293 MUST-4`; `false` if it is none.
fn header(script: &mut Script, text: &str) -> Result<bool, String> {
    let Some((key, value)) = text.split_once(':') else {
        return Ok(false);
    };
    let value = value.trim();
    match key {
        "rfc" => {
            for part in value.split(';') {
                let (rfc, labels) = part.trim().split_once(' ').ok_or("rfc: NUMBER LABEL…")?;
                script
                    .marks
                    .extend(labels.split_whitespace().map(|label| format!("{rfc} {label}")));
            }
        }
        "differs" => append(&mut script.differs, value),
        "linux" => append(&mut script.not_on_linux, strip(value, "no, ")?),
        "ours" => append(&mut script.not_on_ours, strip(value, "not yet, ")?),
        "only" => append(&mut script.ipv4_only, strip(value, "ipv4, ")?),
        "sysctl" => {
            for pair in value.split_whitespace() {
                let (name, number) = pair.split_once('=').ok_or("sysctl: NAME=NUMBER")?;
                let number = number.parse().map_err(|_| format!("{number} is no number"))?;
                script.sysctls.push((name.into(), number));
            }
        }
        "buffers" => {
            script.kernel_buffers = value == "kernel";
            if !script.kernel_buffers {
                return Err(format!("buffers: kernel, not {value}"));
            }
        }
        "mtu" => script.mtu = value.parse().map_err(|_| format!("{value} is no MTU"))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn strip<'a>(value: &'a str, prefix: &str) -> Result<&'a str, String> {
    value
        .strip_prefix(prefix)
        .ok_or_else(|| format!("this begins with \"{prefix}\" and goes on with the reason"))
}

fn append(to: &mut Option<String>, text: &str) {
    match to {
        Some(known) => {
            known.push(' ');
            known.push_str(text);
        }
        None => *to = Some(text.into()),
    }
}

/// The steps, `repeat N` … `end` written out.
fn steps(mut lines: &[(usize, &str)]) -> Result<Vec<Step>, ParseError> {
    let mut steps = Vec::new();
    while let Some((&(line, text), rest)) = lines.split_first() {
        let wrong = |message: String| ParseError { line, message };
        let Some(count) = text.strip_prefix("repeat ") else {
            steps.push(step(line, text).map_err(wrong)?);
            lines = rest;
            continue;
        };
        let count: usize = count.trim().parse().map_err(|_| wrong("repeat NUMBER".into()))?;
        let end = rest
            .iter()
            .position(|(_, text)| *text == "end")
            .ok_or_else(|| wrong("this repeat has no end".into()))?;
        let block = self::steps(&rest[..end])?;
        for _ in 0..count {
            steps.extend(block.iter().cloned());
        }
        lines = &rest[end + 1..];
    }
    Ok(steps)
}

fn step(line: usize, text: &str) -> Result<Step, String> {
    let mut words = Words::new(text)?;
    let only = match words.peek() {
        Some("[ours]") => Only::Ours,
        Some("[linux]") => Only::Linux,
        _ => Only::Both,
    };
    if only != Only::Both {
        words.next();
    }
    let when = when(&mut words)?;
    let action = action(&mut words)?;
    words.end()?;
    Ok(Step {
        line,
        text: text.into(),
        only,
        when,
        action,
    })
}

fn when(words: &mut Words) -> Result<When, String> {
    let Some(word) = words.peek().and_then(|word| word.strip_prefix('+')) else {
        return Ok(When::Now);
    };
    let when = if word == "*" {
        When::Between(Duration::ZERO, PATIENCE)
    } else if let Some((from, to)) = word.split_once("..") {
        When::Between(duration(from)?, duration(to)?)
    } else if let Some((time, tolerance)) = word.split_once('±') {
        When::After {
            time: duration(time)?,
            tolerance: duration(tolerance)?,
        }
    } else {
        When::After {
            time: duration(word)?,
            tolerance: TOLERANCE,
        }
    };
    words.next();
    Ok(when)
}

/// `20us`, `200ms`, `1.5s`, `2min`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| letter.is_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| format!("{text} is no time"))?;
    let unit = match &text[split..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return Err(format!("{text}: a time ends in us, ms, s or min")),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| format!("{text} is no time"))
}

fn action(words: &mut Words) -> Result<Action, String> {
    let Some(first) = words.peek() else {
        return Err("an empty step".into());
    };
    if first == "wait" {
        words.next();
        return Ok(Action::Wait(duration(words.need("a time")?)?));
    }
    if first == "open" {
        words.next();
        return Ok(Action::Open(open(words)?));
    }
    if let Some(flow) = first.strip_prefix('<') {
        let flow = flow_number(flow)?;
        words.next();
        if words.peek() == Some("icmp") {
            words.next();
            return Ok(Action::InjectIcmp(icmp(words, flow)?));
        }
        return Ok(Action::Inject(segment::segment(words, flow)?));
    }
    if let Some(flow) = first.strip_prefix('>') {
        let flow = flow_number(flow)?;
        words.next();
        return Ok(Action::Expect(segment::segment(words, flow)?));
    }
    Ok(Action::Call(call::call(words)?))
}

fn flow_number(text: &str) -> Result<usize, String> {
    match text {
        "" => Ok(1),
        text => text
            .parse()
            .ok()
            .filter(|flow| (1..=20).contains(flow))
            .ok_or_else(|| format!("{text} is no flow's number (1 to 20)")),
    }
}

fn icmp(words: &mut Words, flow: usize) -> Result<Icmp, String> {
    let kind = match words.need("the kind of the error")? {
        "too-big" => IcmpKind::TooBig(words.number("the MTU")?),
        "network-unreachable" => IcmpKind::Network,
        "host-unreachable" => IcmpKind::Host,
        "port-unreachable" => IcmpKind::Port,
        "protocol-unreachable" => IcmpKind::Protocol,
        "prohibited" => IcmpKind::Prohibited,
        "time-exceeded" => IcmpKind::TimeExceeded,
        "quench" => IcmpKind::Quench,
        other => return Err(format!("no ICMP error {other}")),
    };
    words.expect("seq")?;
    Ok(Icmp {
        flow,
        kind,
        seq: words.number("a sequence number")?,
    })
}

fn open(words: &mut Words) -> Result<Open, String> {
    let active = match words.need("active or passive")? {
        "active" => true,
        "passive" => false,
        other => return Err(format!("open active or open passive, not {other}")),
    };
    let mut open = Open {
        flow: 1,
        active,
        options: segment::options("mss 1000,sackOK")?,
        win: 65_535,
        then_win: None,
        rtt: Duration::ZERO,
        ecn: false,
    };
    while let Some(word) = words.next() {
        match word {
            "flow" => open.flow = flow_number(words.need("a number")?)?,
            "win" => open.win = words.number("a window")?,
            "then-win" => open.then_win = Some(words.number("a window")?),
            "rtt" => open.rtt = duration(words.need("a time")?)?,
            "ecn" => open.ecn = true,
            word => match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
                Some(list) => open.options = segment::options(list)?,
                None => return Err(format!("what is {word} in open?")),
            },
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_scripts_with_headers_and_steps() {
        let text = "# about\n== First\nrfc: 9293 MUST-1 MUST-2\nlisten\n< S 0 <mss 1460> # a SYN\n\
                    == Second\nopen passive\nrepeat 2\n< P. +10\n+40ms±5ms > . ack *\nend\n";
        let scripts = parse("x", text).expect("it is right");
        assert_eq!(scripts.len(), 2);
        assert_eq!(scripts[0].marks, ["9293 MUST-1", "9293 MUST-2"]);
        assert_eq!((scripts[0].line, scripts[0].steps.len()), (2, 2));
        assert_eq!(scripts[1].steps.len(), 5);
        assert_eq!(
            scripts[1].steps[2].when,
            When::After {
                time: Duration::from_millis(40),
                tolerance: Duration::from_millis(5)
            }
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, part) in [
            ("listen", 1, "=="),
            ("== A\nlisten\n< Q", 3, "Q"),
            ("== A\nrepeat 2\nlisten", 2, "end"),
            ("== A\nset SO_NOTHING 1", 2, "SO_NOTHING"),
            ("== A\nlisten -> EWHAT", 2, "EWHAT"),
            ("== A\n[ours] listen", 1, "differs"),
            ("== A\nwait 5", 2, "time"),
            ("== A\nlisten 5 6", 2, "6"),
        ] {
            let error = parse("x", text).expect_err(text);
            assert_eq!(error.line, line, "{text}: {}", error.message);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }
}
