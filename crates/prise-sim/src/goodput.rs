//! How much a connection carries over a bad path: the matrix of congestion control, loss, round trip, bottleneck and
//! queue, in virtual time.
//!
//! A [`Cell`] is one point of it. Both directions have the delay, the loss and the bottleneck; the queue stands in front
//! of the bottleneck and drops from its tail. Goodput is what the receiving program has read from the first SYN to the
//! end of the cell's time, so slow start counts.

use crate::bulk::{Sink, Source, Tally};
use crate::scenario::{CLIENT, SERVER};
use crate::trace::Trace;
use crate::world::{Cutting, NodeId, WireConfig, World};
use prise_link::{BurstLoss, ImpairmentConfig, Probability};
use prise_wire::{Instant, Medium};
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// Where the sink listens.
const SINK: &str = "10.0.0.2:7";

/// The losses of the matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// So many of a thousand packets, evenly.
    Even(u32),
    /// 1 % in bursts of 8 packets on average.
    Burst,
    /// None; 2 % of the packets arrive 3 ms late, behind those of that time.
    Late,
}

/// One point of the matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The congestion control, by its Linux name.
    pub algorithm: &'static str,
    /// What is lost, in each direction.
    pub loss: Loss,
    /// Round trip of the empty path, milliseconds.
    pub rtt: u64,
    /// The bottleneck, Mbit/s.
    pub rate: u64,
    /// The queue in front of it, in tenths of the path's bandwidth-delay product.
    pub queue: u64,
}

/// A queue shorter than this is none: two segments and their echo.
const QUEUE_MIN: u64 = 4;

const MTU: u64 = 1500;

impl Cell {
    /// All cells, in the order in which they are shown.
    pub fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for algorithm in ["cubic", "bbr"] {
            for rate in [10, 100, 1000] {
                for rtt in [1, 20, 100] {
                    for queue in [5, 10, 40] {
                        cells.extend(Loss::ALL.map(|loss| Self {
                            algorithm,
                            loss,
                            rtt,
                            rate,
                            queue,
                        }));
                    }
                }
            }
        }
        cells
    }

    /// Paths that lose nothing but bring packets late, beside which [`Loss::ALL`] has the same paths in order.
    pub fn late() -> Vec<Self> {
        let mut cells = Vec::new();
        for algorithm in ["cubic", "bbr"] {
            for rate in [10, 100, 1000] {
                cells.extend([1, 20, 100].map(|rtt| Self {
                    algorithm,
                    loss: Loss::Late,
                    rtt,
                    rate,
                    queue: 10,
                }));
            }
        }
        cells
    }

    /// How long it is measured: long enough for many round trips and a few probes of the path, short enough for a
    /// matrix to take minutes.
    pub fn time(&self) -> Duration {
        Duration::from_secs(match self.rate {
            0..=10 => 30,
            11..=100 => 20,
            _ if self.rtt >= 100 => 12,
            _ => 6,
        })
    }

    /// Packets that wait in front of the bottleneck.
    pub fn queue_packets(&self) -> u64 {
        let product = self.rate * 1_000_000 / 8 * self.rtt / 1000;
        (product * self.queue / 10).div_ceil(MTU).max(QUEUE_MIN)
    }

    /// One direction of the path.
    pub fn impairment(&self) -> ImpairmentConfig {
        let share = |share| Probability::new(share).unwrap_or_default();
        let mut config = ImpairmentConfig {
            delay: Duration::from_millis(self.rtt) / 2,
            rate: NonZeroU64::new(self.rate * 1_000_000),
            queue: NonZeroU64::new(self.queue_packets()),
            ..ImpairmentConfig::default()
        };
        match self.loss {
            Loss::Even(tenths) => config.loss = share(f64::from(tenths) / 1000.0),
            Loss::Burst => {
                config.burst = BurstLoss {
                    share: share(0.01),
                    length: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
                }
            }
            Loss::Late => {
                config.reorder = share(0.02);
                config.reorder_delay = Some(Duration::from_millis(3));
            }
        }
        config
    }

    /// Mbit/s that one connection carries in this cell.
    pub fn measure(&self, seed: u64) -> Result<f64, String> {
        self.measure_for(self.time(), seed)
    }

    /// The same within a time of the caller's.
    pub fn measure_for(&self, time: Duration, seed: u64) -> Result<f64, String> {
        let flows = carry(&self.impairment(), &[(self.algorithm, Duration::ZERO)], time, seed)?;
        let octets: u64 = flows.iter().sum();
        Ok(octets as f64 * 8.0 / 1e6 / time.as_secs_f64())
    }
}

