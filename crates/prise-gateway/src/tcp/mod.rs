//! TCP: the guest's connections, each tied to a connection of the host.
//!
//! ```text
//! outbound   SYN ─► Intercepted ─► host connect ─► done ─► SYN-ACK ─► open
//!                                       └─ failed ─► RST, ICMP error or silence, as the host met it
//! published  host accept ─► SYN to the guest ─► established ─► open
//!                                       └─ refused ─► RST to the client
//! ```
//! [`dial`] and [`accept`] bring connections about, [`flow`] carries their octets, this file gives turns and ends them.

mod accept;
mod dial;
mod flow;

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use prise_stack::{ConnId, Ready, Stack, TcpConfig};
use prise_wire::Instant;

pub use self::accept::Caller;
use self::accept::Knock;
pub(crate) use self::accept::Listeners;
use self::dial::Dial;
pub(crate) use self::dial::Request;
use self::flow::{Flow, HostSide, Turn};
use crate::chunk::Chunks;
use crate::config::Limits;
use crate::ground::Ground;
use crate::host;
use crate::poll::EventFlags;
use crate::record::{Direction, End, Fact, Transport};
use crate::slots::{Key, Slots};
use crate::tally::Discard;

/// Everything that the epoll is asked to tell of a connection's socket, once for its life: by edges.
const INTEREST: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::PRI)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// Flows that have their turn in one call: at a quarter of a mebibyte each way, some milliseconds, after which the driver
/// can see to other things.
const TURNS_MAX: usize = 64;

/// A connection: the host's socket, and how far things have come.
#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    stage: Stage,
}

/// How far a connection has come.
#[derive(Debug)]
enum Stage {
    /// The host connects on the guest's behalf.
    Dial(Dial),
    /// A published port's client waits for the guest.
    Knock(Knock),
    /// Octets flow, or will when the guest has completed the handshake.
    Flow(Flow),
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Slots<Connection>,
    /// Flows that have something to do, in turn.
    runnable: VecDeque<Key>,
    /// Flows that pass a reset on, with the end of their patience.
    resetting: Vec<(Instant, Key)>,
    chunks: Chunks,
    /// Settings of the gateway's side of every connection.
    config: TcpConfig,
    pending: usize,
    limits: Limits,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Self {
        // The guest and the host's peer decide about Nagle; here, what is there goes on. Urgent octets stay in their
        // place, from which they are passed on.
        let config = TcpConfig {
            nodelay: true,
            oob_inline: true,
            ..TcpConfig::default()
        };
        Self {
            slots: Slots::new(),
            runnable: VecDeque::new(),
            resetting: Vec::new(),
            chunks: Chunks::new(),
            config,
            pending: 0,
            limits,
        }
    }

    /// How many connections there are, those being made included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Octets from the guest that its hosts have not taken yet.
    pub(crate) fn octets_held(&self, stack: &Stack) -> usize {
        let held = |connection: &Connection| match &connection.stage {
            Stage::Flow(flow) => stack.tcp_readable(flow.conn),
            Stage::Dial(_) | Stage::Knock(_) => 0,
        };
        self.slots.iter().map(|(_, connection)| held(connection)).sum()
    }

    /// Notes the end of every flow, with what it has carried.
    pub(crate) fn close_records(&self, now: Instant, ground: &mut Ground) {
        for (_, connection) in self.slots.iter() {
            if let Stage::Flow(flow) = &connection.stage {
                let (flow, sent, received) = (flow.number, flow.sent, flow.received);
                ground.note(now, || Fact::Closed {
                    flow,
                    sent,
                    received,
                    end: End::Cut,
                });
            }
        }
    }

    /// Whether another connection may be made.
    fn has_room(&self) -> bool {
        self.slots.len() < self.limits.connections
    }

    /// Whether somebody waits for a turn.
    pub(crate) fn has_work(&self) -> bool {
        !self.runnable.is_empty()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.resetting.iter().map(|&(at, _)| at).min()
    }

