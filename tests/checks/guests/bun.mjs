// Bun's own servers and clients: HTTP by the thousand, a file, WebSocket, streams, datagrams connected and not, a refusal.
import assert from 'node:assert';
const server = Bun.serve({
  port: 0,
  fetch(request, server) {
    if (server.upgrade(request)) return;
    const { pathname } = new URL(request.url);
    return pathname === '/file' ? new Response(Bun.file('/bin/sh')) : new Response(`${pathname} ${server.requestIP(request).address}`);
  },
  websocket: { message(socket, message) { socket.send(`echo ${message}`); } },
});
const url = path => `http://127.0.0.1:${server.port}${path}`;
for (let round = 0; round < 40; round++) {
  const answers = await Promise.all(Array.from({ length: 50 }, async (_, i) => (await fetch(url(`/${i}`))).text()));
  answers.forEach((answer, i) => assert.match(answer, new RegExp(`^/${i} .*127\\.0\\.0\\.1$`)));
}
assert.equal((await (await fetch(url('/file'))).arrayBuffer()).byteLength, Bun.file('/bin/sh').size);
const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`);
await new Promise(resolve => { socket.onopen = resolve; });
socket.send('word');
assert.equal((await new Promise(resolve => { socket.onmessage = resolve; })).data, 'echo word');
socket.close();
const pong = await Bun.udpSocket({ socket: { data(own, octets, port, address) { own.send(`pong ${octets}`, port, address); } } });
const told = await new Promise(async resolve => {
  const ping = await Bun.udpSocket({
    connect: { port: pong.port, hostname: '127.0.0.1' },
    socket: { data(own, octets) { own.close(); resolve(octets.toString()); } },
  });
  ping.send('ping');
});
assert.equal(told, 'pong ping');
pong.close();
const large = Buffer.alloc(4 << 20, 'x');
const listener = Bun.listen({ hostname: '::1', port: 0, socket: { data: (own, octets) => { if (octets.includes(10)) own.end('whole'); } } });
const answer = await new Promise((resolve, reject) => {
  let rest = Buffer.concat([large, Buffer.from('\n')]), heard = '';
  const write = own => { rest = rest.subarray(own.write(rest)); };
  Bun.connect({ hostname: '::1', port: listener.port, socket: { open: write, drain: write, data(_, octets) { heard += octets; }, close() { resolve(heard); } } }).catch(reject);
});
assert.equal(answer, 'whole');
const { port } = listener;
listener.stop();
await assert.rejects(Bun.connect({ hostname: '::1', port, socket: { data() {} } }), { code: 'ECONNREFUSED' });
server.stop(true);
console.log('ok');
process.exit(0);
