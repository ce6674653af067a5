//! What the world beyond a run offers to those who get around a policy.

use std::ffi::OsString;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::LIMIT;
use super::world::{Stage, finish, need, skip};

/// What our own datagram says behind those of an attempt.
const SETTLE: &[u8] = b"settle";

/// What the world beyond the run offers: servers that answer `ping` with `pong`, and count.
pub(crate) struct Outside {
    pub(crate) stage: Stage,
    pub(crate) python: PathBuf,
    /// A port that the policy allows, and one that it does not, each for TCP and UDP.
    pub(crate) allowed: u16,
    pub(crate) denied: u16,
    /// What has reached the denied port, and the local servers.
    pub(crate) reached: Arc<AtomicUsize>,
    settled: mpsc::Receiver<()>,
    /// AF_UNIX: a stream and a datagram socket with a path each, a stream with an abstract name, and one whose server
    /// hands out a connected socket.
    pub(crate) stream: PathBuf,
    pub(crate) datagram: PathBuf,
    pub(crate) abstract_name: String,
    pub(crate) giver: PathBuf,
}

fn serve(reached: Option<Arc<AtomicUsize>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let datagrams = UdpSocket::bind(address).expect("the same port for UDP");
    let count = reached.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(count) = &count {
                count.fetch_add(1, Ordering::SeqCst);
            }
            answer(stream);
        }
    });
    thread::spawn(move || {
        let mut octets = [0; 600];
        while let Ok((len, from)) = datagrams.recv_from(&mut octets) {
            if let Some(count) = &reached
                && &octets[..len] != SETTLE
            {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let _ = datagrams.send_to(b"pong", from);
        }
    });
    address.port()
}

/// On a thread of its own: a client may be slow.
fn answer(mut stream: impl Read + Write + Send + 'static) {
    thread::spawn(move || {
        let mut octets = [0; 4];
        // A client that was cut off has nothing to say.
        let _ = stream.read_exact(&mut octets).and_then(|()| stream.write_all(b"pong"));
    });
}

fn serve_local(listener: UnixListener, reached: Arc<AtomicUsize>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            reached.fetch_add(1, Ordering::SeqCst);
            answer(stream);
        }
    });
}

/// Hands a connection to the denied port to everyone.
fn give(listener: UnixListener, port: u16) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(gift) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
                continue;
            };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let gift = [gift.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&gift));
            let _ = sendmsg(&stream, &[IoSlice::new(b"!")], &mut control, SendFlags::empty());
        }
    });
}

impl Outside {
    pub(crate) fn new(what: &str) -> Option<Self> {
        let python = need(what, "python3")?;
        let stage = Stage::new();
        let reached = Arc::new(AtomicUsize::new(0));
        let allowed = serve(None);
        let denied = serve(Some(reached.clone()));
        let at = |name: &str| stage.path(name);
        let (stream, datagram, giver) = (at("stream.sock"), at("datagr.sock"), at("giver.sock"));
        let abstract_name = format!("prise-escape-{}-{denied}", std::process::id());
        let name = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let datagrams = UnixDatagram::bind(&datagram).expect("a path");
        serve_local(UnixListener::bind(&stream).expect("a path"), reached.clone());
        serve_local(UnixListener::bind_addr(&name).expect("a name"), reached.clone());
        give(UnixListener::bind(&giver).expect("a path"), denied);
        for path in [&stream, &datagram, &giver] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(path, open).expect("permissions can be set");
        }
        let (count, (tell, settled)) = (reached.clone(), mpsc::channel());
        thread::spawn(move || {
            let mut octets = [0; 100];
            while let Ok(len) = datagrams.recv(&mut octets) {
                if &octets[..len] == SETTLE {
                    let _ended = tell.send(());
                } else {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        stage.write("attempts.py", include_str!("attempts.py"));
        Some(Self {
            stage,
            python,
            allowed,
            denied,
            reached,
            settled,
            stream,
            datagram,
            abstract_name,
            giver,
        })
    }

    /// How often somebody was reached. Streams count before they answer; datagrams that were sent before this call are
    /// counted once ours has come, behind them.
    pub(crate) fn reached(&self) -> usize {
        let ours = UnixDatagram::unbound().and_then(|socket| socket.send_to(SETTLE, &self.datagram));
        ours.expect("the server of datagrams is there");
        self.settled.recv_timeout(LIMIT).expect("and counts");
        let ours = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        ours.set_read_timeout(Some(LIMIT)).expect("a time");
        ours.send_to(SETTLE, ("127.0.0.1", self.denied))
            .expect("the server is there");
        ours.recv(&mut [0; 4]).expect("and answers what it has counted");
        self.reached.load(Ordering::SeqCst)
    }

    pub(crate) fn policy(&self) -> String {
        format!("10.0.2.2:{}", self.allowed)
    }

    pub(crate) fn attempt(&self, words: &[&str]) -> Vec<OsString> {
        let mut program: Vec<OsString> = vec![self.python.clone().into(), self.stage.path("attempts.py").into()];
        program.extend(words.iter().map(Into::into));
        program
    }

    pub(crate) fn said(command: &mut Command) -> String {
        let ended = finish(command, LIMIT);
        assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
        ended.stdout.trim().to_owned()
    }

    pub(crate) fn natively(&self, program: &[OsString]) -> String {
        let mut command = self.stage.native(&program[0], &program[1..]);
        Self::said(command.env("HOST_ADDRESS", "127.0.0.1"))
    }

    pub(crate) fn confined(&self, program: &[OsString]) -> String {
        let mut command = self.stage.run(&["--allow", &self.policy()], program);
        Self::said(command.env("HOST_ADDRESS", "10.0.2.2"))
    }

    /// Succeeds natively, and fails under the policy for this reason; nothing has reached anybody.
    #[track_caller]
    pub(crate) fn expect(&self, words: &[&str], reason: &str) {
        let program = self.attempt(words);
        let native = self.natively(&program);
        if native != "reached" {
            skip(&format!("the native half of {words:?}"), &native);
        }
        let before = self.reached();
        assert_eq!(self.confined(&program), reason, "{words:?}");
        assert_eq!(self.reached(), before, "{words:?}");
    }

    pub(crate) fn expect_all(&self, attempts: &[(&str, &str)]) {
        for (line, reason) in attempts {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            self.expect(&words, reason);
        }
    }
}
