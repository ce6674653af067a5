// Both of node's ways to share a port between processes; a worker that dies is replaced.
const cluster = require('cluster'), http = require('http'), net = require('net'), child = require('child_process'), assert = require('assert');
cluster.schedulingPolicy = process.argv[2] === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
if (cluster.isPrimary ?? cluster.isMaster) primary(); else worker();
function worker() {
  http.createServer((request, response) => {
    if (request.url === '/die') process.exit(3);
    response.end(String(process.pid));
  }).listen(8501, '127.0.0.1', () => process.send('listens'));
}
function ask(path) {
  return new Promise((resolve, reject) => http.get({ host: '127.0.0.1', port: 8501, path, agent: false }, response => {
    let text = '';
    response.on('data', piece => { text += piece; }).on('end', () => resolve(text));
  }).on('error', reject));
}
async function primary() {
  const listens = () => new Promise(done => { const one = cluster.fork(); one.on('message', said => said === 'listens' && done(one)); });
  await Promise.all([listens(), listens(), listens()]);
  const pids = new Set();
  for (let i = 0; i < 300; i++) pids.add(await ask('/'));
  assert(pids.size > 1 || process.argv[2] === 'none', `${pids.size} workers answered`);
  const died = new Promise(done => cluster.once('exit', (_, code) => done(code)));
  await assert.rejects(ask('/die'));
  assert.equal(await died, 3);
  await listens();
  assert(await ask('/'));
  for (const one of Object.values(cluster.workers)) one.kill();
  if (process.argv[2] !== 'none') {
    const again = child.spawnSync(process.execPath, [__filename, 'none'], { encoding: 'utf8' });
    assert.equal(again.status, 0, again.stdout + again.stderr);
  }
  console.log('ok');
  process.exit(0);
}
