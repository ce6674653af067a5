"""Differences between prise and the kernel that are known and accepted; docs/compat.md says them in words.

A rule looks at one line that differs, with what is known of its socket (model.py). It is of one kind of socket, of the calls that it
names and of the two answers that it names, and says whether what comes after it in the script can still be compared.
"""
import re

import known_datagrams  # noqa: F401: each enters its rules
import known_streams  # noqa: F401
from known_machine import leads_out
from lines import ENDS, GOES_ON, RULES
from model import SENDS

ASYNC = "O_ASYNC on a stream by our TCP: an end besides room, and what is read by the supervisor"
CORKED = "a signal too many: of a datagram that sendfile(2) began, which has left and was refused (MSG_MORE)"
HELD_BACK = "a signal too few: while a datagram is unread that agrees with the next one in nothing, that is held back"


NO_LINK = "the kernel's side has no link but lo, and who would have heard was told by a signal"


def lacks_held_back(line):
    """Only signals are missing of datagram sockets that have not read yet what somebody else has sent them than who sends now."""
    theirs, ours = (sorted(signals) for signals in line.signals)
    missing = [signal for signal in theirs if signal not in ours]
    slots = [re.fullmatch(r" told (\d+):41", signal) for signal in missing]
    if not missing or not all(slots) or sorted(missing + ours) != theirs or line.name not in SENDS:
        return False
    heard = lambda one: any(other is not line.socket for other in one.unread)
    return all((one := line.model.slots.get(slot[1])) is not None and one.datagram and heard(one) for slot in slots)


def tells_of_corked(line):
    """sendfile(2) of less than it was asked for has begun a datagram, which has left here: a signal too many, of its own socket."""
    theirs, ours = (sorted(signals) for signals in line.signals)
    more = [signal for signal in ours if signal not in theirs]
    slots = [re.fullmatch(r" told (\d+):8", signal) for signal in more]
    begun = line.name == "sendfile" and line.datagram and line.theirs.isdigit() and int(line.theirs) < int(line.words[2])
    return begun and sorted(theirs + more) == ours and all(slots) and all(line.model.slots.get(slot[1]) is line.socket for slot in slots)


def reason(line):
    """Why these two answers to the same call differ and whether the script can be followed further, or None."""
    if line.signals[0] != line.signals[1]:
        if line.theirs == "ENETUNREACH" and line.ours.isdigit() and line.name in SENDS and len(line.words) > 5 and leads_out(line):
            return NO_LINK, ENDS
        if line.native == line.prise and lacks_held_back(line):
            return HELD_BACK, GOES_ON
        if line.native == line.prise and tells_of_corked(line):
            return CORKED, GOES_ON
        if not line.carried or any(" SIGURG" in signals for signals in line.signals) and not all(" SIGURG" in signals for signals in line.signals):
            return None
        if line.native == line.prise:
            return ASYNC, GOES_ON
    for why, after, test in RULES:
        if test(line):
            return why, after
    apart = line.apart()
    if len(apart) < 2:
        return None
    found = [reason(one) for one in apart]
    if not all(found):
        return None
    # Several sockets differ, each for a reason of its own.
    return next((one for one in found if one[1] == ENDS), found[0])
