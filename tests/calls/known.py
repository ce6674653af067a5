"""Differences between prise and the kernel that are known and accepted; docs/compat.md says them in words."""

# Data calls run natively on an AF_UNIX object, which has errors of its own: call, the kernel's answer, prise's, why.
NATIVE = [
    ("read recv recvmsg", "ENOTCONN", "EINVAL", "a stream that was never connected"),
    ("read recv recvmsg", "ENOTCONN", "EAGAIN", "a listener"),
    ("read recv recvmsg", "ENOTCONN", "1", "a listener's token"),
    ("write send sendmsg", "EPIPE", "ENOTCONN", "a stream that was never connected"),
    ("write send", "EDESTADDRREQ", "ENOTCONN", "a datagram socket without a peer"),
    ("write send sendmsg sendto", "ECONNRESET", "EPIPE", "the first write after a reset"),
    ("read recv", "ECONNREFUSED", "ECONNRESET", "a connected datagram socket whose peer is not there"),
]


def reason(before, native, prise):
    """Why these two answers to the same call differ, or None. `before` is what was said until then."""
    name = native.split(" ", 1)[0]
    ours, theirs = answer(prise), answer(native)
    for names, kernel, here, why in NATIVE:
        if name in names.split() and (theirs, ours) == (kernel, here):
            return why
    if native.startswith("getsockopt") and native.split()[2:4] == ["6", "13"]:
        return "the machine's own default of congestion control"
    return None


def answer(line):
    """The number or the error of an answer."""
    words = line.partition(" = ")[2].split()
    if not words:
        return ""
    return words[1] if words[0] == "-1" and len(words) > 1 else words[0]
