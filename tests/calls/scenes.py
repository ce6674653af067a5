"""Scenes: calls that mean something together, which random ones seldom draw in a row. Each takes a Draw (script.py) and adds to its script."""

INET, INET6 = 2, 10
STREAM, DGRAM = 1, 2
NONBLOCK = 0o4000
PEEK, DONTWAIT = 2, 0x40
EDGE = 1 << 31


def set_option(draw, slot, level, name, value, second=0, length=4):
    draw.say("setsockopt", slot, level, name, value, length, 0, second)


def pair(draw):
    """A connected stream: slots of its listener, its client and its server."""
    listener, client, served = draw.random.sample(range(8), 3)
    family = draw.some(INET, INET, INET6)
    for slot in (listener, client, served):
        draw.forget(slot)
        draw.kinds[slot] = (family, STREAM)
    draw.say("socket", listener, family, STREAM, 0)
    draw.say("listen", listener, 5)
    draw.say("socket", client, family, STREAM, 0)
    draw.say("connect", client, family, 1, 100 + listener, 0)
    draw.say("accept", listener, served, draw.some(0, NONBLOCK), 0, 0)
    draw.listening.add(listener)
    draw.bound |= {listener, client}
    return listener, client, served


def two(draw, connected=True):
    """Two datagram sockets with names; the first is connected to the second."""
    one, other = draw.random.sample(range(8), 2)
    family = draw.some(INET, INET, INET6)
    for slot in (one, other):
        draw.forget(slot)
        draw.kinds[slot] = (family, DGRAM)
        draw.bound.add(slot)
        draw.say("socket", slot, family, DGRAM | draw.some(0, NONBLOCK), 0)
        draw.say("bind", slot, family, draw.some(0, 1), 0, 0)
    if connected:
        draw.say("connect", one, family, 1, 100 + other, 0)
        draw.peers.add(one)
    return family, one, other


def names(draw):
    """Who may have a port beside whom: SO_REUSEADDR, SO_REUSEPORT, IPV6_V6ONLY, addresses, listeners."""
    slots = draw.random.sample(range(8), draw.some(2, 2, 3))
    kind = draw.some(STREAM, STREAM, DGRAM)
    for number, slot in enumerate(slots):
        family = draw.some(INET, INET6)
        draw.forget(slot)
        draw.say("socket", slot, family, kind | draw.some(0, NONBLOCK), 0)
        draw.kinds[slot] = (family, kind)
        for name in (2, 15):
            if draw.random.randrange(2):
                set_option(draw, slot, 1, name, draw.some(1, 1, 1, 0))
        if family == INET6 and draw.random.randrange(2):
            set_option(draw, slot, 41, 26, draw.some(0, 1))
        draw.say("bind", slot, family, draw.some(0, 0, 1, 2, 2 if family == INET else 5), 100 + slots[0] if number else 0, 0)
        draw.bound.add(slot)
        if kind == STREAM and draw.random.randrange(3):
            draw.say("listen", slot, 5)
            draw.listening.add(slot)
    asking = draw.random.randrange(8)
    # Which one of a group is asked is a matter of a hash.
    if asking in slots or sum(f"setsockopt {slot} 1 15 1 " in line for slot in slots for line in draw.lines) > 1:
        return
    family = draw.some(INET, INET6)
    draw.forget(asking)
    draw.kinds[asking] = (family, kind)
    draw.say("socket", asking, family, kind, 0)
    which = draw.some(1, 1, 2 if family == INET6 else 1, 2 if family == INET else 5)
    if kind == STREAM:
        draw.say("connect", asking, family, which, 100 + slots[0], 0)
    else:
        draw.say("sendto", asking, 9, 0, family, which, 100 + slots[0], 0, 0)
    draw.say("poll")


def told_besides(draw):
    """What recvmsg(2) tells of a datagram besides its octets."""
    family, one, other = two(draw)
    for _ in range(draw.some(1, 2, 3)):
        level, name = draw.some((0, 8), (0, 12), (0, 13), (0, 20), (0, 6), (0, 7)) if family == INET else draw.some((41, 49), (41, 51), (41, 66), (41, 74), (0, 8), (0, 12))
        set_option(draw, other, *draw.some((level, name), (level, name), (1, 29), (1, 35), (1, 40), (17, 104)), 1)
    for _ in range(draw.some(1, 2, 3)):
        draw.say("sendmsg", one, draw.some(0, 1, 100), 0, 0, 0, 0, 0, draw.some(0, 6, 12, 13, 14, 10))
    for _ in range(draw.some(1, 2, 3)):
        draw.say("recvmsg", other, draw.some(1, 50, 200), draw.some(DONTWAIT, DONTWAIT | PEEK, DONTWAIT | 0x20), 3, draw.rarely(draw.some(15, 20, 40), 0, 5), 0)


def peeks(draw):
    """SO_PEEK_OFF, MSG_PEEK, and what they leave."""
    one, other = pair(draw)[1:] if draw.random.randrange(2) else two(draw)[1:]
    if draw.random.randrange(3):
        set_option(draw, other, 1, 42, draw.some(0, 0, 3, -1))
    for _ in range(draw.some(1, 2, 3)):
        draw.say("send", one, draw.some(1, 5, 100), 0, 0)
    for _ in range(draw.random.randrange(2, 7)):
        draw.say(*draw.some(("recv", other, draw.some(1, 3, 50), DONTWAIT | PEEK, 0), ("recv", other, draw.some(1, 3, 50), DONTWAIT | PEEK, 0), ("recv", other, 2, DONTWAIT, 0),
                            ("recvfrom", other, 4, DONTWAIT | PEEK, 0, 0), ("recvmsg", other, 9, DONTWAIT | PEEK, 3, 0, 0), ("getsockopt", other, 1, 42, 4, 0, 0),
                            ("send", one, 7, 0, 0)))


