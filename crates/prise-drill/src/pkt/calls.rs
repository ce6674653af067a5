//! The calls of a script, made on the library, and their results compared.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prise_socket::sockaddr::encode;

use super::events::CallSpec;
use super::expression::Value;
use super::symbols::errno;
use crate::abi::Library;
use crate::stage::PollEntry;

/// The script's descriptors and the live ones.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    live: HashMap<i64, i32>,
    /// The socket that packets and code are about.
    pub(super) under_test: Option<i32>,
    /// Whether a socket listens that has got no SYN yet, and whether one was just told to connect.
    pub(super) listening: bool,
    pub(super) connecting: bool,
    pub(super) datagrams: bool,
}

/// What calls need to know.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) library: Arc<Library>,
    pub(super) descriptors: Arc<Mutex<Descriptors>>,
    /// What `...` stands for in bind and connect.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// `socket(...)`'s domain.
    pub(super) domain: i32,
    /// The live time at the script's 0.
    pub(super) start: Duration,
}

/// What a call answered: its value, or errno.
type Done = Result<i64, i32>;

impl Calls {
    pub(super) fn table(&self) -> MutexGuard<'_, Descriptors> {
        self.descriptors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the call and compares. The second number is when it returned.
    pub(super) fn carry_out(&self, spec: &CallSpec) -> Result<Duration, String> {
        let mut checks = Vec::new();
        let done = self.call(spec, &mut checks)?;
        let returned = self.library.time();
        let value = done.unwrap_or(-1);
        let is_descriptor = matches!(spec.name.as_str(), "socket" | "accept" | "open" | "epoll_create");
        if let Some(expected) = spec.result {
            let same = if is_descriptor && expected >= 0 {
                value >= 0
            } else {
                value == expected
            };
            if !same {
                let failed = done
                    .err()
                    .map_or(String::new(), |errno| format!(" with {}", name_of(errno)));
                return Err(format!("{}: expected {expected}, was {value}{failed}", spec.name));
            }
        }
        if let Some(name) = &spec.errno
            && done.err() != errno(name)
        {
            let actual = done.err().map_or("none".to_owned(), name_of);
            return Err(format!("{}: expected {name}, was {actual}", spec.name));
        }
        if let (true, Ok(live), Some(script)) = (is_descriptor, done, spec.result) {
            let mut table = self.table();
            table.live.insert(script, live as i32);
            if matches!(spec.name.as_str(), "socket" | "accept") {
                table.under_test = Some(live as i32);
            }
        }
        match checks.into_iter().next() {
            Some(wrong) => Err(format!("{}: {wrong}", spec.name)),
            None => Ok(returned),
        }
    }

    fn fd(&self, spec: &CallSpec, index: usize) -> Result<i32, String> {
        let script = number(spec, index)?;
        self.live(script)
    }

    fn live(&self, script: i64) -> Result<i32, String> {
        let found = self.table().live.get(&script).copied();
        found.ok_or_else(|| format!("the script has no descriptor {script}"))
    }

