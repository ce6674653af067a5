//! When to acknowledge: RFC 9293 §3.8.6.3 and RFC 5681 §4.2, with Linux's measures. Quick acknowledgments help a sender start; after them
//! an acknowledgment waits for data to ride on, for about as long as the next segment takes to come (`ato`), or until the program has
//! read everything of a sender that seems to wait (`__tcp_cleanup_rbuf`). Called by `arrival`, `output`, the timers and the program's reads.

use core::time::Duration;

use prise_wire::Instant;

use crate::tcp::MSS_MIN;
use crate::tcp::connection::{Connection, Stamp};
use crate::tcp::info::State;
use crate::tcp::segment::Segment;

/// An ACK is delayed for so long at first, and at least where segments come at a distance (Linux's `TCP_ATO_MIN`; RFC 9293 allows 500).
const DELAY_MIN: u16 = 40;
/// `TCP_MAX_QUICKACKS`.
const QUICK_MAX: u32 = 16;
/// What a peer's segments are taken for before any has come (`TCP_MSS_DEFAULT`).
pub(crate) const PEER_SEGMENT: u16 = 536;

/// The schedule of one connection.
#[derive(Debug)]
pub(crate) struct AckSchedule {
    /// An acknowledgment goes out at the next opportunity.
    pub(crate) now: bool,
    /// Acknowledgments still sent at once, so that the peer's window opens quickly.
    pub(crate) quick: u8,
    /// The program answers what it receives: its data will carry the acknowledgment (`pingpong`).
    pub(crate) interactive: bool,
    /// Since the last acknowledgment the peer has said so often that it has nothing more to send, by PSH or by a segment that is not
    /// full; twice at most (`ICSK_ACK_PUSHED`, `ICSK_ACK_PUSHED2`).
    pushes: u8,
    /// The size of the peer's segments, as seen (`rcv_mss`), …
    peer_mss: u16,
    /// … and that of the last one that was smaller: two alike are believed (`last_seg_size`).
    smaller: u16,
    /// The distance at which segments come, in milliseconds; 0 before any has (`ato`).
    ato: u16,
}

/// What `TCP_QUICKACK` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuickAck {
    /// Acknowledgments wait for data to ride on: the option's 0.
    Off,
    /// As `On` for one that is owed, after which they wait; as `On` where none is: even values.
    Once,
    /// Acknowledgments wait for nothing, and one that is owed goes out if the program has read everything: odd values.
    On,
}

impl From<i32> for QuickAck {
    fn from(value: i32) -> Self {
        match value {
            0 => Self::Off,
            odd if odd & 1 != 0 => Self::On,
            _ => Self::Once,
        }
    }
}

/// What a segment tells of its sender.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Its octets, and its options beyond those that every segment has.
    octets: u32,
    extra: u32,
    /// The header of every segment.
    header: u32,
    pushed: bool,
    /// It may end something, and need not be full (`TCP_REMNANT`).
    remnant: bool,
}

impl AckSchedule {
    pub(crate) fn new() -> Self {
        Self {
            now: false,
            quick: 0,
            interactive: false,
            pushes: 0,
            peer_mss: PEER_SEGMENT,
            smaller: 0,
            ato: 0,
        }
    }

    /// The handshake has told how large segments may be (`tcp_initialize_rcv_mss`).
    pub(crate) fn expect_segments_of(&mut self, mss: u16) {
        self.peer_mss = mss.clamp(MSS_MIN, PEER_SEGMENT);
    }

    pub(crate) fn peer_mss(&self) -> u32 {
        self.peer_mss.into()
    }

    pub(crate) fn ato(&self) -> Duration {
        Duration::from_millis(self.ato.into())
    }

    /// Whether the first text has come: before, nobody knows of an exchange.
    fn has_begun(&self) -> bool {
        self.ato != 0
    }

