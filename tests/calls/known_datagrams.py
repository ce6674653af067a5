"""Datagram sockets: what write(2), send(2), read(2) and recv(2) say is the AF_UNIX object's."""
from lines import ENDS, hears_corked, is_of_octets, is_undone_datagram, looks_from_offset, queues_errors, rule
from model import INET6, MORE, PEEK, PORT, READS, RECEIVES, SENDS, WRITES


@rule("write(2), send(2) on a datagram socket without a peer: the object's error")
def _(line):
    return line.name in WRITES and line.datagram and line.socket.bound and line.said("EDESTADDRREQ", "ENOTCONN EPIPE EFAULT")


@rule("the same where errors wait in the queue, which poll(2) shows by a peer of the object's")
def _(line):
    # Or that was refused before it was disconnected: an object that was given a name keeps its peer.
    refused = lambda one: is_undone_datagram(one) and any(said in ("ECONNREFUSED", "ECONNRESET") or words[0] == "getsockopt" and words[2:4] == ["1", "4"] for words, said in one.did)
    if line.name in ("fork", "exec"):
        return line.datagram and (line.name == "fork" and line.words[2] == "3" and line.said("0", "1") or line.words[2] == "2" and line.said("189", "5")) and refused(line.socket)
    return line.name in WRITES and line.datagram and line.theirs == "EDESTADDRREQ" and line.ours.isdigit() and (queues_errors(line.socket) or refused(line.socket))


@rule("the same on one without a name, which gets a port on the kernel before it fails", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and line.said("EDESTADDRREQ", "ENOTCONN EPIPE EFAULT")


@rule("the same by a child, or on an object of UDP that has lost its peer (which says what the kernel says): the name tells", ENDS)
def _(line):
    tried = lambda words, said: words[0] in WRITES and said == "EDESTADDRREQ" or words[0] == "exec" and words[2] == "2" and said == "189" or words[0] == "fork" and words[2] == "3" and said == "0"
    failed = lambda socket: socket.datagram and any(tried(words, said) for words, said in socket.did)
    if line.name in ("table", "diag"):
        return any(failed(one) for one in line.model.all)
    by_child = line.datagram and not line.socket.bound and (line.socket.has("fork", lambda words, said: words[2] == "3") or line.socket.has("exec", lambda words, said: words[2] == "2") or failed(line.socket))
    named = line.name in ("state", "getsockname") and "/P" in line.native and "/0" in line.prise
    # What it or another then connects to by its name is port 0 here.
    whom = (line.socket if line.socket.itself else line.socket.peer and line.socket.named) if line.datagram else None
    itself = line.name in ("state", "getpeername") and bool(whom) and failed(whom)
    # And who sends to its port or takes it.
    asks = PORT.get(line.name)
    whose = line.model.named(line.words[asks]) if asks and len(line.words) > asks else None
    if whose and failed(whose) and line.datagram:
        # Port 0 is looked at before the octets and the way.
        is_shut = line.theirs == "EPIPE" and 1 in line.socket.shut
        sends = line.name not in ("bind", "connect") and line.ours == "EINVAL" and (line.theirs.isdigit() or is_shut or line.theirs in ("EFAULT", "EMSGSIZE", "ENETUNREACH", "EACCES", "ECONNREFUSED"))
        if sends or line.name == "bind" and line.said("EADDRINUSE", "0"):
            return True
    return itself or by_child and (named or line.name == "bind" and line.said("EINVAL", "0"))


@rule("recv(2), send(2) on a connected datagram socket that was refused, without an address", ENDS)
def _(line):
    # Disconnected since: the refusal still waits in the object, and a write that has nobody to write to takes it.
    if line.datagram and is_undone_datagram(line.socket):
        took = lambda words, said: words[0] == "fork" and words[2] == "3" and said == "0" or words[0] == "exec" and words[2] == "2" and said == "189"
        if line.name in WRITES and line.said("EDESTADDRREQ", "ECONNRESET") or line.name == "exec" and line.words[2] == "2" and line.said("189", "204"):
            return True
        if line.name in READS and line.said("ECONNREFUSED", "EAGAIN") and any(took(words, said) for words, said in line.socket.did):
            return True
    return line.name in READS + WRITES and line.datagram and line.said("ECONNREFUSED", "ECONNRESET")


@rule("the same where an error waits in the queue", ENDS)
def _(line):
    if line.name in ("fork", "exec"):
        # By a peer that the object has because it shows them, a child's write succeeds that would have nobody to write to.
        succeeds = line.name == "fork" and line.words[2] == "3" and line.said("0", "1") and line.datagram and not line.socket.peer
        return line.datagram and (line.said("1 5 111 189", "0 5 204 211") or succeeds) and queues_errors(line.socket)
    # The kernel tells of the last error once, and of the queue not at all.
    theirs = line.theirs.isdigit() or line.theirs in ("ECONNREFUSED", "EAGAIN", "EDESTADDRREQ") or line.said("EFAULT", "ECONNRESET") or line.datagram and line.theirs == "EPIPE" and 1 in line.socket.shut
    return line.name in READS + WRITES and line.datagram and theirs and line.ours in ("ECONNRESET", "ECONNREFUSED") and queues_errors(line.socket)


@rule("POLLERR and SO_ERROR of errors in the queue, once a call that nobody judges was told of the last one")
def _(line):
    takes = lambda words, said: words[0] in READS + WRITES and said == "ECONNREFUSED" or (words[0], words[2]) == ("fork", "3") and said == "0" or words[0] == "exec" and words[2] in ("2", "3") and said == "211"
    told = lambda one: one.datagram and queues_errors(one) and any(takes(words, said) for words, said in one.did if len(words) > 2)
    if line.name == "select":
        # It reads of such a one.
        differ = line.selects()
        return bool(differ) and all(one is not None and told(one) and (theirs, ours) == (theirs | 1, theirs & ~1) for one, theirs, ours in differ)
    if line.name == "state":
        # The error of the next one, which was the last one's until it was taken off the queue.
        return line.datagram and told(line.socket) and line.call[0].endswith("error none") and line.call[0][:-4] + "ECONNREFUSED" == line.call[1]
    return line.every(lambda one, theirs, ours: theirs ^ ours == 8 and theirs & 8 and told(one))


@rule("an edge more: that errors still wait in the queue is shown anew when one of them was told")
def _(line):
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.datagram and one.edges and not theirs and ours == 8 and queues_errors(one))


