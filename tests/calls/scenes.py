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
        draw.say("wait", *draw.some(("recv", waited, draw.some(10, 100), draw.some(0, 0, 0x100, PEEK, PEEK | 0x100)), ("recvfrom", waited, 100, 0), ("pollone", waited, draw.some(1, 3, 0x2001, 0))))
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


def dials(draw):
    """A connect(2) that does not wait, and several that look at what becomes of it."""
    listener, client, served = draw.random.sample(range(8), 3)
    family = draw.some(INET, INET, INET6)
    for slot in (listener, client, served):
        draw.forget(slot)
    draw.kinds[listener] = draw.kinds[client] = (family, STREAM)
    draw.say("socket", listener, family, STREAM | NONBLOCK, 0)
    draw.say("bind", listener, family, 1, 0, 0)
    if draw.random.randrange(4):
        draw.say("listen", listener, draw.some(0, 1, 5))
        draw.listening.add(listener)
    draw.say("socket", client, family, STREAM | NONBLOCK, 0)
    for early in range(draw.random.randrange(3)):
        draw.say(*draw.some(("epoll_ctl", client, 1, draw.events()), ("setsockopt", client, 6, 1, 1, 4, 0, 0), ("setsockopt", client, 6, 30, 1, 4, 0, 0), ("setsockopt", client, 1, 13, 1, 8, 0, 0), ("dup", client, served)))
    draw.say("connect", client, family, 1, 100 + listener, 0)
    for _ in range(draw.random.randrange(2, 6)):
        draw.say(*draw.some(("poll",), ("epoll_wait",), ("child", "poll"), ("child", "connect", client, family, 1, 100 + listener, 0), ("getsockopt", client, 1, 4, 4, 0, 0), ("connect", client, family, 1, 100 + listener, 0),
                            ("send", client, 10, 0x4000, 0), ("recv", client, 10, DONTWAIT, 0), ("accept", listener, served, 0, 0, 0), ("shutdown", client, draw.some(0, 1, 2)), ("state", client), ("close", listener), ("select", 1, 7, 0)))
    draw.say("state", client)


def herd(draw):
    """Several that wait for the clients of one listener: EPOLLEXCLUSIVE, EPOLLONESHOT, children, a thread in accept(2)."""
    listener, one, other, served = draw.random.sample(range(8), 4)
    family = draw.some(INET, INET, INET6)
    for slot in (listener, one, other, served):
        draw.forget(slot)
    for slot in (listener, one, other):
        draw.kinds[slot] = (family, STREAM)
    draw.say("socket", listener, family, STREAM | NONBLOCK, 0)
    draw.say("bind", listener, family, draw.some(0, 1), 0, 0)
    draw.say("listen", listener, draw.some(0, 1, 5))
    draw.listening.add(listener)
    draw.bound.add(listener)
    draw.say("epoll_ctl", listener, 1, draw.some(1, 5) | draw.some(0, 1 << 28, 1 << 30, EDGE, EDGE | 1 << 28))
    if draw.random.randrange(2):
        draw.say("hold", listener, draw.some(0, 2), draw.some(0, 1))
    for slot in (one, other):
        draw.say("socket", slot, family, STREAM | draw.some(0, NONBLOCK), 0)
        draw.say("connect", slot, family, 1, 100 + listener, 0)
    for _ in range(draw.random.randrange(2, 7)):
        draw.say(*draw.some(("epoll_wait",), ("child", "epoll_wait"), ("child", "accept", listener, served, 0, 0, 0), ("accept", listener, served, draw.some(0, NONBLOCK), 0, 0), ("epoll_ctl", listener, 3, draw.some(1, 5) | 1 << 30),
                            ("shutdown", listener, draw.some(0, 2)), ("listen", listener, draw.some(0, 3)), ("close", draw.some(one, other)), ("poll",), ("drop",), ("child", "shutdown", listener, 0)))
    draw.say("drop")
    draw.say("poll")


