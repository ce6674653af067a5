//! Every packet into a pcapng file, as a wire would carry it.
//!
//! One [`Capture`] is one file; each link that is recorded is one of its interfaces. Trains of segments are written as
//! the packets they stand for and partial checksums are completed, so that what a reader sees is what a cable would
//! have carried, and not the economies of one machine's memory.

mod pcapng;

use crate::Link;
use pcapng::Writer;
pub use pcapng::{Direction, WallClock};
use prise_wire::time::{Duration, Instant};
use prise_wire::{Checksum, Frame, Medium};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
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

impl CaptureInterface {
    /// Records a frame as the packets that a wire would carry.
    pub fn record(&self, now: Instant, direction: Direction, frame: &Frame) {
        // Summing and cutting need no lock; in the common case there is nothing to do and nothing is cloned.
        match (frame.offload.gso, frame.offload.checksum) {
            (None, Checksum::Verified | Checksum::Unverified) => {
                self.capture.lock().record(now, self.id, direction, frame);
            }
            _ => {
                for packet in frame.clone().segments(self.medium) {
                    self.capture.lock().record(now, self.id, direction, &packet);
                }
            }
        }
    }

    /// Writes packets that have been in memory for long enough.
    pub fn flush_due(&self, now: Instant) {
        let mut recorder = self.capture.lock();
        if recorder.pending_since.is_some_and(|since| now >= since + FLUSH_AFTER) {
            recorder.flush();
        }
    }

    /// When [`flush_due`](Self::flush_due) will have something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.capture.lock().pending_since.map(|since| since + FLUSH_AFTER)
    }
}

/// Records what passes between a link and its stack.
#[derive(Debug)]
pub struct Captured<L> {
    inner: L,
    interface: CaptureInterface,
}

impl<L: Link> Captured<L> {
    /// Records `inner` as a new interface of `capture`.
    pub fn new(inner: L, capture: &Capture, name: &str) -> Self {
        let interface = capture.interface(name, inner.medium());
        Self { inner, interface }
    }

    /// The link itself.
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// The link itself, to be changed under way.
    pub const fn inner_mut(&mut self) -> &mut L {
        &mut self.inner
    }
}

impl<L: Link> Link for Captured<L> {
    fn medium(&self) -> Medium {
        self.inner.medium()
    }

    fn mtu(&self) -> u32 {
        self.inner.mtu()
    }

    fn gso_max(&self) -> u32 {
        self.inner.gso_max()
    }

    fn checksum_offload(&self) -> bool {
        self.inner.checksum_offload()
    }

    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        // Cloned, since only what the link takes was sent, and then it is gone.
        let copy = frame.clone();
        self.inner.send(now, frame)?;
        self.interface.record(now, Direction::Outbound, &copy);
        Ok(())
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        let frame = self.inner.receive(now)?;
        self.interface.record(now, Direction::Inbound, &frame);
        Some(frame)
    }

    fn flush(&mut self, now: Instant) {
        self.inner.flush(now);
        self.interface.flush_due(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.inner.next_deadline(), self.interface.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }
}
