//! `NETLINK_GENERIC`: the controller (linux/genetlink.h, net/netlink/genetlink.c), which tells of the other families. Those are
//! drivers' and subsystems' of the host, so there are none: a program that looks one up is told so, as by a kernel without it.

use alloc::vec;
use alloc::vec::Vec;

use prise_socket::Errno;

use super::message::{DUMP, MULTI, Message, Request};
use super::route::Reply;
use super::socket::Answer;
use crate::octets::{u8_at, u16_at};

/// `GENL_HDRLEN`.
const HEADER_LEN: usize = 4;

/// `GENL_ID_CTRL`: the controller's own number, and that of its group `notify`.
const CONTROLLER: u16 = 16;
const NAME: &str = "nlctrl";
/// The octets of a name, with the zero that ends it (`GENL_NAMSIZ`).
const NAME_SIZE: usize = 16;
const VERSION: u32 = 2;

/// `CTRL_CMD_NEWFAMILY`, `CTRL_CMD_GETFAMILY`.
const NEW_FAMILY: u8 = 1;
const GET_FAMILY: u8 = 3;
/// `GENL_CMD_CAP_DO`, `GENL_CMD_CAP_DUMP`, `GENL_CMD_CAP_HASPOL`.
const ASKED_FOR_ONE_OR_ALL: u32 = 0xe;

/// `CTRL_ATTR_*`.
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_VERSION: u16 = 3;
const HEADER_SIZE: u16 = 4;
const ATTRIBUTE_MAX: u16 = 5;
const OPERATIONS: u16 = 6;
const GROUPS: u16 = 7;

/// Judges one request (`genl_rcv_msg`).
pub(super) fn answer(request: Request<'_>, reply: Reply) -> Answer {
    if request.kind != CONTROLLER {
        return Answer::Error(Errno::ENOENT);
    }
    if request.body.len() < HEADER_LEN {
        return Answer::Error(Errno::EINVAL);
    }
    if u8_at(request.body, 0) != GET_FAMILY {
        return Answer::Error(Errno::EOPNOTSUPP);
    }
    if request.flags & DUMP == DUMP {
        return Answer::List(vec![controller(Reply { flags: MULTI, ..reply })]);
    }
    match look_up(request) {
        Ok(()) => Answer::One(controller(reply)),
        Err(errno) => Answer::Error(errno),
    }
}

/// Whether the family that is asked for, by name or by number, is the controller (`ctrl_getfamily`).
fn look_up(request: Request<'_>) -> Result<(), Errno> {
    let attributes = request.attributes(HEADER_LEN);
    let number = attributes.get(FAMILY_ID);
    if number.is_some_and(|octets| octets.len() < 2) {
        return Err(Errno::EINVAL);
    }
    let name = attributes.text(FAMILY_NAME);
    if name.is_some_and(|name| name.len() >= NAME_SIZE) {
        return Err(Errno::EINVAL);
    }
    let found = match (name, number) {
        (Some(name), _) => name == NAME.as_bytes(),
        (None, Some(octets)) => u16_at(octets, 0) == CONTROLLER,
        (None, None) => return Err(Errno::EINVAL),
    };
    if found { Ok(()) } else { Err(Errno::ENOENT) }
}

/// What the controller says of itself (`ctrl_fill_info`).
fn controller(reply: Reply) -> Vec<u8> {
    let header = [NEW_FAMILY, VERSION as u8, 0, 0];
    let mut message = Message::new(CONTROLLER, reply.flags, reply.sequence, reply.port).with(&header);
    message.text(FAMILY_NAME, NAME);
    message.attribute(FAMILY_ID, &CONTROLLER.to_ne_bytes());
    message.u32(FAMILY_VERSION, VERSION);
    message.u32(HEADER_SIZE, 0);
    message.u32(ATTRIBUTE_MAX, 0);
    // One of each, numbered from 1; its number and what it can do, its name and number.
    message.nested(OPERATIONS, |operations| {
        operations.nested(1, |operation| {
            operation.u32(1, GET_FAMILY.into());
            operation.u32(2, ASKED_FOR_ONE_OR_ALL);
        });
    });
    message.nested(GROUPS, |groups| {
        groups.nested(1, |group| {
            group.u32(2, CONTROLLER.into());
            group.text(1, "notify");
        });
    });
    message.finish()
}

#[cfg(test)]
mod tests {
    use super::super::message::{ACK, REQUEST, requests};
    use super::*;

    const REPLY: Reply = Reply {
        sequence: 7,
        port: 0,
        flags: 0,
    };

    fn asked(kind: u16, flags: u16, command: u8, fill: impl FnOnce(&mut Message)) -> Answer {
        let mut message = Message::new(kind, REQUEST | ACK | flags, 7, 0).with(&[command, 2, 0, 0]);
        fill(&mut message);
        let octets = message.finish();
        answer(requests(&octets).next().unwrap(), REPLY)
    }

    #[test]
    fn the_controller_tells_of_itself_by_name_and_by_number() {
        let by_name = asked(CONTROLLER, 0, GET_FAMILY, |message| {
            message.text(FAMILY_NAME, NAME);
        });
        let by_number = asked(CONTROLLER, 0, GET_FAMILY, |message| {
            message.attribute(FAMILY_ID, &CONTROLLER.to_ne_bytes());
        });
        for told in [by_name, by_number] {
            let Answer::One(octets) = told else {
                panic!("{told:?}");
            };
            let message = requests(&octets).next().unwrap();
            assert_eq!(
                (message.kind, message.flags, message.body[0]),
                (CONTROLLER, 0, NEW_FAMILY)
            );
            let attributes = message.attributes(HEADER_LEN);
            assert_eq!(attributes.text(FAMILY_NAME), Some(NAME.as_bytes()));
            assert_eq!(attributes.number(FAMILY_VERSION), Some(VERSION));
            assert!(attributes.get(OPERATIONS).is_some() && attributes.get(GROUPS).is_some());
        }
    }

    #[test]
    fn there_is_no_other_family_and_all_of_them_are_one() {
        let other = asked(CONTROLLER, 0, GET_FAMILY, |message| {
            message.text(FAMILY_NAME, "nl80211");
        });
        assert!(matches!(other, Answer::Error(Errno::ENOENT)));
        assert!(matches!(asked(99, 0, GET_FAMILY, |_| {}), Answer::Error(Errno::ENOENT)));
        let all = asked(CONTROLLER, DUMP, GET_FAMILY, |_| {});
        assert!(matches!(all, Answer::List(messages) if messages.len() == 1));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_as_the_kernel_does() {
        assert!(matches!(
            asked(CONTROLLER, 0, GET_FAMILY, |_| {}),
            Answer::Error(Errno::EINVAL)
        ));
        assert!(matches!(
            asked(CONTROLLER, 0, 200, |_| {}),
            Answer::Error(Errno::EOPNOTSUPP)
        ));
        let long = asked(CONTROLLER, 0, GET_FAMILY, |message| {
            message.text(FAMILY_NAME, "sixteen octets!!");
        });
        assert!(matches!(long, Answer::Error(Errno::EINVAL)));
        let short = asked(CONTROLLER, 0, GET_FAMILY, |message| {
            message.attribute(FAMILY_ID, &[16]);
        });
        assert!(matches!(short, Answer::Error(Errno::EINVAL)));
        let none = Message::new(CONTROLLER, REQUEST, 7, 0).finish();
        let told = answer(requests(&none).next().unwrap(), REPLY);
        assert!(matches!(told, Answer::Error(Errno::EINVAL)));
    }
}
