"""Scenes of many at once (sets.c), and of what programs do seldom: each takes a Draw (script.py) and adds to its script."""

from scenes import DGRAM, DONTWAIT, EDGE, INET, INET6, NONBLOCK, PEEK, STREAM, pair, set_option, two

ERRQUEUE, ZEROCOPY = 0x2000, 0x4000000
ONCE, EXCLUSIVE = 1 << 30, 1 << 28
# SOF_TIMESTAMPING_: TX_SOFTWARE, RX_SOFTWARE and SOFTWARE, OPT_ID, TX_SCHED, TX_ACK, OPT_CMSG. With SOFTWARE alone a stamp of receiving
# is told if anybody on the machine has asked for them.
STAMPS = (2, 8 | 16, 128, 256, 512, 1024)
# SOF_TIMESTAMPING_OPT_TSONLY: without it headers come along, which have numbers that are chance.
ALONE = 2048


def some_pair(draw):
    """Two that are connected, and who has accepted, if anybody."""
    if draw.random.randrange(2):
        listener, *slots = pair(draw)
        return *slots, listener
    return *two(draw)[1:], None


def sets_of_one(draw):
    """Several epoll(7) sets that watch the same, by edges, once, or exclusively, one within another; and what arms them again."""
    one, other, listener = some_pair(draw)
    watched = [slot for slot in (one, other, listener) if slot is not None]
    for number in range(3):
        draw.say("event_ctl", number, draw.some(*watched), 1, draw.some(1, 4, 5, 0x2005) | draw.some(0, EDGE, ONCE, EDGE | ONCE, EXCLUSIVE, EXCLUSIVE | EDGE))
    for _ in range(draw.random.randrange(5, 12)):
        slot, which = draw.some(*watched), draw.random.randrange(3)
        draw.say(*draw.some(("event_wait", which), ("event_wait", which), ("event_ctl", which, slot, draw.some(1, 2, 3, 3), draw.some(1, 4, 5) | draw.some(0, EDGE, ONCE, EDGE | ONCE)),
                            ("event_nest", which, (which + 1) % 3, draw.some(1, 1, 2, 3), draw.some(1, 1 | EDGE, 1 | ONCE)), ("send", one, 10, 0x4000, 0), ("send", other, 10, 0x4000, 0), ("recv", one, draw.some(5, 100), DONTWAIT, 0),
                            ("recv", other, draw.some(5, 100), DONTWAIT, 0), ("shutdown", draw.some(one, other), draw.some(0, 1)), ("copy", slot, draw.random.randrange(8), draw.random.randrange(3)), ("connect", slot, 0, 0, 0, 0),
                            ("dup2", draw.some(*watched), slot), ("close", slot)))
    for which in range(3):
        draw.say("event_wait", which)


def listening(draw, *slots, kind=STREAM):
    """A listener in the first slot and streams of its family in the others."""
    family = draw.some(INET, INET, INET6)
    for slot in slots:
        draw.forget(slot)
        draw.say("socket", slot, family, kind | draw.some(0, NONBLOCK), 0)
        draw.kinds[slot] = (family, kind)
    draw.say("bind", slots[0], family, draw.some(0, 1), 0, 0)
    draw.say("listen", slots[0], 5)
    draw.listening.add(slots[0])
    draw.bound.add(slots[0])
    return family


def crowds(draw):
    """Threads in accept(2) on one listener, while others hold it, it is watched, or is another file the next moment."""
    listener, other, served = draw.random.sample(range(8), 3)
    family = listening(draw, listener, other)
    for _ in range(draw.random.randrange(2, 6)):
        draw.say(*draw.some(("crowd", listener, draw.some(1, 2, 3, 4), draw.some(0, 1, 2, 4), family, 1), ("crowd", listener, draw.some(2, 4), 2, family, draw.some(0, 1)), ("event_ctl", 0, listener, 1, 1 | draw.some(0, EDGE, EXCLUSIVE)),
                            ("event_wait", 0), ("hold", listener, draw.some(0, 2), draw.some(0, 1)), ("drop",), ("connect", other, family, 1, 100 + listener, 0), ("accept", listener, served, 0, 0, 0), ("given", "accept", listener, served, 0, 0, 0),
                            ("copy", listener, served, draw.random.randrange(3)), ("shutdown", listener, 0), ("listen", listener, 5), ("poll",)))
    draw.say("poll")