    fn call(&self, spec: &CallSpec, checks: &mut Vec<String>) -> Result<Done, String> {
        let library = &self.library;
        Ok(match spec.name.as_str() {
            "socket" => {
                let domain = argument(spec, 0)?.number().map_or(self.domain, |domain| domain as i32);
                let kind = number(spec, 1)? as i32;
                self.table().datagrams = kind & 0xf == 2;
                library.socket(domain, kind, number(spec, 2)? as i32)
            }
            "bind" => library.bind(
                self.fd(spec, 0)?,
                &Self::address(argument(spec, 1)?, self.named(self.local)),
            ),
            "listen" => {
                let done = library.listen(self.fd(spec, 0)?, number(spec, 1)? as i32);
                self.table().listening |= done.is_ok();
                done
            }
            "accept" => library.accept(self.fd(spec, 0)?).map(|(fd, _)| i64::from(fd)),
            "connect" => self.connect(spec)?,
            "close" => {
                let script = number(spec, 0)?;
                let done = library.close(self.live(script)?);
                self.table().live.remove(&script);
                done
            }
            "shutdown" => library.shutdown(self.fd(spec, 0)?, number(spec, 1)? as i32),
            "fcntl" => {
                let argument = spec.arguments.get(2).and_then(Value::number).unwrap_or(0);
                library.fcntl(self.fd(spec, 0)?, number(spec, 1)? as i32, argument)
            }
            "ioctl" => self.ioctl(spec, checks)?,
            "getsockopt" => self.getsockopt(spec, checks)?,
            "setsockopt" => self.setsockopt(spec)?,
            "poll" => self.poll(spec, checks)?,
            "epoll_create" => library.epoll_create(number(spec, 0)? as i32),
            "epoll_ctl" => self.epoll_ctl(spec)?,
            "epoll_wait" => self.epoll_wait(spec, checks)?,
            "pipe" => self.pipe(spec)?,
            "splice" => library.splice(
                self.fd(spec, 0)?,
                number(spec, 1)?,
                self.fd(spec, 2)?,
                number(spec, 3)?,
                number(spec, 4)? as usize,
                number(spec, 5)? as u32,
            ),
            "open" => open(spec)?,
            "sendfile" => {
                let (out, file) = (self.fd(spec, 0)?, self.fd(spec, 1)?);
                let offset = argument(spec, 2)?.single().number().unwrap_or(0);
                Library::sendfile_directly(out, file, offset, number(spec, 3)? as usize)
            }
            // Capabilities are the kernel's; nothing here asks for them.
            "cap_set" => Ok(spec.result.unwrap_or(0)),
            _ => self.transfer(spec, checks)?,
        })
    }

    /// The calls that move octets.
    fn transfer(&self, spec: &CallSpec, checks: &mut Vec<String>) -> Result<Done, String> {
        let (library, fd) = (&self.library, self.fd(spec, 0)?);
        let octets = || -> Result<Vec<u8>, String> {
            let len = number(spec, 2)? as usize;
            Ok(match argument(spec, 1)? {
                Value::Text(text) => text.iter().copied().chain(std::iter::repeat(0)).take(len).collect(),
                _ => vec![0; len],
            })
        };
        let flags = |index| number(spec, index).map(|flags| flags as i32);
        if argument(spec, 1)?.number() == Some(0) {
            let sends = matches!(spec.name.as_str(), "write" | "send" | "sendto");
            let flags = spec.arguments.get(3).and_then(Value::number).map(|flags| flags as i32);
            return Ok(library.with_null(fd, number(spec, 2)? as usize, flags, sends));
        }
        Ok(match spec.name.as_str() {
            "read" => library.recv(fd, number(spec, 2)? as usize, None),
            "recv" => library.recv(fd, number(spec, 2)? as usize, Some(flags(3)?)),
            "recvfrom" => library.recvfrom(fd, number(spec, 2)? as usize, flags(3)?),
            "readv" => library.readv(fd, &sizes(argument(spec, 1)?)),
            "write" => library.send(fd, &octets()?, None),
            "send" => library.send(fd, &octets()?, Some(flags(3)?)),
            "writev" => library.writev(fd, &sizes(argument(spec, 1)?)),
            "sendto" => {
                let to = Self::address(argument(spec, 4)?, self.named(self.remote));
                self.table().connecting |= flags(3)? & 0x2000_0000 != 0;
                let sent = library.sendto(fd, &octets()?, flags(3)?, &to);
                if sent == Err(libc::EALREADY) {
                    // The flow is the one that this socket has opened before.
                    self.table().connecting = false;
                }
                sent
            }
            "sendmsg" => {
                let message = argument(spec, 1)?;
                let named = message.member("msg_name").is_some_and(|name| *name == Value::Any);
                let mut to = if named {
                    encode(self.named(self.remote))
                } else {
                    Vec::new()
                };
                let vector = message.member("msg_iov").map(sizes).unwrap_or_default();
                self.table().connecting |= flags(2)? & 0x2000_0000 != 0;
                library.sendmsg(fd, &vector, flags(2)?, &mut to)
            }
            "recvmsg" => {
                let message = argument(spec, 1)?;
                let vector = message.member("msg_iov").map(sizes).unwrap_or_default();
                let incoming = library.recvmsg(fd, &vector, flags(2)?);
                if let Ok(incoming) = &incoming {
                    Self::compare_message(self.start, message, incoming, checks);
                }
                incoming.map(|incoming| incoming.count as i64)
            }
            other => return Err(format!("unknown call {other}")),
        })
    }