    /// A host socket has something to say.
    pub(crate) fn on_host(&mut self, now: Instant, key: Key, flags: EventFlags, ground: &mut Ground) {
        match self.stage(key) {
            None => {}
            Some(Stage::Dial(_)) => self.on_dialled(now, key, flags, ground),
            Some(Stage::Knock(knock)) => {
                knock.host.learn(flags);
                if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                    self.client_left(now, key, ground);
                }
            }
            Some(Stage::Flow(flow)) => {
                flow.host.learn(flags);
                self.queue(key);
            }
        }
    }

    /// The guest's side of a connection has something to say.
    pub(crate) fn on_guest(&mut self, now: Instant, index: u32, id: ConnId, ready: Ready, ground: &mut Ground) {
        let Some(key) = self.slots.tenant(index) else {
            return;
        };
        match self.stage(key) {
            Some(Stage::Knock(knock)) if knock.conn == id => self.on_answered(now, key, ready, ground),
            Some(Stage::Flow(flow)) if flow.conn == id => {
                flow.established |= ready.contains(Ready::CONNECTED);
                // A handshake that the guest breaks off ends without an error.
                if ready.contains(Ready::ERROR) || (ready.contains(Ready::CLOSED) && !flow.established) {
                    self.guest_failed(now, key, ground);
                } else {
                    self.queue(key);
                }
            }
            // Of a connection that has left: its records outlive it in the stack.
            _ => {}
        }
    }

    fn stage(&mut self, key: Key) -> Option<&mut Stage> {
        self.slots.get_mut(key).map(|connection| &mut connection.stage)
    }

    fn queue(&mut self, key: Key) {
        if let Some(Stage::Flow(flow)) = self.stage(key)
            && !flow.queued
        {
            flow.queued = true;
            self.runnable.push_back(key);
        }
    }

    /// Gives each flow that waits one turn, and looks at those that pass a reset on: they are few, and an acknowledgment,
    /// which tells nobody, may have been the last that they waited for.
    pub(crate) fn run(&mut self, now: Instant, ground: &mut Ground) {
        for index in 0..self.resetting.len() {
            self.queue(self.resetting[index].1);
        }
        for _ in 0..self.runnable.len().min(TURNS_MAX) {
            let Some(key) = self.runnable.pop_front() else {
                return;
            };
            match self.turn(now, key, ground) {
                None | Some(Turn::Idle) => {}
                Some(Turn::More) => self.queue(key),
                Some(Turn::Resetting(patience)) => {
                    if !self.resetting.iter().any(|&(_, other)| other == key) {
                        self.resetting.push((patience, key));
                    }
                }
                Some(Turn::Ended(end)) => self.end(now, key, end, ground),
            }
        }
    }

    fn turn(&mut self, now: Instant, key: Key, ground: &mut Ground) -> Option<Turn> {
        let Connection {
            socket,
            stage: Stage::Flow(flow),
        } = self.slots.get_mut(key)?
        else {
            return None;
        };
        flow.queued = false;
        let (sent, received) = (flow.sent, flow.received);
        let turn = flow.turn(now, socket, &mut ground.stack, &mut self.chunks);
        ground.tally.octets_out += flow.sent - sent;
        ground.tally.octets_in += flow.received - received;
        Some(turn)
    }

    /// Ends a flow and lets both sides know.
    fn end(&mut self, now: Instant, key: Key, end: End, ground: &mut Ground) {
        let Some(Connection {
            socket,
            stage: Stage::Flow(flow),
        }) = self.slots.remove(key)
        else {
            return;
        };
        self.resetting.retain(|&(_, other)| other != key);
        if self.slots.len() == 0 {
            self.chunks.forget();
        }
        match end {
            End::HostReset => {
                if ground
                    .stack
                    .tcp_info(now, flow.conn)
                    .is_some_and(|info| info.send_queue > 0)
                {
                    ground.discard(Discard::ResetOvertookData);
                }
                ground.stack.tcp_abort(now, flow.conn);
            }
            End::GuestReset => {
                ground.stack.tcp_close(now, flow.conn);
                host::reset(socket);
            }
            End::Finished | End::Idle | End::Evicted | End::Cut => ground.stack.tcp_close(now, flow.conn),
        }
        let (number, sent, received) = (flow.number, flow.sent, flow.received);
        ground.note(now, || Fact::Closed {
            flow: number,
            sent,
            received,
            end,
        });
    }

    /// The guest reset the connection, or does not answer any more.
    fn guest_failed(&mut self, now: Instant, key: Key, ground: &mut Ground) {
        let Some(Stage::Flow(flow)) = self.stage(key) else {
            return;
        };
        if flow.established {
            // What came before the reset is still here and goes first, as far as it can go at once.
            let _ = self.turn(now, key, ground);
        } else {
            ground.discard(Discard::ConnectAbandoned);
        }
        self.end(now, key, End::GuestReset, ground);
    }

    /// Begins to carry octets over a connection that both sides have agreed to.
    fn open(&mut self, now: Instant, key: Key, conn: ConnId, host: HostSide, ends: Ends, ground: &mut Ground) {
        let number = ground.next_flow();
        let Some(stage) = self.stage(key) else {
            return;
        };
        let mut flow = Flow::new(conn, number, host);
        match ends.direction {
            Direction::Outbound => ground.tally.connections_out += 1,
            Direction::Published => {
                flow.established = true;
                ground.tally.connections_in += 1;
            }
        }
        *stage = Stage::Flow(flow);
        ground.note(now, || Fact::Opened {
            flow: number,
            transport: Transport::Tcp,
            direction: ends.direction,
            guest: ends.guest,
            remote: ends.remote,
        });
        self.queue(key);
    }
}

/// Between whom a connection is.
#[derive(Debug, Clone, Copy)]
struct Ends {
    direction: Direction,
    guest: SocketAddr,
    /// The other end, as the guest sees it.
    remote: SocketAddr,
}