    /// `tcp_measure_rcv_mss`.
    fn measure(&mut self, seen: Seen, offered: u16) {
        let before = core::mem::take(&mut self.smaller);
        if seen.octets >= self.peer_mss() {
            self.peer_mss = seen.octets.min(offered.into()) as u16;
            self.pushes = self.pushes.max(u8::from(seen.pushed));
            return;
        }
        let total = seen.header + seen.extra + seen.octets;
        // Without PSH a segment is full, however small the peer's link.
        let full = total >= u32::from(PEER_SEGMENT) + 20 || total >= u32::from(MSS_MIN) + 20 && !seen.remnant;
        if full {
            self.smaller = (seen.octets + seen.extra).min(offered.into()) as u16;
            if self.smaller == before {
                self.peer_mss = self.smaller;
                return;
            }
        }
        self.pushes = (self.pushes + 1).min(2);
    }

    /// The next ones are acknowledged at once, as many as a slow start that fills `window` gets by (`tcp_incr_quickack`).
    fn quicken(&mut self, window: u32) {
        let count = (window / (2 * self.peer_mss())).clamp(2, QUICK_MAX);
        self.quick = self.quick.max(count as u8);
    }

    /// Something came in vain: the peer seems not to hear of what arrives (`tcp_enter_quickack_mode`).
    fn enter_quick(&mut self, window: u32) {
        self.quicken(window);
        self.interactive = false;
        self.ato = DELAY_MIN;
    }

    /// Text has come in order, so long after the one before (`tcp_event_data_recv`).
    fn on_text(&mut self, distance: Duration, rto: Duration, window: u32) {
        if !self.has_begun() {
            self.quicken(window);
            self.ato = DELAY_MIN;
            return;
        }
        let millis = bounded(distance);
        if millis <= DELAY_MIN / 2 {
            self.ato = self.ato / 2 + DELAY_MIN / 2;
        } else if millis < self.ato {
            self.ato = (self.ato / 2).saturating_add(millis).min(bounded(rto));
        } else if distance > rto {
            // So long a gap, and the peer starts anew.
            self.quicken(window);
        }
    }

    /// How long to wait for data to ride on (`tcp_send_delayed_ack`).
    fn delay(&self, srtt: Duration, most: Duration) -> Duration {
        let mut wait = self.ato;
        if wait > DELAY_MIN && !srtt.is_zero() {
            wait = wait.min(bounded(srtt).max(DELAY_MIN));
        }
        Duration::from_millis(wait.into()).min(most)
    }

    /// The delay is over, and nothing has carried the acknowledgment (`tcp_delack_timer_handler`).
    pub(crate) fn on_delay_over(&mut self, rto: Duration) {
        self.now = true;
        if self.interactive {
            // The program did not answer in time: not an exchange after all.
            self.interactive = false;
            self.ato = DELAY_MIN;
        } else {
            self.ato = self.ato.saturating_mul(2).min(bounded(rto));
        }
    }

    /// Whether a read, which has `drained` the queue or not, brings out what is owed: more than a segment that no second one brought
    /// out, or all that the peer has pushed, for which it may be waiting (`__tcp_cleanup_rbuf`).
    fn is_due_after_read(&self, owed: u32, drained: bool) -> bool {
        let waits = self.pushes > 1 || self.pushes == 1 && !self.interactive;
        owed > self.peer_mss() || owed > 0 && drained && waits
    }

    /// An acknowledgment is on its way; one that was `awaited`, or just another segment that carries it.
    fn on_sent(&mut self, awaited: bool) {
        if awaited && self.quick > 0 {
            self.quick -= 1;
            if self.quick == 0 {
                self.ato = DELAY_MIN;
            }
        }
        self.now = false;
        self.pushes = 0;
    }
}

fn bounded(time: Duration) -> u16 {
    u16::try_from(time.as_millis()).unwrap_or(u16::MAX)
}

impl Connection {
    /// What has come since the last acknowledgment left.
    pub(crate) fn owed(&self) -> u32 {
        self.rcv.nxt.distance_from(self.timestamps.last_ack_sent)
    }