    fn compare_message(start: Duration, message: &Value, incoming: &crate::stage::Incoming, checks: &mut Vec<String>) {
        if let Some(flags) = message.member("msg_flags").and_then(Value::number)
            && flags as u32 != incoming.flags
        {
            checks.push(format!("msg_flags: expected {flags:#x}, were {:#x}", incoming.flags));
        }
        let Some(expected) = message.member("msg_control") else {
            return;
        };
        let mut rest = &incoming.control[..];
        for wanted in expected.list() {
            let Some((level, kind, data, after)) = next_control(rest) else {
                checks.push("a control message is missing".into());
                return;
            };
            rest = after;
            let number = |name: &str| wanted.member(name).and_then(Value::number).unwrap_or(0);
            if (number("cmsg_level"), number("cmsg_type")) != (i64::from(level), i64::from(kind)) {
                checks.push(format!("a control message was of level {level}, type {kind}"));
            } else if let Some(wrong) = wanted
                .member("cmsg_data")
                .and_then(|of| Self::compare_control(start, of, data))
            {
                checks.push(wrong);
            }
        }
        if !rest.is_empty() {
            checks.push("there are more control messages".into());
        }
    }

    fn compare_control(start: Duration, expected: &Value, data: &[u8]) -> Option<String> {
        let word = |at: usize| {
            data.get(at..)?
                .first_chunk()
                .map(|octets| i64::from(i32::from_ne_bytes(*octets)))
        };
        if let Some(number) = expected.number() {
            let actual = word(0);
            return (actual != Some(number)).then(|| format!("control data: expected {number}, was {actual:?}"));
        }
        let of = |name: &str| expected.member(name).and_then(Value::number);
        if let Some(seconds) = of("scm_sec") {
            // struct timespec[3]: the first is the software's.
            let nanos = of("scm_nsec").unwrap_or(0);
            let at = |at: usize| data.get(at..)?.first_chunk().map(|octets| i64::from_ne_bytes(*octets));
            let wanted = start + Duration::from_secs(seconds as u64) + Duration::from_nanos(nanos as u64);
            let actual = Duration::from_secs(at(0)? as u64) + Duration::from_nanos(at(8)? as u64);
            let apart = wanted.abs_diff(actual);
            return (apart > Duration::from_millis(4)).then(|| format!("a timestamp is {apart:?} off"));
        }
        let octet = |at: usize| data.get(at).map(|octet| i64::from(*octet));
        let unsigned = |at: usize| word(at).map(|word| i64::from(word as u32));
        let members = [
            ("ee_errno", unsigned(0)),
            ("ee_origin", octet(4)),
            ("ee_type", octet(5)),
            ("ee_code", octet(6)),
            ("ee_info", unsigned(8)),
            ("ee_data", unsigned(12)),
        ];
        members.into_iter().find_map(|(name, actual)| {
            let expected = of(name)?;
            (actual != Some(expected)).then(|| format!("{name}: expected {expected}, was {actual:?}"))
        })
    }

    /// An address as the sockets know it: mapped, where they are of IPv6 and it is not.
    fn named(&self, address: SocketAddr) -> SocketAddr {
        /// `AF_INET6`.
        const IPV6: i32 = 10;
        match address.ip() {
            IpAddr::V4(ip) if self.domain == IPV6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            _ => address,
        }
    }

