"""What a program meets outside: each line one attempt and its error.

Arguments: the host's loopback addresses as this world calls them (IPv4, IPv6), and three ports of the host: a closed one,
one whose accept queue is full, one whose server resets what it accepts."""
import errno, socket, sys
four, six, closed, busy, reset = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])

def attempt(what, action):
    try:
        print(what, "no error", action())
    except OSError as error:
        print(what, type(error).__name__, errno.errorcode.get(error.errno))

def reset_by_peer():
    with socket.create_connection((four, reset), timeout=10) as sock:
        sock.sendall(b"hello")
        return sock.recv(10)

def datagram(host, family):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.connect((host, closed))
    sock.send(b"anyone?")
    return sock.recvfrom(10)

attempt("refused", lambda: socket.create_connection((four, closed), timeout=10))
attempt("refused over IPv6", lambda: socket.create_connection((six, closed), timeout=10))
attempt("timed out", lambda: socket.create_connection((four, busy), timeout=0.5))
attempt("reset", reset_by_peer)
attempt("no route", lambda: socket.create_connection(("192.0.2.1", 80), timeout=10))
attempt("no network", lambda: socket.create_connection(("198.51.100.1", 80), timeout=10))
attempt("no network over IPv6", lambda: socket.create_connection(("2001:db8::1", 80), timeout=10))
attempt("datagram refused", lambda: datagram(four, socket.AF_INET))
attempt("datagram refused over IPv6", lambda: datagram(six, socket.AF_INET6))
