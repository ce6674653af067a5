#!/usr/bin/env python3
"""asyncio: a server and a hundred clients at once in one thread, each moving 50,000 octets both ways. Argument: 4 or 6."""
import asyncio
import signal
import sys

signal.alarm(100)
HOST = {"4": "127.0.0.1", "6": "::1"}[(sys.argv[1:] or ["4"])[0]]


async def echo(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def client(port, number):
    reader, writer = await asyncio.open_connection(HOST, port)
    sent = bytes([number]) * 50_000
    writer.write(sent)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    return received == sent


async def main():
    server = await asyncio.start_server(echo, HOST, 0, backlog=200)
    port = server.sockets[0].getsockname()[1]
    results = await asyncio.gather(*(client(port, number) for number in range(100)))
    print("echoed whole:", results.count(True), "of", len(results))
    server.close()
    await server.wait_closed()
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(asyncio.open_connection(HOST, port), 5)
    except ConnectionRefusedError as error:
        print("after the close:", type(error).__name__)
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(HOST, 0))
    print("a datagram endpoint:", transport.get_extra_info("sockname")[0])
    transport.close()


asyncio.run(main())
