//! Connections that somebody else decides about: SYNs on transparent links that no listener takes.

use alloc::sync::Arc;
use core::net::SocketAddr;

use prise_wire::{Instant, Payload, SeqNum, TcpFlags, TcpHeader, protocol};

use crate::net::{IcmpError, QuotedFlow};
use crate::stack::Stack;
use crate::tcp::config::TcpConfig;
use crate::tcp::error::AdmitError;
use crate::tcp::half_open::Origin;
use crate::tcp::reset::{self, Manner};
use crate::tcp::{ConnId, PendingId};

/// How the gateway turns an intercepted connection down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The port is closed: a RST.
    Reset,
    /// An ICMP error, as a router or the host would send it.
    Icmp(IcmpError),
    /// Silence: the peer's own timer decides.
    Drop,
}

impl Stack {
    /// On transparent links, asks about each SYN that no listener takes: `Event::Intercepted` with this token.
    pub fn tcp_intercept(&mut self, token: u32) {
        self.tcp.intercept = Some(token);
    }

    /// Continues an intercepted connection: the SYN-ACK leaves now, and `CONNECTED` tells when it is established.
    ///
    /// # Errors
    /// [`AdmitError::Gone`] if the peer gave up.
    pub fn tcp_admit(
        &mut self,
        now: Instant,
        id: PendingId,
        config: &TcpConfig,
        token: u32,
    ) -> Result<ConnId, AdmitError> {
        let waiting = self
            .tcp
            .half_open
            .find(id.key())
            .is_some_and(|record| record.origin() == Origin::Intercepted);
        let record = if waiting {
            self.tcp.forget_half_open(id.key().index)
        } else {
            None
        }
        .ok_or(AdmitError::Gone)?;
        let agreement = record.agreement();
        let config = Arc::new(config.clone());
        let key = self
            .tcp
            .adopt(now, &mut self.net, record.tuple, record.link, agreement, config);
        if let Some(connection) = self.tcp.connections.find_mut(key) {
            connection.token = token;
            connection.flags.set_syn_due(true);
        }
        self.tcp.settle(now, &mut self.net, key.index);
        Ok(ConnId::from_key(key))
    }

    /// Turns an intercepted connection down.
    pub fn tcp_refuse(&mut self, now: Instant, id: PendingId, refusal: Refusal) {
        let waiting = self
            .tcp
            .half_open
            .find(id.key())
            .is_some_and(|record| record.origin() == Origin::Intercepted);
        let record = if waiting {
            self.tcp.forget_half_open(id.key().index)
        } else {
            None
        };
        let Some(record) = record else { return };
        match refusal {
            Refusal::Reset => {
                let header = TcpHeader {
                    source_port: record.tuple.local_port,
                    destination_port: record.tuple.remote_port,
                    seq: SeqNum(0),
                    ack: Some(record.irs + 1),
                    flags: TcpFlags::RST,
                    ..TcpHeader::default()
                };
                reset::send(now, &mut self.net, &record.tuple, &header, &Manner::default());
            }
            Refusal::Icmp(error) => {
                let tuple = &record.tuple;
                let flow = QuotedFlow {
                    protocol: protocol::TCP,
                    src: SocketAddr::new(tuple.remote_ip(), tuple.remote_port),
                    dst: SocketAddr::new(tuple.local_ip(), tuple.local_port),
                    seq: record.irs,
                    payload: Payload::new(),
                };
                self.net.send_icmp_error_for(now, record.link, None, &flow, error);
            }
            Refusal::Drop => {}
        }
    }

    /// Whether an intercepted connection still waits.
    pub fn tcp_is_pending(&self, id: PendingId) -> bool {
        self.tcp.half_open.find(id.key()).is_some()
    }
}