@rule("options of TCP on a datagram socket, which nobody judges")
def _(line):
    return line.name in ("setsockopt", "getsockopt") and line.words[2] == "6" and line.datagram and line.said("ENOPROTOOPT", "EOPNOTSUPP EINVAL")


def was_shut_first(one):
    """shutdown(2), by whomever, before the last connect(2), and something has come."""
    names = [words[0] for words, said in one.did if words[0] in ("shutdown", "drop") or words[0] == "connect" and said == "0"]
    return bool(one.unread) and any(name != "connect" for name in names[:-1]) and names[-1] == "connect"


@rule("read(2), recv(2) of a datagram that has come to an unconnected socket after it was shut for reading, where others held it, too, or waited for one", ENDS)
def _(line):
    is_deaf = lambda one: bool(one) and one.datagram and 0 in one.shut and (not one.peer or was_shut_first(one))
    if line.name == "drop" and line.model.holders:
        held, what = line.model.holders[0]
        return what == 3 and is_deaf(held) and line.said("0", "1")
    if line.name == "exec":
        return line.words[2] == "3" and is_deaf(line.socket) and line.theirs.isdigit() and int(line.theirs) < 100 and line.ours == "111"
    return line.name in READS and is_deaf(line.socket) and (line.theirs.isdigit() or line.theirs == "EFAULT") and line.ours in ("0", "EAGAIN")


@rule("MSG_TRUNC where a datagram is looked at from an offset (SO_PEEK_OFF): UDP compares the room with the whole datagram, and tells of that")
def _(line):
    looks = line.name in ("recv", "recvfrom", "recvmsg") and line.datagram and line.flags() & PEEK and looks_from_offset(line.socket)
    if looks and line.flags() & 0x20 and line.theirs.isdigit() and line.ours.isdigit():
        return int(line.theirs) > int(line.ours)
    return bool(looks) and line.name == "recvmsg" and " flags 20" in line.call[0] and line.call[0].replace(" flags 20", " flags 0") == line.call[1]


@rule("FIONREAD of a datagram socket that was shut for reading")
def _(line):
    return line.name == "ioctl" and int(line.words[2]) % 9 == 0 and line.datagram and 0 in line.socket.shut and line.call[1].endswith("= 0 0")