def gives(draw):
    """A process that has nothing else gets a socket, of any state, and uses it; the script keeps its own or not."""
    kind = draw.random.randrange(4)
    if kind == 0:
        listener, client, third = draw.random.sample(range(8), 3)
        family = listening(draw, listener, client)
        draw.say("connect", client, family, 1, 100 + listener, 0)
        slots = (listener, client)
    elif kind == 1:
        slots = some_pair(draw)[:2]
        family = draw.kinds[slots[0]][0]
    else:
        slots = draw.random.sample(range(8), 2)
        family = draw.some(INET, INET, INET6)
        for slot in slots:
            draw.forget(slot)
            draw.kinds[slot] = (family, STREAM)
            draw.say("socket", slot, family, STREAM | draw.some(0, NONBLOCK), 0)
        draw.say("listen", slots[0], 5)
    for _ in range(draw.random.randrange(3, 9)):
        slot = draw.some(*slots)
        by = draw.some("given", "given", "given", "child", "moved") if draw.random.randrange(3) else ""
        call = draw.some(("send", slot, 10, 0x4000, 0), ("recv", slot, 50, DONTWAIT, 0), ("recvmsg", slot, 50, DONTWAIT, 3, 0, 0), ("accept", slot, draw.random.randrange(8), 0, 0, 0), ("getsockname", slot, 0, 0, 0), ("getpeername", slot, 0, 0, 0),
                         ("shutdown", slot, draw.some(0, 1)), ("setsockopt", slot, 1, 9, 1, 4, 0, 0), ("getsockopt", slot, 1, 4, 4, 0, 0), ("connect", slot, family, 1, 100 + slots[0], 0), ("state", slot), ("write", slot, 5, 0))
        draw.say(*((by,) if by else ()), *call)
        if by == "moved":
            draw.forget(slot)
        draw.say(*draw.some(("poll",), ("poll",), ("epoll_wait",)))


def zero_copies(draw):
    """MSG_ZEROCOPY, and the notices in the queue of errors."""
    one, other, _ = some_pair(draw)
    if draw.random.randrange(5):
        set_option(draw, one, 1, 60, 1)
    for _ in range(draw.random.randrange(3, 9)):
        draw.say(*draw.some(("send", one, draw.some(1, 100, 3000), ZEROCOPY, 0), ("sendmsg", one, 100, ZEROCOPY, 0, 0, 0, 0, 0), ("recv", other, 5000, DONTWAIT, 0), ("recvmsg", one, 100, ERRQUEUE | DONTWAIT, 3, 0, 0),
                            ("recvmsg", one, 0, ERRQUEUE | DONTWAIT | draw.some(0, PEEK), 2, 0, 0), ("poll",), ("setsockopt", one, 1, 60, draw.some(0, 1), 4, 0, 0), ("shutdown", one, 1), ("close", other), ("given", "recvmsg", one, 10, ERRQUEUE | DONTWAIT, 2, 0, 0)))


def stamps(draw):
    """SO_TIMESTAMP and SO_TIMESTAMPING: which stamps come with what, of sending and of receiving."""
    one, other, _ = some_pair(draw)
    for slot in (one, other):
        for _ in range(draw.random.randrange(3)):
            flags = ALONE + sum(flag for flag in STAMPS if draw.random.randrange(2))
            set_option(draw, slot, 1, *draw.some((29, 1), (35, 1), (37, flags), (37, flags), (63, 1), (65, flags), (29, 0)))
        if draw.random.randrange(3) == 0:
            set_option(draw, slot, 6, 36, 1)
    for _ in range(draw.random.randrange(3, 9)):
        draw.say(*draw.some(("send", one, draw.some(1, 100), 0, 0), ("send", one, 10, 0, 0), ("recvmsg", other, draw.some(5, 100), DONTWAIT, 3, draw.rarely(15), 0), ("recvmsg", other, 100, DONTWAIT | PEEK, 3, 0, 0),
                            ("recvmsg", one, 100, ERRQUEUE | DONTWAIT, 2, 0, 0), ("poll",), ("recvmmsg", other, 2, DONTWAIT, 0), ("getsockopt", one, 1, draw.some(29, 35, 37), 8, 0, 0), ("shutdown", one, 1)))


