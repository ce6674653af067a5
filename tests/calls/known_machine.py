"""Oddities of the kernel, and of the machine."""
import re

from lines import ENDS, is_undone_datagram, is_undone_stream, queues_errors, rule
from model import INET6, RECEIVES, SENDS, WRITES

NETLINK = 16


@rule("FIONREAD of netlink, which has none on the kernel")
def _(line):
    return line.name == "state" and " family 16" in line.native and line.call[0].replace("unread -1 0", "unread 0 0") == line.call[1]


@rule("the table of a datagram socket of IPv6 that was disconnected: the kernel leaves the peer's address in it")
def _(line):
    return line.name in ("table", "diag") and any(one.datagram and one.family == INET6 and one.has("connect", lambda words, said: words[2] == "0" and said == "0") for one in line.model.all)


@rule("an error for a datagram socket of IPv6 that was disconnected from a peer of IPv4, whose address the kernel still compares (`sk_v6_daddr`): it is lost there", ENDS)
def _(line):
    by_v4 = lambda words, said: (words[2] == "2" or words[2] == "10" and words[3] in ("2", "3", "5")) and said == "0"
    kept = lambda one: one.datagram and one.family == INET6 and not one.peer and is_undone_datagram(one) and one.has("connect", by_v4)
    return line.every(lambda one, theirs, ours: kept(one) and ours == theirs | 8 and ours != theirs and queues_errors(one))


@rule("bind(2) of a group of SO_REUSEPORT beside one that is none: the kernel remembers the group, and forgets the other (`sk_reuseport_match`; of UDP the one that was bound last, `udp_lib_lport_inuse`)", ENDS)
def _(line):
    shares = lambda words, said: words[2:4] == ["1", "15"] and words[4] != "0" and said == "0"
    return line.name in ("bind", "listen") and line.said("0", "EADDRINUSE") and (line.stream or line.datagram) and line.socket.has("setsockopt", shares)


@rule("send(2) of nothing on a socket of netlink")
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg") and bool(line.socket) and line.socket.family == NETLINK and line.said("ENODATA", "0")


@rule("an option that names a link, where the kernel's side has none but lo", ENDS)
def _(line):
    # A group, too (IPV6_JOIN_GROUP), of no link: the one that its way leads to.
    return line.name == "setsockopt" and (line.words[2:5] == ["41", "17", "2"] or line.words[2:4] == ["41", "20"]) and line.said("ENODEV", "0")


@rule("the kernel's side has no link but lo", ENDS)
def _(line):
    return line.name in ("sendto", "sendmsg", "sendmmsg", "connect", "echo") and line.theirs == "ENETUNREACH" and leads_out(line)


@rule("the kernel still speaks IPv4 for a socket of IPv6 that was refused by IPv4, or shut or disconnected while it connected there", ENDS)
def _(line):
    # Nobody answers by IPv4 what IPv6 was asked: there it waits for ever.
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: not theirs and speaks_ipv4(line, one))
    if line.name == "connect":
        said = line.said("EINPROGRESS EALREADY", "0 EISCONN EINPROGRESS ECONNREFUSED ECONNABORTED")
    elif line.name in (*SENDS, *RECEIVES):
        said = line.theirs == "EAGAIN" and (line.ours.isdigit() or line.ours in ("EPIPE", "ECONNREFUSED", "ECONNRESET"))
    else:
        said = False
    return said and line.stream and speaks_ipv4(line, line.socket)


@rule("a socket that was shut and connects to itself", ENDS)
def _(line):
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: one.stream and one.itself and bool(one.shut))
    nine = lambda: line.words[4] == "9" and line.socket.has("bind", lambda words, said: words[4] == "9" and said == "0")
    return line.name == "connect" and line.theirs == "ECONNABORTED" and line.stream and bool(line.socket.shut) and (line.socket.itself or nine() or line.model.named(line.words[4]) is line.socket)


@rule("a group of IPv6 asked of a socket that is bound or connected to IPv4")
def _(line):
    return line.name == "connect" and line.ours == "EAFNOSUPPORT" and leads_out(line)


@rule("a stream bound to a broadcast address, which the kernel does not connect from", ENDS)
def _(line):
    return line.name == "connect" and line.stream and line.socket.has("bind", lambda words, said: words[2:4] == ["2", "3"] and said == "0")


@rule("the address of a stream that was shut while it connected, or refused when its first octets connected it (TCP_FASTOPEN_CONNECT), which the kernel gives up")
def _(line):
    waits = lambda words, said: said == "EINPROGRESS"
    late = lambda: line.socket.has("setsockopt", lambda words, said: words[2:4] == ["6", "30"] and said == "0") and line.socket.has("send", lambda words, said: said == "ECONNREFUSED")
    bare = lambda said: re.sub(r"len \d+ [0-9a-f:.]+/", "", said, count=1)
    given_up = re.search(r"len (28 ::|16 0\.0\.0\.0)/P", line.call[0])
    return line.name in ("state", "getsockname") and line.stream and bool(given_up) and bare(line.call[0]) == bare(line.call[1]) and (line.socket.has("connect", waits) and bool(line.socket.shut) or late())


