"""asyncio: hundreds of streams at once, datagrams, cancelled waits, worker processes on one listener."""
import asyncio
import multiprocessing
import os
import socket
import sys


async def echo(reader, writer):
    while octets := await reader.read(65536):
        writer.write(octets)
        await writer.drain()
    writer.close()


async def talk(port, number, host):
    reader, writer = await asyncio.open_connection(host, port)
    sent = os.urandom(number * 331 % 100_000 + 1)
    writer.write(sent)
    writer.write_eof()
    heard = await reader.read()
    assert heard == sent, (number, len(heard), len(sent))
    writer.close()
    await writer.wait_closed()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, octets, source):
        self.transport.sendto(octets, source)


class Ask(asyncio.DatagramProtocol):
    def __init__(self):
        self.answers = asyncio.Queue()

    def datagram_received(self, octets, source):
        self.answers.put_nowait(octets)

    def error_received(self, error):
        self.answers.put_nowait(error)


async def datagrams():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    client, asked = await loop.create_datagram_endpoint(Ask, remote_addr=address)
    for size in (1, 1000, 20000):
        client.sendto(bytes(size))
        assert await asyncio.wait_for(asked.answers.get(), 5) == bytes(size)
    server.close()
    await asyncio.sleep(0)
    client.sendto(b"nobody")
    assert isinstance(await asyncio.wait_for(asked.answers.get(), 5), ConnectionRefusedError)
    client.close()


async def main():
    for host in ("127.0.0.1", "::1"):
        server = await asyncio.start_server(echo, host, 0, backlog=500)
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*(talk(port, number, host) for number in range(400)))
        reader, writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.wait_for(reader.read(1), 0.05)
            raise AssertionError("nothing was sent")
        except asyncio.TimeoutError:
            writer.close()
        server.close()
        await server.wait_closed()
        try:
            await asyncio.open_connection(host, port)
            raise AssertionError("nobody listens")
        except ConnectionRefusedError:
            pass
    await datagrams()


def work(listener):
    async def answer(reader, writer):
        writer.write(b"%d" % os.getpid())
        writer.close()

    async def serve():
        server = await asyncio.start_server(answer, sock=listener)
        await server.serve_forever()

    asyncio.run(serve())


def workers():
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    processes = [multiprocessing.get_context("fork").Process(target=work, args=(listener,), daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    answered = set()
    for _ in range(200):
        with socket.create_connection(listener.getsockname()) as client:
            answered.add(int(client.recv(100)))
    assert answered <= {process.pid for process in processes}, answered
    for process in processes:
        process.kill()
        process.join()


asyncio.run(main())
workers()
sys.stdout.write("ok\n")
