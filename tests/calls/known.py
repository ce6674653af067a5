"""Differences between prise and the kernel that are known and accepted; docs/compat.md says them in words."""

# Data calls run natively on an AF_UNIX object, which has errors of its own: call, the kernel's answer, prise's, why.
NATIVE = [
    ("read recv recvmsg recvfrom", "ENOTCONN", "EINVAL", "a stream that was never connected, a listener"),
    ("write send", "EDESTADDRREQ", "EPIPE", "a datagram socket that was shut, without a peer"),
    ("write send sendmsg sendto", "EPIPE", "ENOTCONN", "a stream that was never connected, a listener"),
    ("write send sendto", "EDESTADDRREQ", "ENOTCONN", "a datagram socket without a peer"),
    ("write send sendmsg sendto", "ECONNRESET", "EPIPE", "the first write after a reset"),
    ("read recv recvmsg recvfrom", "ECONNREFUSED", "ECONNRESET", "a datagram socket whose peer is not there, a stream that was refused"),
    ("write send sendmsg sendto", "ECONNREFUSED", "ECONNRESET", "the same"),
    ("write send sendmsg", "ECONNREFUSED", "EPIPE", "the same"),
    ("read recv recvmsg", "0", "EINVAL", "a stream that was shut before it was connected"),
    ("read recv recvmsg", "EAGAIN", "EINVAL", "MSG_ERRQUEUE of a stream that was never connected"),
    ("send sendto", "EPIPE", "EOPNOTSUPP", "urgent data on a stream that was never connected"),
    ("write send", "EDESTADDRREQ", "EFAULT", "a bad pointer, looked at sooner"),
    ("send sendmsg", "EINVAL", "ENOTCONN", "MSG_FASTOPEN without an address"),
    ("write send", "EAGAIN", "0", "no octets, while it connects"),
    ("connect", "EPIPE", "ECONNABORTED", "a stream by our TCP that did not wait for its connect and was reset after the peer's end"),
    ("write send", "EINVAL", "EFAULT", "the same on a socket that was connected to port 0"),
    ("setsockopt getsockopt", "ENOPROTOOPT", "EOPNOTSUPP", "options of TCP on a datagram socket, which nobody judges"),
    ("recv recvfrom recvmsg read", "0", "EAGAIN", "no octets asked for: TCP waits for some all the same"),
]


