//! The sockets of a running script, and the calls on them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::flow::pattern;
use crate::names;
use crate::run::{LISTEN_PORT, PEER_PORT, Run};
use crate::script::{Call, Data, InfoCheck, Outcome, SocketOption, Verb};
use crate::subject::{Answer, Handle, SocketCall};

/// The name of the listener.
const LISTENER: &str = "l";

/// The sockets by their names.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<String, Socket>,
    current: String,
    /// Sockets that were given a name, by its beginning.
    made: BTreeMap<&'static str, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    handle: Handle,
    /// The flow that it is connected to.
    flow: Option<usize>,
    /// Octets read.
    read: u64,
    bound: bool,
}

impl Sockets {
    pub(crate) fn is_listening(&self) -> bool {
        self.open.contains_key(LISTENER)
    }

    fn name(&mut self, wanted: &str, prefix: &'static str) -> String {
        if !wanted.is_empty() {
            return wanted.into();
        }
        let made = self.made.entry(prefix).or_default();
        *made += 1;
        if *made == 1 {
            prefix.into()
        } else {
            format!("{prefix}{made}")
        }
    }

    fn add(&mut self, name: String, handle: Handle) {
        let socket = Socket {
            handle,
            flow: None,
            read: 0,
            bound: false,
        };
        self.open.insert(name.clone(), socket);
        self.current = name;
    }
}

/// What a call answered, or its errno.
type Called = Result<Answer, i32>;

