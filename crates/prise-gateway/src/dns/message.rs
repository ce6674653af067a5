//! The part of DNS messages that a stub resolver's partner needs: one question in, its answer out (RFC 1035 §4, EDNS of
//! RFC 6891). Everything that is not an address or a pointer passes through as octets, so nothing else is modelled.
//!
//! Written here rather than taken from hickory-proto, which brings 65 packages (Unicode tables among them) for these
//! two hundred lines.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::name::{Name, NameError};

/// Octets of a message header, RFC 1035 §4.1.1.
pub(super) const HEADER_LEN: usize = 12;
/// The answer size that every client takes over UDP, RFC 1035 §4.2.1.
const UDP_LEN: usize = 512;
/// What we will send over UDP at most, whatever the client offers: above this, fragments are likelier lost than useful.
const UDP_LEN_MAX: usize = 4096;
/// RFC 6891 §6.1.1.
const TYPE_OPT: u16 = 41;
/// RFC 1035 §3.2.4.
pub(super) const CLASS_IN: u16 = 1;

/// A record type, RFC 1035 §3.2.2. Any value can be asked for; the named ones are those answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A pointer to a name.
    pub const PTR: Self = Self(12);
    /// An IPv6 address, RFC 3596.
    pub const AAAA: Self = Self(28);
}

/// Response codes, RFC 1035 §4.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ResponseCode {
    /// No error.
    NoError = 0,
    /// The query could not be read.
    FormErr = 1,
    /// No server could answer.
    ServFail = 2,
    /// The name does not exist.
    NxDomain = 3,
    /// That kind of query is not known.
    NotImp = 4,
    /// Not answered, by policy.
    Refused = 5,
    /// That version of EDNS is not known (RFC 6891 §6.1.3); needs an OPT record to be told.
    BadVers = 16,
}

/// What is asked, RFC 1035 §4.1.2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type of records wanted.
    pub kind: RecordType,
    /// The class, which is 1 (IN) in practice.
    pub class: u16,
}

/// The client's EDNS record, RFC 6891 §6.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    /// The largest answer that it takes over UDP.
    udp_len: u16,
    version: u8,
}

/// One query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// The client's number for it.
    pub(super) id: u16,
    /// What is asked.
    pub(super) question: Question,
    recursion_desired: bool,
    edns: Option<Edns>,
}

/// Why a message is not answered as a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QueryError {
    /// Shorter than a header, or itself a response: answering could start a loop, so it is dropped.
    NotAQuery,
    /// Answer with this code; the header is all that could be read.
    Respond {
        /// The client's number for it.
        id: u16,
        /// The code.
        code: ResponseCode,
    },
}

impl Query {
    /// Reads a query.
    pub(super) fn parse(message: &[u8]) -> Result<Self, QueryError> {
        let header = message.get(..HEADER_LEN).ok_or(QueryError::NotAQuery)?;
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (id, flags) = (field(0), field(2));
        if flags & 0x8000 != 0 {
            return Err(QueryError::NotAQuery);
        }
        let respond = |code| QueryError::Respond { id, code };
        if flags & 0x7800 != 0 {
            return Err(respond(ResponseCode::NotImp));
        }
        if field(4) != 1 {
            return Err(respond(ResponseCode::FormErr));
        }
        let malformed = |_: NameError| respond(ResponseCode::FormErr);
        let (question, mut at) = Question::read(message, HEADER_LEN).map_err(malformed)?;
        let mut edns = None;
        for _ in 0..u32::from(field(6)) + u32::from(field(8)) + u32::from(field(10)) {
            let (record, next) = Record::read(message, at).map_err(malformed)?;
            if record.kind == TYPE_OPT {
                if edns.is_some() {
                    // RFC 6891 §6.1.1: more than one OPT is a format error.
                    return Err(respond(ResponseCode::FormErr));
                }
                edns = Some(Edns {
                    udp_len: record.class,
                    version: (record.ttl >> 16) as u8,
                });
            }
            at = next;
        }
        Ok(Self {
            id,
            question,
            recursion_desired: flags & 0x0100 != 0,
            edns,
        })
    }

    /// The code that this query deserves before anything is looked up, if it is not to be looked up at all.
    pub(super) fn fault(&self) -> Option<ResponseCode> {
        self.edns
            .is_some_and(|edns| edns.version != 0)
            .then_some(ResponseCode::BadVers)
    }

    /// The size of answer that the client takes over UDP.
    pub(super) fn udp_limit(&self) -> usize {
        let offered = self.edns.map_or(UDP_LEN, |edns| usize::from(edns.udp_len));
        offered.clamp(UDP_LEN, UDP_LEN_MAX)
    }

