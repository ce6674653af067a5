//! Name servers at loopback addresses (systemd-resolved's 127.0.0.53, a local cache): for the guest these are its own,
//! so they are served within the guest, by a socket of the supervisor's, and answered by the gateway.

use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;

use prise_socket::{Control, Family, Flags, Host, Kind, SocketId};
use prise_wire::{Instant, Payload};

use crate::world::gate::Gate;

/// Queries that wait for their answers; a resolver that gets none asks again.
const QUERIES_MAX: usize = 1024;

const PORT: u16 = 53;

/// The name servers within the guest.
#[derive(Debug, Default)]
pub(crate) struct Names {
    sockets: Vec<SocketId>,
    /// Who asked, and through which socket.
    waiting: HashMap<u64, (SocketId, SocketAddr)>,
    next: u64,
}

impl Names {
    /// Serves those of the host's name servers that are loopback addresses.
    pub(crate) fn open(host: &mut Host, gate: Option<&Gate>, now: Instant) -> Self {
        let addresses = gate.map(Gate::loopback_name_servers).unwrap_or_default();
        let sockets = addresses
            .into_iter()
            .filter_map(|address| open(host, address, now))
            .collect();
        Self {
            sockets,
            ..Self::default()
        }
    }

    /// Passes queries on and answers back; whether there was any.
    pub(crate) fn attend(&mut self, host: &mut Host, gate: Option<&Gate>, now: Instant) -> bool {
        let Some(gate) = gate.filter(|_| !self.sockets.is_empty()) else {
            return false;
        };
        let mut moved = false;
        for &socket in &self.sockets {
            while let Ok(received) = host.recv_from(now, socket, Flags::DONTWAIT) {
                moved = true;
                let Some(source) = received.source else { continue };
                if self.waiting.len() >= QUERIES_MAX {
                    self.waiting.clear();
                }
                self.waiting.insert(self.next, (socket, source));
                gate.resolve(now, self.next, source, received.payload);
                self.next += 1;
            }
        }
        while let Some((number, answer)) = gate.resolved() {
            moved = true;
            if let Some((socket, asker)) = self.waiting.remove(&number) {
                // Without room it is lost, as a datagram may be.
                let _ = host.send_to(
                    now,
                    socket,
                    Payload::from(answer),
                    Flags::DONTWAIT,
                    Some(asker),
                    &Control::default(),
                );
            }
        }
        moved
    }
}

fn open(host: &mut Host, address: IpAddr, now: Instant) -> Option<SocketId> {
    let family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
    let socket = host.socket(family, Kind::Datagram, 0).ok()?;
    if host.bind(now, socket, SocketAddr::new(address, PORT)).is_err() {
        host.close(now, socket);
        return None;
    }
    Some(socket)
}
