//! Resets, and other segments sent without a connection's queue (RFC 9293 §3.5.2, §3.10.7.1).

use core::net::IpAddr;

use prise_wire::{Body, Instant, SeqNum, TcpFlags, TcpHeader, protocol};

use super::segment::Segment;
use super::send::output::build;
use super::tuple::FourTuple;
use crate::net::{IpOut, Net};

/// Sends a lone segment; unroutable ones are dropped, as the network would.
pub(crate) fn send(now: Instant, net: &mut Net, tuple: &FourTuple, header: &TcpHeader, tos: u8) {
    let (src, dst): (IpAddr, IpAddr) = (tuple.local_ip(), tuple.remote_ip());
    let Ok(route) = net.route(dst, Some(src), None) else {
        return;
    };
    let frame = build(header, Body::new(), u32::MAX, (src, dst), &route);
    let out = IpOut {
        src,
        dst,
        protocol: protocol::TCP,
        hop_limit: 64,
        tos,
        dont_fragment: true,
    };
    net.send(now, &out, &route, frame);
}

/// The answer to a segment that belongs to no connection: §3.10.7.1.
pub(crate) fn reply(now: Instant, net: &mut Net, tuple: &FourTuple, seg: &Segment) {
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
    send(now, net, tuple, &header, 0);
}

/// Tells the peer that a connection is gone: `<SEQ=SND.NXT><CTL=RST>`, with an ACK as all stacks send it.
pub(crate) fn abort(now: Instant, net: &mut Net, tuple: &FourTuple, seq: SeqNum, ack: SeqNum) {
    let header = TcpHeader {
        source_port: tuple.local_port,
        destination_port: tuple.remote_port,
        seq,
        ack: Some(ack),
        flags: TcpFlags::RST,
        ..TcpHeader::default()
    };
    send(now, net, tuple, &header, 0);
}