    /// The segment's text is looked at for what it says of its sender.
    pub(crate) fn measure_text(&mut self, seg: &Segment, octets: u32) {
        let options = if self.flags.timestamps_on() { 12 } else { 0 } + self.signature_room();
        let blocks = seg.options.sack.len() as u32;
        let seen = Seen {
            octets,
            extra: if blocks > 0 { 4 + 8 * blocks } else { 0 },
            header: 20 + options,
            pushed: seg.flags.psh(),
            remnant: seg.flags.psh() || seg.flags.fin() || seg.flags.urg(),
        };
        self.acks.measure(seen, self.advertised_mss);
    }

    /// Text has come in order, before which `window` was open.
    pub(crate) fn note_text(&mut self, now: Instant, window: u32) {
        let distance = self.last_data.age(now);
        self.acks.on_text(distance, self.rto(), window);
        self.last_data = Stamp::at(now);
    }

    /// Something came in vain.
    pub(crate) fn acknowledge_quickly(&mut self) {
        let window = self.rcv.window.remaining(self.rcv.nxt);
        self.acks.enter_quick(window);
        self.acks.now = true;
    }

    /// The handshake's last acknowledgment is sent at once, unless the program is about to write, as it has said by `TCP_QUICKACK` or by a
    /// write that waits: then the data carry it (`tcp_rcv_synsent_state_process`).
    pub(crate) fn acknowledge_syn_ack(&mut self, now: Instant) {
        /// `TCP_DELACK_MAX`.
        const PATIENCE: Duration = Duration::from_millis(200);
        if self.acks.interactive {
            let window = self.rcv.window.remaining(self.rcv.nxt);
            self.acks.enter_quick(window);
            self.deadlines.delayed_ack = now + PATIENCE;
        } else {
            self.acks.now = true;
        }
    }

    /// RFC 9293 §3.8.6.3: at least every second full segment at once, the rest within the delay.
    pub(crate) fn schedule_ack(&mut self, filled: bool, now: Instant) {
        let holes = self.receiving.as_ref().is_some_and(|receiving| receiving.has_holes());
        let full = self.owed() > self.acks.peer_mss() && self.is_worth_acknowledging();
        let quick = self.acks.quick > 0 && !self.acks.interactive;
        if filled || holes || quick || full {
            self.acks.now = true;
        } else {
            self.delay_ack(now);
        }
    }

    fn delay_ack(&mut self, now: Instant) {
        let wait = self.acks.delay(self.rtt.srtt(), self.config.delayed_ack_limit());
        let deadline = self.deadlines.delayed_ack;
        if deadline != Instant::FAR_FUTURE && deadline <= now + wait / 4 {
            // It would be over soon.
            self.acks.now = true;
        } else {
            self.deadlines.delayed_ack = deadline.min(now + wait);
        }
    }

    /// A FIN is acknowledged within the delay like data, for the program is about to say something itself, at the least its own FIN.
    /// Where no data have come at all nobody knows of an exchange, and it is at once (`tcp_fin`, with `icsk_ack.ato` of zero).
    pub(crate) fn acknowledge_fin(&mut self, seg: &Segment) {
        let first = matches!(self.state, State::SynReceived | State::Established);
        self.acks.interactive |= first;
        let full = self.owed() > self.acks.peer_mss();
        if !first || full || self.acks.now || !self.acks.has_begun() {
            self.acks.now = true;
        } else {
            self.delay_ack(seg.at);
        }
    }

    /// The acknowledgment is on its way.
    pub(crate) fn acknowledged(&mut self) {
        let delayed = self.deadlines.delayed_ack != Instant::FAR_FUTURE;
        let awaited = delayed || self.acks.now || self.owed() > 0;
        self.acks.on_sent(awaited);
        self.deadlines.delayed_ack = Instant::FAR_FUTURE;
        self.timestamps.last_ack_sent = self.rcv.nxt;
    }

    /// The program has read; `opens` if the peer should hear of the room.
    pub(crate) fn acknowledge_read(&mut self, opens: bool) {
        let drained = self.receiving.as_ref().is_none_or(|receiving| receiving.is_empty());
        self.acks.now |= self.acks.is_due_after_read(self.owed(), drained) || opens && self.may_receive();
    }

