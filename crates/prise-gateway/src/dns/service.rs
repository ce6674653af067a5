//! From a query to its response: who answers what, and who still waits.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use prise_wire::{Instant, Payload};

use super::forward::{Carrier, Forwards, Outgoing};
use super::message::{self, Answer, AnswerData, CLASS_IN, Query, QueryError, RecordType, ResponseCode};
use super::name::{Name, looks_numeric};
use super::pool::{Ask, Finding, Pool, Resolve, ResolveError};
use crate::learned::Learned;
use crate::policy::{Decision, HOST_NAME, Policy};
use crate::poll::{EventFlags, Poll, Source};
use crate::record::{Fact, LookupAnswer, Records, Transport};
use crate::slots::Key;
use crate::tally::{Discard, Tally};

/// Clients that wait for the host's resolver at the same time. Each holds its query only.
const WAITING_MAX: usize = 512;
/// Seconds for which answers may be kept: getaddrinfo(3) tells no lifetime, so a short one.
const TTL: u32 = 30;
/// The zone of names that prise itself gives (RFC 9476 reserves `internal` for such use in practice).
const ZONE: &str = "prise.internal";

/// Who asks the driver for names, within the guest, where the gateway cannot see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// How it speaks to the driver: over UDP long answers are cut.
    pub transport: Transport,
    /// Its endpoint, which the record names.
    pub guest: SocketAddr,
}

/// Whom a response goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// A datagram from `guest` to `server`.
    Udp { guest: SocketAddr, server: SocketAddr },
    /// A stream that the gateway holds.
    Tcp(Key),
    /// The driver, with a number of its own, on behalf of a client within the guest.
    Direct { number: u64, asker: Asker },
}

impl Client {
    /// The guest's endpoint that asks, where it is known.
    fn guest(self) -> Option<SocketAddr> {
        match self {
            Self::Udp { guest, .. } => Some(guest),
            Self::Direct { asker, .. } => Some(asker.guest),
            Self::Tcp(_) => None,
        }
    }

    fn carrier(self) -> Carrier {
        match self {
            Self::Udp { .. } => Carrier::Udp,
            Self::Tcp(_) => Carrier::Tcp,
            Self::Direct { asker, .. } => match asker.transport {
                Transport::Udp => Carrier::Udp,
                Transport::Tcp => Carrier::Tcp,
            },
        }
    }
}

/// One question of one client, spelled out, for policies and records to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name in lower case without a final dot, or in presentation format if no host can have it.
    pub name: String,
    /// The type of records wanted.
    pub kind: RecordType,
}

/// A response on its way.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) client: Client,
    pub(crate) message: Vec<u8>,
}

/// What the service stands on, lent for one call.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) poll: &'a Poll,
    pub(crate) policy: &'a Policy,
    pub(crate) learned: &'a mut Learned,
    pub(crate) records: &'a mut Records,
    pub(crate) tally: &'a mut Tally,
}

/// Who answers a question.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// We do, with this.
    Answer(ResponseCode, Vec<AnswerData>),
    /// The host's resolver.
    Ask(Ask),
    /// The host's name server, with the query as it is.
    Forward,
}

/// A client that waits for a finding.
#[derive(Debug)]
struct Waiting {
    client: Client,
    query: Query,
}

/// The name server.
#[derive(Debug)]
pub(crate) struct Service {
    pool: Pool,
    forwards: Forwards<Client>,
    waiting: HashMap<Ask, Vec<Waiting>>,
    waiting_count: usize,
    replies: VecDeque<Reply>,
    /// What `host.prise.internal` resolves to.
    gateway: Vec<IpAddr>,
    /// The guest's own name, and what it resolves to.
    guest: Option<(String, Vec<IpAddr>)>,
}

impl Service {
    /// A service that asks `resolver`, and `servers` for what a resolver does not know.
    pub(crate) fn new(
        resolver: Arc<dyn Resolve>,
        servers: &[IpAddr],
        gateway: Vec<IpAddr>,
        seed: u64,
        poll: &Poll,
    ) -> io::Result<Self> {
        let pool = Pool::new(resolver)?;
        let key = Key {
            index: 0,
            generation: 0,
        };
        poll.add(pool.fd(), Source::Resolver, key, EventFlags::IN)?;
        Ok(Self {
            pool,
            forwards: Forwards::new(servers, seed),
            waiting: HashMap::new(),
            waiting_count: 0,
            replies: VecDeque::new(),
            gateway,
            guest: None,
        })
    }

    /// Gives the guest a name of its own.
    pub(crate) fn set_guest_name(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.guest = Some((name.to_ascii_lowercase(), addresses));
    }

