//! The kernel's end of flows: a thread for each.

use super::path::{OWN, TIME};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const IPPROTO_TCP: i32 = 6;
const TCP_CONGESTION: i32 = 13;
const SOL_SOCKET: i32 = 1;
const SO_LINGER: i32 = 13;
/// How often a thread looks whether all is over.
const LOOK: Duration = Duration::from_millis(50);

/// Connects and writes until all is over.
pub(crate) fn send(to: SocketAddr, algorithm: &str, over: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, TIME)?;
    prise_sys::sockopt::set(stream.as_fd(), IPPROTO_TCP, TCP_CONGESTION, algorithm.as_bytes())?;
    stream.set_write_timeout(Some(LOOK))?;
    let piece = vec![0; 65_536];
    while !over.load(Ordering::Relaxed) {
        match stream.write(&piece) {
            Ok(_) => {}
            Err(why) if is_timeout(&why) => {}
            Err(why) => return Err(why),
        }
    }
    reset(&stream)
}

/// A port that a flow ends at.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((OWN, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes one connection and counts what arrives on it until all is over.
pub(crate) fn receive(listener: &TcpListener, count: &AtomicU64, over: &AtomicBool) -> io::Result<()> {
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(why) if !is_timeout(&why) => return Err(why),
            Err(_) if over.load(Ordering::Relaxed) => return Ok(()),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut piece = vec![0; 262_144];
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                count.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(why) if is_timeout(&why) => {}
            Err(why) => return Err(why),
        }
    }
    reset(&stream)
}

/// The next round wants an empty path: what is under way is given up.
fn reset(stream: &TcpStream) -> io::Result<()> {
    let linger = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    prise_sys::sockopt::set(stream.as_fd(), SOL_SOCKET, SO_LINGER, &linger)
}

fn is_timeout(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