    /// A `sockaddr`: `...` is the usual one.
    fn address(value: &Value, usual: SocketAddr) -> Vec<u8> {
        let family = value.member("sa_family").and_then(Value::number).or(value.number());
        match family {
            None => encode(usual),
            Some(0) => {
                let mut octets = encode(usual);
                octets[..2].fill(0);
                octets
            }
            Some(family) => {
                let port = value.member("sin_port").and_then(Value::number).unwrap_or(0) as u16;
                let ip = match value.member("sin_addr") {
                    Some(Value::Call(_, arguments)) => match arguments.first() {
                        Some(Value::Text(text)) => String::from_utf8_lossy(text).parse().ok(),
                        _ => None,
                    },
                    _ => None,
                };
                let mut octets = encode(SocketAddr::new(ip.unwrap_or(usual.ip()), port));
                octets[..2].copy_from_slice(&(family as u16).to_ne_bytes());
                octets
            }
        }
    }

    fn connect(&self, spec: &CallSpec) -> Result<Done, String> {
        let to = argument(spec, 1)?;
        let family = to.member("sa_family").and_then(Value::number).or(to.number());
        let unspecified = family == Some(0);
        self.table().connecting = !unspecified;
        Ok(self
            .library
            .connect(self.fd(spec, 0)?, &Self::address(to, self.named(self.remote))))
    }

    fn ioctl(&self, spec: &CallSpec, checks: &mut Vec<String>) -> Result<Done, String> {
        let expected = argument(spec, 2)?.single().number();
        let request = number(spec, 1)? as u64;
        let answer = self
            .library
            .ioctl(self.fd(spec, 0)?, request, expected.unwrap_or(0) as i32);
        Ok(answer.map(|(value, number)| {
            if let Some(expected) = expected.filter(|expected| *expected != i64::from(number)) {
                checks.push(format!("expected {expected}, was {number}"));
            }
            value
        }))
    }

    fn getsockopt(&self, spec: &CallSpec, checks: &mut Vec<String>) -> Result<Done, String> {
        let expected = argument(spec, 3)?;
        let room = argument(spec, 4)?.single().number().unwrap_or(4) as usize;
        let (level, name) = (number(spec, 1)? as i32, number(spec, 2)? as i32);
        let answer = self.library.getsockopt(self.fd(spec, 0)?, level, name, room);
        Ok(answer.map(|octets| {
            if octets.len() != room {
                checks.push(format!("the value has {} octets, not {room}", octets.len()));
            }
            match expected {
                Value::Text(text) if *text != octets => checks.push(format!("expected {text:x?}, was {octets:x?}")),
                Value::List(_) => {
                    let actual = octets.first_chunk().map(|octets| i32::from_ne_bytes(*octets));
                    let number = expected.single().number().map(|number| number as i32);
                    if number != actual {
                        checks.push(format!("expected {number:?}, was {actual:?}"));
                    }
                }
                _ => {}
            }
            0
        }))
    }

    fn setsockopt(&self, spec: &CallSpec) -> Result<Done, String> {
        let value = argument(spec, 3)?;
        let octets = match value {
            Value::Text(text) => text.clone(),
            Value::Record(_) => {
                let of = |name: &str| value.member(name).and_then(Value::number).unwrap_or(0) as i32;
                [of("onoff").to_ne_bytes(), of("linger").to_ne_bytes()].concat()
            }
            _ => {
                let number = value.single().number().ok_or("the value must be a number")?;
                (number as i32).to_ne_bytes().to_vec()
            }
        };
        let (level, name, len) = (
            number(spec, 1)? as i32,
            number(spec, 2)? as i32,
            number(spec, 4)? as u32,
        );
        let mut octets = octets;
        octets.resize(octets.len().max((len as usize).min(1024)), 0);
        Ok(self.library.setsockopt(self.fd(spec, 0)?, level, name, &octets, len))
    }

    fn poll(&self, spec: &CallSpec, checks: &mut Vec<String>) -> Result<Done, String> {
        let expected = argument(spec, 0)?.list();
        let mut entries = Vec::new();
        for entry in expected {
            let of = |name: &str| entry.member(name).and_then(Value::number).unwrap_or(0);
            entries.push(PollEntry {
                fd: self.live(of("fd"))?,
                events: of("events") as i16,
                revents: 0,
            });
        }
        let answer = self.library.poll(&mut entries, number(spec, 2)? as i32);
        for (wanted, entry) in expected.iter().zip(entries) {
            if let Some(revents) = wanted.member("revents").and_then(Value::number)
                && revents as i16 != entry.revents
            {
                checks.push(format!("expected {revents:#x}, was {:#x}", entry.revents));
            }
        }
        Ok(answer)
    }

