"""execve(2) and death while calls wait: what was begun ends or goes on as on the kernel."""
import os, signal, socket, subprocess, sys, threading

import waits

signal.alarm(100)
listener = socket.create_server(("127.0.0.1", 0), backlog=1)
address = listener.getsockname()
if sys.argv[1:2] == ["heir"]:
    inherited = socket.socket(fileno=int(sys.argv[2]))
    inherited.setblocking(True)
    inherited.sendall(b"sent by the heir")
    print(inherited.recv(100), flush=True)
    sys.exit()
# The descriptor of a connect in progress is inherited over exec.
client = socket.socket()
client.setblocking(False)
print(client.connect_ex(address) in (0, 115))
os.set_inheritable(client.fileno(), True)
child = subprocess.Popen([sys.executable, __file__, "heir", str(client.fileno())], close_fds=False)
client.close()
served, _ = listener.accept()
print(served.recv(16, socket.MSG_WAITALL))
served.sendall(b"answered")
served.close()
print(child.wait())


def in_child(action):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(1)
    return pid


# A thread waits while another one replaces the program: its call is gone, the new program is not hindered.
def exec_beside(wait):
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    waits.until_in_call(os.getpid(), thread.native_id, [waits.ACCEPT4, waits.RECVFROM])
    os.execvp("true", ["true"])


datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.bind(("127.0.0.1", 0))
for wait in (listener.accept, lambda: datagram.recvfrom(10), lambda: socket.create_connection(address).recv(1)):
    print(os.waitpid(in_child(lambda: exec_beside(wait)), 0)[1])


# What the last one connected is taken out of the way.
while True:
    listener.settimeout(0.2)
    try:
        listener.accept()[0].close()
    except TimeoutError:
        break
listener.settimeout(None)

# Killed while it waits: others are served on the same descriptor.
for wait in (listener.accept, lambda: datagram.recvfrom(10)):
    pid = in_child(wait)
    waits.until_in_call(pid, pid, [waits.ACCEPT4, waits.RECVFROM])
    os.kill(pid, 9)
    print(os.waitpid(pid, 0)[1])
client = socket.create_connection(address)
print(listener.accept()[0] is not None)
datagram.settimeout(5)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"to the one who lives", datagram.getsockname())
print(datagram.recvfrom(100)[0])
os._exit(0)
