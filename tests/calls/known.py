"""Differences between prise and the kernel that are known and accepted; docs/compat.md says them in words."""

# Data calls run natively on an AF_UNIX object, which has errors of its own: call, the kernel's answer, prise's, why.
NATIVE = [
    ("read recv recvmsg recvfrom", "ENOTCONN", "EINVAL", "a stream that was never connected"),
    ("read recv recvmsg recvfrom", "ENOTCONN", "EAGAIN", "a listener"),
    ("read recv recvmsg", "ENOTCONN", "1", "a listener's token"),
    ("read recv recvmsg", "ENOTCONN", "0", "a listener, no octets asked for"),
    ("write send", "EDESTADDRREQ", "EPIPE", "a datagram socket that was shut, without a peer"),
    ("write send sendmsg", "EPIPE", "ENOTCONN", "a stream that was never connected"),
    ("write send", "EDESTADDRREQ", "ENOTCONN", "a datagram socket without a peer"),
    ("write send sendmsg sendto", "ECONNRESET", "EPIPE", "the first write after a reset"),
    ("read recv recvmsg", "ECONNREFUSED", "ECONNRESET", "a datagram socket whose peer is not there, a stream that was refused"),
    ("write send sendmsg", "ECONNREFUSED", "ECONNRESET", "the same"),
    ("write send sendmsg", "ECONNREFUSED", "EPIPE", "the same"),
    ("read recv recvmsg", "0", "EINVAL", "a stream that was shut before it was connected"),
    ("read recv recvmsg", "EAGAIN", "EINVAL", "MSG_ERRQUEUE of a stream that was never connected"),
    ("recv read", "EAGAIN", "EOPNOTSUPP", "MSG_OOB of a datagram socket"),
    ("send", "EDESTADDRREQ", "EOPNOTSUPP", "the same, without a peer"),
    ("send", "EPIPE", "EOPNOTSUPP", "urgent data on a stream that was never connected"),
    ("write send", "EDESTADDRREQ", "EFAULT", "a bad pointer, looked at sooner"),
    ("send sendmsg", "EINVAL", "ENOTCONN", "MSG_FASTOPEN without an address"),
    ("recv recvfrom recvmsg read", "0", "EAGAIN", "no octets asked for: TCP waits for some all the same"),
    ("ioctl", "EINVAL", "0", "FIONREAD of a listener"),
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
    if name == "poll" and all(shut_early(before, slot) for slot in differing(native, prise)):
        return "a stream that was shut before it was connected"
    return None


def differing(native, prise):
    """The slots of which poll(2) says another thing."""
    return [one.split(":")[0] for one, other in zip(native.split()[1:], prise.split()[1:]) if one != other]


def shut_early(before, slot):
    return any(line.startswith(f"shutdown {slot} ") and line.endswith("ENOTCONN") for line in before)


def answer(line):
    """The number or the error of an answer."""
    words = line.partition(" = ")[2].split()
    if not words:
        return ""
    return words[1] if words[0] == "-1" and len(words) > 1 else words[0]
