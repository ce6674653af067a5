//! Runs a scenario to its end and judges it.

use crate::accounts::{conserved, explained};
use crate::datagram::{Asker, Echo};
use crate::random::Random;
use crate::scenario::{CLIENT, Layout, SERVER, Scenario, Workload};
use crate::stream::{Client, Server};
use crate::trace::Trace;
use crate::world::World;
use prise_stack::{EcnPolicy, FastOpenSettings};
use prise_wire::Instant;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How much longer than the programs the hosts may take to come to rest: TIME-WAIT, orphans, reassembly, and servers that
/// have sent something to a host that is no more, which takes them fifteen minutes to find out.
const REST: Duration = Duration::from_mins(40);

/// Lines of trace that a failure shows.
const SHOWN: usize = 60;

/// A run in which nothing was wrong.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    /// Virtual time until all programs were done.
    pub took: Duration,
    /// Frames on the wire in all.
    pub frames: u64,
}

/// A run in which something was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The command that replays it.
    pub replay: String,
    /// What was wrong.
    pub why: String,
    /// Where everyone stood.
    pub report: String,
    /// The last lines of the trace.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        writeln!(f, "{}", self.report)?;
        for line in &self.trace {
            writeln!(f, "    {line}")?;
        }
        write!(f, "replay: {}", self.replay)
    }
}

/// Runs a scenario; a failure is run again to show how it came about.
pub fn run(scenario: &Scenario) -> Result<Success, Box<Failure>> {
    attempt(scenario, Trace::off()).or_else(|_| attempt(scenario, Trace::last(SHOWN)))
}

/// Runs a scenario and prints everything that happens.
pub fn run_traced(scenario: &Scenario) -> Result<Success, Box<Failure>> {
    println!("{scenario:#?}");
    attempt(scenario, Trace::print())
}

fn attempt(scenario: &Scenario, trace: Trace) -> Result<Success, Box<Failure>> {
    let mut world = build(scenario, trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| judge(scenario, &mut world)));
    let why = match outcome {
        Ok(Ok(success)) => return Ok(success),
        Ok(Err(why)) => why,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panicked: {}", text.unwrap_or("without words"))
        }
    };
    let report = catch_unwind(AssertUnwindSafe(|| world.report()));
    Err(Box::new(Failure {
        replay: scenario.replay(),
        why,
        report: report.unwrap_or_else(|_| "no report: that panicked as well".into()),
        trace: world.trace().lines().map(str::to_owned).collect(),
    }))
}

fn build(scenario: &Scenario, trace: Trace) -> World {
    let mut world = World::new(scenario.seed, trace);
    let random = Random::new(scenario.seed);
    match &scenario.layout {
        Layout::Network(network) => network.build(&mut world, &random),
        Layout::Hostile(hunt) => hunt.build(&mut world, &random),
        Layout::Pair(wire, workload) => {
            let (client, server) = (world.add_host("client"), world.add_host("server"));
            let mut policies = random.fork(4);
            for host in [client, server] {
                let host = world.host_mut(host);
                host.set_fast_open(FastOpenSettings::from_bits(3));
                host.set_ecn(EcnPolicy::from_number(policies.below(6) as u32).unwrap_or_default());
            }
            world.connect(wire, [(client, &CLIENT), (server, &SERVER)]);
            match workload {
                Workload::Streams(agreement) => {
                    world.spawn(server, Box::new(Server::new(agreement.clone(), random.fork(2))));
                    world.spawn(client, Box::new(Client::new(agreement.clone(), random.fork(3))));
                }
                Workload::Datagrams(rally) => {
                    world.spawn(server, Box::new(Echo::new(rally.clone())));
                    world.spawn(client, Box::new(Asker::new(rally.clone())));
                }
            }
        }
    }
    world
}

/// What somebody has done that must not be done.
fn complaints(world: &World) -> Result<(), String> {
    match (world.complaint(), world.offence()) {
        (Some(wrong), _) => Err(wrong),
        (None, Some(offence)) => Err(offence.to_owned()),
        (None, None) => Ok(()),
    }
}

fn judge(scenario: &Scenario, world: &mut World) -> Result<Success, String> {
    let bound = Instant::ZERO + scenario.bound;
    while !world.is_done() {
        let went_on = world.step(bound);
        complaints(world)?;
        if !went_on && !world.is_done() {
            return Err(format!("not done by {bound}"));
        }
    }
    let success = Success {
        took: world.now() - Instant::ZERO,
        frames: world.frames(),
    };
    world.stop_servers();
    let rest = world.now() + REST;
    while world.step(rest) {
        complaints(world)?;
    }
    conserved(world)?;
    explained(world)?;
    Ok(success)
}