def reason(before, native, prise):
    """Why these two answers to the same call differ, or None. `before` is what was said until then."""
    name = native.split(" ", 1)[0]
    ours, theirs = answer(prise), answer(native)
    for names, kernel, here, why in NATIVE:
        if name in names.split() and (theirs, ours) == (kernel, here):
            return why
    if MORE in native.split()[3:4] and name in ("send", "sendmsg", "sendto") or any(more(line) for line in before):
        return "MSG_MORE, which holds back on the kernel and is not seen here"
    if native.startswith("getsockopt") and native.split()[2:4] == ["6", "13"]:
        return "the machine's own default of congestion control"
    if name in ("poll", "epoll_wait") and shows_otherwise(native, prise, {("14", "2011"), ("14", "11"), ("14", "10"), ("201d", "2015"), ("19", "11"), ("1d", "15"), ("1c", "201d"), ("10", "2011"), ("6", "7")}):
        return "a listener that was shut; the peer's end, and then its reset; a stream by our TCP that was disconnected by AF_UNSPEC, or has an urgent octet only"
    if name == "ioctl" and native.split()[2] in ("2", "3") and prise.endswith("= 0 0"):
        return "TIOCOUTQ, SIOCOUTQNSD of a stream that is over, which on the kernel count what never left"
    if name == "ioctl" and native.split()[2] == "0" and (theirs, ours) == ("0", "EINVAL") and any(line.startswith("listen") for line in before):
        return "FIONREAD of a listener that was shut"
    if name == "ioctl" and native.split()[2] == "0" and prise.endswith("= 0 0") and any(shuts_reading(line) for line in before):
        return "FIONREAD of a socket that was shut for reading: what comes is held elsewhere"
    if name in ("getsockopt", "setsockopt") and native.split()[2] == "6" and ours == "EOPNOTSUPP" and any(finds_itself(line) for line in before):
        return "a stream that is connected to itself, by our TCP also where all others are the kernel's, with options of TCP that nobody judges"
    if name in ("recv", "recvfrom", "recvmsg", "write", "send") and theirs == "ECONNREFUSED" and (ours in ("EAGAIN", "EINVAL") or ours.isdigit()) and any(names_no_port(line) for line in before):
        return "a datagram socket that was connected to port 0, to which errors of all ports are told"
    if any(shuts_both(line) for line in before) and (name in ("read", "recv") and (theirs, ours) == ("ECONNRESET", "0") or name in ("write", "send", "sendto", "sendmsg") and theirs in ("EPIPE", "ECONNRESET") and ours.isdigit()):
        return "a stream by our TCP that was shut both ways: resets by what comes later, and by octets that were left unread"
    if name in ("sendto", "sendmsg", "connect") and theirs == "ENETUNREACH" and leads_out(native):
        return "the kernel's side has no link but lo"
    if name in ("getsockname", "bind", "connect", "sendto", "sendmsg", "epoll_wait") and any(sends_as_child(line) for line in before):
        return "the port that send(2) without a peer picks"
    if name == "recvfrom" and native.split()[2] == "0" and ours == "EAGAIN":
        return "no octets asked for"
    if name in ("read", "recv") and theirs.isdigit() and ours in ("0", "EAGAIN") and any(shuts_reading(line) for line in before):
        return "a datagram for a socket that was shut for reading (recvfrom(2) with an address and recvmsg(2) have it); octets of a stream that was"
    if name in ("write", "send", "recv", "read") and ours == "ECONNRESET" and any(queues_errors(line) for line in before):
        return "an error in the queue, which the kernel's object cannot show otherwise"
    if name == "epoll_wait" and any(watches_edges(line) for line in before) and any(line.startswith("send") for line in before) and (more_room(native, prise) or more_room(prise, native)):
        return "an edge more: each datagram that has left is one on the kernel, here each octet of a stream by our TCP that was read"
    if name in ("write", "send", "sendto", "sendmsg", "poll", "epoll_wait", "recv", "read") and any(loses_its_peer(line) for line in before):
        return "a datagram socket whose connect(2) to a broadcast address has failed: the kernel's next datagrams but one go there nevertheless"
    if name in ("connect", "write", "send", "recv", "poll", "epoll_wait") and any("ECONNREFUSED" in line for line in before) and any(asks_mapped(line) for line in before):
        return "the kernel still speaks IPv4 for a socket of IPv6 that was refused by IPv4"
    if name == "connect" and theirs == "ECONNABORTED" and any(line.startswith("shutdown") for line in before):
        return "a socket that was shut and connects to itself"
    if name == "connect" and ours == "EAFNOSUPPORT" and leads_out(native):
        return "a group of IPv6 asked of a socket that is bound or connected to IPv4"
    if name in ("sendto", "sendmsg") and theirs == "ENETUNREACH" and any(line.startswith("connect") and line.split()[2:4] == ["10", "3"] for line in before):
        return "a socket that is connected to ::ffff:0.0.0.0, which the kernel takes for IPv6 where AF_UNSPEC stands for the peer"
    if name in ("send", "sendmsg", "write") and ours == "EINVAL" and theirs.isdigit():
        return "a datagram socket that was connected to port 0"
    if name == "connect" and any(line.startswith("bind") and line.split()[2:4] == ["2", "3"] for line in before):
        return "a stream bound to a broadcast address, which the kernel does not connect from"
    if name == "ioctl" and native.split()[2] == "2" and any(line.startswith("shutdown") for line in before):
        return "a FIN that is not acknowledged yet"
    if name == "setsockopt" and native.split()[2:4] == ["0", "32"] and theirs == "EINVAL":
        return "IP_MULTICAST_IF of a stream, which is refused before its value is read"
    if name == "socket" and (theirs, ours) in ELSEWHERE:
        return "a raw socket, which needs no privilege here; netlink of IPsec; what is wrong with a socket of netlink"
    if name == "recv" and native.split()[3:4] and int(native.split()[3]) & 1 and ours == "EINVAL":
        return "MSG_OOB of a stream that was never connected"
    if name == "listen" and (theirs, ours) == ("EINVAL", "0") and any(line.startswith("shutdown") and "ENOTCONN" in line for line in before):
        return "a stream that was shut when its connect had failed, of which nobody had been told"
    if any(leads_out(line) and "ENETUNREACH" in line for line in before if line.startswith("connect")):
        return "a port was picked for what then had no way"
    if name in ("getsockopt", "setsockopt") and tuple(native.split()[2:4]) in OPTIONS:
        return "an option that is the machine's, or not there"
    return None


