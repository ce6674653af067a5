//! Random scripts of socket calls, recorded on a kernel (`tests/kernel/scripts.py`) and played again on a host in memory: every answer and, after
//! every call, what poll shows of every socket must be the same.
//!
//! `PRISE_SCRIPTS=FILE` plays another recording instead of the one kept here.

mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use prise_socket::{Control, Errno, Family, Flags, How, Kind, Readiness, SocketId};
use prise_wire::Payload;
use world::{World, ip};

const PORTS: [u16; 4] = [4000, 4001, 4002, 4003];

/// One script being played.
struct Play {
    world: World,
    sockets: BTreeMap<String, SocketId>,
}

type Answer = Result<String, Errno>;

fn ok(result: Result<(), Errno>) -> Answer {
    result.map(|()| "ok".into())
}

fn port(name: &str) -> u16 {
    name.strip_prefix('p')
        .map_or(0, |index| PORTS[index.parse::<usize>().expect("an index")])
}

fn address(text: &str) -> SocketAddr {
    let (addr, name) = text.split_once('/').expect("an address and a port");
    SocketAddr::new(ip(addr), port(name))
}

/// As the recording has it: known ports by name, ephemeral ones without number.
fn show(addr: SocketAddr) -> String {
    let port = match PORTS.iter().position(|port| *port == addr.port()) {
        Some(index) => format!("p{index}"),
        None if addr.port() == 0 => "0".into(),
        None => "e".into(),
    };
    format!("{}/{port}", addr.ip())
}

fn octets(size: usize) -> Payload {
    Payload::from((0..size).map(|at| b'A' + (at % 26) as u8).collect::<Vec<_>>())
}

fn show_octets(octets: &[u8]) -> String {
    let first = &octets[..octets.len().min(6)];
    format!("{}:{}", octets.len(), String::from_utf8_lossy(first))
}

impl Play {
    fn new() -> Self {
        Self {
            world: World::alone(),
            sockets: BTreeMap::new(),
        }
    }

    /// One call; its answer.
    fn call(&mut self, words: &[&str]) -> String {
        let now = self.world.now;
        let answer = if words[0] == "socket" {
            self.create(words[1], words[2], words.get(3).is_some())
        } else {
            let s = self.sockets[words[1]];
            match words[0] {
                "accept" => self.accept(s, words[2]),
                "connectto" => {
                    let target = self.world.hosts[0]
                        .local_addr(self.sockets[words[2]])
                        .expect("a socket");
                    ok(self.world.hosts[0].connect(now, s, target))
                }
                "close" => {
                    self.sockets.remove(words[1]);
                    self.world.hosts[0].close(now, s);
                    Ok("ok".into())
                }
                "send" | "sendto" | "recv" | "recverr" => self.transfer(s, words),
                "set" | "linger" | "error" => self.option(s, words),
                "local" | "peer" | "inq" | "atmark" => self.ask(s, words[0]),
                _ => self.control(s, words),
            }
        };
        self.world.flush();
        answer.unwrap_or_else(|errno| errno.name().into())
    }

    fn create(&mut self, name: &str, kind: &str, inline: bool) -> Answer {
        let family = if kind.ends_with('4') {
            Family::Inet
        } else {
            Family::Inet6
        };
        let stream = kind.starts_with("tcp");
        let kind = if stream { Kind::Stream } else { Kind::Datagram };
        let s = self.world.hosts[0].socket(family, kind, 0)?;
        if stream {
            self.world.set(0, s, 6, 1, 1)?;
        }
        if inline {
            self.world.set(0, s, 1, 10, 1)?;
        }
        self.sockets.insert(name.into(), s);
        Ok("ok".into())
    }

    fn accept(&mut self, s: SocketId, new: &str) -> Answer {
        let (accepted, peer) = self.world.accept(0, s)?;
        self.sockets.insert(new.into(), accepted);
        Ok(show(peer))
    }

    fn control(&mut self, s: SocketId, words: &[&str]) -> Answer {
        let now = self.world.now;
        let host = &mut self.world.hosts[0];
        let number = || words[2].parse::<i32>().expect("a number");
        ok(match words[0] {
            "bind" => host.bind(now, s, address(words[2])),
            "listen" => host.listen(now, s, number()),
            "connect" => host.connect(now, s, address(words[2])),
            "disconnect" => host.disconnect(now, s),
            "shutdown" => How::from_raw(number()).and_then(|how| host.shutdown(now, s, how)),
            other => panic!("{other}"),
        })
    }

    fn transfer(&mut self, s: SocketId, words: &[&str]) -> Answer {
        let now = self.world.now;
        let host = &mut self.world.hosts[0];
        let number = |at: usize| words[at].parse::<u32>().expect("a number");
        let datagram = host.info(s).is_some_and(|info| info.kind == Kind::Datagram);
        match words[0] {
            "send" => {
                let size = if number(2) > 26 { 27 * 26 } else { number(2) as usize };
                host.send(now, s, &mut octets(size), Flags::from_raw(number(3)))
                    .map(|n| n.to_string())
            }
            "sendto" => {
                let payload = octets(number(2) as usize);
                let to = Some(address(words[3]));
                host.send_to(now, s, payload, Flags::EMPTY, to, &Control::default())
                    .map(|n| n.to_string())
            }
            "recv" if datagram => {
                let received = host.recv_from(now, s, Flags::from_raw(number(3)))?;
                let source = received.source.expect("a source");
                Ok(format!("{}:{}", show_octets(&received.payload), show(source)))
            }
            "recv" => {
                let payload = host.recv(now, s, number(2) as usize, Flags::from_raw(number(3)))?;
                Ok(show_octets(&payload))
            }
            _ => {
                let report = host.recv_error(s)?;
                let (name, to) = (report.errno.map_or("", |errno| errno.name()), show(report.destination));
                let (origin, kind, code) = (report.origin as u8, report.kind, report.code);
                Ok(format!("{name}:{origin}:{kind}:{code}:{}:{to}", report.payload.len()))
            }
        }
    }

