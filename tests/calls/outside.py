"""Scenes with somebody outside of the run (outside.c): connections that leave it, and clients of its published ports."""

INET, INET6 = 2, 10
STREAM = 1
NONBLOCK = 0o4000
DONTWAIT = 0x40
EDGE = 1 << 31
FARS = 8

# Of calls.c: where somebody outside is, by the family of the socket that connects there.
ADDRESSES = {INET: (12,), INET6: (12, 12, 14)}
# A listener that serves, one that never does, nobody's port.
SERVED, FULL, NOBODYS = 50, 51, 52
PORTS = (SERVED, SERVED, SERVED, FULL, NOBODYS)
PUBLISHED = (60, 60, 61)


def far_step(draw):
    """Somebody outside does something."""
    far = draw.random.randrange(FARS)
    draw.say(*draw.some(("far_knock", far, draw.some(0, 0, 1), draw.some(0, 0, 1)), ("far_accept", far, draw.some(0, 0, 1)), ("far_send", far, draw.size()), ("far_recv", far, draw.some(1, 100, 5000)), ("far_poll", far),
                        ("far_shutdown", far, draw.some(0, 1, 1, 2)), ("far_close", far), ("far_reset", far)))


def stream(draw, *slots):
    """Streams of one family, in these slots."""
    family = draw.some(INET, INET, INET6)
    for slot in slots:
        draw.forget(slot)
        draw.say("socket", slot, family, STREAM | draw.some(0, NONBLOCK), 0)
        draw.kinds[slot] = (family, STREAM)
    return family


def connects(draw, slot, family, port):
    """connect(2) out of the run, by whomever: also while others ask for the socket's name."""
    by = draw.some((), (), (), ("race",), ("race",), ("child",))
    draw.say(*by, "connect", slot, family, draw.some(*ADDRESSES[family]), port, 0, *(() if by else (draw.pointer(),)))


def early(draw, slot, family, other):
    """What makes a stream one that is known, or another one, before it is connected."""
    return draw.some(("getsockname", slot, 0, 0, 0), ("getpeername", slot, 0, 0, 0), ("bind", slot, family, draw.some(0, 13), draw.some(0, 61), 0), ("setsockopt", slot, 1, 2, 1, 4, 0, 0), ("setsockopt", slot, 6, 1, 1, 4, 0, 0),
                     ("setsockopt", slot, 41, 26, draw.some(0, 1), 4, 0, 0), ("setsockopt", slot, 1, 13, 1, 8, 0, 0), ("setsockopt", slot, 6, 30, 1, 4, 0, 0), ("dup", slot, other), ("pass", slot, slot, 1), ("epoll_ctl", slot, 1, draw.events()),
                     ("nonblock", slot, draw.some(0, 1)), ("shutdown", slot, draw.some(0, 1, 2)), ("connect", slot, 0, 0, 0, 0), ("hold", slot, draw.some(0, 1, 2), draw.some(0, 1)), ("listen", slot, 1))


def late(draw, slot, family, other, far):
    """What is asked of a connection that leaves, and done with it and to it."""
    return draw.some(("getpeername", slot, 0, 0, 0), ("getsockname", slot, 0, 0, 0), ("child", "getpeername", slot, 0, 0, 0), ("poll",), ("epoll_wait",), ("getsockopt", slot, 1, 4, 4, 0, 0), ("state", slot),
                     ("connect", slot, family, draw.some(*ADDRESSES[family]), draw.some(*PORTS), 0), ("connect", slot, 0, 0, 0, 0), ("listen", slot, 1), ("bind", slot, family, 0, 0, 0),
                     ("send", slot, draw.some(1, 100), 0x4000, 0), ("recv", slot, 100, DONTWAIT, 0), ("shutdown", slot, draw.some(0, 1, 2)), ("dup", slot, other), ("pass", slot, other, draw.some(0, 1)), ("close", slot),
                     ("hold", slot, draw.some(0, 1, 2), draw.some(0, 1)), ("drop",), ("exec", slot, draw.random.randrange(7)), ("fork", slot, draw.random.randrange(4)),
                     ("far_send", far, draw.some(1, 100)), ("far_recv", far, 500), ("far_shutdown", far, 1), ("far_close", far), ("far_reset", far), ("far_poll", far), ("table", draw.some(0, 1)))


def leaves(draw):
    """A connection that leaves the run."""
    slot, other = draw.random.sample(range(8), 2)
    far, port = draw.random.randrange(FARS), draw.some(*PORTS)
    family = stream(draw, slot)
    for _ in range(draw.some(0, 0, 0, 1, 2)):
        draw.say(*early(draw, slot, family, other))
    connects(draw, slot, family, port)
    draw.bound.add(slot)
    if port == SERVED and draw.random.randrange(5):
        draw.say("far_accept", far, int(family == INET6 and draw.random.randrange(3) > 0))
    for _ in range(draw.random.randrange(1, 8)):
        draw.say(*late(draw, slot, family, other, far))
    draw.say("state", slot)


