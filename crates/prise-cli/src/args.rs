//! The command line: names are fixed by the product, text becomes typed values here and is never looked at again.

use core::num::{NonZeroU32, NonZeroU64};
use core::time::Duration;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use prise_run::config::{
    BurstLoss, CongestionAlgorithm, Decision, ImpairmentConfig, InterfaceAddress, LinkChoice, Policy, Probability,
    Publish, Rule, RunConfig, Sysctls,
};

use crate::log::Level;
use crate::values;

/// A user-space TCP/IP stack under unmodified programs.
#[derive(Debug, Parser)]
#[command(
    name = "prise",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program on prise's sockets
    Run(Box<Run>),
    /// List the sockets of every running prise of this user
    Ss(Ss),
    /// Say what this machine lets prise do, and what to do where it does not
    Doctor,
    /// Everything else: a tool that does not exist yet, or a word that never will.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Debug, Args)]
#[command(override_usage = "prise run [OPTIONS] -- PROGRAM [ARGS]...")]
pub(crate) struct Run {
    /// The program, and after it everything is its own
    #[arg(value_name = "PROGRAM [ARGS]", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
    /// Lead a port of the host, or a range (8000-8010), to the program; without ADDR only this machine reaches it. Repeatable
    #[arg(short, long, value_name = "[ADDR:]PORT[:GUEST_PORT][/udp]", value_parser = values::publish)]
    publish: Vec<values::Published>,
    /// Where packets leave: host (through its own sockets), none, or tun:NAME (a device of the host)
    #[arg(long, value_name = "LINK", default_value = "host", value_parser = values::link)]
    link: LinkChoice,
    /// Write every packet to a pcapng file
    #[arg(long, value_name = "FILE", value_parser = values::capture_file)]
    capture: Option<PathBuf>,
    /// Carry every connection by prise's own TCP, also where nobody needs its packets: between two processes of the run, out of
    /// it and into it
    #[arg(long)]
    no_join: bool,
    /// Load the program with nothing of prise's: each connect(2) and accept(2) is judged then, also where nobody has to be asked
    #[arg(long)]
    no_preload: bool,
    /// Leave /proc/net, /proc/sys/net and /sys/class/net the host's: opening a file then costs what it costs without prise
    #[arg(long)]
    no_proc_net: bool,
    /// The guest's own address on eth0; once for IPv4, once for IPv6
    #[arg(long, value_name = "ADDR[/PREFIX]", value_parser = values::interface_address)]
    address: Vec<InterfaceAddress>,
    /// The guest's own host name, which leads to its own addresses
    #[arg(long, value_name = "NAME", value_parser = values::hostname)]
    hostname: Option<String>,
    /// Set what Linux's sysctl of that name sets, for the guest's host: net.ipv4.tcp_fastopen=3. Repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::sysctl)]
    sysctl: Vec<values::Setting>,
    /// What connections over a link (eth0 unless said) run where the program does not choose: cubic, reno or bbr. Repeatable
    #[arg(long, value_name = "[LINK=]NAME", value_parser = values::congestion)]
    congestion: Vec<(String, CongestionAlgorithm)>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    impairment: ImpairmentArgs,
    /// Say what prise does, from this level on, on standard error
    #[arg(long, value_name = "LEVEL", value_enum, help_heading = "Debugging")]
    pub(crate) log: Option<Level>,
    /// … or in this file
    #[arg(long, value_name = "FILE", requires = "log", help_heading = "Debugging")]
    pub(crate) log_file: Option<PathBuf>,
    #[command(flatten)]
    later: Later,
}

/// What the program may reach, and the record of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy: the most specific rule decides, in any order")]
struct PolicyArgs {
    /// Let the program reach this name, *.name, address or network (at these ports); the first closes everything else
    #[arg(long, value_name = "HOST[:PORT]", value_parser = values::host)]
    allow: Vec<values::Host>,
    /// Keep the program from it; what is denied by address no allowed name opens
    #[arg(long, value_name = "HOST[:PORT]", value_parser = values::host)]
    deny: Vec<values::Host>,
    /// Add a line of JSON to this file for each connection, lookup, open port and denial
    #[arg(long, value_name = "FILE", value_parser = values::audit_file)]
    audit: Option<PathBuf>,
}

