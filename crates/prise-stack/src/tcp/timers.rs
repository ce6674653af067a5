//! A connection's deadline has come: retransmission, probes, delayed acknowledgment, keepalive.

use prise_wire::Instant;

use super::connection::Connection;
use super::deadlines::{Retransmit, Slow};
use super::error::TcpError;
use super::info::{LossState, State};

/// What the caller still has to do after a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Nothing but to settle.
    Nothing,
    /// Tell the peer by a RST: it would wait otherwise.
    Reset,
}

impl Connection {
    /// Carries out whatever is due.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> Consequence {
        if self.deadlines.delayed_ack <= now {
            self.deadlines.delayed_ack = Instant::FAR_FUTURE;
            let rto = self.rto();
            self.acks.on_delay_over(rto);
        }
        if self.deadlines.retransmit <= now {
            self.deadlines.retransmit = Instant::FAR_FUTURE;
            self.on_retransmit(now);
        }
        if self.deadlines.slow <= now {
            self.deadlines.slow = Instant::FAR_FUTURE;
            return self.on_slow(now);
        }
        Consequence::Nothing
    }

    fn on_retransmit(&mut self, now: Instant) {
        match self.deadlines.retransmit_kind {
            Retransmit::Rto => self.on_timeout(now),
            Retransmit::Probe => self.on_tail_probe(now),
            Retransmit::Reordering => self.on_reordering(now),
            Retransmit::Persist => self.on_persist(now),
            Retransmit::Held => self.on_held(now),
        }
    }

    /// RFC 6298 §5.4–5.7.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        if matches!(self.state, State::SynSent | State::SynReceived) {
            let expired = self.backoff >= self.config.syn_retries || self.user_timeout_passed(now);
            self.suspect_black_hole(expired);
            if expired {
                let error = self.soft_error.unwrap_or(TcpError::TimedOut);
                self.end(Some(error));
                return;
            }
            self.note_timeout(now, self.backoff == 0);
            self.backoff += 1;
            self.statistics.retransmissions += 1;
            self.flags.set_syn_retransmitted(true);
            self.flags.set_syn_due(true);
            return;
        }
        if self.flight_is_empty() {
            return;
        }
        self.note_trouble(now);
        let expired = self.gave_up(now);
        self.suspect_black_hole(expired);
        if expired {
            let error = self.soft_error.unwrap_or(TcpError::TimedOut);
            self.end(Some(error));
            return;
        }
        let size = self.segment_size();
        let nxt = self.snd.nxt;
        let Some(sending) = self.sending.as_deref_mut() else {
            return;
        };
        let in_flight = sending.flight.in_flight();
        let first = sending.recovery.timeouts == 0;
        let fresh = first && sending.recovery.state != LossState::Recovery;
        if fresh {
            let (cwnd, ssthresh) = (self.congestion.cwnd(), self.congestion.ssthresh());
            sending.recovery.remember(cwnd, ssthresh, &sending.flight, size);
        }
        sending.flight.lose_all();
        sending.recovery.enter_loss(nxt, first);
        sending.probe_end = None;
        sending.cwnd_limited = true;
        self.congestion.on_timeout(now, in_flight, size, fresh);
        self.suspect_path_mtu();
        self.note_timeout(now, first);
        self.backoff = if self.is_thin() {
            0
        } else {
            self.backoff.saturating_add(1)
        };
        let rto = self.rto();
        self.arm_timeout(Retransmit::Rto, now, rto);
    }

    /// Whether a timeout is not backed off because the program has asked for that, and so little is out that no network suffers
    /// (`tcp_stream_is_thin`).
    fn is_thin(&self) -> bool {
        const THIN_SEGMENTS: u32 = 4;
        const LINEAR_TIMEOUTS: u8 = 6;
        let Some(sending) = self.sending.as_deref().filter(|_| self.config.thin_linear_timeouts) else {
            return false;
        };
        let segments = sending.flight.outstanding().div_ceil(self.segment_size());
        self.state == State::Established && segments < THIN_SEGMENTS && sending.recovery.timeouts <= LINEAR_TIMEOUTS
    }

    /// RFC 8985 §7.3: new data if there is some and the window lets it, else the last segment again.
    fn on_tail_probe(&mut self, now: Instant) {
        if self.flight_is_empty() {
            return;
        }
        // Nothing is sent beyond a window that has shrunk meanwhile.
        let possible = self.tail_probe().is_some();
        self.flags.set_tail_probe_due(possible);
        // Whatever is sent, the RTO guards it from here (§7.3, last step). Where nothing was, the timeout is that of what
        // has been under way all along, as on Linux: else a long probe timeout and a long RTO would be silent together.
        let (rto, passed) = (self.rto(), self.age_of_oldest(now));
        let wait = if possible { rto } else { rto.saturating_sub(passed) };
        self.arm_timeout(Retransmit::Rto, now, wait);
    }

    /// RFC 8985 §6.3: the reordering window has passed.
    fn on_reordering(&mut self, now: Instant) {
        let around = self.surroundings();
        let nxt = self.snd.nxt;
        let size = around.mss;
        if let Some(sending) = self.sending.as_deref_mut() {
            let (lost, _) = sending.rack.detect(&mut sending.flight, &around, now);
            sending.rate.lost = sending.rate.lost.wrapping_add(lost);
            if lost > 0 && !sending.recovery.in_recovery() {
                sending.enter_if_lost(now, nxt, 0, size, &mut self.congestion);
                if !self.congestion.is_model_based() {
                    sending.reduce_in_proportion(0, false, size, &mut self.congestion);
                }
            }
        }
        self.rearm_retransmit(now, true);
    }

    /// RFC 9293 §3.8.6.1: ask the peer whether its window has opened. Also ends what cork or Nagle held back.
    fn on_persist(&mut self, now: Instant) {
        if !self.has_unsent() || !self.flight_is_empty() {
            return;
        }
        let room = self.snd.wnd.saturating_sub(self.snd.nxt.distance_from(self.snd.una));
        if room > 0 {
            // Something fits, however small: the override timeout of §3.8.6.2.1.
            self.flags.set_push_due(true);
            self.flags.set_unpushed(false);
            if room >= self.unsent().min(self.segment_size()) {
                return;
            }
        }
        self.note_trouble(now);
        if self.gave_up_probing(now) {
            let error = self.soft_error.unwrap_or(TcpError::TimedOut);
            self.end(Some(error));
            return;
        }
        if self.probes_out == 0 && self.config.user_timeout.is_none() {
            // The silence begins with the first probe that has no answer.
            self.begin_trouble(now);
        }
        self.probes_out = self.probes_out.saturating_add(1);
        self.flags.set_probe_due(true);
        self.backoff = self.backoff.saturating_add(1);
        let wait = self.rto();
        self.arm_timeout(Retransmit::Persist, now, wait);
    }

    fn on_slow(&mut self, now: Instant) -> Consequence {
        match self.deadlines.slow_kind {
            Slow::FinWait2 => {
                if self.state == State::FinWait2 {
                    self.end(None);
                }
                Consequence::Nothing
            }
            Slow::Keepalive => self.on_keepalive(now),
        }
    }

    /// RFC 9293 §3.8.4.
    fn on_keepalive(&mut self, now: Instant) -> Consequence {
        let Some(keepalive) = self.config.keepalive else {
            return Consequence::Nothing;
        };
        if !self.is_synchronized() {
            return Consequence::Nothing;
        }
        let silence = self.last_received.age(now).min(self.last_sent.age(now));
        let due = now + keepalive.idle.saturating_sub(silence);
        if !self.flight_is_empty() || self.has_unsent() || (due > now && self.probes_out == 0) {
            // Data is out, or waits for a window that is asked about anyway, or something moved since: the retransmission timer
            // decides, or we look again later.
            self.deadlines
                .arm_slow(Slow::Keepalive, due.max(now + keepalive.interval));
            return Consequence::Nothing;
        }
        let exhausted = match self.user_timeout() {
            Some(limit) => self.probes_out > 0 && self.last_received.age(now) >= limit,
            None => self.probes_out >= keepalive.probes,
        };
        if exhausted {
            let error = self.soft_error.unwrap_or(TcpError::TimedOut);
            self.end(Some(error));
            return Consequence::Reset;
        }
        // With a long user timeout there may be more than can be counted.
        self.probes_out = self.probes_out.saturating_add(1);
        self.flags.set_probe_due(true);
        self.deadlines.arm_slow(Slow::Keepalive, now + keepalive.interval);
        Consequence::Nothing
    }
}