    /// `TCP_QUICKACK` (`__tcp_sock_set_quickack`): what is owed goes out if the program has read everything.
    pub(crate) fn set_quick_ack(&mut self, asked: QuickAck) {
        self.acks.interactive = asked == QuickAck::Off;
        if asked != QuickAck::Off && self.owed() > 0 && matches!(self.state, State::Established | State::CloseWait) {
            self.acks.pushes = self.acks.pushes.max(1);
            self.acknowledge_read(false);
            self.acks.interactive = asked == QuickAck::Once;
        }
    }

    /// Data of ours leave: soon after data came they carry the acknowledgment, and it is an exchange, not a transfer.
    pub(crate) fn note_answer(&mut self, now: Instant) {
        self.acks.interactive |= self.last_data.age(now) < self.acks.ato();
    }
}

#[cfg(test)]
mod tests {
    use prise_wire::Payload;

    use super::*;
    use crate::tcp::TcpConfig;
    use crate::tcp::tests::World;

    /// How many segments went each way, and how long it took, until a program that reads what is there had so many octets of one that
    /// writes while there is room.
    fn transfer(octets: usize, mtu: u32, send_buffer: Option<u32>) -> ([usize; 2], Duration) {
        let mut world = World::with_links(5, mtu, 60_000);
        let (client, server) = world.connect();
        let config = TcpConfig {
            send_buffer,
            ..TcpConfig::default()
        };
        world.stacks[0].tcp_set_config(world.now, client, config);
        world.log.clear();
        let begin = world.now;
        let mut unread = octets;
        let mut unsent = Payload::from(alloc::vec![7; octets]);
        for _ in 0..20_000 {
            // A full queue is what is wanted.
            let _ = world.stacks[0].tcp_send(world.now, client, &mut unsent, false, false);
            while let Ok(piece) = world.stacks[1].tcp_receive(world.now, server, usize::MAX) {
                unread -= piece.len();
            }
            if unread == 0 {
                break;
            }
            world.run_for(Duration::from_millis(1));
        }
        assert_eq!(unread, 0, "all of it came");
        let sent_by = |side| world.log.iter().filter(|(of, ..)| *of == side).count();
        ([sent_by(0), sent_by(1)], world.now.saturating_since(begin))
    }

    #[test]
    fn a_send_buffer_below_two_segments_waits_for_no_delayed_acknowledgment() {
        let ([data, acks], time) = transfer(400_000, 65_535, Some(4000));
        // The last one has not left yet.
        assert_eq!((data, acks), (100, 99));
        // A round trip of 20 ms each, and the wait for the clock of this test.
        assert!(time < Duration::from_millis(100 * 22), "{time:?}");
    }

    #[test]
    fn a_transfer_in_bulk_has_no_more_acknowledgments_for_what_was_pushed() {
        let ([_, acks], _) = transfer(4_000_000, 1500, None);
        assert!(acks < 200, "{acks}");
    }

    #[test]
    fn an_end_that_is_sent_is_no_answer_and_what_comes_after_it_is_acknowledged_at_once() {
        let mut world = World::new(5);
        let (client, server) = world.connect();
        let write = |world: &mut World, octets| {
            let mut text = Payload::from(alloc::vec![7; octets]);
            let _written = world.stacks[0].tcp_send(world.now, client, &mut text, false, false);
        };
        write(&mut world, 10);
        world.run_for(Duration::from_millis(15));
        world.stacks[1].tcp_shutdown_write(world.now, server);
        world.run_for(Duration::from_millis(20));
        world.log.clear();
        write(&mut world, 100);
        world.run_for(Duration::from_millis(15));
        let sent_by = |side| world.log.iter().filter(|(of, ..)| *of == side).count();
        assert_eq!([sent_by(0), sent_by(1)], [1, 1], "sooner than a delayed acknowledgment");
    }
}
