// Debian's Node with `ws`: node_client.js URL CA TOKEN. Prints one JSON object of what it saw.
const fs = require('fs');
const https = require('https');
const WebSocket = require('ws');

const [url, ca, token] = process.argv.slice(2);
const agent = new https.Agent({ ca: fs.readFileSync(ca), keepAlive: true, maxSockets: 1 });
const seen = {};

function socket(path, protocols, options = {}) {
  return new WebSocket(url.replace('https', 'wss') + path, protocols, { ca: fs.readFileSync(ca), ...options });
}

function once(emitter, name) {
  return new Promise((resolve, reject) => {
    emitter.once(name, (...values) => resolve(values));
    if (name !== 'error') emitter.once('error', reject);
  });
}

async function text(socket, message) {
  const answer = once(socket, 'message');
  socket.send(message);
  return (await answer)[0].toString();
}

async function echo() {
  const one = socket('/echo?id=node', ['echo.v1', 'bearer.' + token]);
  await once(one, 'open');
  seen.protocol = one.protocol;
  seen.extensions = one.extensions;
  seen.echo = await text(one, 'hello '.repeat(1000));
  const pong = once(one, 'pong');
  one.ping('are you there');
  seen.pong = (await pong)[0].toString();
  const binary = once(one, 'message');
  one.send(Buffer.alloc(3_000_000, 7));
  const [data, isBinary] = await binary;
  seen.binary = [data.length, isBinary, data.every((byte) => byte === 7)];
  const closed = once(one, 'close');
  one.send('close 4007 the service says so');
  const [code, reason] = await closed;
  seen.close = [code, reason.toString()];
}

async function headerWithoutCompression() {
  const one = socket('/echo', [], { perMessageDeflate: false, headers: { Authorization: 'Bearer ' + token } });
  await once(one, 'open');
  seen.plain = [one.extensions, await text(one, 'plain')];
  one.close(1000, 'done');
  const [code, reason] = await once(one, 'close');
  seen.ownClose = [code, reason.toString()];
}

function refused() {
  return new Promise((resolve) => {
    const one = socket('/echo', ['echo.v1']);
    one.on('unexpected-response', (_request, response) => {
      seen.refused = [response.statusCode, response.headers['www-authenticate'].split(' ')[0]];
      one.on('error', () => {});
      one.terminate();
      resolve();
    });
  });
}

function request(path, options = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const one = https.request(url + path, { agent, headers: { Authorization: 'Bearer ' + token }, ...options }, (response) => {
      let text = '';
      response.on('data', (data) => (text += data));
      response.on('end', () => resolve({ status: response.statusCode, text, port: one.socket.localPort }));
    });
    one.on('error', reject);
    if (body) body(one);
    else one.end();
  });
}

async function http() {
  const first = await request('/api/echo');
  const second = await request('/api/sink', { method: 'POST' }, (one) => {
    for (let number = 0; number < 100; number++) one.write('x'.repeat(1000));
    one.end();
  });
  seen.keptAlive = first.port === second.port;
  seen.uploaded = JSON.parse(second.text).size;
  const fetched = await fetch(url + '/api/echo', { headers: { Authorization: 'Bearer ' + token } });
  seen.fetch = [fetched.status, JSON.parse(await fetched.text()).target];
}

(async () => {
  await echo();
  await headerWithoutCompression();
  await refused();
  await http();
  agent.destroy();
  console.log(JSON.stringify(seen));
})().catch((error) => {
  console.error(error, JSON.stringify(seen));
  process.exit(1);
});
