//! A pair of hosts that talk, and a [foe](crate::foe) at another wire of the server, which is its prey: what the pair says to
//! each other must arrive as if the foe were not there, and the server must come to rest.

use crate::foe::FoeConfig;
use crate::prey::Prey;
use crate::random::Random;
use crate::scenario::{CLIENT, SERVER};
use crate::stream::{Agreement, Client, Server};
use crate::world::{Cutting, End, WireConfig, World};
use prise_link::{ImpairmentConfig, Probability};
use prise_stack::{EcnPolicy, FastOpenSettings, MtuProbing, Tuning, UserTimeoutExchange};
use prise_wire::{Instant, Medium};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Everything about it.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Between the pair.
    pub wire: WireConfig,
    /// What the pair does.
    pub agreement: Agreement,
    /// From the prey to the foe, and back.
    pub trail: WireConfig,
    /// What the foe is allowed.
    pub foe: FoeConfig,
    /// When the prey's program closes everything, and how often it does something before.
    pub prey: (Duration, Duration),
    /// The prey's policy of ECN, as a number of `net.ipv4.tcp_ecn`.
    pub ecn: u32,
    /// The prey's policy of Fast Open, as the bits of `net.ipv4.tcp_fastopen`.
    pub fast_open: u32,
    /// How the prey looks for the size that paths take.
    pub probing: MtuProbing,
}

const FOE: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(10, 66, 0, 66),
    Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 0x66),
);
const PREY: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 66, 0, 1), Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 1));

impl Hunt {
    /// A hunt beside a conversation.
    pub(crate) fn draw(random: &mut Random, wire: WireConfig, agreement: Agreement) -> Self {
        let share = |share| Probability::new(share).unwrap_or_default();
        let delay = random.pick(&[0, 100, 1_000, 20_000, 200_000].map(Duration::from_micros));
        let lane = ImpairmentConfig {
            delay,
            loss: share(random.pick(&[0.0, 0.0, 0.05])),
            duplicate: share(random.pick(&[0.0, 0.0, 0.05])),
            reorder: share(random.pick(&[0.0, 0.0, 0.1])),
            reorder_delay: random.pick(&[None, Some(Duration::from_millis(3))]),
            ..ImpairmentConfig::default()
        };
        Self {
            wire,
            agreement,
            trail: WireConfig {
                medium: Medium::Ip,
                mtu: random.pick(&[1280, 1500, 1500, 9000]),
                cutting: random.pick(&[Cutting::Host, Cutting::Link]),
                forth: lane,
                back: lane,
            },
            foe: FoeConfig {
                segments: random.pick(&[10, 30, 100, 300]),
                every: random.pick(&[1, 10, 100, 1_000, 10_000].map(Duration::from_millis)),
                manners: random.pick(&[0.0, 0.3, 0.6, 0.9]),
                resets: random.chance(0.5),
            },
            prey: random.pick(
                &[(1, 20), (10, 100), (60, 1_000), (300, 5_000)]
                    .map(|(until, every)| (Duration::from_secs(until), Duration::from_millis(every))),
            ),
            ecn: random.below(6) as u32,
            fast_open: random.pick(&[0, 1, 2, 3, 3, 0x207, 0x403, 0x603]),
            probing: random.pick(&[MtuProbing::Off, MtuProbing::BlackHoles, MtuProbing::Always]),
        }
    }

    /// Builds it and starts the programs.
    pub(crate) fn build(&self, world: &mut World, random: &Random) {
        let (client, server) = (world.add_host("client"), world.add_host("server"));
        world.connect(&self.wire, [(client, &CLIENT), (server, &SERVER)]);
        let addresses: [(IpAddr, IpAddr); 2] = [(FOE.0.into(), PREY.0.into()), (FOE.1.into(), PREY.1.into())];
        let foe = world.add_foe(self.foe, addresses, random.fork(9));
        let prey = vec![format!("{}/24", PREY.0), format!("{}/64", PREY.1)];
        world.join(&self.trail, [End::Host(server, prey, false), End::Foe(foe)]);
        let host = world.host_mut(server);
        host.set_ecn(EcnPolicy::from_number(self.ecn).unwrap_or_default());
        host.set_fast_open(FastOpenSettings::from_bits(self.fast_open));
        host.set_tuning(Tuning {
            mtu_probing: self.probing,
            user_timeout_option: random.fork(8).chance(0.5).then_some(UserTimeoutExchange::DEFAULT),
            ..Tuning::DEFAULT
        });
        world.spawn(server, Box::new(Server::new(self.agreement.clone(), random.fork(2))));
        world.spawn(client, Box::new(Client::new(self.agreement.clone(), random.fork(3))));
        let (until, every) = self.prey;
        let prey = Prey::new(
            [FOE.0.into(), FOE.1.into()],
            Instant::ZERO + until,
            every,
            random.fork(4),
        );
        world.spawn(server, Box::new(prey));
    }
}
