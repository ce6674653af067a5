// Streams with half-closes and back-pressure; datagrams, connected and not; names.
const net = require('net'), dgram = require('dgram'), dns = require('dns'), assert = require('assert');
const { once } = require('events');
async function streams() {
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    let seen = 0;
    socket.on('data', piece => { seen += piece.length; }).on('end', () => socket.end(`${seen} octets`));
    socket.on('error', error => assert.equal(error.code, 'ECONNRESET')); // one client resets
  }).listen(0);
  await once(server, 'listening');
  const octets = Buffer.alloc(4 << 20, 'x');
  await Promise.all([...Array(50).keys()].map(async () => {
    const socket = net.connect({ port: server.address().port, host: 'localhost', allowHalfOpen: true });
    socket.setNoDelay(true); socket.setKeepAlive(true, 1000);
    socket.end(octets);
    let answer = '';
    for await (const piece of socket) answer += piece;
    assert.equal(answer, `${octets.length} octets`);
  }));
  const reset = net.connect(server.address().port);
  await once(reset, 'connect');
  reset.resetAndDestroy ? reset.resetAndDestroy() : reset.destroy();
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  const [error] = await once(net.connect(port, '127.0.0.1'), 'error');
  assert.equal(error.code, 'ECONNREFUSED');
}
async function datagrams() {
  for (const [type, address] of [['udp4', '127.0.0.1'], ['udp6', '::1']]) {
    const server = dgram.createSocket(type).on('message', (octets, from) => server.send(octets, from.port, from.address));
    server.bind(0, address);
    await once(server, 'listening');
    const client = dgram.createSocket(type);
    client.connect(server.address().port, address);
    await once(client, 'connect');
    assert.equal(client.remoteAddress().port, server.address().port);
    for (const size of [0, 1, 1472, 9000]) {
      client.send(Buffer.alloc(size, 'd'));
      const [octets, from] = await once(client, 'message');
      assert.equal(octets.length, size); assert.equal(from.address, address);
    }
    client.disconnect(); client.close(); server.close();
  }
}
async function main() {
  await streams();
  await datagrams();
  assert((await dns.promises.lookup('localhost')).address);
  console.log('ok');
}
main().catch(error => { console.log(error); process.exit(1); });
