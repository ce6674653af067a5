"""Waits in several calls at once and says what became of each: the supervisor dies meanwhile."""
import errno, os, select, signal, socket, sys, threading, time

import waits

listener = socket.create_server(("127.0.0.1", 0))
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.bind(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
served, _ = listener.accept()
heard = {}


def wait(name, action):
    try:
        heard[name] = repr(action())
    except OSError as error:
        heard[name] = errno.errorcode[error.errno]


calls = {"accept": listener.accept, "recvfrom": lambda: datagram.recvfrom(1), "recv": lambda: client.recv(1), "poll": lambda: select.select([served], [], [], 30)}
threads = [threading.Thread(target=wait, args=call, daemon=True) for call in calls.items()]
for thread in threads:
    thread.start()
for thread in threads:
    waits.until_in_call(os.getpid(), thread.native_id, [waits.ACCEPT4, waits.RECVFROM, waits.PSELECT6])
if sys.argv[1:2] == ["kill"]:
    os.kill(os.getppid(), signal.SIGKILL)
begin = time.monotonic()
for thread in threads[:2]:
    thread.join(20)
wait("connect", lambda: socket.socket().connect(("127.0.0.1", 9)))
with open(sys.argv[2] if len(sys.argv) > 2 else "/dev/stdout", "w") as file:
    print(sorted(set(calls) - {"recv", "poll"} - set(heard)), heard.get("connect"), time.monotonic() - begin < 5, file=file)
os._exit(0)