impl Loss {
    /// The columns of the matrix.
    pub const ALL: [Self; 5] = [
        Self::Even(0),
        Self::Even(1),
        Self::Even(10),
        Self::Even(50),
        Self::Burst,
    ];
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Even(thousandths) => write!(f, "{}%", f64::from(*thousandths) / 10.0),
            Self::Burst => f.write_str("burst"),
            Self::Late => f.write_str("late"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            algorithm,
            loss,
            rtt,
            rate,
            queue,
        } = self;
        let queue = *queue as f64 / 10.0;
        write!(f, "{algorithm} {rate}mbit {rtt}ms {queue}bdp {loss}")
    }
}

/// The table of these cells: a line for each path, a column for each loss. `figure` answers what a cell carries.
pub fn table(cells: &[Cell], mut figure: impl FnMut(&Cell) -> Option<f64>) -> String {
    let mut out = format!("{:<26}", "Mbit/s");
    let mut columns = Loss::ALL.to_vec();
    if cells.iter().any(|cell| cell.loss == Loss::Late) {
        columns.push(Loss::Late);
    }
    for loss in &columns {
        let _ = write!(out, "{:>9}", loss.to_string());
    }
    out.push('\n');
    let mut rows: Vec<Cell> = Vec::new();
    for cell in cells {
        let row = Cell {
            loss: Loss::Even(0),
            ..*cell
        };
        if rows.contains(&row) {
            continue;
        }
        rows.push(row);
        let name = row.to_string();
        let _ = write!(out, "{:<26}", name.trim_end_matches(" 0%"));
        for &loss in &columns {
            match figure(&Cell { loss, ..row }) {
                Some(figure) => {
                    let _ = write!(out, "{figure:>9.2}");
                }
                None => out.push_str("        -"),
            }
        }
        out.push('\n');
    }
    out
}

/// Two hosts on one path, alike in both directions, and a flow for each congestion control and start; answers the
/// octets that arrived of each within `time`.
pub fn carry(
    path: &ImpairmentConfig,
    flows: &[(&'static str, Duration)],
    time: Duration,
    seed: u64,
) -> Result<Vec<u64>, String> {
    let (mut world, _, tally) = prepare(path, flows, seed);
    let end = Instant::ZERO + time;
    while world.step(end) {
        if let Some(wrong) = world.complaint() {
            return Err(wrong);
        }
    }
    Ok(tally.flows())
}

/// Like [`carry`], but only set up; the caller moves the clock. Answers also the host that sends.
pub fn prepare(path: &ImpairmentConfig, flows: &[(&'static str, Duration)], seed: u64) -> (World, NodeId, Tally) {
    let mut world = World::new(seed, Trace::off());
    world.trust_wires();
    let (client, server) = (world.add_host("source"), world.add_host("sink"));
    let wire = WireConfig {
        medium: Medium::Ip,
        mtu: MTU as u32,
        cutting: Cutting::Link,
        forth: *path,
        back: *path,
    };
    world.connect(&wire, [(client, &CLIENT), (server, &SERVER)]);
    let at: SocketAddr = SINK.parse().expect("the sink's address is written correctly");
    let tally = Tally::default();
    world.spawn(server, Box::new(Sink::new(at, tally.clone())));
    for &(algorithm, starts) in flows {
        world.spawn(client, Box::new(Source::new(at, algorithm, Instant::ZERO + starts)));
    }
    (world, client, tally)
}

/// Jain's index of fairness (1984): 1 if all are alike, 1/n if one has everything.
pub fn fairness(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (shares.len() as f64 * squares)
}
