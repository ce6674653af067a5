#!/usr/bin/env python3
"""How streams of IPv6 sockets that speak IPv4 are listed once their programs have closed them. Argument: 4 or 6, the client's socket."""
import signal
import socket
import sys
import time

signal.alarm(60)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.2"), "6": (socket.AF_INET6, "::ffff:127.0.0.1")}[(sys.argv[1:] or ["4"])[0]]
STATES = {"05": "FIN-WAIT-2", "06": "TIME-WAIT", "08": "CLOSE-WAIT"}

listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
port = listener.getsockname()[1]


def listed():
    """The file, who, the addresses and the state of what is listed of our port."""
    for name in ("tcp", "tcp6"):
        with open(f"/proc/self/net/{name}") as lines:
            for line in list(lines)[1:]:
                _, local, remote, state = line.split()[:4]
                ends = [end.split(":") for end in (local, remote)]
                if state in STATES and f"{port:04X}" in (ends[0][1], ends[1][1]):
                    yield name, "client" if ends[1][1] == f"{port:04X}" else "server", ends[0][0], ends[1][0], STATES[state]


def comes(state):
    """What is new, once something is in that state."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        new = sorted(row for row in listed() if row not in before)
        if any(row[-1] == state for row in new):
            # One file was read before the other.
            return sorted(row for row in listed() if row not in before)
        time.sleep(0.01)
    return "never"


for first in ("client", "server"):
    before = list(listed())
    client = socket.socket(FAMILY)
    client.connect((HOST, port))
    server, _ = listener.accept()
    sooner, later = (client, server) if first == "client" else (server, client)
    sooner.close()
    print(f"{first} has closed:", *comes("FIN-WAIT-2"), sep="\n  ")
    later.close()
    print("both have:", *comes("TIME-WAIT"), sep="\n  ")
