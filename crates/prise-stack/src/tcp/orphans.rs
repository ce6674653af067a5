//! Connections that their programs have closed and that still live: nobody waits for them, so they are the first to go
//! when there are too many or no memory is left (Linux's `tcp_max_orphans`, tcp(7); there it is the newest that goes).

use alloc::collections::VecDeque;

use prise_wire::Instant;

use super::{Tcp, reset};
use crate::net::{Discard, Net};
use crate::slab::Key;

/// The orphans of one stack, oldest first. Those that have ended stay in the list until they are met or outnumber the rest.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    order: VecDeque<Key>,
    living: usize,
}

impl Tcp {
    /// The program has let go of a connection that goes on.
    pub(crate) fn orphan(&mut self, now: Instant, net: &mut Net, key: Key) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if connection.flags.gone() || connection.flags.counted_as_orphan() {
            return;
        }
        connection.flags.set_counted_as_orphan(true);
        self.orphans.living += 1;
        self.orphans.order.push_back(key);
        if self.orphans.order.len() > 2 * self.orphans.living + 64 {
            let connections = &self.connections;
            self.orphans.order.retain(|key| connections.find(*key).is_some());
        }
        if self.orphans.living > self.memory.orphans_max() {
            self.reset_oldest_orphan(now, net);
        }
    }

    /// An orphan has ended.
    pub(crate) fn bury_orphan(&mut self) {
        self.orphans.living = self.orphans.living.saturating_sub(1);
        if self.orphans.living == 0 {
            self.orphans.order = VecDeque::new();
        }
    }

    /// Makes room: the oldest orphan is reset, whatever it still had to say.
    pub(crate) fn reset_oldest_orphan(&mut self, now: Instant, net: &mut Net) {
        while let Some(key) = self.orphans.order.pop_front() {
            let Some(connection) = self.connections.find_mut(key) else {
                continue;
            };
            let farewell = reset::Farewell::new(connection, now);
            connection.end(None);
            farewell.send(now, net);
            net.discard(Discard::TcpOrphanReset);
            return self.settle(now, net, key.index);
        }
    }

    #[cfg(test)]
    pub(crate) fn orphans(&self) -> usize {
        self.orphans.living
    }
}