    /// The response with these answers, at most `limit` octets: what does not fit is left out and marked (TC), so that
    /// the client asks again over TCP (RFC 2181 §9).
    pub(super) fn respond(&self, code: ResponseCode, answers: &[Answer], limit: usize) -> Vec<u8> {
        let mut message = self.head(code, 0);
        let question_end = message.len();
        for answer in answers {
            answer.write(&mut message);
        }
        let mut count = answers.len() as u16;
        let reserve = if self.edns.is_some() { 11 } else { 0 };
        if message.len() + reserve > limit {
            message.truncate(question_end);
            message[2] |= 0x02;
            count = 0;
        }
        message[6..8].copy_from_slice(&count.to_be_bytes());
        if self.edns.is_some() {
            // Root name, OPT, our size, extended code and version 0, no options.
            message.push(0);
            message.extend_from_slice(&TYPE_OPT.to_be_bytes());
            message.extend_from_slice(&(UDP_LEN_MAX as u16).to_be_bytes());
            message.extend_from_slice(&[(code as u16 >> 4) as u8, 0, 0, 0, 0, 0]);
            message[11] = 1;
        }
        message
    }

    /// Header and question of a response. QR and RA are set; AA is not, since the host's resolver is asked.
    fn head(&self, code: ResponseCode, answers: u16) -> Vec<u8> {
        let mut message = Vec::with_capacity(UDP_LEN);
        message.extend_from_slice(&self.id.to_be_bytes());
        message.push(0x80 | u8::from(self.recursion_desired));
        message.push(0x80 | (code as u16 & 0x0f) as u8);
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&answers.to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(self.question.name.wire());
        message.extend_from_slice(&self.question.kind.0.to_be_bytes());
        message.extend_from_slice(&self.question.class.to_be_bytes());
        message
    }
}

/// The response to a message of which only the header could be read.
pub(super) fn respond_without_question(id: u16, code: ResponseCode) -> Vec<u8> {
    let mut message = vec![0; HEADER_LEN];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message[2] = 0x80;
    message[3] = 0x80 | (code as u16 & 0x0f) as u8;
    message
}

impl Question {
    pub(super) fn read(message: &[u8], at: usize) -> Result<(Self, usize), NameError> {
        let (name, at) = Name::read(message, at)?;
        let kind = read_u16(message, at)?;
        let class = read_u16(message, at + 2)?;
        let question = Self {
            name,
            kind: RecordType(kind),
            class,
        };
        Ok((question, at + 4))
    }
}

/// The fixed part of a resource record, RFC 1035 §4.1.3.
struct Record {
    kind: u16,
    class: u16,
    ttl: u32,
}

impl Record {
    fn read(message: &[u8], at: usize) -> Result<(Self, usize), NameError> {
        let (_, at) = Name::read(message, at)?;
        let record = Self {
            kind: read_u16(message, at)?,
            class: read_u16(message, at + 2)?,
            ttl: u32::from(read_u16(message, at + 4)?) << 16 | u32::from(read_u16(message, at + 6)?),
        };
        let end = at + 10 + usize::from(read_u16(message, at + 8)?);
        if end > message.len() {
            return Err(NameError::Truncated);
        }
        Ok((record, end))
    }
}

fn read_u16(message: &[u8], at: usize) -> Result<u16, NameError> {
    match message.get(at..at + 2) {
        Some(octets) => Ok(u16::from_be_bytes([octets[0], octets[1]])),
        None => Err(NameError::Truncated),
    }
}

/// One record of an answer; its owner is always the name of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Seconds for which it may be kept.
    pub(super) ttl: u32,
    /// What it says.
    pub(super) data: AnswerData,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnswerData {
    /// An A record.
    A(Ipv4Addr),
    /// An AAAA record.
    Aaaa(Ipv6Addr),
    /// A PTR record.
    Ptr(Name),
}

