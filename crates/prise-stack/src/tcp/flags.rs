//! What is either so or not with a connection, in 32 bits: as fields of their own these would cost an idle connection a
//! tenth of its record.

use super::tuning::Tuning;

macro_rules! flags {
    ($($(#[doc = $doc:expr])+ $name:ident $set:ident $bit:expr;)*) => {
        /// The flags of one connection.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Flags(u32);

        impl Flags {
            $(
                $(#[doc = $doc])+
                pub(crate) const fn $name(self) -> bool {
                    self.0 & (1 << $bit) != 0
                }

                pub(crate) fn $set(&mut self, value: bool) {
                    self.0 = self.0 & !(1 << $bit) | u32::from(value) << $bit;
                }
            )*
        }
    };
}

flags! {
    /// Both sides scale windows, or we offer to.
    window_scaling set_window_scaling 0;
    /// ECN was negotiated (RFC 3168).
    ecn_on set_ecn_on 1;
    /// A congestion mark arrived and the peer has not confirmed to have heard of it.
    ece_due set_ece_due 2;
    /// Both sides send timestamps, or we offer to.
    timestamps_on set_timestamps_on 3;
    /// Both sides permit selective acknowledgments, or we offer to.
    sack_on set_sack_on 4;
    /// The program closed its sending side; a FIN follows the queue.
    fin_queued set_fin_queued 5;
    /// That FIN was sent.
    fin_sent set_fin_sent 6;
    /// The program closed; the record goes when the connection has ended.
    released set_released 7;
    /// Passive or simultaneous open: our SYN carries an ACK.
    passive set_passive 8;
    /// The program wants to write and found no room.
    write_blocked set_write_blocked 9;
    /// In the ready list of its link.
    listed set_listed 10;
    /// In the queue of events.
    announced set_announced 11;
    /// A keepalive or window probe is to be sent.
    probe_due set_probe_due 12;
    /// The SYN is to be (re)transmitted.
    syn_due set_syn_due 13;
    /// A tail loss probe is to be sent.
    tail_probe_due set_tail_probe_due 14;
    /// The handshake's SYN was retransmitted: no RTT sample, small initial window.
    syn_retransmitted set_syn_retransmitted 15;
    /// Send held octets although they make a small segment: set when `TCP_CORK` or `MSG_MORE` ends or expires.
    push_due set_push_due 16;
    /// `MSG_MORE` was given with the last octets.
    more set_more 17;
    /// A TIME-WAIT record has taken the four-tuple over.
    left_for_time_wait set_left_for_time_wait 18;
    /// The last octets were written with `MSG_MORE`: they are not pushed.
    unpushed set_unpushed 30;
    /// The link that was sent by last splits units of several segments.
    link_splits set_link_splits 31;
    /// Out of the tables; only the program still holds it.
    gone set_gone 19;
    /// The SYN waits for data to take along (RFC 7413).
    syn_deferred set_syn_deferred 20;
    /// Opened by a SYN with a Fast Open cookie: data may flow before the handshake ends.
    early set_early 21;
    /// Accurate ECN was negotiated (RFC 9768).
    acc_ecn set_acc_ecn 22;
    /// An ECN-capable packet has arrived.
    ecn_seen set_ecn_seen 23;
    /// A segment of the size in use was acknowledged.
    full_size_acked set_full_size_acked 25;
    /// The peer is to be told our user timeout (RFC 5482).
    user_timeout_due set_user_timeout_due 26;
    /// Among the orphans of the stack.
    counted_as_orphan set_counted_as_orphan 24;
}

impl Flags {
    /// A new connection offers every option of RFC 7323 and RFC 2018 that the host allows.
    pub(crate) fn of_a_new_connection(tuning: &Tuning) -> Self {
        let mut flags = Self(0);
        flags.set_window_scaling(tuning.window_scaling);
        flags.set_timestamps_on(tuning.timestamps);
        flags.set_sack_on(tuning.sack);
        flags
    }

    /// A tail loss probe was due; it no longer is.
    pub(crate) fn take_tail_probe_due(&mut self) -> bool {
        let due = self.tail_probe_due();
        self.set_tail_probe_due(false);
        due
    }
}