def replaces(draw):
    """A number that stands for another file the next moment: dup2(2), dup3(2), close_range(2) over listeners and what is watched."""
    listener, client, other = draw.random.sample(range(8), 3)
    family = listening(draw, listener, client, other)
    for slot in draw.some((listener,), (client,), (listener, client)):
        draw.say("epoll_ctl", slot, 1, draw.some(1, 5) | draw.some(0, EDGE, ONCE))
    for _ in range(draw.random.randrange(3, 9)):
        one, another = draw.random.sample((listener, client, other), 2)
        draw.say(*draw.some(("dup2", one, another), ("copy", one, another, draw.random.randrange(3)), ("close_range", one), ("connect", one, family, 1, 100 + another, 0), ("connect", one, family, 1, 9, 0), ("accept", one, draw.random.randrange(8), 0, 0, 0),
                            ("send", one, 5, 0x4000, 0), ("shutdown", one, draw.some(0, 1, 2)), ("high", one, 5), ("poll",), ("epoll_wait",), ("hold", one, draw.some(0, 2), 0), ("drop",), ("listen", one, 2)))
        draw.say("epoll_wait")


def waits_masked(draw):
    """ppoll(2), pselect(2), epoll_pwait(2) with a signal that goes off meanwhile; owners of signals; numbers that are high."""
    one, other, _ = some_pair(draw)
    draw.say("event_ctl", 0, one, 1, draw.some(1, 5, 1 | EDGE))
    for _ in range(draw.random.randrange(3, 8)):
        draw.say(*draw.some(("masked", one, draw.random.randrange(4), draw.some(0, 1, 1)), ("masked", one, draw.random.randrange(4), 1), ("send", other, 5, 0x4000, 0), ("recv", one, 100, DONTWAIT, 0), ("owner", one, draw.random.randrange(3)),
                            ("async", one, draw.some(0, 1)), ("high", draw.some(one, other), draw.some(0, 5)), ("shutdown", other, 1)))


def versions(draw):
    """One that serves both versions of IP, and who comes by which."""
    kind = draw.some(STREAM, DGRAM)
    server, *clients = draw.random.sample(range(8), 4)
    draw.forget(server)
    draw.kinds[server] = (INET6, kind)
    draw.say("socket", server, INET6, kind | NONBLOCK, 0)
    set_option(draw, server, 41, 26, draw.some(0, 0, 1))
    draw.say("bind", server, INET6, draw.some(0, 0, 1, 2), 0, 0)
    draw.bound.add(server)
    if kind == STREAM:
        draw.say("listen", server, 5)
        draw.listening.add(server)
    for client in clients:
        family = draw.some(INET, INET6)
        draw.forget(client)
        draw.kinds[client] = (family, kind)
        draw.say("socket", client, family, kind | draw.some(0, NONBLOCK), 0)
        if draw.random.randrange(4) == 0:
            draw.say("bind", client, family, draw.some(0, 1), 100 + server if draw.random.randrange(2) else 0, 0)
        draw.say("connect", client, family, draw.some(0, 1, 1, 2), 100 + server, 0)
        if kind == STREAM:
            draw.say("accept", server, draw.some(*clients) if draw.random.randrange(4) == 0 else draw.random.randrange(8), 0, 0, 0)
        else:
            draw.say("send", client, 5, 0, 0)
            draw.say("recvmsg", server, 20, DONTWAIT, 3, 0, 0)
        draw.say(*draw.some(("state", client), ("poll",), ("connect", client, draw.some(INET, INET6), draw.some(1, 2), 100 + server, 0), ("connect", client, 0, 0, 0, 0), ("getpeername", client, 0, 0, 0), ("setsockopt", server, 41, 26, 1, 4, 0, 0)))
    draw.say("poll")


SCENES_OF_MANY = (sets_of_one, sets_of_one, crowds, crowds, gives, gives, zero_copies, stamps, stamps, replaces, replaces, waits_masked, versions)
