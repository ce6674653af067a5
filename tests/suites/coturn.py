"""coturn's server, relays and client: UDP, TCP, TLS, DTLS, relays over TCP, IPv6; with its servers in the run and outside of it."""
import re

from suite import FAIL, HOST, PASS, Case

PACKAGES = ["gcc", "make", "libevent-dev", "libssl-dev", "netcat-openbsd"]
SERVERS = """
bin/turnserver -n --use-auth-secret --static-auth-secret=secret --realm=north.gov --allow-loopback-peers --no-cli --cert examples/ca/turn_server_cert.pem \
    --pkey examples/ca/turn_server_pkey.pem -L 127.0.0.1 -L ::1 -E 127.0.0.1 -E ::1 --log-file stdout > /dev/null 2>&1 & server=$!
bin/turnutils_peer -L 127.0.0.1 -L ::1 > /dev/null 2>&1 & peer=$!
timeout 20 sh -c 'until nc -z 127.0.0.1 3478 && nc -z ::1 3478 && nc -z ::1 5349; do :; done'
"""
# A run ends with its last process.
END = "; status=$?; kill $server $peer; exit $status"
# How the client speaks to the server, and how the server to whom it relays for.
WAYS = {"UDP": "", "TCP": "-t", "DTLS": "-S", "TLS": "-t -S", "UDP, by indications": "-s", "relay by TCP": "-T -t", "relay by TCP, TLS": "-T -t -S", "ten clients, UDP": "-m 10", "ten clients, TCP": "-m 10 -t"}


def prepare(room):
    # What OpenSSL 3 has no more; the distribution's patch says the same.
    room.build("bin/turnutils_uclient", room.source("coturn"), "sed -i 's/FIPS_mode()/0/g' src/client/ns_turn_msg.c", "./configure", "make -s -j2")


def cases(room):
    source = room.source("coturn")
    for name, options in WAYS.items():
        client = ["bin/turnutils_uclient", *options.split(), "-X", "-g", "-u", "user", "-W", "secret", "-e"]
        for place, peer in {"127.0.0.1": "127.0.0.1", "::1": "::1"}.items():
            six = ["-x"] if place == "::1" else []
            words = " ".join([client[0], *six, *client[1:], peer, place])
            yield Case(f"{name}, {place}", ["sh", "-c", f"{SERVERS}{words}{END}"], cwd=source, read=verdict)
        yield Case(f"{name}, from inside", [*client, "127.0.0.1", HOST], cwd=source, read=verdict, outside=f"cd {source}{SERVERS.rstrip()}")
    yield Case("RFC 5769", ["bin/turnutils_rfc5769check"], cwd=source)


def verdict(status, output):
    """The client tells of what it has sent and got back at its end."""
    counted = re.search(r"start_mclient: tot_send_bytes ~ (\d+), tot_recv_bytes ~ (\d+)", output)
    return {"": PASS if status == 0 and counted and counted[1] == counted[2] != "0" else FAIL}
