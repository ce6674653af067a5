"""stress-ng's stressors of sockets, polls and netlink with --verify: streams by every call, floods of datagrams, raw sockets, abuse, descriptors passed on, listings."""
from suite import Case

PACKAGES = ["stress-ng"]
STRESSORS = {
    **{f"sock {way}": f"--sock 2 --sock-opts {way}" for way in ("random", "send", "sendmsg", "sendmmsg")},
    **{f"sock {name}": f"--sock 2 {options}" for name, options in {
        "ipv6": "--sock-domain ipv6", "unix": "--sock-domain unix", "nodelay": "--sock-nodelay", "zerocopy": "--sock-zerocopy", "seqpacket": "--sock-domain unix --sock-type seqpacket"}.items()},
    **{name: f"--{name} 2" for name in ("sockabuse", "sockdiag", "sockfd", "sockmany", "sockpair", "epoll", "poll", "rawsock", "rawudp", "rawpkt", "icmp-flood", "ping-sock", "netdev", "netlink-task", "sendfile", "splice", "vm-splice", "tee", "io-uring")},
    "epoll ipv6": "--epoll 2 --epoll-domain ipv6",
    **{f"udp {name}": f"--udp 2 {options}" for name, options in {"ipv4": "", "ipv6": "--udp-domain ipv6", "unix": "--udp-domain unix", "lite": "--udp-lite", "gro": "--udp-gro"}.items()},
    **{f"udp-flood {domain}": f"--udp-flood 2 --udp-flood-domain {domain}" for domain in ("ipv4", "ipv6")},
}


def prepare(room):
    pass


def cases(room):
    for name, options in STRESSORS.items():
        words = options.split()
        yield Case(name, ["stress-ng", *words, f"{words[0]}-ops", "200", "--timeout", "30", "--verify"], cwd=room.at, seconds=90)
