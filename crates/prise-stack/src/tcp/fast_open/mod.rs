//! TCP Fast Open (RFC 7413): data in the SYN, once a cookie has proved that the client is where it says to be.
//!
//! [`cookie`] makes and judges cookies; [`server`] opens a connection from a SYN with a good one; [`cache`] remembers
//! what servers have given us, [`client`] uses it; [`black_hole`] notices paths on which such SYNs vanish. What one
//! connection remembers of it ([`FastOpen`]) lies in its rare part. Numbers and details that the RFC leaves open are Linux's.

mod black_hole;
mod cache;
mod client;
mod cookie;
mod server;

use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

use prise_wire::{FastOpenCookie, Instant};

use self::black_hole::BlackHole;
use self::cache::{Answer, Cache};
pub(super) use self::server::Opening;
use super::isn::Secrets;
use crate::slab::Key;

/// What a host does about Fast Open: `net.ipv4.tcp_fastopen` and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenSettings {
    /// Programs may send data in SYNs (bit 0).
    pub client: bool,
    /// Listeners that ask for it may take data from SYNs (bit 1).
    pub server: bool,
    /// Send data in the SYN whether there is a cookie or not (bit 2).
    pub client_without_cookie: bool,
    /// Take data from a SYN whether it has a cookie or not (bit 9).
    pub server_without_cookie: bool,
    /// Every listener takes data, its queue as long as its backlog (bit 10).
    pub every_listener: bool,
    /// `tcp_fastopen_blackhole_timeout_sec`: how long nothing is put into SYNs after the first black hole; zero never
    /// looks for one.
    pub black_hole_timeout: Duration,
}

impl FastOpenSettings {
    /// The settings of `net.ipv4.tcp_fastopen`.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            client: bits & 1 != 0,
            server: bits & 2 != 0,
            client_without_cookie: bits & 4 != 0,
            server_without_cookie: bits & 0x200 != 0,
            every_listener: bits & 0x400 != 0,
            black_hole_timeout: Duration::ZERO,
        }
    }
}

impl Default for FastOpenSettings {
    /// Linux: client yes, server no, no search for black holes.
    fn default() -> Self {
        Self::from_bits(1)
    }
}

/// The keys that cookies are made with: cookies of the backup key are still taken, and replaced (`TCP_FASTOPEN_KEY`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FastOpenKeys {
    primary: [u8; 16],
    backup: Option<[u8; 16]>,
}

impl FastOpenKeys {
    /// From the option's 16 or 32 octets.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let (primary, rest) = octets.split_first_chunk()?;
        let backup = match rest.len() {
            0 => None,
            16 => rest.first_chunk().copied(),
            _ => return None,
        };
        Some(Self {
            primary: *primary,
            backup,
        })
    }

    /// The octets, 16 or 32.
    pub fn octets(&self) -> impl Iterator<Item = u8> {
        self.primary.into_iter().chain(self.backup.into_iter().flatten())
    }
}

impl fmt::Debug for FastOpenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FastOpenKeys(..)")
    }
}

/// Why an attempt to send data in the SYN did not do (`tcpi_fastopen_client_fail`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastOpenFailure {
    /// It was not tried, or it did.
    #[default]
    None,
    /// There was no cookie for this server.
    NoCookie,
    /// The SYN-ACK acknowledged the SYN only.
    DataNotAcknowledged,
    /// The SYN had to be sent again, which goes without data.
    SynRetransmitted,
}

/// What one connection remembers of how it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FastOpen {
    /// The option of the next SYN or SYN-ACK; those sent again go without.
    pub(crate) option: Option<FastOpenCookie>,
    /// Our SYN had the option; in the shape of the experiment, or not.
    asked: Option<Shape>,
    /// Our SYN had data.
    syn_data: bool,
    /// The peer has acknowledged the data of our SYN, or we those of its.
    pub(crate) data_taken: bool,
    pub(crate) failure: FastOpenFailure,
    /// Fast Open had been paused: success means that the black hole has gone.
    on_trial: bool,
    /// What the stack is to remember for later connections.
    lesson: Option<Lesson>,
    /// The listener that counts this connection among those whose handshake has not ended.
    pending_at: Option<Key>,
    /// The peer has reset it before the handshake's end.
    shot: bool,
}

impl FastOpen {
    /// Whether the stack has to do something about it.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.lesson.is_some() || self.pending_at.is_some()
    }
}

/// How the option is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Standard,
    Experimental,
}

/// What a connection teaches those that come after it.
#[derive(Clone, Copy, Debug)]
enum Lesson {
    /// What became of our SYN.
    Answered(Answer),
    /// Octets vanish again and again.
    BlackHole,
    /// Data flows again.
    Recovered,
}

/// A listener's account of connections that were opened by a SYN with data and whose handshake has not ended.
#[derive(Debug, Default)]
pub(crate) struct PendingQueue {
    pending: u32,
    /// Those that the peer has reset: each counts for a minute longer, so that an attacker with a stolen cookie who has the
    /// host he pretends to be reset our connections runs into the limit (RFC 7413 §5.1).
    shot: VecDeque<Instant>,
}

/// How long a reset one counts.
const SHOT_LIFETIME: Duration = Duration::from_secs(60);

impl PendingQueue {
    /// Whether one more may be opened, of `limit` at once.
    fn has_room(&mut self, limit: u32, now: Instant) -> bool {
        if self.pending + (self.shot.len() as u32) < limit {
            return true;
        }
        if self.shot.front().is_some_and(|until| *until <= now) {
            self.shot.pop_front();
        }
        self.pending + (self.shot.len() as u32) < limit
    }
}

/// Fast Open of one stack.
#[derive(Debug)]
pub(crate) struct FastOpens {
    pub(crate) settings: FastOpenSettings,
    /// The host's keys, where a listener has none of its own.
    pub(crate) keys: FastOpenKeys,
    cache: Cache,
    black_hole: BlackHole,
}

impl FastOpens {
    /// With keys of their own, drawn from the stack's secrets.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut primary = [0; 16];
        let (low, high) = primary.split_at_mut(8);
        low.copy_from_slice(&secrets.cookie(&[u64::MAX, 0]).to_le_bytes());
        high.copy_from_slice(&secrets.cookie(&[u64::MAX, 1]).to_le_bytes());
        Self {
            settings: FastOpenSettings::default(),
            keys: FastOpenKeys { primary, backup: None },
            cache: Cache::default(),
            black_hole: BlackHole::default(),
        }
    }

    /// Nothing is known of any server any more (`ip tcp_metrics flush`).
    pub(crate) fn forget_servers(&mut self) {
        self.cache = Cache::default();
    }
}