def rights(draw):
    """A socket in one of its states goes over AF_UNIX, its descriptor closed behind it or not."""
    kind = draw.random.randrange(4)
    if kind == 0:
        family, slot, other = two(draw, bool(draw.random.randrange(2)))
    else:
        listener, client, served = pair(draw)
        slot, other = draw.some((listener, client), (client, served), (served, client))
    for _ in range(draw.random.randrange(3)):
        draw.say(*draw.some(("send", other, draw.some(1, 100), 0x4000, 0), ("send", slot, 10, 0x4000, 0), ("shutdown", slot, draw.some(0, 1)), ("shutdown", other, 1), ("close", other), ("connect", slot, 0, 0, 0, 0),
                            ("epoll_ctl", slot, 1, draw.events()), ("setsockopt", slot, 1, 13, 1, 8, 0, 0)))
    to = draw.random.randrange(8)
    closes = draw.random.randrange(2)
    draw.say("pass", slot, to, closes)
    if to != slot:
        draw.kinds[to] = draw.kinds.get(slot, (INET, STREAM))
        if closes:
            draw.forget(slot)
    for _ in range(draw.random.randrange(2, 5)):
        draw.say(*draw.some(("poll",), ("state", to), ("send", to, 10, 0x4000, 0), ("recv", to, 50, DONTWAIT, 0), ("send", other, 10, 0x4000, 0), ("recv", other, 50, DONTWAIT, 0), ("accept", to, other, 0, 0, 0), ("epoll_wait",), ("close", to),
                            ("shutdown", to, draw.some(0, 1, 2)), ("child", "send", to, 5, 0x4000, 0), ("hold", to, 0, 0), ("drop",)))


def urgent(draw):
    """MSG_OOB, SIOCATMARK, SO_OOBINLINE, POLLPRI."""
    listener, one, other = pair(draw)
    if draw.random.randrange(3) == 0:
        set_option(draw, other, 1, 10, 1)
    for _ in range(draw.random.randrange(3, 9)):
        draw.say(*draw.some(("send", one, draw.some(1, 5), 1, 0), ("send", one, draw.some(1, 5), 1, 0), ("send", one, 5, 0, 0), ("recv", other, draw.some(1, 3, 50), DONTWAIT, 0), ("recv", other, 1, DONTWAIT | 1, 0),
                            ("recv", other, 1, DONTWAIT | 3, 0), ("recv", other, 50, DONTWAIT | PEEK, 0), ("ioctl", other, 1, 0, 0), ("ioctl", other, 0, 0, 0), ("poll",), ("setsockopt", other, 1, 10, draw.some(0, 1), 4, 0, 0),
                            ("shutdown", one, 1), ("recvmsg", other, 20, DONTWAIT, 3, 0, 0)))


def held(draw):
    """TCP_CORK, TCP_NODELAY, SO_RCVLOWAT, and who is told what of what has come."""
    listener, one, other = pair(draw)
    for _ in range(draw.random.randrange(4, 10)):
        draw.say(*draw.some(("setsockopt", one, 6, 3, draw.some(0, 1), 4, 0, 0), ("setsockopt", one, 6, 1, draw.some(0, 1), 4, 0, 0), ("setsockopt", other, 1, 18, draw.some(1, 5, 20, 0), 4, 0, 0), ("send", one, draw.some(1, 10, 100), 0, 0),
                            ("send", one, draw.some(1, 10), 0, 0), ("recv", other, draw.some(1, 20, 200), DONTWAIT | draw.some(0, 0, PEEK, 0x100, 0x20), 0), ("poll",), ("epoll_ctl", other, 1, draw.some(1, EDGE | 1)), ("epoll_wait",), ("select", 1, 1, 0),
                            ("ioctl", other, 0, 0, 0), ("shutdown", one, 1), ("recv", other, 20, 0x100, 0)))
        if draw.random.randrange(6) == 0:
            # Who waits has as many as the low-water mark, or all that he looks at.
            draw.say("wait", "recv", other, draw.some(5, 20, 200), draw.some(0, 0, PEEK, 0x100, PEEK | 0x100), 0)
            draw.say("send", one, draw.some(1, 10), 0, 0)
            draw.say("join")


def mixes(draw):
    """MSG_TRUNC, MSG_PEEK, MSG_WAITALL, of streams and of datagrams."""
    one, other = pair(draw)[1:] if draw.random.randrange(2) else two(draw)[1:]
    for _ in range(draw.some(1, 2, 3)):
        draw.say("send", one, draw.some(0, 1, 5, 100, 1000), 0, 0)
    for _ in range(draw.random.randrange(2, 6)):
        flags = sum(flag for flag in (PEEK, 0x20, 0x100, 1, 0x2000) if draw.random.randrange(5) < 2) | draw.some(DONTWAIT, DONTWAIT, 0)
        draw.say(*draw.some(("recv", other, draw.some(0, 1, 50, 2000), flags, 0), ("recvfrom", other, draw.some(1, 50), flags, 0, 0), ("recvmsg", other, draw.some(0, 1, 50, 2000), flags, 3, 0, 0), ("recvmmsg", other, 2, flags | DONTWAIT, 0),
                            ("send", one, 10, 0, 0), ("poll",)))