def lingers(draw):
    """SO_LINGER, and what a close does with it or with octets unread."""
    listener, client, served = pair(draw)
    one, other = draw.some((client, served), (served, client))
    if draw.random.randrange(2):
        set_option(draw, one, 1, 13, draw.some(0, 1, 1), draw.some(0, 0, 1), 8)
    for slot in (one, other):
        if draw.random.randrange(3) == 0:
            draw.say("send", slot, draw.some(1, 3000), 0, 0)
    if draw.random.randrange(4) == 0:
        draw.say("shutdown", one, draw.some(0, 1, 1, 2))
    draw.say("close", one)
    draw.forget(one)
    for _ in range(draw.random.randrange(1, 4)):
        draw.say(*draw.some(("poll",), ("recv", other, 5000, DONTWAIT, 0), ("send", other, 10, 0x4000, 0), ("state", other), ("getsockopt", other, 1, 4, 4, 0, 0), ("ioctl", other, 0, 0, 0)))


def waits(draw):
    """A thread waits while the script goes on."""
    stream = draw.random.randrange(2)
    listener, client, served = pair(draw) if stream else (None, *two(draw)[1:])
    other = draw.random.randrange(8)
    waited = draw.random.choice((served, client, listener) if stream else (served, served, client))
    peer = client if waited == served else served
    # The call has to wait for it to be worth the while.
    draw.say("nonblock", waited, 0)
    if waited == listener:
        draw.say("wait", *draw.some(("accept", waited, other), ("pollone", waited, draw.some(1, 5))))
        draw.say(*draw.some(("shutdown", waited, draw.some(0, 2)), ("poll",), ("connect", other, draw.kinds[listener][0], 1, 100 + listener, 0)))
    else:
        draw.say("wait", *draw.some(("recv", waited, draw.some(10, 100), draw.some(0, 0, 0x100, PEEK)), ("recvfrom", waited, 100, 0), ("pollone", waited, draw.some(1, 3, 0x2001, 0))))
        draw.say(*draw.some(("send", peer, draw.some(1, 10, 100), draw.some(0, 0, 1), 0), ("shutdown", peer, 1), ("close", peer), ("shutdown", waited, draw.some(0, 2)), ("child", "send", peer, 10, 0, 0),
                            ("setsockopt", peer, 1, 13, 1, 8, 0, 0), ("connect", waited, 0, 0, 0, 0)))
    draw.say("join")


def holds(draw):
    """Children have a copy of the descriptor, and the script closes its own."""
    slots = pair(draw) if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots)
    draw.say("hold", slot, draw.some(0, 0, 1, 2, 3), draw.some(0, 1))
    if draw.random.randrange(3):
        draw.say("close", slot)
        draw.kinds.pop(slot, None)
    other = draw.random.choice([one for one in slots if one != slot])
    for _ in range(draw.random.randrange(1, 4)):
        draw.say(*draw.some(("poll",), ("send", other, 10, 0x4000, 0), ("recv", other, 100, DONTWAIT, 0), ("state", other), ("connect", other, 0, 0, 0, 0)))
    draw.say("drop")
    draw.say("poll")


def signals(draw):
    """Events as signals (O_ASYNC)."""
    slots = pair(draw)[1:] if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots)
    other = slots[0] if slot == slots[1] else slots[1]
    draw.say("async", slot, 1)
    for _ in range(draw.random.randrange(1, 4)):
        draw.say(*draw.some(("send", other, 10, draw.some(0, 0, 1), 0), ("shutdown", other, 1), ("recv", slot, 5, DONTWAIT, 0), ("async", slot, draw.some(0, 1)), ("close", other), ("send", slot, 5, 0x4000, 0)))


def undone(draw):
    """connect(2) with AF_UNSPEC, and what the socket is afterwards."""
    slots = pair(draw)[1:] if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots)
    family = draw.kinds[slot][0]
    draw.say("connect", slot, 0, 0, 0, draw.rarely(2, 0, 4))
    for _ in range(draw.random.randrange(1, 4)):
        draw.say(*draw.some(("poll",), ("state", slot), ("connect", slot, family, 1, 100 + slots[0], 0), ("connect", slot, family, 1, 9, 0), ("listen", slot, 1), ("bind", slot, family, 1, 0, 0),
                            ("getsockname", slot, 0, 0, 0), ("recv", slot, 10, DONTWAIT, 0)))


def edges(draw):
    """epoll(7), edge triggered."""
    slots = pair(draw) if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots)
    other = draw.random.choice([one for one in slots if one != slot])
    draw.say("epoll_ctl", slot, 1, draw.some(1, 5, 0x2005) | EDGE)
    draw.say("epoll_wait")
    for _ in range(draw.random.randrange(2, 6)):
        draw.say(*draw.some(("send", other, 10, 0x4000, 0), ("send", other, 10, 0x4000, 0), ("recv", slot, draw.some(5, 100), DONTWAIT, 0), ("shutdown", other, 1), ("epoll_ctl", slot, 3, draw.some(1, 5) | EDGE),
                            ("accept", slot, draw.random.randrange(8), 0, 0, 0)))
        draw.say("epoll_wait")


SCENES = (names, names, told_besides, peeks, lingers, waits, waits, holds, holds, signals, undone, edges)