    /// A message from a client. The response comes by [`reply`](Self::reply), at once or later, or never if the message
    /// is no query.
    pub(crate) fn ask(&mut self, now: Instant, client: Client, message: Payload, around: &mut Surroundings<'_>) {
        let query = match Query::parse(&message) {
            Ok(query) => query,
            Err(QueryError::NotAQuery) => return around.tally.discard(Discard::DnsNotAQuery),
            Err(QueryError::Respond { id, code }) => {
                around.tally.discard(Discard::DnsMalformed);
                let message = message::respond_without_question(id, code);
                return self.replies.push_back(Reply { client, message });
            }
        };
        around.tally.lookups += 1;
        if let Some(code) = query.fault() {
            return self.respond(client, &query, code, &[]);
        }
        let plan = self.plan(&query);
        // What is answered here without asking anybody tells nobody anything.
        let asks = !matches!(plan, Plan::Answer(..));
        if asks && around.policy.for_name(&Lookup::of(&query).name) == Decision::Deny {
            return self.deny(now, client, &query, around);
        }
        match plan {
            Plan::Answer(code, data) => self.conclude(now, client, &query, code, &data, around),
            Plan::Ask(ask) => self.look_up(now, ask, Waiting { client, query }, around),
            Plan::Forward => {
                let carrier = client.carrier();
                let outgoing = Outgoing {
                    client,
                    query,
                    message,
                    carrier,
                };
                self.forwards.start(now, outgoing, around.poll, around.tally);
                self.take_forwarded(now, around);
            }
        }
    }

    fn plan(&self, query: &Query) -> Plan {
        let question = &query.question;
        match (&self.guest, question.name.host_name()) {
            (Some((own, addresses)), Some(asked)) if *own == asked && question.class == CLASS_IN => {
                Plan::Answer(ResponseCode::NoError, of_kind(addresses, question.kind))
            }
            _ => plan(query, &self.gateway),
        }
    }

    /// Refuses a lookup. REFUSED would be the honest code, but resolvers take it for a broken server: glibc says "try again",
    /// musl waits for its time-out. That there is no such name ends the matter at once.
    fn deny(&mut self, now: Instant, client: Client, query: &Query, around: &mut Surroundings<'_>) {
        around.tally.discard(Discard::DnsDenied);
        let lookup = Lookup::of(query);
        around.records.push(around.tally, now, || Fact::Lookup {
            guest: client.guest(),
            name: lookup.name,
            kind: lookup.kind.0,
            answer: LookupAnswer::Denied,
        });
        self.respond(client, query, ResponseCode::NxDomain, &[]);
    }

    /// Joins those who wait for the same finding, or is the first of them.
    fn look_up(&mut self, now: Instant, ask: Ask, waiting: Waiting, around: &mut Surroundings<'_>) {
        let is_new = !self.waiting.contains_key(&ask);
        if self.waiting_count >= WAITING_MAX || (is_new && !self.pool.ask(ask.clone())) {
            around.tally.discard(Discard::DnsLookupLimit);
            let Waiting { client, query } = waiting;
            return self.conclude(now, client, &query, ResponseCode::ServFail, &[], around);
        }
        self.waiting_count += 1;
        self.waiting.entry(ask).or_default().push(waiting);
    }

    /// The resolver's threads have findings.
    pub(crate) fn on_resolver(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        for (ask, finding) in self.pool.findings() {
            let waiting = self.waiting.remove(&ask).unwrap_or_default();
            self.waiting_count -= waiting.len();
            for Waiting { client, query } in waiting {
                let (code, data) = answer_from(&finding, query.question.kind);
                self.conclude(now, client, &query, code, &data, around);
            }
        }
    }

    /// A forwarded query's socket has something to say.
    pub(crate) fn on_forward(&mut self, now: Instant, key: Key, around: &mut Surroundings<'_>) {
        self.forwards.on_ready(now, key, around.poll, around.tally);
        self.take_forwarded(now, around);
    }

    pub(crate) fn expire(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        self.forwards.expire(now, around.poll, around.tally);
        self.take_forwarded(now, around);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.forwards.next_deadline()
    }

    fn take_forwarded(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        while let Some(forwarded) = self.forwards.finished() {
            let Some(message) = forwarded.response else {
                let code = ResponseCode::ServFail;
                self.conclude(now, forwarded.client, &forwarded.query, code, &[], around);
                continue;
            };
            let lookup = Lookup::of(&forwarded.query);
            let client = forwarded.client;
            around.records.push(around.tally, now, || Fact::Lookup {
                guest: client.guest(),
                name: lookup.name,
                kind: lookup.kind.0,
                answer: LookupAnswer::Forwarded,
            });
            self.replies.push_back(Reply { client, message });
        }
    }

