// Deno's own servers and clients: HTTP by the thousand, WebSocket, streams with a half-close, datagrams, a refusal.
function same(is: unknown, wanted: unknown) {
  if (is !== wanted) throw new Error(`${is} is not ${wanted}`);
}
const ending = new AbortController();
const server = Deno.serve({ port: 0, hostname: '127.0.0.1', signal: ending.signal, onListen() {} }, (request, info) => {
  if (request.headers.get('upgrade') === 'websocket') {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = event => socket.send(`echo ${event.data}`);
    return response;
  }
  return new Response(`${new URL(request.url).pathname} ${info.remoteAddr.hostname}`);
});
const { port } = server.addr;
for (let round = 0; round < 40; round++) {
  const answers = await Promise.all(Array.from({ length: 50 }, async (_, i) => (await fetch(`http://localhost:${port}/${i}`)).text()));
  answers.forEach((answer, i) => same(answer, `/${i} 127.0.0.1`));
}
const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
await new Promise(resolve => { socket.onopen = resolve; });
socket.send('word');
same((await new Promise<MessageEvent>(resolve => { socket.onmessage = resolve; })).data, 'echo word');
socket.close();
const listener = Deno.listen({ port: 0, hostname: '::1' });
const serving = (async () => {
  const stream = await listener.accept();
  let seen = 0;
  for await (const piece of stream.readable.values({ preventCancel: true })) seen += piece.length;
  return seen;
})();
const stream = await Deno.connect({ port: listener.addr.port, hostname: '::1' });
stream.setNoDelay(true);
stream.setKeepAlive(true);
const large = new Uint8Array(4 << 20);
for (let sent = 0; sent < large.length;) sent += await stream.write(large.subarray(sent));
await stream.closeWrite();
same(await serving, large.length);
stream.close();
listener.close();
let refused = 'no';
await Deno.connect({ port: listener.addr.port, hostname: '::1' }).catch(error => { refused = error.name; });
same(refused, 'ConnectionRefused');
const [one, other] = [0, 0].map(() => Deno.listenDatagram({ port: 0, transport: 'udp', hostname: '127.0.0.1' }));
await one.send(new Uint8Array(1472), other.addr);
const [octets, from] = await other.receive();
same(octets.length, 1472);
same((from as Deno.NetAddr).port, (one.addr as Deno.NetAddr).port);
one.close();
other.close();
ending.abort();
await server.finished;
console.log('ok');
Deno.exit(0);