impl Run<'_> {
    /// Makes the call and compares what it answers.
    pub(crate) fn call(&mut self, call: &Call) -> Result<(), String> {
        let now = self.subject.now();
        let answer = self.make(call)?;
        let text = format!("{} {} -> {}", call.socket, verb_words(&call.verb), told(call, &answer));
        self.trace.add(now, text.trim_start());
        check(call, &answer)
    }

    fn make(&mut self, call: &Call) -> Result<Called, String> {
        match &call.verb {
            Verb::Socket => {
                let name = self.sockets.name(&call.socket, "s");
                Ok(self.new_socket(name))
            }
            Verb::Accept => Ok(self.accept(&call.socket)),
            Verb::Listen(backlog) => self.listen(&call.socket, *backlog),
            Verb::Connect(flow) => self.connect(&call.socket, *flow),
            _ => self.make_on_socket(call),
        }
    }

    fn new_socket(&mut self, name: String) -> Called {
        match self.subject.call(&SocketCall::Socket) {
            Ok(Answer::Socket(handle)) => {
                self.sockets.add(name, handle);
                Ok(Answer::Done)
            }
            other => other,
        }
    }

    /// The name of the socket that a call is for; a new one where there is none.
    fn name_or_new(&mut self, wanted: &str) -> Result<String, String> {
        let name = if wanted.is_empty() {
            self.sockets.current.clone()
        } else {
            wanted.to_string()
        };
        if self.sockets.open.contains_key(&name) {
            return Ok(name);
        }
        let name = self.sockets.name(wanted, "s");
        self.new_socket(name.clone())
            .map_err(|errno| format!("socket: {}", names::error_name(errno)))?;
        Ok(name)
    }

    fn listen(&mut self, wanted: &str, backlog: i32) -> Result<Called, String> {
        let name = self.name_or_new(wanted)?;
        let socket = self.socket(&name)?;
        if !socket.bound {
            let on = 1_i32.to_ne_bytes();
            for call in [
                SocketCall::SetOption(socket.handle, names::SO_REUSEADDR, &on),
                SocketCall::Bind(socket.handle, LISTEN_PORT),
            ] {
                if let Err(errno) = self.subject.call(&call) {
                    return Ok(Err(errno));
                }
            }
        }
        let answer = self.subject.call(&SocketCall::Listen(socket.handle, backlog));
        if answer.is_ok() && name != LISTENER {
            let socket = Socket { bound: true, ..socket };
            self.sockets.open.remove(&name);
            self.sockets.open.insert(LISTENER.into(), socket);
            self.sockets.current = LISTENER.into();
        }
        Ok(answer)
    }

    fn connect(&mut self, wanted: &str, flow: usize) -> Result<Called, String> {
        let name = self.name_or_new(wanted)?;
        self.flow(flow);
        let socket = self.socket_mut(&name)?;
        socket.flow = Some(flow);
        let call = SocketCall::Connect(socket.handle, PEER_PORT + flow as u16);
        Ok(self.subject.call(&call))
    }

    fn accept(&mut self, wanted: &str) -> Called {
        let listener = self
            .sockets
            .open
            .get(LISTENER)
            .map_or(Handle(usize::MAX), |it| it.handle);
        let answer = self.subject.call(&SocketCall::Accept(listener))?;
        if let Answer::Accepted(handle, port) = answer {
            let name = self.sockets.name(wanted, "c");
            self.sockets.add(name.clone(), handle);
            if let Some(socket) = self.sockets.open.get_mut(&name) {
                socket.flow = Some(usize::from(port.saturating_sub(PEER_PORT)));
            }
            return Ok(Answer::Done);
        }
        Ok(answer)
    }

    fn socket(&self, wanted: &str) -> Result<Socket, String> {
        let name = if wanted.is_empty() {
            &self.sockets.current
        } else {
            wanted
        };
        self.sockets
            .open
            .get(name)
            .copied()
            .ok_or_else(|| format!("there is no socket {name}"))
    }

    fn socket_mut(&mut self, wanted: &str) -> Result<&mut Socket, String> {
        let name = if wanted.is_empty() {
            self.sockets.current.clone()
        } else {
            wanted.to_string()
        };
        self.sockets
            .open
            .get_mut(&name)
            .ok_or_else(|| format!("there is no socket {name}"))
    }

    fn make_on_socket(&mut self, call: &Call) -> Result<Called, String> {
        if matches!(call.verb, Verb::Set(..) | Verb::Bind(_) | Verb::SendTo(..)) {
            self.name_or_new(&call.socket)?;
        }
        let socket = self.socket(&call.socket)?;
        let handle = socket.handle;
        let made = match &call.verb {
            Verb::Bind(port) => {
                self.socket_mut(&call.socket)?.bound = true;
                SocketCall::Bind(handle, *port)
            }
            Verb::Disconnect => SocketCall::Disconnect(handle),
            Verb::Write(data, flags) => return Ok(self.write(socket, None, data, *flags)),
            Verb::SendTo(flow, data, flags) => {
                self.flow(*flow);
                let socket = self.socket_mut(&call.socket)?;
                socket.flow = Some(*flow);
                let socket = *socket;
                return Ok(self.write(socket, Some(*flow), data, *flags));
            }
            Verb::Read(max, flags) => return self.read(&call.socket, *max, *flags),
            Verb::Shutdown(how) => SocketCall::Shutdown(handle, *how),
            Verb::Close => {
                let open = &mut self.sockets.open;
                open.retain(|_, it| it.handle != handle);
                SocketCall::Close(handle)
            }
            Verb::Set(option, key) if *option == names::TCP_MD5SIG => {
                let request = md5_request(self.addresses.peer, key);
                return Ok(self.subject.call(&SocketCall::SetOption(handle, *option, &request)));
            }
            Verb::Set(option, value) => SocketCall::SetOption(handle, *option, value),
            Verb::Get(option) => SocketCall::Option(handle, *option, 64),
            Verb::Info(_) => SocketCall::Option(handle, names::TCP_INFO, 512),
            Verb::Poll => SocketCall::Poll(handle),
            Verb::Ioctl(ioctl) => SocketCall::Ioctl(handle, *ioctl),
            Verb::Socket | Verb::Listen(_) | Verb::Accept | Verb::Connect(_) => {
                return Err("made elsewhere".into());
            }
        };
        Ok(self.subject.call(&made))
    }

    fn write(&mut self, socket: Socket, to: Option<usize>, data: &Data, flags: u32) -> Called {
        let written = socket
            .flow
            .and_then(|flow| self.flows.get(&flow))
            .map_or(0, |flow| flow.written.len());
        let octets = match data {
            Data::Literal(octets) => octets.clone(),
            Data::Pattern(len) => (0..*len).map(|at| pattern(true, (written + at) as u64)).collect(),
        };
        let flags = flags | names::MSG_NOSIGNAL;
        let call = match to {
            Some(flow) => SocketCall::SendTo(socket.handle, &octets, flags, PEER_PORT + flow as u16),
            None => SocketCall::Send(socket.handle, &octets, flags),
        };
        let answer = self.subject.call(&call)?;
        if let (Answer::Number(taken), Some(flow)) = (&answer, socket.flow) {
            self.flow(flow).written.extend(&octets[..*taken as usize]);
        }
        Ok(answer)
    }

    fn read(&mut self, name: &str, max: usize, flags: u32) -> Result<Called, String> {
        let socket = self.socket(name)?;
        let answer = self.subject.call(&SocketCall::Receive(socket.handle, max, flags));
        let Ok(Answer::Octets(octets)) = &answer else {
            return Ok(answer);
        };
        if flags & (names::MSG_OOB | names::MSG_PEEK) != 0 {
            return Ok(answer);
        }
        let regular = socket
            .flow
            .and_then(|flow| self.flows.get(&flow))
            .is_some_and(|flow| !flow.irregular);
        let wrong = octets
            .iter()
            .enumerate()
            .position(|(at, octet)| *octet != pattern(false, socket.read + at as u64));
        if let Some(at) = wrong.filter(|_| regular) {
            return Err(format!("octet {} of the stream is wrong", socket.read + at as u64));
        }
        let count = octets.len() as u64;
        self.socket_mut(name)?.read += count;
        Ok(answer)
    }
}