@rule("a datagram of IPv6 with more octets than IPv4 carries, from an object of UDP (a peer that is not there, or the program itself)", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and line.socket.family == INET6 and line.theirs.isdigit() and line.ours == "EMSGSIZE" and 65507 < int(line.theirs) <= 65527


@rule("the same where it comes: to a socket with an object of UDP, which has a peer", ENDS)
def _(line):
    long = lambda one: any(words[0] in (*SENDS,) and said.isdigit() and 65507 < int(said) <= 65527 for words, said in one.did)
    hears = lambda one: bool(one) and one.datagram and one.family == INET6 and any(other.datagram and long(other) and one.meets(other) for other in line.model.all)
    if line.name == "select":
        differ = line.selects()
        return bool(differ) and all(hears(one) and theirs ^ ours == 1 for one, theirs, ours in differ)
    return line.every(lambda one, theirs, ours: theirs ^ ours == 1 and hears(one)) or (
        line.name in RECEIVES and hears(line.socket) and line.theirs.isdigit() and (line.ours.isdigit() or line.ours == "EAGAIN"))


@rule("SO_SELECT_ERR_QUEUE: POLLPRI beside POLLERR")
def _(line):
    asks = lambda one: bool(one) and one.has("setsockopt", lambda words, said: words[2:4] == ["1", "45"] and words[4] != "0" and said == "0")
    if line.name == "select":
        differ = line.selects()
        return bool(differ) and all(asks(one) and theirs ^ ours == 4 for one, theirs, ours in differ)
    return line.every(lambda one, theirs, ours: asks(one) and theirs ^ ours == 2 and theirs & 8)


@rule("a raw socket, which needs no privilege here; netlink of IPsec; what is wrong with a socket of netlink", ENDS)
def _(line):
    return line.name == "socket" and (line.theirs, line.ours) in {("EPERM", "0"), ("EPERM", "EPROTONOSUPPORT"), ("0", "EPROTONOSUPPORT"), ("EINVAL", "ESOCKTNOSUPPORT")}


@rule("a stream that was shut when its connect had failed, of which nobody had been told", ENDS)
def _(line):
    return line.name == "listen" and line.stream and line.said("EINVAL", "0") and line.socket.has("shutdown", lambda words, said: said == "ENOTCONN")


@rule("TCP_LINGER2 below 0: whether the peer has acknowledged the end when the socket is closed, on which a reset depends, is a matter of microseconds", ENDS)
def _(line):
    unkind = lambda words, said: words[2:4] == ["6", "8"] and words[4].startswith("-") and said == "0"
    if not any(one.stream and one.has("setsockopt", unkind) for one in line.model.all):
        return False
    # By our TCP a reset behind the peer's end shows no error.
    differ = (0x18, 0x10) if line.carried else (0x18,)
    return line.every(lambda one, theirs, ours: one.stream and theirs ^ ours in differ) or line.stream and (line.theirs == "EPIPE" or line.ours == "EPIPE")


@rule("the machine's own default of congestion control")
def _(line):
    return line.name == "getsockopt" and line.words[2:4] == ["6", "13"] and " 62" in line.native and " 63" in line.prise


# Level and name: TCP_TIMESTAMP (a clock), TCP_CC_INFO (of the machine's congestion control), SO_INCOMING_CPU, IP_PROTOCOL and SO_PEERNAME (ports),
# TCP_QUICKACK, which changes by itself.
CHANCE = {("6", "24"), ("6", "26"), ("6", "12"), ("1", "49"), ("0", "52"), ("1", "28")}
# SO_ATTACH_BPF.
MISSING = {("1", "50")}
# SO_SNDBUF and SO_RCVBUF after autotuning, SO_TIMESTAMPING, TCP_MAXSEG, TCP_WINDOW_CLAMP.
CARRIED = {("1", "7"), ("1", "8"), ("1", "37"), ("1", "65"), ("6", "2"), ("6", "10")}
# IP_MULTICAST_TTL, IPV6_MULTICAST_IF and _HOPS, taken from the first packets of what was accepted.
ACCEPTED = {("0", "33"), ("41", "17"), ("41", "18")}


@rule("an option that is a matter of chance or of the machine")
def _(line):
    return line.name in ("getsockopt", "setsockopt") and tuple(line.words[2:4]) in CHANCE


@rule("an option that is not there")
def _(line):
    return line.name in ("getsockopt", "setsockopt") and tuple(line.words[2:4]) in MISSING


@rule("sizes of buffers and segments, SO_TIMESTAMPING of streams by our TCP")
def _(line):
    return line.name in ("getsockopt", "setsockopt") and line.by_ours and tuple(line.words[2:4]) in CARRIED


@rule("TCP_MAXSEG of a stream before it is connected: what the kernel keeps of a connection before, or of a connect that failed; within the run over IPv6 the kernel's end is IPv4")
def _(line):
    failed = lambda words, said: words[2] != "0" and said in ("ECONNREFUSED", "EINPROGRESS")
    tried = lambda: line.socket.has("connect", failed) or not line.socket.peer and (is_undone_stream(line.socket) or bool(line.socket.shut))
    return line.name == "getsockopt" and line.words[2:4] == ["6", "2"] and line.stream and line.theirs == line.ours == "0" and tried()


@rule("options of multicast that an accepted stream has from its first packets; IP_MTU within the run over IPv6, of which the kernel's end is IPv4")
def _(line):
    if line.name != "getsockopt" or not line.stream:
        return False
    return tuple(line.words[2:4]) in ACCEPTED and line.socket.accepted or line.words[2:4] == ["0", "14"] and line.socket.family == INET6


@rule("IPV6_MTU of who is connected outside: the other host's link has 65,535 octets, the run's 1,500")
def _(line):
    out = lambda words, said: words[2] == "10" and words[3] in ("12", "13", "14", "15") and said in ("0", "EINPROGRESS")
    asks = line.name == "getsockopt" and line.words[2:4] == ["41", "24"] and bool(re.search(r"len \d ff ff( 00)*$", line.call[0]) and re.search(r"len \d dc 05( 00)*$", line.call[1]))
    return asks and (line.stream or line.datagram) and line.socket.has("connect", out)


@rule("a datagram socket that is bound to lo and connected to what is not there: its name would be the other link's on the kernel's side, if it had one")
def _(line):
    out = lambda words, said: said == "0" and words[2] != "0" and words[3] in ("4", "6", "7", "8", "9")
    here = lambda one: one.datagram and one.has("setsockopt", lambda words, said: words[2:4] == ["1", "25"] and said == "0") and one.has("connect", out)
    if line.name in ("table", "diag"):
        return line.call[0].replace("(00000000/", "(0F02000A/") == line.call[1].replace("(00000000/", "(0F02000A/") and any(here(one) for one in line.model.all)
    return line.name in ("state", "getsockname") and line.datagram and here(line.socket) and line.call[0].replace(" 0.0.0.0/", " 10.0.2.15/", 1) == line.call[1]


@rule("IPV6_ADDRFORM of a socket of IPv6 whose peer is one of IPv4, which stays one of IPv6 in a run", ENDS)
def _(line):
    asks = line.name == "setsockopt" and line.words[2:5] == ["41", "1", "2"] and line.said("0", "EADDRNOTAVAIL") and (line.stream or line.datagram)
    return asks and line.socket.family == INET6 and bool(line.socket.peer) and line.socket.peer != "accepted" and line.socket.peer[3] in MAPPED


# Addresses of make_address(): those of IPv4 in IPv6 that lead somewhere, and the others.
MAPPED, NOWHERE = ("2", "3", "5", "14", "15"), ("9", "11")
REFUSED, NOBODYS = ("ECONNREFUSED", "ECONNABORTED"), ("9", "52")


def speaks_ipv4(line, one):
    """Whether it is of IPv6, was refused by IPv4 or gave that up, and has asked IPv6 since."""
    if not one.stream or one.family != INET6:
        return False
    did = [*one.did, *([(line.words, "")] if line.name == "connect" and line.socket is one else [])]
    by_v4 = lambda words: words[0] == "connect" and words[2] == "10" and words[3] in MAPPED
    by_v6 = lambda words: words[0] == "connect" and words[2] == "10" and words[3] not in (*MAPPED, *NOWHERE)
    ends = lambda words, said: said == "0" and (words[0] == "shutdown" or words[0] == "connect" and words[2] == "0")
    told = lambda at: any(said in REFUSED or ends(words, said) for words, said in did[at + 1:])
    refused = lambda at, words, said: by_v4(words) and (said in REFUSED or said == "EINPROGRESS" and (words[4] in NOBODYS or told(at)))
    first = next((at for at, (words, said) in enumerate(did) if refused(at, words, said)), len(did))
    return any(by_v6(words) and said in ("", "EINPROGRESS") for words, said in did[first + 1:])


def leads_out(line):
    """Whether it is about an address that is not of lo, of the interpreter's addresses; :: is no host's for a ping."""
    which = line.words[3 if line.name == "connect" else 5]
    return which in ("4", "6", "7", "8", "9", "10", "11") or line.name == "echo" and which == "0"
