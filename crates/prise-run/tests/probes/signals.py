"""Signals and waiting calls."""
import errno, os, signal, socket, sys, threading, time
import waits

signal.alarm(100)
hits = []
signal.signal(signal.SIGUSR1, lambda *_: hits.append(time.monotonic()))
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGUSR2, stop)


def interrupted(what, action, sig=signal.SIGUSR2):
    start = time.monotonic()
    threading.Timer(0.1, lambda: os.kill(os.getpid(), sig)).start()
    try:
        action()
        print(what, "returned")
    except Stop:
        took = time.monotonic() - start
        # The call ends with the signal; how soon, tests/programs tells (storms).
        print(what, "interrupted", 0.09 < took < 30 or took)


s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0))
interrupted("accept", s.accept)
interrupted("recvfrom", lambda: u.recvfrom(10))
# A handler that returns: the call goes on (PEP 475 and SA_RESTART alike)
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
threading.Timer(0.3, lambda: socket.create_connection(s.getsockname())).start()
c, _ = s.accept()
print("went on", len(hits))
# itimer storm while connecting and accepting
signal.signal(signal.SIGALRM, lambda *_: hits.append(0))
# SA_RESTART: without it, a signal in the first microseconds of a judged call makes it fail, even socket(2).
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
enough = threading.Event()
def serve():
    while not enough.is_set():
        a, _ = s.accept(); a.sendall(b"x"); a.close()
t = threading.Thread(target=serve); t.start()
made = good = 0
# A fast machine makes hundreds between two signals.
while made < 300 or len(hits) < 30 and made < 100000:
    c = socket.create_connection(s.getsockname())
    made += 1; good += c.recv(1) == b"x"; c.close()
enough.set(); socket.create_connection(s.getsockname()).close()
t.join(); signal.setitimer(signal.ITIMER_REAL, 0)
print("storm", good == made, len(hits) > 5)
# a killed child leaves its port free
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    x = socket.socket(); x.bind(("127.0.0.1", 0)); x.listen(); os.write(w, b"%d" % x.getsockname()[1]); x.accept()
port = int(os.read(r, 10)); waits.until_in_call(pid, pid, [waits.ACCEPT4])
os.kill(pid, 9); os.waitpid(pid, 0)
x = socket.socket()
try: x.bind(("127.0.0.1", port)); x.listen(); print("port is free")
except OSError as e: print(e)
# stopped and continued
pid = os.fork()
if pid == 0:
    a, _ = x.accept(); a.sendall(b"after the pause"); os._exit(0)
waits.until_in_call(pid, pid, [waits.ACCEPT4]); os.kill(pid, signal.SIGSTOP)
print("stopped", os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))
c = socket.create_connection(x.getsockname()); os.kill(pid, signal.SIGCONT)
print(c.recv(100), os.waitpid(pid, 0)[1])
# accept in many processes
kids = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        while True:
            a, _ = x.accept(); d = a.recv(10)
            if d == b"end": os._exit(0)
            a.sendall(d); a.close()
    kids.append(pid)
n = 0
for i in range(200):
    c = socket.create_connection(x.getsockname()); c.sendall(b"%d" % i); n += c.recv(10) == b"%d" % i; c.close()
for _ in kids:
    c = socket.create_connection(x.getsockname()); c.sendall(b"end"); c.close()
print("prefork", n, [os.waitpid(k, 0)[1] for k in kids])