/// `struct tcp_md5sig` for the key with that peer; an empty one forgets it.
fn md5_request(peer: IpAddr, key: &[u8]) -> Vec<u8> {
    let mut request = vec![0; 216];
    match peer {
        IpAddr::V4(v4) => {
            request[..2].copy_from_slice(&2_u16.to_ne_bytes());
            request[4..8].copy_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            request[..2].copy_from_slice(&10_u16.to_ne_bytes());
            request[8..24].copy_from_slice(&v6.octets());
        }
    }
    request[130..132].copy_from_slice(&(key.len() as u16).to_ne_bytes());
    request[136..136 + key.len()].copy_from_slice(key);
    request
}

/// The number that a call answered, where it answers one.
fn number(verb: &Verb, answer: &Answer) -> Option<i64> {
    match (verb, answer) {
        (Verb::Get(_), Answer::Octets(octets)) => {
            let octets = octets.get(..4)?;
            Some(i32::from_ne_bytes(octets.try_into().ok()?).into())
        }
        (_, Answer::Octets(octets)) => Some(octets.len() as i64),
        (_, Answer::Number(number)) => Some(*number),
        _ => None,
    }
}

fn check(call: &Call, answer: &Called) -> Result<(), String> {
    let wrong = || Err(format!("answered {}", told(call, answer)));
    let answer = match (answer, &call.result) {
        (Err(errno), Outcome::Error(name)) if names::error_number(name) == Some(*errno) => return Ok(()),
        (Err(_), _) => return wrong(),
        (Ok(answer), _) => answer,
    };
    if let (Verb::Info(checks), Answer::Octets(octets)) = (&call.verb, answer) {
        return check_info(checks, octets);
    }
    let number = number(&call.verb, answer);
    let right = match &call.result {
        // What is read or written must be said.
        Outcome::Ok => !matches!(call.verb, Verb::Read(..) | Verb::Write(..) | Verb::Get(_)),
        Outcome::Value(value) => number == Some(*value),
        Outcome::Range(min, max) => number.is_some_and(|number| (*min..=*max).contains(&number)),
        Outcome::Octets(expected) => match answer {
            Answer::Octets(octets) => trimmed(&call.verb, octets) == expected,
            _ => false,
        },
        Outcome::Error(name) if is_error_option(&call.verb) => number == names::error_number(name).map(i64::from),
        Outcome::Error(_) => false,
    };
    if right { Ok(()) } else { wrong() }
}

fn is_error_option(verb: &Verb) -> bool {
    matches!(verb, Verb::Get(SocketOption { name: "SO_ERROR", .. }))
}

/// A string option without its zeros.
fn trimmed<'a>(verb: &Verb, octets: &'a [u8]) -> &'a [u8] {
    let end = match verb {
        Verb::Get(_) => octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len()),
        _ => octets.len(),
    };
    &octets[..end]
}

fn check_info(checks: &[InfoCheck], octets: &[u8]) -> Result<(), String> {
    for check in checks {
        let value = field(octets, check).ok_or_else(|| format!("tcp_info ends before {}", check.field))?;
        if !(check.min..=check.max).contains(&value) {
            return Err(format!("{} is {}", check.field, names::info_words(check.field, value)));
        }
    }
    Ok(())
}

fn field(octets: &[u8], check: &InfoCheck) -> Option<u64> {
    let octets = octets.get(check.offset..check.offset + check.size)?;
    let value: u64 = octets.iter().rev().fold(0, |all, octet| all << 8 | u64::from(*octet));
    let (shift, bits) = check.bits;
    Some(value >> shift & (u64::MAX >> (64 - bits)))
}

fn verb_words(verb: &Verb) -> String {
    match verb {
        Verb::SendTo(flow, ..) => format!("sendto {flow}"),
        Verb::Write(Data::Pattern(len), _) => format!("write {len}"),
        Verb::Write(Data::Literal(octets), _) => format!("write {:?}", String::from_utf8_lossy(octets)),
        Verb::Read(max, _) => format!("read {max}"),
        Verb::Set(option, _) => format!("set {}", option.name),
        Verb::Get(option) => format!("get {}", option.name),
        Verb::Info(_) => "info".into(),
        Verb::Ioctl(ioctl) => format!("{ioctl:?}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// An answer as a script writes it.
fn told(call: &Call, answer: &Called) -> String {
    match answer {
        Err(errno) => names::error_name(*errno),
        Ok(answer) => match (&call.verb, number(&call.verb, answer)) {
            (Verb::Poll, Some(bits)) => names::poll_words(bits),
            (verb, Some(0)) if is_error_option(verb) => "0".into(),
            (verb, Some(errno)) if is_error_option(verb) => names::error_name(errno as i32),
            (Verb::Info(checks), _) => match answer {
                Answer::Octets(octets) => checks
                    .iter()
                    .filter_map(|check| {
                        let value = field(octets, check)?;
                        Some(format!("{}={}", check.field, names::info_words(check.field, value)))
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
                _ => "ok".into(),
            },
            (_, Some(number)) => number.to_string(),
            (_, None) => "ok".into(),
        },
    }
}
