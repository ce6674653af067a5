//! From a socket's options to what the stack understands.

use alloc::sync::Arc;
use core::time::Duration;

use prise_stack::{CongestionAlgorithm, FastOpenKeys, Keepalive, Linger, PerVersion, TcpConfig};
use prise_wire::Instant;

use crate::option::Opt;
use crate::socket::{Flag, Socket, Transport};
use crate::sysctl::{Key, Sysctls};
use crate::{Family, Host, SocketId};

impl Socket {
    /// The settings of a stream, as its connection or listener has them.
    pub(crate) fn tcp_config(&self, host: &Sysctls) -> TcpConfig {
        let positive = |opt: Opt| Some(self.value(opt)).filter(|value| *value > 0);
        let value = |opt: Opt| self.value_set(opt).unwrap_or_else(|| host.default_of(opt));
        let low_water = host.one(Key::UnsentLowWater) as u32;
        let default = TcpConfig::default();
        let hops = |opt: Opt, default: u8| u8::try_from(self.value(opt)).unwrap_or(default);
        TcpConfig {
            nodelay: self.has(Flag::NoDelay),
            cork: self.has(Flag::Cork),
            keepalive: self.has(Flag::KeepAlive).then(|| Keepalive {
                idle: Duration::from_secs(value(Opt::KeepIdle) as u64),
                interval: Duration::from_secs(value(Opt::KeepInterval) as u64),
                probes: value(Opt::KeepCount) as u8,
            }),
            linger: if self.value(Opt::Linger) == 0 {
                Linger::Reset
            } else {
                Linger::Graceful
            },
            user_timeout: positive(Opt::UserTimeout).map(|millis| Duration::from_millis(millis as u64)),
            max_segment: positive(Opt::MaxSegment).map(|octets| octets as u16),
            // The kernel doubles what it is told, to have room for its own bookkeeping; half of that is octets again.
            receive_buffer: self.value_set(Opt::ReceiveBuffer).map(|octets| (octets / 2) as u32),
            send_buffer: self.value_set(Opt::SendBuffer).map(|octets| (octets / 2) as u32),
            rto_max: Duration::from_millis(value(Opt::RtoMax).max(1) as u64),
            rto_min: Duration::from_micros(value(Opt::RtoMin) as u64),
            delayed_ack_max: Duration::from_micros(value(Opt::DelayedAckMax) as u64),
            syn_retries: value(Opt::SynCount) as u8,
            fin_wait_2: u64::try_from(value(Opt::Linger2)).ok().map(Duration::from_secs),
            unsent_low_water: positive(Opt::NotSentLowWater)
                .map(|octets| octets as u32)
                .or(Some(low_water).filter(|octets| *octets != u32::MAX)),
            max_pacing_rate: self
                .value_set(Opt::PacingRate)
                .filter(|rate| *rate != -1)
                .map(|rate| rate as u64),
            window_clamp: positive(Opt::WindowClamp).map(|octets| octets as u32),
            thin_linear_timeouts: self.has(Flag::ThinLinear),
            defer_accept: self.value(Opt::DeferAccept) as u8,
            oob_inline: self.has(Flag::OobInline),
            report_errors: self.has(Flag::ReceiveErrors) || self.has(Flag::V6ReceiveErrors),
            hop_limit: PerVersion {
                v4: hops(Opt::Ttl, host.one(Key::DefaultTtl) as u8),
                v6: hops(Opt::HopLimit, default.hop_limit.v6),
            },
            ip_options: self.ip_options().map(Arc::new),
            least_hops: PerVersion {
                v4: self.value(Opt::MinTtl) as u8,
                v6: self.value(Opt::MinHopCount) as u8,
            },
            tos: PerVersion {
                v4: self.value(Opt::Tos) as u8,
                v6: self.value(Opt::TrafficClass) as u8,
            },
            flow_label: self.flow_label(self.value(Opt::FlowInfo) as u32),
            ecn: default.ecn,
            listed_mapped: self.family == Family::Inet6,
            tuning: None,
            congestion: self
                .value_set(Opt::Congestion)
                .and_then(|index| CONGESTION.get(index as usize))
                .map(|known| known.1),
            fast_open_queue: self.value(Opt::FastOpenQueue) as u32,
            fast_open_without_cookie: self.has(Flag::FastOpenNoCookie),
            fast_open_keys: self
                .extra
                .as_ref()
                .and_then(|extra| FastOpenKeys::new(&extra.fast_open_key)),
            signature_keys: self.extra.as_ref().and_then(|extra| extra.signature_keys.clone()),
        }
    }
}

/// The congestion controls by their names (`TCP_CONGESTION`); the first is the default.
pub(crate) const CONGESTION: &[(&str, CongestionAlgorithm)] = &[
    ("cubic", CongestionAlgorithm::Cubic),
    ("reno", CongestionAlgorithm::NewReno),
    ("bbr", CongestionAlgorithm::Bbr),
];

impl Host {
    /// Hands what the administrator has decided meanwhile to the sockets that there are: a `sysctl` of Linux, too, is looked at when
    /// something happens and not when a socket is made.
    pub fn reconfigure_all(&mut self, now: Instant) {
        let all: alloc::vec::Vec<SocketId> = self.sockets.ids().collect();
        for s in all {
            self.reconfigure(now, s);
        }
    }

    /// Hands a socket's settings to the stack, after one of them was changed.
    pub(crate) fn reconfigure(&mut self, now: Instant, s: SocketId) {
        let Some(socket) = self.sockets.get(s) else { return };
        match socket.transport {
            Transport::Connection(id) => {
                let config = self.tcp_config(socket);
                if self.stack.tcp_config(id).is_some_and(|have| *have != config) {
                    self.stack.tcp_set_config(now, id, config);
                }
            }
            Transport::Listener(id) => {
                let config = self.tcp_config(socket);
                if self.stack.tcp_listener_config(id).is_some_and(|have| *have != config) {
                    self.stack.tcp_set_listener_config(id, config);
                }
            }
            Transport::Udp(_) | Transport::Ping(_) | Transport::Raw(_) => self.reconfigure_datagram(s),
            Transport::None | Transport::Elsewhere => {}
        }
    }
}
