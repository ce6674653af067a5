// The Node server: net.createServer, three clients at once, then one that is refused. Argument: 4 or 6.
'use strict';
const net = require('net');

const host = process.argv[2] === '6' ? '::1' : '127.0.0.1';
setTimeout(() => process.exit(98), 20000).unref(); // it ends by itself, whatever happens

const server = net.createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('data', (data) => socket.write(`echo ${data}`));
  socket.on('end', () => socket.end());
});

function client(port, number) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host, () => socket.write(`client ${number}`));
    let text = '';
    socket.on('data', (data) => { text += data; socket.end(); });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

server.listen(0, host, async () => {
  const { address, family, port } = server.address();
  console.log('listening on', address, family);
  const answers = await Promise.all([1, 2, 3].map((number) => client(port, number)));
  answers.forEach((answer) => console.log(answer));
  server.close(() => {
    console.log('closed');
    client(port, 4).catch((error) => console.log('then', error.code));
  });
});
