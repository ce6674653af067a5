//! Losses that come in bursts: the model of Gilbert (1960), as `loss gemodel` of netem(8) with everything lost in the
//! bad state.
//!
//! Each packet finds the line good or bad. A bad line loses every packet; with each it becomes good again with the
//! probability `1 / length`, so that bursts have this length on average. How often a good line becomes bad follows from
//! the share of all packets that is to be lost. One deviation from netem(8): time heals as well, or a lone
//! retransmission in each second would find the line bad for minutes. Each [`IDLE_STEP`] of silence counts as a packet.

use super::config::{BurstLoss, Probability};
use super::random::Random;
use prise_wire::time::{Duration, Instant};

/// Silence that counts as a packet: longer than what separates packets of a flow, shorter than a retransmission timeout.
const IDLE_STEP: Duration = Duration::from_millis(100);

/// Whether the line is bad.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Burst {
    bad: bool,
    last: Option<Instant>,
}

impl Burst {
    /// Whether this packet is lost. Draws one number whatever the state.
    pub(super) fn strikes(&mut self, config: BurstLoss, now: Instant, chance: &mut Random) -> bool {
        let silence = self.last.map_or(Duration::ZERO, |last| now.saturating_since(last));
        self.last = Some(now);
        let share = config.share.share();
        if share <= 0.0 || share >= 1.0 {
            self.bad = Probability::ALWAYS == config.share;
            let _ = chance.next();
            return self.bad;
        }
        let ends = 1.0 / f64::from(config.length.get());
        let begins = (share * ends / (1.0 - share)).min(1.0);
        // So many steps of a chain of two states at once: what is left of the difference to its balance.
        let steps = (silence.as_millis() / IDLE_STEP.as_millis()).clamp(1, 1000) as i32;
        let memory = (1.0 - begins - ends).powi(steps);
        let bad_now = share + (f64::from(u8::from(self.bad)) - share) * memory;
        self.bad = Probability::new(bad_now.clamp(0.0, 1.0)).is_some_and(|bad| bad.happens(chance));
        self.bad
    }
}