    fn epoll_ctl(&self, spec: &CallSpec) -> Result<Done, String> {
        let event = argument(spec, 3)?;
        let (epfd, fd) = (self.fd(spec, 0)?, self.fd(spec, 2)?);
        let events = event.member("events").and_then(Value::number).unwrap_or(0) as u32;
        let data = self.epoll_data(event)?;
        Ok(self.library.epoll_ctl(epfd, number(spec, 1)? as i32, fd, events, data))
    }

    fn epoll_data(&self, event: &Value) -> Result<u64, String> {
        if let Some(fd) = event.member("fd").and_then(Value::number) {
            return Ok(self.live(fd)? as u64);
        }
        let found = ["ptr", "u32", "u64"]
            .iter()
            .find_map(|name| event.member(name)?.number());
        Ok(found.unwrap_or(0) as u64)
    }

    fn epoll_wait(&self, spec: &CallSpec, checks: &mut Vec<String>) -> Result<Done, String> {
        let expected = argument(spec, 1)?;
        let (max, timeout) = (number(spec, 2)? as usize, number(spec, 3)? as i32);
        let answer = self.library.epoll_wait(self.fd(spec, 0)?, max, timeout);
        if let Ok(found) = &answer {
            let events = expected.member("events").and_then(Value::number).unwrap_or(0);
            let wanted = (events as u32, self.epoll_data(expected)?);
            if let Some(first) = found.first()
                && *first != wanted
            {
                checks.push(format!("expected {wanted:x?}, was {first:x?}"));
            }
        }
        Ok(answer.map(|found| found.len() as i64))
    }

    fn pipe(&self, spec: &CallSpec) -> Result<Done, String> {
        let script: Vec<i64> = argument(spec, 0)?.list().iter().filter_map(Value::number).collect();
        Ok(self.library.pipe().map(|ends| {
            let mut table = self.table();
            for (script, live) in script.iter().zip(ends) {
                table.live.insert(*script, live);
            }
            0
        }))
    }
}

fn argument(spec: &CallSpec, index: usize) -> Result<&Value, String> {
    let found = spec.arguments.get(index);
    found.ok_or_else(|| format!("{} has too few arguments", spec.name))
}

fn number(spec: &CallSpec, index: usize) -> Result<i64, String> {
    let value = argument(spec, index)?.number();
    value.ok_or_else(|| format!("argument {} of {} must be a number", index + 1, spec.name))
}

/// The sizes of `[{..., 1000}, ...]`.
fn sizes(vector: &Value) -> Vec<usize> {
    let size = |piece: &Value| match piece {
        Value::Record(members) => members.last().and_then(|(_, size)| size.number()).unwrap_or(0) as usize,
        _ => 0,
    };
    vector.list().iter().map(size).collect()
}

/// The next of the control messages: level, type, data, and what follows.
fn next_control(octets: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::try_from(u64::from_ne_bytes(*octets.first_chunk()?)).ok()?;
    let level = i32::from_ne_bytes(*octets.get(8..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*octets.get(12..)?.first_chunk()?);
    let data = octets.get(16..len)?;
    let next = len.next_multiple_of(8).min(octets.len());
    Some((level, kind, data, &octets[next..]))
}

fn open(spec: &CallSpec) -> Result<Done, String> {
    let Value::Text(path) = argument(spec, 0)? else {
        return Err("open wants a path".into());
    };
    let path = String::from_utf8_lossy(path).into_owned();
    let writable = number(spec, 1)? & 3 != 0;
    let file = std::fs::OpenOptions::new().read(true).write(writable).open(path);
    Ok(match file {
        Ok(file) => Ok(i64::from(file.into_raw_fd())),
        Err(error) => Err(error.raw_os_error().unwrap_or(0)),
    })
}

fn name_of(number: i32) -> String {
    prise_socket::Errno::from_raw(number).map_or_else(|| format!("errno {number}"), |errno| errno.name().to_owned())
}