def relays(draw):
    """sendfile(2) and splice(2) from one to another."""
    first = pair(draw)[1:] if draw.random.randrange(3) else two(draw)[1:]
    for _ in range(draw.random.randrange(3, 8)):
        one, other = draw.some(first, first[::-1])
        draw.say(*draw.some(("send", one, draw.some(10, 3000), 0x4000, 0), ("relay", other, draw.slot(), draw.some(5, 4000), draw.some(2, 2, 6)), ("relay", other, one, 4000, 2), ("sendfile", one, draw.some(10, 4000), draw.some(0, 100)), ("poll",),
                            ("recv", other, draw.some(5, 5000), DONTWAIT, 0), ("splice_in", other, draw.some(5, 4000), 2), ("shutdown", one, 1), ("splice_out", one, 100, draw.some(0, 4))))


def errors(draw):
    """IP_RECVERR, IPV6_RECVERR: what was refused waits in a queue, of both versions."""
    family, one, other = two(draw, False)
    to = draw.some(1, 2) if family == INET6 else 1
    if draw.random.randrange(4):
        set_option(draw, one, *draw.some((0, 11), (41, 25)) if family == INET6 else (0, 11), 1)
    if draw.random.randrange(2):
        draw.say("connect", one, family, to, 9, 0)
        draw.peers.add(one)
    for _ in range(draw.random.randrange(3, 8)):
        draw.say(*draw.some(("sendto", one, draw.some(0, 10, 100), 0, family, to, 9, 0, 0), ("sendto", one, 10, 0, family, to, 100 + other, 0, 0), ("recvmsg", one, draw.some(5, 200), 0x2000 | DONTWAIT, 3, 0, 0), ("poll",),
                            ("recvmsg", one, 200, 0x2000 | DONTWAIT | draw.some(PEEK, 0x20), 3, 0, 0), ("recvmsg", one, 50, DONTWAIT, 3, 0, 0), ("getsockopt", one, 1, 4, 4, 0, 0), ("sendto", one, 5, 0, family, to, 9, 0, 0), ("connect", one, 0, 0, 0, 0),
                            ("recvmmsg", one, 2, 0x2000 | DONTWAIT, 0), ("epoll_ctl", one, 1, draw.some(1, 1 | EDGE)), ("epoll_wait",), ("sendmmsg", one, 2, 0, family, to, 9, 0, 0), ("setsockopt", one, draw.some(0, 41), 11, 0, 4, 0, 0)))


def sources(draw):
    """IP_PKTINFO and IPV6_PKTINFO both ways, SO_BINDTODEVICE, IP_UNICAST_IF: from which address and by which link."""
    family, one, other = two(draw, False)
    for slot in (one, other):
        for _ in range(draw.random.randrange(3)):
            set_option(draw, slot, *draw.some((0, 8, 1), (0, 8, 1), (41, 49, 1), (1, 62, draw.some(0, 1)), (0, 50, draw.some(0, 1 << 24, 1)), (41, 76, draw.some(0, 1 << 24)), (0, 20, 1), (41, 74, 1)))
        if draw.random.randrange(4) == 0:
            set_option(draw, slot, 1, 25, draw.some(0x6F6C, 0x6F6C, 0, 0x7878), 0, draw.some(3, 4, 0))
    for _ in range(draw.random.randrange(2, 7)):
        which = draw.some(1, 1, 2 if family == INET6 else 2, 0)
        draw.say(*draw.some(("sendmsg", one, 10, 0, family, which, 100 + other, 0, draw.some(0, 13, 13, 14, 6, 12)), ("sendmsg", other, 10, 0, family, which, 100 + one, 0, draw.some(0, 13, 14)),
                            ("recvmsg", other, 50, DONTWAIT, 3, 0, 0), ("recvmsg", one, 50, DONTWAIT, 3, 0, 0), ("poll",), ("connect", one, family, which, 100 + other, 0), ("state", one), ("getsockopt", one, 1, draw.some(25, 62), 16, 0, 0),
                            ("getsockopt", one, draw.some(0, 41), draw.some(50, 76), 4, 0, 0)))