    /// Answers a query, tells the record, and remembers addresses for the policy.
    fn conclude(
        &mut self,
        now: Instant,
        client: Client,
        query: &Query,
        code: ResponseCode,
        data: &[AnswerData],
        around: &mut Surroundings<'_>,
    ) {
        let lookup = Lookup::of(query);
        let addresses: Vec<IpAddr> = data.iter().filter_map(AnswerData::address).collect();
        around
            .learned
            .learn(now, &lookup.name, &addresses, Duration::from_secs(TTL.into()));
        around.records.push(around.tally, now, || Fact::Lookup {
            guest: client.guest(),
            name: lookup.name,
            kind: lookup.kind.0,
            answer: LookupAnswer::Told { code, addresses },
        });
        self.respond(client, query, code, data);
    }

    fn respond(&mut self, client: Client, query: &Query, code: ResponseCode, data: &[AnswerData]) {
        let answers: Vec<Answer> = data
            .iter()
            .map(|data| Answer {
                ttl: TTL,
                data: data.clone(),
            })
            .collect();
        let limit = match client.carrier() {
            Carrier::Udp => query.udp_limit(),
            // A stream carries whatever the length field can say.
            Carrier::Tcp => usize::from(u16::MAX),
        };
        let message = query.respond(code, &answers, limit);
        self.replies.push_back(Reply { client, message });
    }

    /// The next response to deliver.
    pub(crate) fn reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    #[cfg(test)]
    pub(crate) fn set_servers(&mut self, servers: Vec<SocketAddr>) {
        self.forwards.set_servers(servers);
    }
}

impl Lookup {
    fn of(query: &Query) -> Self {
        let name = &query.question.name;
        Self {
            name: name.host_name().unwrap_or_else(|| name.to_string()),
            kind: query.question.kind,
        }
    }
}

impl AnswerData {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some((*address).into()),
            Self::Aaaa(address) => Some((*address).into()),
            Self::Ptr(_) => None,
        }
    }
}

/// Those of `addresses` that a record of type `kind` can carry.
fn of_kind(addresses: &[IpAddr], kind: RecordType) -> Vec<AnswerData> {
    let carried = |address: &IpAddr| match (address, kind) {
        (IpAddr::V4(address), RecordType::A) => Some(AnswerData::A(*address)),
        (IpAddr::V6(address), RecordType::AAAA) => Some(AnswerData::Aaaa(*address)),
        _ => None,
    };
    addresses.iter().filter_map(carried).collect()
}

/// Who answers this.
fn plan(query: &Query, gateway: &[IpAddr]) -> Plan {
    let question = &query.question;
    if question.class != CLASS_IN {
        return Plan::Forward;
    }
    let Some(name) = question.name.host_name() else {
        return Plan::Forward;
    };
    let kind = question.kind;
    let is_beneath = |zone: &str| {
        name.strip_suffix(zone)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if name == HOST_NAME {
        return Plan::Answer(ResponseCode::NoError, of_kind(gateway, kind));
    }
    if is_beneath(ZONE) {
        return Plan::Answer(ResponseCode::NxDomain, Vec::new());
    }
    // RFC 6761 §6.3: resolvers answer for `localhost` and what is beneath it, and ask nobody.
    if is_beneath("localhost") {
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0u16, 0, 0, 0, 0, 0, 0, 1])];
        return Plan::Answer(ResponseCode::NoError, of_kind(&loopback, kind));
    }
    match kind {
        // getaddrinfo would read digits as an address, which no name server does.
        RecordType::A | RecordType::AAAA if !looks_numeric(&name) => Plan::Ask(Ask::Addresses(name)),
        RecordType::PTR => match question.name.reverse_address() {
            Some(address) if gateway.contains(&address) => {
                let pointer = Name::from_text(HOST_NAME).map(AnswerData::Ptr);
                Plan::Answer(ResponseCode::NoError, pointer.into_iter().collect())
            }
            Some(address) => Plan::Ask(Ask::Name(address)),
            None => Plan::Forward,
        },
        _ => Plan::Forward,
    }
}

/// The response that a finding means.
fn answer_from(finding: &Finding, kind: RecordType) -> (ResponseCode, Vec<AnswerData>) {
    let data = match finding {
        Finding::Addresses(Ok(addresses)) => Ok(of_kind(addresses, kind)),
        Finding::Name(Ok(name)) => match Name::from_text(name) {
            Ok(name) => Ok(vec![AnswerData::Ptr(name)]),
            Err(_) => Err(ResolveError::Failed),
        },
        Finding::Addresses(Err(error)) | Finding::Name(Err(error)) => Err(*error),
    };
    match data {
        Ok(data) => (ResponseCode::NoError, data),
        Err(ResolveError::NoData) => (ResponseCode::NoError, Vec::new()),
        Err(ResolveError::NoName) => (ResponseCode::NxDomain, Vec::new()),
        Err(ResolveError::TryAgain | ResolveError::Failed) => (ResponseCode::ServFail, Vec::new()),
    }
}

#[cfg(test)]
mod tests;
