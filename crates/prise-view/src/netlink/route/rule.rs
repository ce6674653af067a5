//! Rules: `RTM_NEWRULE` (`fib_nl_fill_rule`). Those that Linux begins with: the local table, then the main one.

use super::{AF_INET, AF_INET6, Listing, NEW_RULE, Reply, TABLE_LOCAL, TABLE_MAIN};
use crate::netlink::message::Message;
use alloc::vec::Vec;

const PRIORITY: u16 = 6;
const SUPPRESS_PREFIX_LEN: u16 = 14;
const TABLE: u16 = 15;
const ORIGIN: u16 = 21;

/// `RT_TABLE_DEFAULT`: empty.
const TABLE_DEFAULT: u8 = 253;

/// `RTM_GETRULE` with `NLM_F_DUMP`.
pub(super) fn all(listing: Listing<'_>, reply: Reply, messages: &mut Vec<Vec<u8>>) {
    const V4: [(u8, u32); 3] = [(TABLE_LOCAL, 0), (TABLE_MAIN, 32_766), (TABLE_DEFAULT, 32_767)];
    const V6: [(u8, u32); 2] = [(TABLE_LOCAL, 0), (TABLE_MAIN, 32_766)];
    for (family, rules) in [(AF_INET, V4.as_slice()), (AF_INET6, V6.as_slice())] {
        if listing.wants(family == AF_INET) {
            messages.extend(
                rules
                    .iter()
                    .map(|&(table, priority)| message(family, table, priority, reply)),
            );
        }
    }
}

fn message(family: u8, table: u8, priority: u32, reply: Reply) -> Vec<u8> {
    // FR_ACT_TO_TBL.
    let header = [family, 0, 0, 0, table, 0, 0, 1, 0, 0, 0, 0];
    let mut message = Message::new(NEW_RULE, reply.flags, reply.sequence, reply.port).with(&header);
    message.u32(TABLE, table.into());
    message.u32(SUPPRESS_PREFIX_LEN, u32::MAX);
    // RTPROT_KERNEL.
    message.u8(ORIGIN, 2);
    if priority != 0 {
        message.u32(PRIORITY, priority);
    }
    message.finish()
}
