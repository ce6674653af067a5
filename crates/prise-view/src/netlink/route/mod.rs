//! `NETLINK_ROUTE` (`rtnetlink(7)`): links, addresses, routes, neighbors, rules and settings, to be read.

mod address;
mod link;
mod neighbor;
pub(crate) mod path;
mod rule;
mod settings;
mod way;

use super::message::{DUMP, DUMP_FILTERED, Request};
use super::socket::Answer;
use crate::View;
use crate::octets::u8_at;
use crate::view::Who;
use alloc::vec::Vec;
use prise_socket::Errno;

/// `RTM_BASE`, `RTM_MAX`.
const KIND_MIN: u16 = 16;
const KIND_MAX: u16 = 123;

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOR: u16 = 28;
const GET_NEIGHBOR: u16 = 30;
const NEW_RULE: u16 = 32;
const GET_RULE: u16 = 34;
const NEW_QUEUEING: u16 = 36;
const GET_QUEUEING: u16 = 38;
const NEW_LABEL: u16 = 72;
const GET_LABEL: u16 = 74;
const NEW_SETTINGS: u16 = 80;
const GET_SETTINGS: u16 = 82;

/// What else can be listed, of which there is nothing here: classes, filters, actions, anycast and
/// multicast addresses, neighbor tables, name spaces, bridges, statistics, chains, next hops, tunnels …
const EMPTY_LISTS: [u16; 13] = [42, 46, 50, 58, 62, 66, 86, 90, 94, 102, 106, 114, 122];

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `RT_TABLE_MAIN`, `RT_TABLE_LOCAL` (linux/rtnetlink.h).
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
/// `RTPROT_KERNEL`, `RTPROT_BOOT`.
const BY_KERNEL: u8 = 2;
const BY_BOOT: u8 = 3;
/// `RT_SCOPE_UNIVERSE`, `RT_SCOPE_LINK`, `RT_SCOPE_HOST`.
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

/// To whom an answer goes, and what it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) sequence: u32,
    pub(super) port: u32,
    /// `NLM_F_MULTI` in lists, else none.
    pub(super) flags: u16,
}

impl Reply {
    /// A list says of itself when it was reduced to a part (`NLM_F_DUMP_FILTERED`).
    fn filtered(self, reduced: bool) -> Self {
        let flags = self.flags | if reduced { DUMP_FILTERED } else { 0 };
        Self { flags, ..self }
    }
}

/// What a list is asked to be reduced to: by a program that has asked to be taken at its word (`NETLINK_GET_STRICT_CHK`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing<'a> {
    pub(super) request: Request<'a>,
    pub(super) strict: bool,
}

impl Listing<'_> {
    /// The family that is asked for, which is the first octet of every request.
    fn family(&self) -> u8 {
        u8_at(self.request.body, 0)
    }

    /// Whether addresses of the family are wanted.
    fn wants(&self, ipv4: bool) -> bool {
        match self.family() {
            AF_INET => ipv4,
            AF_INET6 => !ipv4,
            // AF_UNSPEC is all; for families that have nothing of the kind the kernel falls back to it.
            _ => true,
        }
    }
}

/// Judges one request (`rtnetlink_rcv_msg`).
pub(super) fn answer(view: &mut View<'_>, who: Who<'_>, strict: bool, request: Request<'_>, reply: Reply) -> Answer {
    let kind = request.kind;
    if !(KIND_MIN..=KIND_MAX).contains(&kind) {
        return Answer::Error(Errno::EOPNOTSUPP);
    }
    if request.body.is_empty() {
        return Answer::Nothing;
    }
    // Of each four types the third is asking; the others change something.
    if kind & 3 != 2 {
        return change(view, who, request);
    }
    if request.flags & DUMP != 0 {
        let listing = Listing { request, strict };
        let reply = Reply {
            flags: super::message::MULTI,
            ..reply
        };
        return list(view, listing, reply);
    }
    let one = match kind {
        GET_LINK => link::one(view, request, reply),
        GET_ROUTE => way::one(view, who, request, reply),
        GET_NEIGHBOR => neighbor::one(view, request, reply),
        GET_ADDRESS => address::one(view, request, reply),
        GET_SETTINGS => settings::one(view, request, reply),
        GET_LABEL => settings::one_label(request, reply),
        GET_QUEUEING => {
            return match settings::one_queueing(view, request) {
                Ok(()) => Answer::Nothing,
                Err(errno) => Answer::Error(errno),
            };
        }
        _ => Err(Errno::EOPNOTSUPP),
    };
    match one {
        Ok(message) => Answer::One(message),
        Err(errno) => Answer::Error(errno),
    }
}

fn list(view: &mut View<'_>, listing: Listing<'_>, reply: Reply) -> Answer {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let listed = match listing.request.kind {
        GET_LINK => link::all(view, listing, reply, &mut messages),
        GET_ADDRESS => address::all(view, listing, reply, &mut messages),
        GET_ROUTE => path::all(view, listing, reply, &mut messages),
        GET_NEIGHBOR => neighbor::all(view, listing, reply, &mut messages),
        GET_RULE => {
            rule::all(listing, reply, &mut messages);
            Ok(())
        }
        GET_SETTINGS => {
            settings::all(view, listing, reply, &mut messages);
            Ok(())
        }
        GET_LABEL => {
            settings::labels(listing, reply, &mut messages);
            Ok(())
        }
        GET_QUEUEING => {
            settings::queueing(view, reply, &mut messages);
            Ok(())
        }
        kind if EMPTY_LISTS.contains(&kind) => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    };
    match listed {
        Ok(()) => Answer::List(messages),
        Err(errno) => Answer::Error(errno),
    }
}

/// The network is the run's, not the program's to change. What would change nothing succeeds for who may: scripts in a
/// namespace of their own begin by setting `lo` up.
fn change(view: &View<'_>, who: Who<'_>, request: Request<'_>) -> Answer {
    if !(who.is_admin)() {
        return Answer::Error(Errno::EPERM);
    }
    if matches!(request.kind, NEW_LINK | SET_LINK) && link::is_up_already(view, request) {
        return Answer::Nothing;
    }
    // In a new namespace it would not be there yet, so `NLM_F_EXCL` is no reason to refuse it.
    if request.kind == NEW_ADDRESS && address::is_there_already(view, request) {
        return Answer::Nothing;
    }
    Answer::Error(Errno::EPERM)
}
