//! What few connections ever have: an urgent octet, a duplicate to report, Fast Open, counters of trouble. It hangs off
//! the record in one box, so that an idle connection that never had any of it pays eight octets for all.

use alloc::boxed::Box;
use core::time::Duration;

use prise_wire::{SackBlock, SeqNum};

use super::acc_ecn::AccEcnState;
use super::connection::{Connection, Stamp};
use super::fast_open::FastOpen;
use super::paws::Overtaken;
use super::plpmtud::Search;
use super::receive::kernel::KernelBuffer;
use super::send::kernel::KernelSendBuffer;
use super::send::stamps::Stamps;
use super::trouble::Troubles;

/// The urgent octet of the peer, RFC 6093.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrgentOctet {
    /// Announced, not arrived.
    Awaited,
    /// Arrived, to be read with `MSG_OOB`.
    Here(u8),
    /// Read, or left in the stream.
    Read,
}

/// Where the peer's urgent octet is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Urgent {
    pub(crate) at: SeqNum,
    pub(crate) octet: UrgentOctet,
}

/// The rarely needed part of a connection.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) urgent: Option<Urgent>,
    /// The duplicate to report in the next SACK option (RFC 2883).
    pub(crate) duplicate: Option<SackBlock>,
    pub(crate) fast_open: FastOpen,
    pub(crate) troubles: Troubles,
    pub(crate) acc_ecn: Option<Box<AccEcnState>>,
    /// The search for the size that the path takes (RFC 4821).
    pub(crate) search: Option<Box<Search>>,
    /// What a router said of the path and nobody believes yet (RFC 5927 §7.2).
    pub(crate) doubted_mtu: Option<(u32, SeqNum)>,
    /// The receive buffer by Linux's account, where that is the rule.
    pub(crate) kernel: Option<Box<KernelBuffer>>,
    /// The send buffer likewise.
    pub(crate) kernel_send: Option<Box<KernelSendBuffer>>,
    /// What TS.Recent was a little while ago, once holes were filled out of order.
    pub(crate) overtaken: Option<Overtaken>,
    /// Since when something has been unacknowledged, where that may be longer than 71 minutes.
    pub(crate) long_trouble_since: Option<Stamp>,
    /// `REMOTE_UTO`: what the peer has said of its user timeout (RFC 5482).
    pub(crate) remote_timeout: Option<Duration>,
    /// When octets left and were acknowledged, for a program that asks.
    pub(crate) stamps: Option<Box<Stamps>>,
}

impl Connection {
    /// The rare part, made if need be.
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(Rare::default()))
    }

    /// The peer's urgent octet, if one is announced and not passed.
    pub(crate) fn urgent(&self) -> Option<&Urgent> {
        self.rare.as_ref()?.urgent.as_ref()
    }

    pub(crate) fn urgent_mut(&mut self) -> Option<&mut Urgent> {
        self.rare.as_mut()?.urgent.as_mut()
    }

    /// Reports a duplicate in the next acknowledgment, if the peer understands that.
    pub(crate) fn report_duplicate(&mut self, block: SackBlock) {
        if self.flags.sack_on() {
            self.rare().duplicate = Some(block);
            if let Some(state) = self.acc_ecn_mut() {
                state.suspect_option(block.left);
            }
        }
    }

    pub(crate) fn has_duplicate_to_report(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.duplicate.is_some())
    }
}
