//! From a [`RunConfig`] to a running supervisor.

pub mod config;
pub(crate) mod filter;
mod jobs;
mod linked;
pub(crate) mod nested;
pub(crate) mod outcome;
pub mod probe;
pub(crate) mod program;
pub(crate) mod shortcut;
pub(crate) mod signals;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::path::Path;

use prise_link::{Capture, CaptureOfLoopback, Captured, Impaired, Link, Loopback, TunLink, WallClock};
use prise_socket::{Host, HostConfig};
use prise_stack::{IpCidr, Route, StackConfig};
use rustix::process::{getpriority_process, setpriority_process};

use crate::clock;
use crate::handed::adopted::{self, Native};
use crate::handed::native_listener::loopback_works;
use crate::policy::audit::Audit;
use crate::report::answers::Answers;
use crate::socket::closes::Closes;
use crate::start::config::{LinkChoice, RunConfig, Transport};
use crate::start::outcome::{Exit, RunError};
use crate::start::program::{Footing, Program, raise_descriptor_limit, require_descriptors};
use crate::start::shortcut::Shortcut;
use crate::start::signals::Signals;
use crate::supervisor::{Parts, Supervisor};
use crate::world::capture_file::CaptureFile;
use crate::world::gate::Gate;
use crate::world::{Nowhere, World};

/// Runs a program on prise's sockets until it and all its descendants have gone, and tells how it ended.
///
/// Belongs into a process of its own: it becomes the reaper of the program's descendants, reaps every child of the
/// process, and takes the signals that are meant for the program.
pub fn run(config: &RunConfig) -> Result<Exit, RunError> {
    nested::join_outer(config)?;
    let fetches = probe::require()?;
    if !fetches && !config.policy.is_empty() {
        return Err(RunError::PolicyNeedsDescriptors);
    }
    let hands = config.hands_over() && fetches;
    // A FIFO waits for who reads it, and nothing is there yet to pass a signal on to.
    let capture = config.capture.as_deref().map(open_capture).transpose()?;
    let audit = config.audit.as_deref().map(Audit::open).transpose()?;
    let signals = Signals::take()?;
    let descriptors = raise_descriptor_limit();
    require_descriptors()?;
    let now = clock::now();
    let owner = rustix::process::geteuid().as_raw();
    let stack = StackConfig {
        memory: config.sysctls.memory(),
        ..secrets()?
    };
    let mut host = Host::new(&HostConfig { stack, owner });
    host.set_sysctls(&config.sysctls);
    let gate = match &config.link {
        // A policy and a record have something to say of what stays on the machine.
        LinkChoice::None if !config.publish.is_empty() => return Err(RunError::NeedsHostLink { option: "--publish" }),
        LinkChoice::None => None,
        LinkChoice::Host => {
            let StackConfig { hash_key, seed, .. } = secrets()?;
            Some(Gate::open(config, hands, hash_key, seed, now)?)
        }
        LinkChoice::Tun(_) => {
            refuse_on_device(config)?;
            None
        }
    };
    let world = links(config, &mut host, gate.as_ref(), capture.as_ref())?;
    if let Some(gate) = &gate {
        lend_published(config, &mut host, gate);
    }
    let answers = Answers::open().map_err(|error| RunError::Setup {
        step: "listen for prise ss",
        error,
    })?;
    // A user has few of these (fs.inotify.max_user_instances); and objects that the supervisor keeps are never closed.
    let closes = if fetches { Closes::new().ok() } else { None };
    let families = if hands { adopted::families() } else { &[] };
    let native = Native {
        families,
        listeners: !families.is_empty() && config.pairs_up() && closes.is_some() && loopback_works(),
    };
    // Elsewhere connections are not the kernel's own.
    let crossed = gate.as_ref().filter(|_| hands && !families.is_empty());
    let shortcut = if fetches { Shortcut::new(config, crossed) } else { None };
    let footing = Footing {
        signals,
        descriptors,
        fetches,
        native,
        shortcut: shortcut.as_ref(),
    };
    let (program, calls) = Program::start(config, footing)?;
    let parts = Parts {
        host,
        world,
        gate,
        calls,
        program,
        answers,
        policy: config.policy.clone(),
        audit,
        hostname: config.hostname.clone(),
        command: command(config),
        fetches,
        // Who captures wants to see packets, and a record tells how many octets passed.
        hands,
        pairs: config.pairs_up() && fetches,
        native,
        closes,
        shortcut,
    };
    go_before_guests();
    keep_memory();
    let exit = Supervisor::new(parts)?.run();
    if let Some(capture) = &capture {
        // Told by the file itself; the program has run: its status is what counts.
        let _ = capture.flush();
    }
    exit
}

/// How far below the guests' the supervisor's nice value is, where the user may (`CAP_SYS_NICE`, `RLIMIT_NICE`).
const NICE_STEPS: i32 = 5;

/// The slice of processor time that it asks for, the shortest.
const SLICE: Duration = Duration::from_micros(100);

/// To be called when the program has been started, which keeps its own values.
///
/// A judged call begins with a wait for the supervisor's turn, in which the kernel lets a signal end it (`EINTR`) that would not end the
/// call itself. On a busy machine the supervisor's fair share makes that wait milliseconds; a short slice, which anybody may ask for, makes it
/// microseconds, and so does a lower nice value, where kernels do not know slices yet (before Linux 6.12).
fn go_before_guests() {
    let raised = getpriority_process(None).and_then(|nice| setpriority_process(None, nice - NICE_STEPS));
    if let Err(errno) = raised {
        tracing::debug!(%errno, "the supervisor's priority stays the programs'");
    }
    if let Err(error) = prise_sys::sched::ask_for_slice(SLICE) {
        tracing::debug!(%error, "the supervisor's slice stays the programs'");
    }
}

