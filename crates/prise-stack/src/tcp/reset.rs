//! Resets, and other segments sent without a connection's queue (RFC 9293 §3.5.2, §3.10.7.1).

use alloc::sync::Arc;
use core::net::IpAddr;

use prise_wire::{Body, Instant, Ipv4Options, SeqNum, TcpFlags, TcpHeader, Timestamps, protocol};

use super::config::{DEFAULT_HOP_LIMIT, TcpConfig};
use super::connection::Connection;
use super::segment::Segment;
use super::send::output::build;
use super::signature::SignatureKeys;
use super::tuple::FourTuple;
use crate::net::{FlowLabel, IpOut, Net};

/// What a lone segment has of whom it is sent for: by default, of nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) hop_limit: u8,
    pub(crate) tos: u8,
    pub(crate) flow_label: FlowLabel,
    /// Signed if one is for the peer.
    pub(crate) keys: Option<&'a SignatureKeys>,
    pub(crate) options: Option<&'a Ipv4Options>,
}

impl Default for Manner<'_> {
    fn default() -> Self {
        Self {
            hop_limit: DEFAULT_HOP_LIMIT,
            tos: 0,
            flow_label: FlowLabel::default(),
            keys: None,
            options: None,
        }
    }
}

impl<'a> Manner<'a> {
    /// That of a socket to its peer, but for options of IPv4, which are up to the connection.
    pub(crate) fn of(config: &'a TcpConfig, tuple: &FourTuple) -> Self {
        Self {
            hop_limit: config.hop_limit.of(tuple),
            tos: config.tos.of(tuple) & !3,
            flow_label: config.flow_label,
            keys: config.signature_keys.as_deref(),
            options: None,
        }
    }
}

/// Sends a lone segment; unroutable ones are dropped, as the network would.
pub(crate) fn send(now: Instant, net: &mut Net, tuple: &FourTuple, header: &TcpHeader, manner: &Manner<'_>) {
    let (src, dst): (IpAddr, IpAddr) = (tuple.local_ip(), tuple.remote_ip());
    let Ok(route) = net.route(dst, Some(src), None) else {
        return;
    };
    net.tcp_counters.sent += 1;
    net.tcp_counters.resets_sent += u64::from(header.flags.rst());
    let frame = build(header, Body::new(), u32::MAX, (src, dst), &route, manner.keys);
    let out = IpOut {
        src,
        dst,
        protocol: protocol::TCP,
        hop_limit: manner.hop_limit,
        tos: manner.tos,
        flow_label: manner.flow_label,
        dont_fragment: true,
        options: manner.options.unwrap_or(&Ipv4Options::NONE),
    };
    net.send(now, &out, &route, frame);
}

/// The answer to a segment that belongs to no connection: §3.10.7.1.
pub(crate) fn reply(now: Instant, net: &mut Net, tuple: &FourTuple, seg: &Segment, keys: Option<&SignatureKeys>) {
    if seg.flags.rst() {
        return;
    }
    let (seq, ack) = match seg.ack {
        Some(ack) => (ack, None),
        None => (SeqNum(0), Some(seg.end())),
    };
    let header = TcpHeader {
        source_port: tuple.local_port,
        destination_port: tuple.remote_port,
        seq,
        ack,
        flags: TcpFlags::RST,
        ..TcpHeader::default()
    };
    let manner = Manner {
        keys,
        options: seg.ip_options.as_deref(),
        ..Manner::default()
    };
    send(now, net, tuple, &header, &manner);
}

/// The RST that ends a connection, made before its record forgets what stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    tuple: FourTuple,
    seq: SeqNum,
    ack: SeqNum,
    window: u16,
    timestamps: Option<Timestamps>,
    config: Arc<TcpConfig>,
}

impl Farewell {
    pub(crate) fn new(connection: &Connection, now: Instant) -> Self {
        let echo = connection.timestamps.recent;
        let timestamps = connection.flags.timestamps_on().then(|| Timestamps {
            value: connection.timestamp(now),
            echo,
        });
        Self {
            tuple: connection.tuple,
            seq: connection.snd.nxt,
            ack: connection.rcv.nxt,
            // It means nothing any more; Linux has it, too.
            window: (connection.rcv.window.remaining(connection.rcv.nxt) >> connection.rcv_scale).min(0xffff) as u16,
            timestamps,
            config: connection.config.clone(),
        }
    }

    /// Tells the peer that the connection is gone: `<SEQ=SND.NXT><CTL=RST>`, with an ACK as all stacks send it, and with
    /// timestamps, as RFC 7323 §3.2 recommends.
    pub(crate) fn send(self, now: Instant, net: &mut Net) {
        let mut header = TcpHeader {
            source_port: self.tuple.local_port,
            destination_port: self.tuple.remote_port,
            seq: self.seq,
            ack: Some(self.ack),
            flags: TcpFlags::RST,
            window: self.window,
            ..TcpHeader::default()
        };
        header.options.timestamps = self.timestamps;
        let manner = Manner {
            options: Some(&self.config.ip_options_of(&self.tuple)),
            ..Manner::of(&self.config, &self.tuple)
        };
        send(now, net, &self.tuple, &header, &manner);
    }
}