    fn option(&mut self, s: SocketId, words: &[&str]) -> Answer {
        match words[0] {
            "set" => {
                let (level, name) = match words[2] {
                    "reuseaddr" => (1, 2),
                    "reuseport" => (1, 15),
                    "v6only" => (41, 26),
                    "oobinline" => (1, 10),
                    "recverr" => (0, 11),
                    "recverr6" => (41, 25),
                    "broadcast" => (1, 6),
                    "noport" => (0, 24),
                    "lowat" => (1, 18),
                    "peekoff" => (1, 42),
                    other => panic!("{other}"),
                };
                ok(self.world.set(0, s, level, name, words[3].parse().expect("a number")))
            }
            "linger" => {
                let on: u32 = words[2].parse().expect("a number");
                let value = [on.to_le_bytes(), [0; 4]].concat();
                ok(self.world.hosts[0].set_option(self.world.now, s, 1, 13, &value))
            }
            _ => {
                let number = self.world.get(0, s, 1, 4)?;
                Ok(Errno::from_raw(number).map_or("0", Errno::name).into())
            }
        }
    }

    fn ask(&mut self, s: SocketId, what: &str) -> Answer {
        let host = &self.world.hosts[0];
        match what {
            "local" => host.local_addr(s).map(show),
            "peer" => host.peer_addr(s).map(show),
            "inq" => host.receive_queue(s).map(|octets| octets.to_string()),
            _ => host.at_mark(s).map(|at| u8::from(at).to_string()),
        }
    }

    /// What poll shows of every socket.
    fn polls(&mut self) -> BTreeMap<String, u16> {
        let host = &mut self.world.hosts[0];
        self.sockets
            .iter()
            .map(|(name, s)| (name.clone(), comparable(host.readiness(*s).raw())))
            .collect()
    }
}

impl Play {
    /// Closes everything and waits: whatever was called, nothing may stay behind.
    fn finish(&mut self, script: &str) {
        for (_, s) in std::mem::take(&mut self.sockets) {
            self.world.hosts[0].close(self.world.now, s);
            self.world.flush();
        }
        self.world.advance(Duration::from_mins(30));
        let host = &mut self.world.hosts[0];
        while host.event().is_some() {}
        assert_eq!(host.ports_held(), [0, 0], "{script}");
        assert_eq!(host.socket_count(), 0, "{script}");
        assert_eq!(host.stack().tcp_records(), [0; 4], "{script}");
    }
}

/// What became of an urgent octet when its connection died differs: whether poll shows it beside the end is not compared.
fn comparable(mask: u16) -> u16 {
    let dead = mask & Readiness::HUP.raw() != 0;
    if dead { mask & !Readiness::PRI.raw() } else { mask }
}

/// Brings what the kernel's poll showed up to date with one line's changes.
fn follow(shown: &mut BTreeMap<String, u16>, call: &[&str], changes: &str) {
    for (name, mask) in changes.split(' ').filter_map(|change| change.split_once('=')) {
        shown.insert(name.into(), comparable(u16::from_str_radix(mask, 16).expect("a mask")));
    }
    if call[0] == "close" {
        shown.remove(call[1]);
    }
}

#[test]
fn random_scripts_of_calls_answer_as_they_did_on_a_kernel() {
    let other = std::env::var("PRISE_SCRIPTS")
        .ok()
        .map(|path| std::fs::read_to_string(path).expect("a recording"));
    let recording = other.as_deref().unwrap_or(include_str!("kernel/scripts.txt"));
    let (mut play, mut script, mut failed, mut skip) = (Play::new(), String::new(), 0, false);
    let (mut report, mut calls, mut story, mut shown) = (String::new(), 0, Vec::new(), BTreeMap::new());
    for line in recording.lines() {
        if line.starts_with("script") {
            play.finish(&script);
            (play, script, skip) = (Play::new(), line.into(), false);
            story.clear();
            shown.clear();
            continue;
        }
        if skip {
            continue;
        }
        let (call, expected) = line.split_once(" => ").expect("a call and its answer");
        let (expected, changes) = expected.split_once(" [").expect("an answer and what poll shows");
        let words: Vec<_> = call.split(' ').collect();
        follow(&mut shown, &words, changes.trim_end_matches(']'));
        let answer = play.call(&words);
        let polls = play.polls();
        calls += 1;
        story.push(line);
        if answer != expected || polls != shown {
            // The rest of the script follows from what is different here.
            skip = true;
            failed += 1;
            if failed <= 12 {
                let before = story.join("\n    ");
                let differing: Vec<_> = polls.iter().filter(|it| shown.get(it.0) != Some(it.1)).collect();
                writeln!(report, "{script}\n    {before}\n      ours => {answer} {differing:x?}").expect("memory");
            }
        }
    }
    play.finish(&script);
    assert!(calls > 1000, "{calls}");
    assert!(failed == 0, "{failed} scripts differ\n{report}");
}
