"""A server that waits in accept(2), or is about to, is killed: once its end is known nobody listens, and its port can be bound."""
import os, signal, socket, time

signal.alarm(100)
for turn in range(40):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        os.write(writer, str(listener.getsockname()[1]).encode())
        listener.accept()
        os._exit(0)
    name = ("127.0.0.1", int(os.read(reader, 9)))
    # At whatever moment.
    time.sleep(turn % 4 * 0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    try:
        socket.create_connection(name)
        print(turn, "connected")
    except ConnectionRefusedError:
        print(turn, "refused")
    with socket.socket() as again:
        again.bind(name)
        again.listen(1)