@rule("write(2), send(2) on a ping socket: what is no echo request is taken", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and line.socket.ping and line.theirs in ("EINVAL", "EMSGSIZE", "EFAULT") and (line.ours in ("ENOTCONN", "EFAULT") or line.ours.isdigit())


@rule("the same by a child", ENDS)
def _(line):
    return line.name in ("fork", "exec") and line.datagram and line.socket.ping and line.words[2] in ("2", "3")


@rule("which of two mistakes a ping socket is told of")
def _(line):
    if line.name == "bind":
        return line.datagram and line.socket.ping and line.said("EADDRNOTAVAIL", "EINVAL")
    return line.name in ("send", "sendto", "sendmsg", "sendmmsg", "echo") and line.datagram and line.socket.ping and (line.said("EFAULT", "EINVAL") or line.said("EOPNOTSUPP", "EDESTADDRREQ EINVAL") or line.said("EINVAL EFAULT", "EDESTADDRREQ ENETUNREACH EOPNOTSUPP EAFNOSUPPORT EFAULT EACCES EPERM"))


@rule("a datagram socket that was shut for writing says so before what is wrong with the datagram")
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg", "sendmmsg") and line.datagram and 1 in line.socket.shut and line.said("EMSGSIZE EFAULT EINVAL", "EPIPE")


@rule("write(2), send(2) of more than UDP takes, in octets or in segments (UDP_SEGMENT): told to the next call", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and not line.socket.ping and line.said("EMSGSIZE EINVAL", line.ours) and line.ours.isdigit()


@rule("a datagram that is too long by its headers only and lies at a bad address: which of the two is told")
def _(line):
    return line.name in ("sendto", "sendmsg") and line.datagram and line.said("EMSGSIZE", "EFAULT")


@rule("what a program says that was executed with a datagram socket whose error waits, which it takes natively", ENDS)
def _(line):
    return line.name == "exec" and line.datagram and line.words[2] in ("2", "3") and line.said("211", "204")


@rule("what a program says that was executed with such a socket")
def _(line):
    # 100 and the error: EPIPE for ENOTCONN, ENOTCONN or an end for EINVAL, ECONNRESET and ECONNREFUSED for EPIPE.
    by_ours = line.by_ours and (line.said("132", "207") or line.said("207", "122") or line.said("204", "132") or line.said("211", "132 204") or line.said("0", "122") and 0 in line.socket.shut)
    return line.name == "exec" and (by_ours or line.datagram and line.words[2] in ("2", "3") and line.said("189", "207 132"))


@rule("FIONREAD of a ping socket, which has none on the kernel")
def _(line):
    return line.datagram and line.socket.ping and (line.name == "state" and line.call[0].replace("unread -1 0", "unread 0 0") == line.call[1] or line.name == "ioctl" and int(line.words[2]) % 9 in (0, 2) and line.theirs == "ENOTTY")


@rule("MSG_MORE of send(2) and of sendfile(2) on a datagram socket, which is not seen", ENDS)
def _(line):
    hears = lambda one: bool(one) and one.datagram and hears_corked(line.model, one)
    if line.name == "select":
        differ = line.selects()
        return bool(differ) and all(hears(one) for one, _, _ in differ)
    if line.datagram and line.socket.corked and line.name in SENDS:
        # What was begun goes on after shutdown(2), and has left here, and may have been refused.
        if 1 in line.socket.shut and line.theirs.isdigit() and line.ours == "EPIPE" or line.theirs == "EINVAL" and (line.ours in ("ECONNREFUSED", "ECONNRESET") or line.ours.isdigit()):
            return True
    # What another has been sent before is not here, of which a child says so.
    if line.name == "exec" and line.words[2] == "3" and line.said("3", "111") and line.datagram and hears_corked(line.model, line.socket):
        return True
    sends_more = line.datagram and line.flags() & MORE and line.name == "send"
    return line.every(lambda one, theirs, ours: hears(one) and not (theirs ^ ours) & ~0xD) or bool(sends_more or hears(line.socket)) and is_of_octets(line)


@rule("write(2), send(2) behind a sendto(2) or sendmsg(2) with MSG_MORE on a datagram socket without a peer, whose datagram they go on with", ENDS)
def _(line):
    begun = line.datagram and line.socket.begun and not line.socket.peer
    return line.name in WRITES and begun and line.theirs.isdigit() and line.ours in ("ENOTCONN", "EPIPE", "EDESTADDRREQ")


@rule("the same of one with a peer: what is written goes to that, instead of where the first octets go", ENDS)
def _(line):
    more = lambda one: one.datagram and any(one in other.written_to for other in line.model.all)
    less = lambda one: one.datagram and any(one in other.passed_over for other in line.model.all)
    return line.every(lambda one, theirs, ours: theirs ^ ours == 1 and (more(one) if ours & 1 else less(one)))


@rule("TIOCOUTQ of a datagram that was begun with MSG_MORE, which on the kernel counts its buffer")
def _(line):
    asks = line.name == "ioctl" and int(line.words[2]) % 9 == 2 and line.theirs == line.ours == "0" and line.call[1].endswith(" = 0 0")
    return asks and line.datagram and line.socket.begun


@rule("what follows MSG_MORE on a datagram socket, which goes where the first octets go, whatever it names", ENDS)
def _(line):
    # That both together are too long is seen before the way, too.
    goes_on = line.theirs.isdigit() or line.theirs == "EMSGSIZE"
    return line.name in ("sendto", "sendmsg", "sendmmsg") and line.datagram and line.socket.corked and goes_on and line.ours in ("EINVAL", "EACCES", "EPERM", "ENETUNREACH", "EAFNOSUPPORT")


@rule("a datagram socket that was connected to port 0, to which errors of all ports are told", ENDS)
def _(line):
    nowhere = line.datagram and line.socket.peer and line.socket.peer != "accepted" and int(line.socket.peer[4]) >= 100
    refused = line.name in ("recv", "recvfrom", "recvmsg", "write", "send") and line.theirs == "ECONNREFUSED" and (line.ours in ("EAGAIN", "EINVAL") or line.ours.isdigit())
    if line.name == "state":
        return nowhere and line.call[0].endswith("error ECONNREFUSED") and line.call[1].endswith("error EINVAL")
    taken = line.name in WRITES and (line.ours == "EINVAL" and line.theirs.isdigit() or line.said("EINVAL", "EFAULT"))
    # What was written before is told to a child, which writes.
    taken = taken or line.name == "exec" and line.words[2] == "2" and line.said("5", "204")
    # A peer that it names anew (`udpv6_sendmsg`) must have a port.
    taken = taken or line.name == "fork" and line.words[2] == "3" and line.said("0", "1") and line.datagram and line.socket.family == INET6
    return nowhere and (refused or taken)


@rule("an edge more or less: each datagram that has left is one on the kernel; here a write that fails is, too, and one that was held back until another was read")
def _(line):
    # An edge shows all that is there: to read, too.
    failed = lambda one: any(words[0] in WRITES and not said.isdigit() for words, said in one.did[one.waited:])
    shown = lambda one, theirs, ours: not theirs and ours == 5 and failed(one)
    # What lies in the queue of one that connect(2) with AF_UNSPEC disconnects is put there anew.
    put_anew = lambda one, theirs, ours: not theirs and ours & 1 and is_undone_datagram(one) and one.did[-1][0][0] == "connect" and bool(one.unread)
    read = lambda one: one.did[-1][0][0] in RECEIVES and one.did[-1][1].isdigit()
    held_back = lambda one, theirs, ours: not theirs and ours & 1 and bool(one.unread) and read(one)
    edge = lambda one, theirs, ours: theirs ^ ours == 4 or theirs & 4 and not ours or any(kind(one, theirs, ours) for kind in (shown, put_anew, held_back))
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.datagram and one.edges and bool(edge(one, theirs, ours)))


@rule("a datagram socket that was shut for reading has another object: what told once (EPOLLONESHOT) tells that it hangs up")
def _(line):
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.datagram and one.once and not theirs and ours & 0x10 != 0 and 0 in one.shut)


@rule("a datagram socket whose connect(2) to a broadcast address has failed: the kernel's next datagrams but one go there nevertheless", ENDS)
def _(line):
    lost = lambda one: one.datagram and one.has("connect", lambda words, said: words[3] == "3" and said == "EACCES")
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: lost(one))
    return line.name in ("write", "send", "sendto", "sendmsg", "recv", "read") and line.datagram and lost(line.socket)


@rule("SO_PEEK_OFF of a datagram socket, of a datagram that was read in part: it goes back by the whole, where UDP goes back by the part", ENDS)
def _(line):
    reads = line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg") or line.name == "getsockopt" and line.words[2:4] == ["1", "42"]
    return reads and line.datagram and looks_from_offset(line.socket) and line.socket.has("recv", lambda words, said: said.isdigit())


@rule("SIOCGSTAMP of what was only looked at, or not all read")
def _(line):
    return line.name == "ioctl" and int(line.words[2]) % 9 == 8 and line.datagram and line.said("EFAULT 0", "ENOENT")


@rule("POLLERR of a refused datagram socket that was shut for reading")
def _(line):
    return line.every(lambda one, theirs, ours: one.datagram and 0 in one.shut and theirs ^ ours == 8)