/// Freed memory that the supervisor keeps: what waits in a connection's buffers while both ends are near and quick, and more. Returned each
/// time that it was read, it would be a third of a transfer's cost through our TCP.
fn keep_memory() {
    const KEPT: usize = 8 << 20;
    if !prise_sys::heap::keep_freed(KEPT) {
        tracing::debug!("freed memory goes back at once");
    }
}

/// Who publishes a port means the program's, wherever it is: its clients' datagrams also come to sockets of the loopback. Of listeners see
/// `Supervisor::listen_for_published`.
fn lend_published(config: &RunConfig, host: &mut Host, gate: &Gate) {
    let outside = host.stack().links().iter().find(|link| !link.is_loopback());
    let Some(link) = outside.map(prise_stack::Link::id) else {
        return;
    };
    let published = config.publish.iter();
    for port in published
        .filter(|it| it.transport == Transport::Udp)
        .map(|it| it.guest_port.get())
    {
        for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let (_, guest) = gate.client(SocketAddr::new(loopback, port), port);
            host.stack_mut().udp_lend(port, link, guest.ip());
        }
    }
}

fn links(
    config: &RunConfig,
    host: &mut Host,
    gate: Option<&Gate>,
    capture: Option<&Capture>,
) -> Result<World, RunError> {
    let now = clock::now();
    let impossible = || RunError::Setup {
        step: "add a link",
        error: io::ErrorKind::InvalidInput.into(),
    };
    let lo = Loopback::new();
    let medium = lo.medium();
    let mut world = World::new(host, Box::new(lo), now).ok_or_else(impossible)?;
    if let Some(capture) = capture {
        world.capture_lo(CaptureOfLoopback(capture.interface("lo", medium)));
    }
    let far_end: Box<dyn Link> = match gate {
        Some(gate) => Box::new(gate.clone()),
        None => match &config.link {
            LinkChoice::Tun(name) => Box::new(open_device(name)?),
            LinkChoice::None | LinkChoice::Host => Box::new(Nowhere),
        },
    };
    let device = if config.impairment.is_none() {
        captured(far_end, capture, "eth0")
    } else {
        // What is captured is what the guest's interface sees: sent before the line, received after it.
        captured(Impaired::new(far_end, config.impairment), capture, "eth0")
    };
    let eth0 = world
        .add_eth0(
            host,
            device,
            &config.addresses,
            gate.as_ref().map(|_| prise_gateway::MAC),
            now,
        )
        .ok_or_else(impossible)?;
    choose_congestion(config, host);
    if matches!(config.link, LinkChoice::Tun(_)) {
        // Everybody is at the other end of the device: its kernel routes.
        for prefix in [IpCidr::ALL_V4, IpCidr::ALL_V6] {
            host.stack_mut().add_route(Route {
                prefix,
                gateway: None,
                link: eth0,
                source: None,
                metric: 0,
            });
        }
    }
    Ok(world)
}

/// What each link's connections start with.
fn choose_congestion(config: &RunConfig, host: &mut Host) {
    for (name, algorithm) in &config.congestion {
        let link = host
            .stack()
            .links()
            .iter()
            .find(|link| link.name() == name)
            .map(prise_stack::Link::id);
        if let Some(link) = link {
            host.stack_mut().set_link_congestion(link, Some(*algorithm));
        }
    }
}

/// Packets leave by a device without the gateway, which judges, records and publishes.
fn refuse_on_device(config: &RunConfig) -> Result<(), RunError> {
    let asked = [
        ("--allow", !config.policy.is_empty()),
        ("--audit", config.audit.is_some()),
        ("--publish", !config.publish.is_empty()),
    ];
    match asked.into_iter().find(|&(_, asked)| asked) {
        Some((option, _)) => Err(RunError::NeedsHostLink { option }),
        None => Ok(()),
    }
}

fn open_device(name: &str) -> Result<TunLink, RunError> {
    TunLink::open(name).map_err(|error| RunError::Device {
        name: name.to_owned(),
        error,
    })
}

fn captured(device: impl Link + 'static, capture: Option<&Capture>, name: &str) -> Box<dyn Link> {
    match capture {
        Some(capture) => Box::new(Captured::new(device, capture, name)),
        None => Box::new(device),
    }
}

fn open_capture(file: &Path) -> Result<Capture, RunError> {
    let clock = WallClock::new(clock::now(), std::time::SystemTime::now());
    let capture = CaptureFile::create(file).and_then(|sink| Capture::new(sink, clock));
    capture.map_err(|error| RunError::Capture {
        file: file.to_owned(),
        error,
    })
}

fn command(config: &RunConfig) -> Vec<String> {
    let program = config.program.to_string_lossy().into_owned();
    let args = config.args.iter().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect()
}

/// What peers must not guess: initial sequence numbers, ports, hash positions.
fn secrets() -> Result<StackConfig, RunError> {
    let mut octets = [0; 48];
    rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty()).map_err(|error| RunError::Setup {
        step: "draw random numbers",
        error: error.into(),
    })?;
    let word = |at: usize| u64::from_ne_bytes(core::array::from_fn(|i| octets[at + i]));
    Ok(StackConfig::new(
        [word(0), word(8)],
        core::array::from_fn(|i| octets[16 + i]),
    ))
}