MORE = "32768"
# Level and name: SO_SNDBUF and SO_RCVBUF after autotuning, SO_ATTACH_BPF, SO_TIMESTAMPING; TCP_WINDOW_CLAMP,
# TCP_TIMESTAMP (a clock), TCP_TX_DELAY; IP_OPTIONS, an IP option that no kernel has.
# TCP_QUICKACK, which changes by itself.
# IPV6_MTU of lo, which is 65,535 here; the size of segments, IP_MULTICAST_TTL, IPV6_MULTICAST_IF and _HOPS of what was accepted, taken from its first packets.
OPTIONS = {("6", "2"), ("6", "12"), ("0", "33"), ("1", "7"), ("1", "8"), ("1", "50"), ("1", "37"), ("6", "10"), ("6", "24"), ("6", "37"), ("0", "4"), ("0", "99"), ("0", "14"), ("41", "17"), ("41", "18"), ("41", "24")}


def more(line):
    """Whether octets were sent with MSG_MORE."""
    words = line.split()
    return words[0] in ("send", "sendmsg", "sendto") and words[3] == MORE and "-1" not in line.partition(" = ")[2]


ELSEWHERE = {("EPERM", "0"), ("EPERM", "EPROTONOSUPPORT"), ("0", "EPROTONOSUPPORT"), ("EINVAL", "ESOCKTNOSUPPORT")}


def leads_out(line):
    """Whether it is about ff02::1 or 240.0.0.1 of the interpreter's addresses."""
    words = line.split()
    return words[3 if words[0] == "connect" else 5] == "4"


def asks_mapped(line):
    words = line.split()
    return words[0] == "connect" and words[2] == "10" and words[3] in ("2", "3")


def shows_otherwise(native, prise, changes):
    """Whether two lists of readiness differ in these ways only."""
    pairs = [(one.split(":"), other.split(":")) for one, other in zip(native.split()[1:], prise.split()[1:])]
    return len(native.split()) == len(prise.split()) and all(one[0] == other[0] and (one == other or (one[1], other[1]) in changes) for one, other in pairs)


def finds_itself(line):
    """connect(2) of a socket to its own port, or to the port 0 that it has before it is bound."""
    words = line.split()
    return words[0] == "connect" and words[4] == str(100 + int(words[1]))


def names_no_port(line):
    """connect(2) to the port of another socket or its own, which has none before it is bound."""
    words = line.split()
    return words[0] == "connect" and int(words[4]) >= 100


def shuts_both(line):
    words = line.split()
    return words[0] == "shutdown" and words[2] == "2" and line.endswith("= 0")


def shuts_reading(line):
    """shutdown(2) of reading or both, of a datagram socket or a stream by our TCP."""
    words = line.split()
    return words[0] == "shutdown" and words[2] in ("0", "2") and line.endswith(("ENOTCONN", "= 0"))


def queues_errors(line):
    """setsockopt(2) of IP_RECVERR or IPV6_RECVERR."""
    words = line.split()
    return words[0] == "setsockopt" and words[2:4] in (["0", "11"], ["41", "25"]) and line.endswith("= 0")


def watches_edges(line):
    words = line.split()
    return words[0] == "epoll_ctl" and int(words[3]) >> 31 & 1


def more_room(native, prise):
    """Whether the kernel tells nothing that prise does not but of sockets that can be written to."""
    ours = set(prise.split()[1:])
    return ours < set(native.split()[1:]) and all(word.endswith(":4") for word in set(native.split()[1:]) - ours)


def loses_its_peer(line):
    words = line.split()
    return words[0] == "connect" and words[3] == "3" and "EACCES" in line


def sends_as_child(line):
    words = line.split()
    return words[0] == "fork" and int(words[2]) % 4 == 3


def answer(line):
    """The number or the error of an answer."""
    words = line.partition(" = ")[2].split()
    if not words:
        return ""
    return words[1] if words[0] == "-1" and len(words) > 1 else words[0]