def leaves_waited_for(draw):
    """A thread waits on a connection that leaves, or for it."""
    slot, other = draw.random.sample(range(8), 2)
    far = draw.random.randrange(FARS)
    family = stream(draw, slot)
    draw.say("nonblock", slot, 0)
    if draw.random.randrange(3) == 0:
        draw.say("wait", "connect", slot, family, 12, draw.some(FULL, SERVED), 0)
        draw.say(*draw.some(("getpeername", slot, 0, 0, 0), ("getsockname", slot, 0, 0, 0), ("connect", slot, family, 12, draw.some(FULL, SERVED), 0), ("shutdown", slot, 2), ("poll",), ("connect", slot, 0, 0, 0, 0), ("dup", slot, other), ("close", slot)))
    else:
        draw.say("connect", slot, family, 12, SERVED, 0)
        draw.say("far_accept", far, int(family == INET6))
        draw.say("wait", *draw.some(("recv", slot, 100, 0), ("recv", slot, 10, 0x100), ("pollone", slot, draw.some(1, 3, 0x2001))))
        for _ in range(draw.some(1, 1, 2)):
            draw.say(*draw.some(("far_send", far, 10), ("far_close", far), ("far_reset", far), ("far_shutdown", far, 1), ("shutdown", slot, draw.some(0, 1, 2)), ("getpeername", slot, 0, 0, 0), ("connect", slot, 0, 0, 0, 0), ("dup", slot, other)))
    draw.say("join")
    draw.say("state", slot)


def published(draw):
    """A listener at a published port, its clients from outside and from within, and what it is when it is gone and there again."""
    listener, served, other, another = draw.random.sample(range(8), 4)
    fars = draw.random.sample(range(FARS), 3)
    family, port = stream(draw, listener), draw.some(*PUBLISHED)
    which = port - 60
    for slot in (served, other, another):
        draw.forget(slot)
    if draw.random.randrange(2):
        draw.say("setsockopt", listener, 1, 2, 1, 4, 0, 0)
    # Which one of a group is asked is a matter of a hash.
    if draw.random.randrange(6) == 0 and not any(" 1 15 1 " in line for line in draw.lines):
        draw.say("setsockopt", listener, 1, 15, 1, 4, 0, 0)
    if family == INET6 and draw.random.randrange(2):
        draw.say("setsockopt", listener, 41, 26, 1, 4, 0, 0)
    draw.say("bind", listener, family, draw.some(0, 0, 0, 13), port, 0)
    if draw.random.randrange(6) == 0:
        draw.say("far_knock", fars[0], which, 0)
    draw.say("listen", listener, draw.some(1, 5, 5))
    draw.listening.add(listener)
    draw.bound.add(listener)
    version = int(family == INET6 and draw.random.randrange(2))
    waits = draw.random.randrange(4) == 0
    if waits:
        draw.say("nonblock", listener, 0)
        draw.say("wait", "accept", listener, served)
    draw.say("far_knock", fars[0], which, version)
    draw.say(*("join",) if waits else draw.some(("accept", listener, served, 0, 0, 0), ("accept", listener, served, 0, 0, 0), ("race", "accept", listener, served)))
    draw.kinds[served] = (family, STREAM)
    for _ in range(draw.random.randrange(2, 10)):
        if draw.random.randrange(20) == 0:
            comes_from_within(draw, another, listener, family)
        draw.say(*draw.some(("far_knock", draw.some(*fars), which, version), ("far_knock", draw.some(*fars), which, version), ("accept", listener, draw.some(other, another, served), draw.some(0, NONBLOCK), draw.rarely(draw.some(1, 2, 8, 500, -1)), draw.rarely(draw.some(9, 1, 2, 3, 4), odds=8)),
                            ("accept", listener, other, 0, 0, 0), ("race", "accept", listener, another), ("child", "accept", listener, other, 0, 0, 0), ("getpeername", served, 0, 0, 0), ("getsockname", served, 0, 0, 0), ("state", served), ("poll",), ("epoll_ctl", listener, 1, draw.events()),
                            ("epoll_wait",), ("send", served, 10, 0x4000, 0), ("recv", served, 100, DONTWAIT, 0), ("far_send", fars[0], draw.some(1, 100)), ("far_recv", fars[0], 100), ("far_poll", draw.some(*fars)), ("far_close", draw.some(*fars)),
                            ("far_reset", draw.some(*fars)), ("far_shutdown", fars[0], 1), ("shutdown", served, draw.some(0, 1, 2)), ("connect", served, 0, 0, 0, 0), ("close", served), ("dup", listener, another), ("pass", served, served, 1),
                            ("shutdown", listener, draw.some(0, 2)), ("listen", listener, draw.some(1, 5)), ("nonblock", listener, draw.some(0, 1)), ("hold", listener, draw.some(0, 2), draw.some(0, 1)), ("drop",), ("fork", served, draw.random.randrange(4)),
                            ("state", listener), ("close", listener), ("getsockopt", served, 1, 4, 4, 0, 0), ("table", draw.some(0, 1))))
    draw.say("poll")


def comes_from_within(draw, slot, listener, family):
    """A client of the run's own for the same listener."""
    draw.forget(slot)
    draw.kinds[slot] = (family, STREAM)
    draw.say("socket", slot, family, STREAM | draw.some(0, NONBLOCK), 0)
    draw.say("connect", slot, family, draw.some(1, 13), 100 + listener, 0)


SCENES = (leaves, leaves, leaves, leaves_waited_for, published, published, published)


def outside_scene(draw):
    draw.random.choice(SCENES)(draw)
