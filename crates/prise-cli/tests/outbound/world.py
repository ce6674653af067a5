"""Serves the hostile ports of the host and makes the attempts twice: natively, and under the prise given first.

Arguments: the command prise, the script of the attempts. Prints `===` before each."""
import os, socket, struct, subprocess, sys, threading
reset = socket.create_server(("127.0.0.1", 0))
busy = socket.create_server(("127.0.0.1", 0), backlog=0)
closed = socket.socket(); closed.bind(("127.0.0.1", 0))
full = [socket.socket() for _ in range(3)]
for sock in full:
    sock.setblocking(False)
    sock.connect_ex(busy.getsockname())

def serve():
    while True:
        sock, _ = reset.accept()
        sock.recv(10)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

threading.Thread(target=serve, daemon=True).start()
ports = [str(sock.getsockname()[1]) for sock in (closed, busy, reset)]
for four, six, command in (("127.0.0.1", "::1", []), ("10.0.2.2", "fd00:2::2", [sys.argv[1], "run", "--"])):
    print("===", flush=True)
    subprocess.run([*command, sys.executable, sys.argv[2], four, six, *ports])