impl Answer {
    fn write(&self, message: &mut Vec<u8>) {
        let octets;
        let (kind, data): (_, &[u8]) = match &self.data {
            AnswerData::A(address) => {
                octets = address.octets();
                (RecordType::A, &octets)
            }
            AnswerData::Aaaa(address) => (RecordType::AAAA, &address.octets()),
            AnswerData::Ptr(name) => (RecordType::PTR, name.wire()),
        };
        // The owner is a pointer to the question, which stands right behind the header.
        message.extend_from_slice(&[0xc0, HEADER_LEN as u8]);
        message.extend_from_slice(&kind.0.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&self.ttl.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `example.com A`, with an OPT record offering `udp_len` where given.
    fn query(udp_len: Option<u16>) -> Vec<u8> {
        let mut message =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07eXample\x03com\x00\x00\x01\x00\x01".to_vec();
        if let Some(udp_len) = udp_len {
            message[11] = 1;
            message.extend_from_slice(b"\x00\x00\x29");
            message.extend_from_slice(&udp_len.to_be_bytes());
            message.extend_from_slice(&[0; 6]);
        }
        message
    }

    fn addresses(count: u8) -> Vec<Answer> {
        (0..count)
            .map(|last| Answer {
                ttl: 30,
                data: AnswerData::A(Ipv4Addr::new(192, 0, 2, last)),
            })
            .collect()
    }

    #[test]
    fn a_question_is_answered_in_its_own_case() {
        let query = Query::parse(&query(None)).unwrap();
        assert_eq!(query.question.kind, RecordType::A);
        let response = query.respond(ResponseCode::NoError, &addresses(1), query.udp_limit());
        assert_eq!(
            response,
            b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x07eXample\x03com\x00\x00\x01\x00\x01\
              \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00\x02\x00"
        );
    }

    #[test]
    fn too_many_answers_are_truncated_and_marked() {
        let query = Query::parse(&query(None)).unwrap();
        let response = query.respond(ResponseCode::NoError, &addresses(40), query.udp_limit());
        assert!(response.len() <= 512);
        assert_eq!(response[2] & 0x02, 0x02);
        assert_eq!(&response[6..8], [0, 0]);
        let whole = query.respond(ResponseCode::NoError, &addresses(40), usize::from(u16::MAX));
        assert_eq!(whole[2] & 0x02, 0);
        assert_eq!(&whole[6..8], [0, 40]);
    }

    #[test]
    fn edns_raises_the_limit_and_is_answered() {
        let query = Query::parse(&query(Some(1232))).unwrap();
        assert_eq!(query.udp_limit(), 1232);
        let response = query.respond(ResponseCode::NoError, &addresses(40), query.udp_limit());
        assert_eq!(&response[6..12], [0, 40, 0, 0, 0, 1]);
        assert_eq!(
            &response[response.len() - 11..],
            b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
        );
    }

    #[test]
    fn an_unknown_edns_version_is_told() {
        let mut message = query(Some(1232));
        let version = message.len() - 5;
        message[version] = 1;
        let query = Query::parse(&message).unwrap();
        assert_eq!(query.fault(), Some(ResponseCode::BadVers));
        let response = query.respond(ResponseCode::BadVers, &[], 512);
        assert_eq!(response[3] & 0x0f, 0);
        assert_eq!(response[response.len() - 6], 1);
    }

    #[test]
    fn responses_and_scraps_are_not_answered() {
        let mut message = query(None);
        message[2] |= 0x80;
        assert_eq!(Query::parse(&message), Err(QueryError::NotAQuery));
        assert_eq!(Query::parse(&message[..11]), Err(QueryError::NotAQuery));
    }

    #[test]
    fn malformed_queries_are_told_so() {
        let whole = query(Some(1232));
        for len in HEADER_LEN..whole.len() {
            let code = ResponseCode::FormErr;
            let expected = Err(QueryError::Respond { id: 0x1234, code });
            assert_eq!(Query::parse(&whole[..len]), expected, "cut at {len}");
        }
        let mut update = whole.clone();
        update[2] = 0x28;
        let code = ResponseCode::NotImp;
        assert_eq!(Query::parse(&update), Err(QueryError::Respond { id: 0x1234, code }));
        let mut two_questions = whole;
        two_questions[5] = 2;
        let code = ResponseCode::FormErr;
        assert_eq!(
            Query::parse(&two_questions),
            Err(QueryError::Respond { id: 0x1234, code })
        );
    }

    /// The names, counts, types and lengths of a query and of a response, damaged in every way that chance finds.
    #[test]
    fn no_octets_make_the_reader_panic_or_answer_at_length() {
        let whole = Query::parse(&query(Some(1232))).unwrap();
        let response = whole.respond(ResponseCode::NoError, &addresses(3), 512);
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) as usize
        };
        for round in 0..100_000 {
            let mut message = if round % 2 == 0 {
                query(Some(1232))
            } else {
                response.clone()
            };
            for _ in 0..=next() % 4 {
                let at = next() % message.len();
                message[at] = next() as u8;
            }
            message[2] &= 0x7f;
            message.truncate(message.len() - next() % 3 * (next() % message.len()) / 2);
            let _ = Question::read(&message, HEADER_LEN);
            if let Ok(query) = Query::parse(&message) {
                let response = query.respond(ResponseCode::NoError, &addresses(40), query.udp_limit());
                assert!(response.len() <= query.udp_limit());
                assert_eq!(Question::read(&response, HEADER_LEN).unwrap().0, query.question);
            }
        }
    }

    #[test]
    fn a_pointer_answer_carries_the_name() {
        let query = Query::parse(&query(None)).unwrap();
        let answer = Answer {
            ttl: 1,
            data: AnswerData::Ptr(Name::from_text("host.prise.internal").unwrap()),
        };
        let response = query.respond(ResponseCode::NoError, &[answer], 512);
        assert!(response.ends_with(b"\x00\x15\x04host\x05prise\x08internal\x00"));
    }
}
