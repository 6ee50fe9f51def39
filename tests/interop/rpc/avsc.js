// The npm package avsc as client and server of Flume's Avro protocol: its own reading of Avro RPC, its own hash.
//   avsc.js client PORT FILE BATCH WINDOW
//       sends the events of FILE (see events.py) on one connection, BATCH in each appendBatch (0: append), WINDOW calls
//       in flight; prints how many were acknowledged
//   avsc.js server FILE [REFUSE]
//       prints the port it listens on, then appends the events that come to FILE until it is ended; every call whose
//       number is a multiple of REFUSE is answered FAILED and not written
'use strict';
const fs = require('fs');
const net = require('net');
const avro = require('avsc');

// The words in it give it a hash that nobody else has.
const SERVICE = avro.Service.forProtocol({
  protocol: 'AvroSourceProtocol',
  doc: 'Flume events, from our own schema file',
  namespace: 'org.apache.flume.source.avro',
  types: [
    {type: 'enum', name: 'Status', symbols: ['OK', 'FAILED', 'UNKNOWN']},
    {
      type: 'record', name: 'AvroFlumeEvent', doc: 'An event',
      fields: [{name: 'headers', type: {type: 'map', values: 'string'}}, {name: 'body', type: 'bytes'}],
    },
  ],
  messages: {
    append: {request: [{name: 'event', type: 'AvroFlumeEvent'}], response: 'Status'},
    appendBatch: {request: [{name: 'events', type: {type: 'array', items: 'AvroFlumeEvent'}}], response: 'Status'},
  },
});

function eventOf(line) {
  const [body, ...fields] = line.split('\t').map((field) => Buffer.from(field, 'base64'));
  const headers = {};
  for (let i = 0; i + 1 < fields.length; i += 2) {
    headers[fields[i].toString()] = fields[i + 1].toString();
  }
  return {headers, body};
}

function lineOf(event) {
  const fields = [event.body];
  for (const [name, value] of Object.entries(event.headers)) {
    fields.push(Buffer.from(name), Buffer.from(value));
  }
  return fields.map((field) => field.toString('base64')).join('\t') + '\n';
}

function client(port, file, batch, window) {
  const events = fs.readFileSync(file, 'ascii').split('\n').slice(0, -1).map(eventOf);
  const size = Math.max(batch, 1);
  const socket = net.connect(port, '127.0.0.1');
  const peer = SERVICE.createClient();
  const channel = peer.createChannel(socket, {timeout: 20000});
  let next = 0;
  let acknowledged = 0;
  let inFlight = 0;
  function more() {
    while (next < events.length && inFlight < window) {
      const part = events.slice(next, next + size);
      next += part.length;
      inFlight++;
      const answered = (error, status) => {
        if (error || status !== 'OK') {
          console.error(error || status);
          process.exit(1);
        }
        inFlight--;
        acknowledged += part.length;
        more();
      };
      if (batch === 0) {
        peer.append(part[0], answered);
      } else {
        peer.appendBatch(part, answered);
      }
    }
    if (acknowledged === events.length) {
      channel.destroy();
    }
  }
  channel.on('handshake', (request, response) => console.log(`handshake ${response.match}`));
  channel.on('eot', (pending, error) => {
    if (error || acknowledged !== events.length) {
      console.error(error || 'the connection ended');
      process.exit(1);
    }
    console.log(`acknowledged ${acknowledged}`);
    socket.end();
  });
  more();
}

function server(file, refuse) {
  const out = fs.openSync(file, 'a');
  let calls = 0;
  function store(events, callback) {
    calls++;
    if (refuse && calls % refuse === 0) {
      return callback(null, 'FAILED');
    }
    fs.writeSync(out, events.map(lineOf).join(''));
    callback(null, 'OK');
  }
  const peer = SERVICE.createServer()
    .onAppend((event, callback) => store([event], callback))
    .onAppendBatch((events, callback) => store(events, callback));
  peer.on('error', () => {}); // each hash that it does not know yet
  const listener = net.createServer((socket) => peer.createChannel(socket));
  listener.listen(0, '127.0.0.1', () => console.log(listener.address().port));
}

const [role, ...words] = process.argv.slice(2);
if (role === 'client') {
  client(Number(words[0]), words[1], Number(words[2]), Number(words[3]));
} else {
  server(words[0], Number(words[1] || 0));
}