def hearers(draw):
    """Groups: who has joined hears, by IP_MULTICAST_ALL, IPV6_MULTICAST_ALL and filters of sources."""
    family = draw.some(INET, INET, INET6)
    level = 0 if family == INET else 1
    speaker, *slots = draw.random.sample(range(8), draw.some(2, 3))
    group = draw.some(10, 10, 11) if family == INET else draw.some(10, 10, 4)
    for slot in (speaker, *slots):
        draw.forget(slot)
        draw.kinds[slot] = (family, DGRAM)
        draw.say("socket", slot, family, DGRAM | NONBLOCK, 0)
        draw.bound.add(slot)
    for number, slot in enumerate(slots):
        set_option(draw, slot, 1, 2, 1)
        draw.say("bind", slot, family, draw.some(0, 0, group), 100 + slots[0] if number else 0, 0)
        if draw.random.randrange(3) == 0:
            set_option(draw, slot, *((0, 49) if family == INET else (41, 29)), draw.some(0, 0, 1))
        if draw.random.randrange(4):
            draw.say("group", slot, level, draw.some(42, 46, 43, 35, 39) if family == INET else draw.some(42, 46, 43), 1 if group == 11 and family == INET else draw.some(0, 0, 1), draw.some(0, 1), 1, 0, 0, 0)
    set_option(draw, speaker, *((0, 32, 0x0100007F) if family == INET else (41, 17, 1)))
    if draw.random.randrange(4) == 0:
        set_option(draw, speaker, *((0, 34) if family == INET else (41, 19)), draw.some(0, 1))
    for _ in range(draw.random.randrange(2, 6)):
        slot = draw.some(*slots)
        draw.say(*draw.some(("sendto", speaker, 10, 0, family, group, 100 + slots[0], 0, 0), ("sendto", speaker, 10, 0, family, group, 100 + slots[0], 0, 0), ("poll",), ("recvmsg", slot, 50, DONTWAIT, 3, 0, 0),
                            ("group", slot, level, draw.some(43, 44, 45, 47), 0, draw.some(0, 1), 1, 0, 0, 0), ("getsockopt", slot, 0, 49, 4, 0, 0)))
    draw.say("poll")


def sets(draw):
    """The epoll(7) set goes over AF_UNIX, and so do sockets that it watches."""
    slots = pair(draw) if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots)
    other = draw.random.choice([one for one in slots if one != slot])
    to = draw.random.randrange(8)
    draw.say("epoll_ctl", slot, 1, draw.some(1, 5, 0x2005) | draw.some(0, EDGE, 1 << 30))
    for _ in range(draw.random.randrange(3, 8)):
        draw.say(*draw.some(("pass_set",), ("pass_set",), ("send", other, 10, 0x4000, 0), ("recv", slot, 100, DONTWAIT, 0), ("child", "epoll_wait"), ("pass", slot, to, 1), ("close", draw.some(slot, other)), ("dup", slot, to),
                            ("shutdown", other, 1), ("epoll_ctl", draw.some(slot, to), draw.some(1, 2, 3), draw.some(1, 5) | draw.some(0, EDGE)), ("connect", slot, draw.kinds.get(slot, (INET,))[0], 1, 9, 0), ("connect", slot, 0, 0, 0, 0)))
        draw.say("epoll_wait")


def three(draw):
    """Two children have a copy besides the script's own, which it may close, and each does its part when it is let go."""
    slots = pair(draw) if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots)
    other = draw.random.choice([one for one in slots if one != slot])
    for _ in range(2):
        draw.say("hold", draw.some(slot, slot, other), draw.some(0, 1, 2, 3), draw.some(0, 1))
    if draw.random.randrange(2):
        draw.say("close", slot)
        draw.forget(slot)
    for last in (False, True):
        for _ in range(draw.random.randrange(1, 3)):
            draw.say(*draw.some(("poll",), ("send", other, 10, 0x4000, 0), ("recv", other, 100, DONTWAIT, 0), ("state", other), ("child", "send", other, 5, 0x4000, 0), ("child", "recv", other, 5, DONTWAIT, 0), ("shutdown", other, draw.some(0, 1)),
                                ("pass", other, other, 1)))
        draw.say("drop")
    draw.say("poll")


def copies(draw):
    """A thread polls or reads one of two descriptors of a socket while the other is closed, passed on or shut."""
    slots = pair(draw) if draw.random.randrange(2) else two(draw)[1:]
    slot = draw.random.choice(slots[-2:])
    other = draw.random.choice([one for one in slots[-2:] if one != slot])
    copy = draw.random.choice([one for one in range(8) if one not in slots])
    draw.say("dup", slot, copy)
    draw.forget(copy)
    draw.kinds[copy] = draw.kinds[slot]
    draw.say("nonblock", copy, 0)
    draw.say("wait", *draw.some(("pollone", copy, draw.some(1, 3, 0x2001)), ("recv", copy, 10, 0), ("recvfrom", copy, 10, 0)))
    for _ in range(draw.random.randrange(1, 3)):
        draw.say(*draw.some(("close", slot), ("close", slot), ("pass", slot, slot, 1), ("shutdown", slot, 0), ("send", other, 10, 0x4000, 0), ("child", "send", other, 5, 0x4000, 0), ("close", other), ("dup2", other, slot)))
    draw.say("join")
    draw.say("poll")