impl PolicyArgs {
    fn policy(allow: Vec<values::Host>, deny: Vec<values::Host>) -> Policy {
        let rules = |decision, hosts: Vec<values::Host>| {
            hosts.into_iter().map(move |(subject, ports)| Rule {
                decision,
                subject,
                ports,
            })
        };
        Policy::new(
            rules(Decision::Allow, allow)
                .chain(rules(Decision::Deny, deny))
                .collect(),
        )
    }
}

/// What happens to the packets on eth0, in each direction.
#[derive(Debug, Args)]
#[command(next_help_heading = "Impairments of eth0, for each packet in each direction")]
struct ImpairmentArgs {
    /// Hold every packet back: 50ms
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    delay: Option<Duration>,
    /// Vary the delay evenly by up to this much, either way: 5ms
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    jitter: Option<Duration>,
    /// Lose packets: 1%
    #[arg(long, value_name = "PERCENT", value_parser = values::probability)]
    loss: Option<Probability>,
    /// Lose packets in bursts, beside --loss: 1%
    #[arg(long, value_name = "PERCENT", value_parser = values::probability)]
    burst_loss: Option<Probability>,
    /// Packets that a burst takes on average: 10
    #[arg(long, value_name = "PACKETS", requires = "burst_loss", value_parser = values::burst_length)]
    burst_length: Option<NonZeroU32>,
    /// Deliver packets twice: 0.1%
    #[arg(long, value_name = "PERCENT", value_parser = values::probability)]
    duplicate: Option<Probability>,
    /// Let packets overtake others: 1%
    #[arg(long, value_name = "PERCENT", value_parser = values::probability)]
    reorder: Option<Probability>,
    /// Have those packets arrive this much late, not early: 3ms
    #[arg(long, value_name = "TIME", requires = "reorder", value_parser = values::duration)]
    reorder_delay: Option<Duration>,
    /// Flip a bit of packets: 0.01%
    #[arg(long, value_name = "PERCENT", value_parser = values::probability)]
    corrupt: Option<Probability>,
    /// Carry no more than this: 100mbit (the units are tc's: bit, kbit, mbit, gbit; bps is octets a second)
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    rate: Option<NonZeroU64>,
    /// Packets that wait for the rate before more are dropped: 100
    #[arg(long, value_name = "PACKETS", requires = "rate", value_parser = values::packets)]
    queue: Option<NonZeroU64>,
    /// Decide as the run with this number did; without it every run draws its own
    #[arg(long, value_name = "NUMBER", value_parser = values::seed)]
    seed: Option<u64>,
}

/// Options whose names are fixed and whose mechanism does not exist yet: known, so that they are refused by name.
#[derive(Debug, Args)]
struct Later {
    #[arg(long, hide = true, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "")]
    ui: Option<String>,
    #[arg(long, hide = true, value_name = "NAME")]
    net: Option<String>,
}

impl Later {
    /// The first of them that was given.
    fn given(&self) -> Option<&'static str> {
        let Self { ui, net } = self;
        let given = [("--ui", ui.is_some()), ("--net", net.is_some())];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Ss {
    /// Print JSON: a list of runs, each with its sockets
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a line for each run instead: its sockets by state, and the memory that its queues hold
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) summary: bool,
}

/// Options that are each right and make no sense together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unavailable(&'static str),
    TwoAddressesOfAFamily,
    /// A port of the host's that would lead to two places, or twice to one.
    PublishedTwice(u16),
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unavailable(option) => {
                write!(f, "{option} is not available in this version of prise; run without it")
            }
            Self::TwoAddressesOfAFamily => {
                f.write_str("eth0 has one address of each family; give --address once for IPv4 and once for IPv6")
            }
            Self::PublishedTwice(port) => write!(
                f,
                "port {port} of the host is published twice, and one address leads to one port; leave one -p out, or name another \
                 port or address"
            ),
        }
    }
}

