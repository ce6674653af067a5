//! ARP (RFC 826) with the conflict rules of RFC 5227 that need no timers of their own.

use super::neighbor::Evidence;
use super::{Discard, Net};
use crate::link::{Link, LinkId};
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use prise_wire::{ArpMessage, ArpOperation, EtherType, EthernetHeader, Frame, Instant, MacAddr};

/// `DEFEND_INTERVAL` (RFC 5227 §1.1): how often we say that an address is ours.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl Net {
    pub(super) fn input_arp(&mut self, now: Instant, link: LinkId, frame: &Frame, at: usize) -> Result<(), Discard> {
        let mut octets = [0; prise_wire::arp::MESSAGE_LEN];
        let len = super::copy_from(frame, at, &mut octets);
        let message = ArpMessage::parse(&octets[..len]).map_err(|_| Discard::ArpMalformed)?;
        let own = self.link(link).and_then(Link::mac).ok_or(Discard::UnknownLink)?;
        let (sender, target) = (message.sender_ip, message.target_ip);
        if !message.sender_mac.is_unicast() || message.sender_mac == own {
            return Err(Discard::ArpMartian);
        }
        if sender.is_multicast() || sender.is_broadcast() || sender.is_loopback() {
            return Err(Discard::ArpMartian);
        }
        if self.addresses.is_local(sender.into()) {
            self.defend(now, link, own, sender);
            return Err(Discard::AddressConflict);
        }
        let for_us = self.answers_for(link, &message);
        if !sender.is_unspecified() {
            let evidence = Evidence {
                mac: Some(message.sender_mac),
                solicited: message.operation == ArpOperation::Reply && message.target_mac == own,
                overrides: true,
                is_router: None,
                creates: for_us,
            };
            self.learn_neighbor(now, link, sender.into(), evidence);
        }
        match message.operation {
            ArpOperation::Request if for_us => {
                self.send_arp(link, message.sender_mac, &message.reply(own));
                Ok(())
            }
            ArpOperation::Request if message.is_gratuitous() => Ok(()),
            ArpOperation::Reply if self.addresses.is_local(target.into()) || message.is_gratuitous() => Ok(()),
            ArpOperation::Request | ArpOperation::Reply => Err(Discard::ArpNotForUs),
        }
    }

    /// Whether a request is to be answered with our own hardware address.
    fn answers_for(&self, link: LinkId, message: &ArpMessage) -> bool {
        let target = message.target_ip;
        if target.is_loopback() || target.is_unspecified() || target.is_multicast() || target.is_broadcast() {
            return false;
        }
        if self.addresses.is_local(target.into()) {
            return true;
        }
        // On a transparent link everything is behind us, except what a peer asks about its own address: probes and
        // announcements (RFC 5227 §2.1), and what we know to be another peer.
        self.link_is_transparent(link)
            && !message.sender_ip.is_unspecified()
            && !message.is_gratuitous()
            && !self.addresses.is_broadcast(link, target.into())
            && !self.neighbors.knows(link, target.into())
    }

    /// Someone else speaks from our address: say that it is ours, seldom enough not to fight (RFC 5227 §2.4 (b)).
    fn defend(&mut self, now: Instant, link: LinkId, own: MacAddr, addr: Ipv4Addr) {
        // At most one entry for each address of ours.
        self.defended
            .retain(|&(_, last)| now.saturating_since(last) < DEFEND_INTERVAL);
        if self.defended.iter().any(|&(defended, _)| defended == addr) {
            return;
        }
        self.defended.push((addr, now));
        self.send_arp(link, MacAddr::BROADCAST, &ArpMessage::request(own, addr, addr));
    }

    /// Asks who has an address: everybody, or in a check only the neighbor itself (RFC 1122 §2.3.2.1 (2)).
    pub(super) fn solicit_v4(&mut self, link: LinkId, target: Ipv4Addr, mac: Option<MacAddr>) {
        let Some(own) = self.link(link).and_then(Link::mac) else {
            return;
        };
        let source = self.addresses.source_for_neighbor(link, target.into());
        let source = match source {
            Some(IpAddr::V4(source)) => source,
            // A link without an address asks as a probe does: whoever has the address answers that too.
            _ => Ipv4Addr::UNSPECIFIED,
        };
        self.send_arp(
            link,
            mac.unwrap_or(MacAddr::BROADCAST),
            &ArpMessage::request(own, source, target),
        );
    }

    fn send_arp(&mut self, link: LinkId, to: MacAddr, message: &ArpMessage) {
        let mut frame = Frame::with_header(message, prise_wire::Body::new());
        frame.push_header(&EthernetHeader::new(message.sender_mac, to, EtherType::ARP));
        self.enqueue(link, frame);
    }
}

const _: () = assert!(prise_wire::arp::MESSAGE_LEN + prise_wire::ethernet::HEADER_LEN <= prise_wire::HEAD_MAX);