def workers(draw):
    """A listener of several processes, with a thread in accept(2) beside them."""
    listener, one, other, served, another = draw.random.sample(range(8), 5)
    family = draw.some(INET, INET, INET6)
    for slot in (listener, one, other, served, another):
        draw.forget(slot)
    for slot in (listener, one, other):
        draw.kinds[slot] = (family, STREAM)
    draw.say("socket", listener, family, STREAM, 0)
    draw.say("bind", listener, family, draw.some(0, 1), 0, 0)
    draw.say("listen", listener, draw.some(1, 5))
    draw.listening.add(listener)
    draw.bound.add(listener)
    for _ in range(draw.random.randrange(3)):
        draw.say("hold", listener, draw.some(0, 0, 1, 2), draw.some(0, 1))
    draw.say("wait", "accept", listener, served)
    for slot in (one, other):
        draw.say("socket", slot, family, STREAM | draw.some(0, NONBLOCK), 0)
        draw.say("connect", slot, family, 1, 100 + listener, 0)
        if slot == one:
            draw.say("join")
    draw.say("nonblock", listener, 1)
    for _ in range(draw.random.randrange(2, 6)):
        draw.say(*draw.some(("child", "accept", listener, another, 0, 0, 0), ("accept", listener, another, draw.some(0, NONBLOCK), 0, 0), ("send", one, 10, 0x4000, 0), ("recv", served, 10, DONTWAIT, 0), ("poll",), ("drop",), ("close", listener),
                            ("child", "listen", listener, 0), ("state", listener)))
    draw.say("drop")
    draw.say("poll")


def looks(draw):
    """SO_PEEK_OFF beside errors that are queued, MSG_PEEK of both."""
    family, one, other = two(draw, False)
    to = draw.some(1, 2) if family == INET6 else 1
    set_option(draw, one, *draw.some((0, 11), (41, 25)) if family == INET6 else (0, 11), 1)
    if draw.random.randrange(3):
        set_option(draw, one, 1, 42, draw.some(0, 2))
    for _ in range(draw.random.randrange(4, 9)):
        draw.say(*draw.some(("sendto", one, 10, 0, family, to, 9, 0, 0), ("sendto", other, 10, 0, family, to, 100 + one, 0, 0), ("sendto", other, 3, 0, family, to, 100 + one, 0, 0), ("recvmsg", one, 4, DONTWAIT | PEEK, 3, 0, 0),
                            ("recvmsg", one, 50, DONTWAIT | PEEK | 0x2000, 3, 0, 0), ("recvmsg", one, 50, DONTWAIT | 0x2000, 3, 0, 0), ("recvfrom", one, 50, DONTWAIT, 0, 0), ("recvfrom", one, 2, DONTWAIT | PEEK, 0, 0), ("poll",), ("getsockopt", one, 1, 42, 4, 0, 0),
                            ("getsockopt", one, 1, 4, 4, 0, 0), ("recvmmsg", one, 2, DONTWAIT | draw.some(0, PEEK, 0x2000), 0)))


def batches(draw):
    """recvmmsg(2) with and without a time, and what is there when it is over."""
    family, one, other = two(draw, bool(draw.random.randrange(2)))
    draw.say("nonblock", other, 0)
    for _ in range(draw.random.randrange(3, 7)):
        draw.say(*draw.some(("sendmmsg", one, draw.some(1, 2, 4), 0, family, 1, 100 + other, 0, 0), ("sendto", one, 5, 0, family, 1, 100 + other, 0, 0), ("recvmmsg", other, draw.some(1, 2, 4), draw.some(0x10000, 0x10000 | DONTWAIT, DONTWAIT, 0), draw.some(0, 1, 1)),
                            ("recvmmsg", other, 2, PEEK | draw.some(DONTWAIT, 0x10000), 1), ("shutdown", other, 0), ("recvmmsg", other, 1, 0x20 | DONTWAIT, 1), ("setsockopt", other, draw.some(17, 1), 104, draw.some(0, 1), 4, 0, 0), ("poll",)))


SCENES = (names, names, told_besides, peeks, lingers, waits, waits, holds, holds, signals, undone, edges,
          dials, dials, herd, herd, rights, rights, urgent, held, held, mixes, relays, errors, errors, sources, sources, hearers,
          sets, sets, three, three, copies, copies, workers, workers, looks, batches)