impl Run {
    /// What the supervisor is to do.
    pub(crate) fn config(self) -> Result<RunConfig, Refusal> {
        if let Some(option) = self.later.given() {
            return Err(Refusal::Unavailable(option));
        }
        let v4 = self.address.iter().filter(|a| a.address().is_ipv4()).count();
        if v4 > 1 || self.address.len() - v4 > 1 {
            return Err(Refusal::TwoAddressesOfAFamily);
        }
        let publish: Vec<Publish> = self.publish.into_iter().flat_map(|published| published.0).collect();
        if let Some(port) = values::published_twice(&publish) {
            return Err(Refusal::PublishedTwice(port));
        }
        let sysctls = settings(&self.sysctl);
        let mut command = self.command.into_iter();
        // clap requires the program; an empty name is refused by exec as any other that is not found.
        let program = command.next().unwrap_or_default();
        Ok(RunConfig {
            program,
            args: command.collect(),
            publish,
            link: self.link,
            policy: PolicyArgs::policy(self.policy.allow, self.policy.deny),
            audit: self.policy.audit,
            impairment: self.impairment.impairment(),
            capture: self.capture,
            addresses: self.address,
            hostname: self.hostname,
            proc_net: !self.no_proc_net,
            join: !self.no_join,
            preload: !self.no_preload,
            sysctls,
            congestion: self.congestion,
        })
    }
}

/// What all of them make together; of two for one name the later one holds.
fn settings(given: &[values::Setting]) -> Sysctls {
    let mut sysctls = Sysctls::default();
    for values::Setting { name, value } in given {
        // Taken once already, when it was parsed.
        let _ = sysctls.set(name, value);
    }
    sysctls
}

impl ImpairmentArgs {
    fn impairment(self) -> ImpairmentConfig {
        let Self {
            delay,
            jitter,
            loss,
            burst_loss,
            burst_length,
            duplicate,
            reorder,
            reorder_delay,
            corrupt,
            rate,
            queue,
            seed,
        } = self;
        let mut burst = BurstLoss {
            share: burst_loss.unwrap_or_default(),
            ..BurstLoss::default()
        };
        burst.length = burst_length.unwrap_or(burst.length);
        ImpairmentConfig {
            delay: delay.unwrap_or_default(),
            jitter: jitter.unwrap_or_default(),
            loss: loss.unwrap_or_default(),
            burst,
            duplicate: duplicate.unwrap_or_default(),
            reorder: reorder.unwrap_or_default(),
            reorder_delay,
            corrupt: corrupt.unwrap_or_default(),
            rate,
            queue,
            seed: seed.unwrap_or_else(draw),
            ..ImpairmentConfig::default()
        }
    }
}

