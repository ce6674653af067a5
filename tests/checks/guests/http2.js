// Many streams on one connection, in both directions, with flow control.
const http2 = require('http2'), assert = require('assert');
const server = http2.createServer({ maxSessionMemory: 100 });
server.on('stream', (stream, headers) => {
  let seen = 0;
  stream.on('data', piece => { seen += piece.length; }).on('end', () => { stream.respond({ ':status': 200 }); stream.end(Buffer.alloc(seen, 'y')); });
});
server.listen(0, '127.0.0.1', async () => {
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`, { maxSessionMemory: 100 });
  await Promise.all([...Array(100).keys()].map(i => new Promise((done, failed) => {
    const stream = client.request({ ':method': 'POST', ':path': '/' });
    let seen = 0;
    stream.on('data', piece => { seen += piece.length; }).on('error', failed).on('end', () => { assert.equal(seen, i * 1000); done(); });
    stream.end(Buffer.alloc(i * 1000, 'x'));
  })));
  client.ping((error) => { assert(!error); client.close(() => { server.close(); console.log('ok'); }); });
});
