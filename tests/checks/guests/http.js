// A server and its clients in one process.
const http = require('http'), assert = require('assert'), crypto = require('crypto');
const large = crypto.randomBytes(3000000);
const server = http.createServer((request, response) => {
  if (request.url === '/large') return response.end(large);
  if (request.url === '/slow') return;              // never answered: its client gives up
  const hash = crypto.createHash('sha1');
  request.on('data', piece => hash.update(piece)).on('end', () => response.end(hash.digest('hex')));
});
function ask(options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(options, response => {
      const pieces = [];
      response.on('data', piece => pieces.push(piece)).on('end', () => resolve(Buffer.concat(pieces)));
    }).on('error', reject);
    request.end(body);
  });
}
server.listen(0, '::', async () => {
  const port = server.address().port;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
  const hashed = crypto.createHash('sha1').update(large).digest('hex');
  const asked = [];
  for (let i = 0; i < 400; i++)
    asked.push(ask({ host: i % 2 ? '127.0.0.1' : '::1', port, agent, method: 'POST', path: '/' }, i % 50 ? 'x'.repeat(i) : large).then(answer =>
      assert.equal(answer.toString(), i % 50 ? crypto.createHash('sha1').update('x'.repeat(i)).digest('hex') : hashed)));
  await Promise.all(asked);
  for (let i = 0; i < 5; i++) assert(large.equals(await ask({ host: 'localhost', port, path: '/large' })));
  await assert.rejects(new Promise((_, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path: '/slow', timeout: 200 });
    request.on('timeout', () => request.destroy(new Error('given up'))).on('error', reject);
  }), /given up/);
  agent.destroy();
  server.closeAllConnections?.();
  await new Promise(done => server.close(done));
  await assert.rejects(ask({ host: '127.0.0.1', port }), { code: 'ECONNREFUSED' });
  console.log('ok');
  process.exit(0);
});
