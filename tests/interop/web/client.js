// Sends the requests of a file with Node's http or https, on one keep-alive agent, and prints the answers: CA URL FILE.
// See clients.py, which writes the one and reads the other.
'use strict';
const fs = require('fs');
const [, , ca, url, file] = process.argv;
const secure = url.startsWith('https');
const http = require(secure ? 'https' : 'http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1, ...(secure && { ca: fs.readFileSync(ca) }) });
const bytes = (field) => Buffer.from(field, 'hex');
const hex = (text) => Buffer.from(text, 'latin1').toString('hex');

function send([method, target, how, body, ...given]) {
  const content = bytes(body);
  const headers = {};
  for (let i = 0; i + 1 < given.length; i += 2) headers[bytes(given[i])] = `${bytes(given[i + 1])}`;
  const chunked = `${bytes(how)}` === 'chunked';
  if (`${bytes(how)}` === 'ask') headers.Expect = '100-continue';
  if (!chunked && (content.length || headers.Expect)) headers['Content-Length'] = content.length;
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}${bytes(target)}`, { method: `${bytes(method)}`, headers, agent, timeout: 30000 });
    request.on('error', reject);
    request.on('timeout', () => request.destroy(new Error('no answer within 30 s')));
    request.on('response', (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => {
        const words = [answer.statusCode, Buffer.concat(pieces).toString('hex')];
        for (const [name, value] of Object.entries(answer.headers)) words.push(hex(name), hex(`${value}`));
        console.log(words.join('\t'));
        resolve();
      });
    });
    const go = () => {
      if (chunked) request.write(content.subarray(0, 7));
      request.end(content.subarray(chunked ? 7 : 0));
    };
    if (headers.Expect) request.on('continue', go).flushHeaders();
    else go();
  });
}

(async () => {
  for (const line of fs.readFileSync(file, 'utf8').replace(/\n$/, '').split('\n')) await send(line.split('\t'));
  agent.destroy();
})().catch((e) => {
  console.error(e.stack);
  process.exit(1);
});
