//! What befalls a world while programs run in it.

use crate::hostile;
use crate::program::Program;
use crate::router::RouterId;
use crate::world::{NodeId, WireId, World};
use prise_link::ImpairmentConfig;
use prise_wire::Instant;
use std::net::IpAddr;
use std::time::Duration;

/// One thing that happens to the world at one instant.
#[derive(Debug)]
pub enum Fault {
    /// One direction of a wire changes: delay, loss, rate. A cable that is pulled loses everything.
    Line {
        /// The wire.
        wire: WireId,
        /// 0 for what its first end sends, 1 for the second.
        end: usize,
        /// What it is like from now on; the seed stays.
        config: ImpairmentConfig,
    },
    /// A router sends what is for an address by another wire.
    Reroute {
        /// The router.
        router: RouterId,
        /// For whom.
        address: IpAddr,
        /// By which wire.
        wire: WireId,
    },
    /// A host loses power, and with it everything it knew.
    Crash {
        /// The host.
        node: NodeId,
    },
    /// A host that has crashed starts again with these servers.
    Boot {
        /// The host.
        node: NodeId,
        /// What runs on it from now on.
        servers: Vec<Box<dyn Program>>,
    },
    /// A host's clock jumps ahead.
    Jump {
        /// The host.
        node: NodeId,
        /// How far.
        by: Duration,
    },
    /// A host is suspended; its clock goes on.
    Sleep {
        /// The host.
        node: NodeId,
        /// How long.
        time: Duration,
    },
    /// Somebody sends a host segments that look like its peers', or errors about what it has sent.
    Attack {
        /// The host.
        node: NodeId,
        /// How many.
        count: u32,
    },
}

impl World {
    /// Lets a fault happen.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let now = self.now();
        self.trace.note(now, "world", || format!("{fault:?}"));
        match fault {
            Fault::Line { wire, end, config } => {
                let lane = &mut self.wires[wire.0].lanes[end];
                let seed = lane.config().seed;
                lane.reconfigure(ImpairmentConfig { seed, ..config });
            }
            Fault::Reroute { router, address, wire } => self.route(router, address, wire),
            Fault::Crash { node } => {
                let node = &mut self.nodes[node.0];
                node.crash();
                node.disturbed = Some(now);
            }
            Fault::Boot { node, servers } => {
                if self.nodes[node.0].boot(now, &mut self.random) {
                    for server in servers {
                        self.spawn_server(node, server);
                    }
                }
            }
            Fault::Jump { node, by } => self.disturb(node, now).ahead += by,
            Fault::Sleep { node, time } => self.disturb(node, now).asleep_until = now + time,
            Fault::Attack { node, count } => hostile::attack(self, node, count),
        }
    }

    fn disturb(&mut self, node: NodeId, now: Instant) -> &mut crate::node::Node {
        let node = &mut self.nodes[node.0];
        node.disturbed = Some(now);
        node.stirred = true;
        node
    }
}