/// A seed that nobody chose: std keys its hash tables with the system's randomness, and so can we.
fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use prise_run::config::{Ports, Subject};

    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        match Cli::try_parse_from(["prise", "run"].iter().chain(arguments))?.command {
            Command::Run(run) => Ok(*run),
            other => panic!("not a run: {other:?}"),
        }
    }

    fn config(arguments: &[&str]) -> Result<RunConfig, Refusal> {
        run(arguments).unwrap().config()
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_program_runs_with_every_default() {
        let mut config = config(&["--", "true"]).unwrap();
        config.impairment.seed = 0;
        assert_eq!(config, RunConfig::new("true"));
    }

    #[test]
    fn every_option_reaches_the_run() {
        let arguments = "-p 8080 --publish [::1]:53:5353/udp --link tun:tun0 --delay 50ms --jitter 5ms --loss 1% \
            --burst-loss 0.3% --burst-length 8 --duplicate 0.1% --reorder 2% --reorder-delay 3ms --corrupt 0.01% --rate 100mbit --queue 100 --seed 7 --capture out.pcapng \
            --address 192.168.7.15/24 --address fd00:7::15 --hostname guest --allow *.example.com:443 \
            --deny 10.0.0.0/8 --audit net.jsonl --no-join --no-preload --no-proc-net --sysctl net.ipv4.tcp_ecn=1 \
            --congestion bbr --sysctl net.ipv4.tcp_ecn=3 --congestion lo=reno -- prog -p 1";
        let arguments: Vec<&str> = arguments.split_ascii_whitespace().collect();
        let share = |share| Probability::new(share).unwrap();
        let expected = RunConfig {
            args: vec!["-p".into(), "1".into()],
            publish: vec![
                values::publish("8080").unwrap(),
                values::publish("[::1]:53:5353/udp").unwrap(),
            ]
            .into_iter()
            .flat_map(|published| published.0)
            .collect(),
            link: LinkChoice::Tun("tun0".into()),
            impairment: ImpairmentConfig {
                delay: Duration::from_millis(50),
                jitter: Duration::from_millis(5),
                loss: share(0.01),
                burst: BurstLoss {
                    share: share(0.003),
                    length: NonZeroU32::new(8).unwrap(),
                },
                duplicate: share(0.001),
                reorder: share(0.02),
                reorder_delay: Some(Duration::from_millis(3)),
                corrupt: share(0.0001),
                rate: NonZeroU64::new(100_000_000),
                queue: NonZeroU64::new(100),
                seed: 7,
                ..ImpairmentConfig::default()
            },
            capture: Some("out.pcapng".into()),
            addresses: vec![
                values::interface_address("192.168.7.15/24").unwrap(),
                values::interface_address("fd00:7::15/64").unwrap(),
            ],
            hostname: Some("guest".into()),
            policy: Policy::new(vec![
                Rule {
                    decision: Decision::Allow,
                    subject: Subject::Beneath("example.com".into()),
                    ports: Ports::ranges(vec![(443, 443)]),
                },
                Rule {
                    decision: Decision::Deny,
                    subject: Subject::Network {
                        address: "10.0.0.0".parse().unwrap(),
                        prefix_len: 8,
                    },
                    ports: Ports::all(),
                },
            ]),
            audit: Some("net.jsonl".into()),
            proc_net: false,
            join: false,
            preload: false,
            sysctls: {
                let mut sysctls = Sysctls::default();
                sysctls.set("net.ipv4.tcp_ecn", "3").unwrap();
                sysctls
            },
            congestion: vec![
                ("eth0".into(), CongestionAlgorithm::Bbr),
                ("lo".into(), CongestionAlgorithm::NewReno),
            ],
            ..RunConfig::new("prog")
        };
        assert_eq!(config(&arguments), Ok(expected));
    }

    #[test]
    fn every_run_draws_its_own_seed_unless_one_is_given() {
        let seed = |arguments: &[&str]| config(arguments).unwrap().impairment.seed;
        assert_ne!(seed(&["--", "true"]), seed(&["--", "true"]));
        assert_eq!(seed(&["--seed", "18446744073709551615", "--", "true"]), u64::MAX);
    }

    #[test]
    fn options_after_the_program_are_the_programs() {
        let config = config(&["curl", "--delay", "never", "-p", "x"]).unwrap();
        assert_eq!(config.program, "curl");
        assert_eq!(config.args, ["--delay", "never", "-p", "x"]);
        assert!(config.impairment.is_none());
    }

    #[test]
    fn the_programs_own_double_dash_stays() {
        assert_eq!(
            config(&["--", "sh", "-c", "x", "--", "y"]).unwrap().args,
            ["-c", "x", "--", "y"]
        );
    }

    #[test]
    fn what_does_not_exist_yet_is_refused_by_name() {
        for (arguments, option) in [
            (&["--ui", "--", "true"][..], "--ui"),
            (&["--ui", "127.0.0.1:8000", "--", "true"], "--ui"),
            (&["--net", "lab", "--", "true"], "--net"),
        ] {
            assert_eq!(config(arguments), Err(Refusal::Unavailable(option)));
        }
    }

    #[test]
    fn combinations_without_meaning_are_refused() {
        let twice = ["--address", "10.0.0.5", "--address", "10.0.0.6", "--", "true"];
        assert_eq!(config(&twice), Err(Refusal::TwoAddressesOfAFamily));
        for (ports, port) in [
            ("-p 8080 -p 8080:80", Some(8080)),
            ("-p 8080 -p 0.0.0.0:8080", Some(8080)),
            ("-p 127.0.0.1:8080 -p 8000-8100:80-180", Some(8080)),
            ("-p [::]:53/udp -p 1.2.3.4:53/udp -p [::1]:53:5353/udp", Some(53)),
            ("-p 8080 -p 8080/udp -p 8081:8080 -p 192.0.2.1:8080", None),
            ("-p 0.0.0.0:8080 -p [::]:8080", None),
        ] {
            let arguments: Vec<&str> = ports.split(' ').chain(["--", "true"]).collect();
            assert_eq!(config(&arguments).err(), port.map(Refusal::PublishedTwice), "{ports}");
        }
        let queue = run(&["--queue", "5", "--", "true"]).unwrap_err();
        assert_eq!(queue.kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn a_program_is_required() {
        assert_eq!(run(&[]).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(
            run(&["-p", "8080", "--"]).unwrap_err().kind(),
            ErrorKind::MissingRequiredArgument
        );
    }
}
