// Node's http and dgram: a keep-alive agent, a posted mebibyte, datagrams with an answer. Argument: 4 or 6.
'use strict';
const crypto = require('crypto');
const dgram = require('dgram');
const http = require('http');

const six = process.argv[2] === '6';
const host = six ? '::1' : '127.0.0.1';
setTimeout(() => process.exit(98), 20000).unref();

const server = http.createServer((request, response) => {
  const hash = crypto.createHash('sha256');
  request.on('data', (chunk) => hash.update(chunk));
  request.on('end', () => response.end(`${request.method} ${request.url} ${hash.digest('hex').slice(0, 16)}\n`));
});

function ask(agent, port, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, host, port, path, method: body ? 'POST' : 'GET' }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end(body);
  });
}

server.listen(0, host, async () => {
  const { port } = server.address();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 3; i += 1) process.stdout.write(await ask(agent, port, `/page/${i}`));
  process.stdout.write(await ask(agent, port, '/upload', Buffer.alloc(1 << 20, 'prise')));
  agent.destroy();
  server.close();

  const box = dgram.createSocket(six ? 'udp6' : 'udp4');
  box.on('message', (message, from) => box.send(`ACK ${message}`, from.port, from.address));
  box.bind(0, host, () => {
    const sender = dgram.createSocket(six ? 'udp6' : 'udp4');
    sender.on('message', (message, from) => {
      console.log(String(message), 'from', from.address);
      sender.close();
      box.close();
    });
    sender.send('datagram', box.address().port, host);
  });
});
