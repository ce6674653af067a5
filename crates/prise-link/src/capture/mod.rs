//! Every packet into a pcapng file, as a wire would carry it.
//!
//! One [`Capture`] is one file; each link that is recorded is one of its interfaces. Trains of segments are written as
//! the packets they stand for and partial checksums are completed, so that what a reader sees is what a cable would
//! have carried, and not the economies of one machine's memory.

mod pcapng;

use crate::Link;
use crate::tap::{Direction, Tap, Tapped, each_packet};
pub use pcapng::WallClock;
use pcapng::Writer;
use prise_wire::time::{Duration, Instant};
use prise_wire::{Frame, Medium};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a packet may stay in memory: whoever follows the file with a reader sees it by then.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// Octets that are collected before they are written.
const BUFFER_LEN: usize = 256 * 1024;

/// A pcapng file that several links write to. Cloning gives another handle to the same file; when the last is dropped,
/// everything has been written.
#[derive(Clone, Debug)]
pub struct Capture(Arc<Mutex<Recorder>>);

struct Recorder {
    writer: Writer,
    clock: WallClock,
    sink: Box<dyn Write + Send>,
    /// When the oldest packet that is still in memory was recorded.
    pending_since: Option<Instant>,
    /// Nothing more is recorded after a failure: a file with a hole in the middle would be taken for the truth.
    stopped: bool,
    /// Why recording has stopped, until somebody asks.
    failure: Option<io::Error>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("buffered", &self.writer.buffer.len())
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Creates (or empties) the file at `path`.
    pub fn create(path: &Path, clock: WallClock) -> io::Result<Self> {
        Self::new(File::create(path)?, clock)
    }

    /// Writes to `sink`, the file's header at once, so that a file that cannot be written is noticed now.
    pub fn new(sink: impl Write + Send + 'static, clock: WallClock) -> io::Result<Self> {
        let mut recorder = Recorder {
            writer: Writer::new(),
            clock,
            sink: Box::new(sink),
            pending_since: None,
            stopped: false,
            failure: None,
        };
        recorder.writer.section_header();
        recorder.write_out()?;
        Ok(Self(Arc::new(Mutex::new(recorder))))
    }

    /// Adds an interface for frames of `medium`.
    pub fn interface(&self, name: &str, medium: Medium) -> CaptureInterface {
        let mut recorder = self.lock();
        let id = recorder.writer.interface(name, medium);
        recorder.flush();
        CaptureInterface {
            id,
            medium,
            capture: self.clone(),
        }
    }

    /// Writes everything that is still in memory, and says why recording stopped if it did.
    pub fn flush(&self) -> io::Result<()> {
        let mut recorder = self.lock();
        recorder.flush();
        recorder.failure.take().map_or(Ok(()), Err)
    }

    /// The recorder; a thread that died while it held the lock may have lost its own packet, no other.
    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    fn write_out(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.writer.buffer)?;
        self.writer.buffer.clear();
        self.sink.flush()
    }

    /// Writes what is in memory.
    fn flush(&mut self) {
        self.pending_since = None;
        if !self.stopped && !self.writer.buffer.is_empty() {
            self.failure = self.write_out().err();
            self.stopped = self.failure.is_some();
        }
        self.writer.buffer.clear();
    }

    fn record(&mut self, now: Instant, id: u32, direction: Direction, packet: &Frame) {
        if self.stopped {
            return;
        }
        self.writer.packet(id, self.clock.nanos(now), direction, packet);
        self.pending_since.get_or_insert(now);
        if self.writer.buffer.len() >= BUFFER_LEN {
            self.flush();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

/// One interface of a capture: what records a link.
#[derive(Clone, Debug)]
pub struct CaptureInterface {
    id: u32,
    medium: Medium,
    capture: Capture,
}

impl Tap for CaptureInterface {
    fn passed(&self, now: Instant, direction: Direction, frame: &Frame) {
        // Summing and cutting need no lock.
        each_packet(frame, self.medium, |packet| {
            self.capture.lock().record(now, self.id, direction, packet);
        });
    }

    fn flush(&self, now: Instant) {
        let mut recorder = self.capture.lock();
        if recorder.pending_since.is_some_and(|since| now >= since + FLUSH_AFTER) {
            recorder.flush();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.capture.lock().pending_since.map(|since| since + FLUSH_AFTER)
    }
}

/// Records what passes between a link and its stack.
pub type Captured<L> = Tapped<L, CaptureInterface>;

impl<L: Link> Captured<L> {
    /// Records `inner` as a new interface of `capture`.
    pub fn new(inner: L, capture: &Capture, name: &str) -> Self {
        let interface = capture.interface(name, inner.medium());
        Self::with(inner, interface)
    }
}

/// Records each packet of a loopback once, as it arrives: it is sent and received by the same stack.
#[derive(Clone, Debug)]
pub struct CaptureOfLoopback(pub CaptureInterface);

impl Tap for CaptureOfLoopback {
    fn looks(&self, direction: Direction) -> bool {
        direction == Direction::Inbound
    }

    fn passed(&self, now: Instant, direction: Direction, frame: &Frame) {
        self.0.passed(now, direction, frame);
    }

    fn flush(&self, now: Instant) {
        self.0.flush(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.next_deadline()
    }
}
