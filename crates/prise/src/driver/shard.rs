//! One host behind one lock.

use super::timer::{self, Alarm, AlarmId};
use super::wait::{Waiter, Waiters};
use super::{clock, lock, wire::Wire};
use prise_socket::Host;
use prise_stack::{LinkId, LinkSet};
use prise_wire::{Frame, Instant};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// Frames that go round the loopback link at once; bounds the memory of the batch, not what is moved.
const LOOPBACK_BATCH: usize = 64;

/// One host, its waiters, and where its links lead.
pub(crate) struct Shard {
    core: Mutex<Core>,
    /// By the link's position.
    ports: Box<[Port]>,
    alarm: AlarmId,
    /// For the timer, which must not keep a host alive.
    me: Weak<Self>,
}

/// Where a link leads.
#[derive(Clone, Debug)]
pub(crate) enum Port {
    /// Back to where it came from.
    Loopback,
    /// To a wire, by this of its ports.
    Wire(Arc<Wire>, usize),
}

/// What the lock of a shard protects.
#[derive(Debug)]
pub(crate) struct Core {
    /// The host.
    pub(crate) host: Host,
    /// Who waits for its sockets.
    pub(crate) waiters: Waiters,
    loopback: LinkSet,
    /// When the timer will ring for this host, at the latest.
    armed: Instant,
    batch: Vec<Frame>,
}

/// What is left to do once the lock is released.
#[must_use = "waiters sleep until they are woken"]
#[derive(Debug)]
pub(super) struct Aftermath {
    pub(super) woken: Vec<Waiter>,
    /// Links that have something to transmit.
    pub(super) ready: LinkSet,
    /// A deadline before which the timer would not have rung.
    sooner: Option<Instant>,
}

impl Core {
    /// Lets the loopback link go round and collects what is left to do.
    pub(super) fn settle(&mut self, now: Instant) -> Aftermath {
        let Self {
            host,
            waiters,
            loopback,
            armed,
            batch,
        } = self;
        let mut ready = host.links_ready();
        while let Some(lo) = ready.iter().find(|link| loopback.contains(*link)) {
            batch.extend(std::iter::from_fn(|| host.transmit(now, lo)).take(LOOPBACK_BATCH));
            host.receive(now, lo, batch.drain(..));
            ready = host.links_ready();
        }
        let mut woken = Vec::new();
        while let Some((socket, readiness)) = host.event() {
            waiters.take(socket, readiness, &mut woken);
        }
        let sooner = host.next_deadline().filter(|deadline| *deadline < *armed);
        if let Some(deadline) = sooner {
            *armed = deadline;
        }
        Aftermath { woken, ready, sooner }
    }
}

impl Shard {
    /// A host whose links lead to `ports`, by position.
    pub(crate) fn new(host: Host, ports: Vec<Port>) -> Arc<Self> {
        let is_loopback = |(_, port): &(usize, &Port)| matches!(port, Port::Loopback);
        let loopback = ports.iter().enumerate().filter(is_loopback);
        let loopback = loopback
            .filter_map(|(position, _)| LinkId::new(position as u8))
            .collect();
        let shard = Arc::new_cyclic(|me| Self {
            core: Mutex::new(Core {
                host,
                waiters: Waiters::default(),
                loopback,
                armed: Instant::FAR_FUTURE,
                batch: Vec::new(),
            }),
            ports: ports.into(),
            alarm: AlarmId::new(),
            me: Weak::clone(me),
        });
        for (position, port) in shard.ports.iter().enumerate() {
            if let (Port::Wire(wire, port), Some(link)) = (port, LinkId::new(position as u8)) {
                wire.attach(*port, Arc::downgrade(&shard), link);
            }
        }
        shard
    }

    /// Runs a verb on the host, then lets everything happen that follows from it: frames move, waiters wake.
    pub(crate) fn run<T>(&self, verb: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let now = clock::now();
        let mut core = self.lock();
        let value = verb(&mut core, now);
        let Aftermath { woken, ready, sooner } = core.settle(now);
        drop(core);
        self.arm(sooner);
        self.flush(ready);
        woken.into_iter().for_each(Waiter::wake);
        value
    }

    /// Looks at the host without changing anything.
    pub(crate) fn look<T>(&self, question: impl FnOnce(&Host) -> T) -> T {
        question(&self.lock().host)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    /// Tells the timer of a deadline.
    pub(super) fn arm(&self, sooner: Option<Instant>) {
        if let Some(deadline) = sooner {
            timer::arm(self.alarm, deadline, Weak::<Self>::clone(&self.me));
        }
    }

    pub(super) fn arm_after(&self, aftermath: &Aftermath) {
        self.arm(aftermath.sooner);
    }

    /// Moves what waits on these links over the wires they lead to.
    pub(super) fn flush(&self, ready: LinkSet) {
        for link in ready.iter() {
            if let Some(Port::Wire(wire, port)) = self.ports.get(link.position()) {
                wire.pump(*port);
            }
        }
    }
}

impl Alarm for Shard {
    fn ring(&self) {
        self.run(|core, now| {
            core.armed = Instant::FAR_FUTURE;
            core.host.expire(now);
        });
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        timer::disarm(self.alarm);
        for port in &self.ports {
            if let Port::Wire(wire, port) = port {
                wire.detach(*port);
            }
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("ports", &self.ports.len())
            .finish_non_exhaustive()
    }
}
