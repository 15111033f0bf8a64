/** `/connect` and `/tunnel`: connections that are taken over, with the exact bytes of Go's clients (contract §13.3, §13.4, §6.4). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { bench, collect, parseAnswer } from './fixture.ts';
import { until } from '../guest/process.ts';

/** As Go's client writes it. */
function goRequest(target: string): string {
  return `POST ${target} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n\r\n`;
}

const TUNNEL = goRequest('/tunnel?ip=192.168.127.2&port=22');
const CONNECT = goRequest('/connect');
const OTHER_MAC = '5a94ef000001';

function framed(hex: string): Buffer {
  const frame = Buffer.from(hex, 'hex');
  const length = Buffer.alloc(2);
  length.writeUInt16LE(frame.length);
  return Buffer.concat([length, frame]);
}

/** Asks who has the gateway's address. */
const ARP_REQUEST = framed(`ffffffffffff${OTHER_MAC}08060001080006040001${OTHER_MAC}c0a87f09000000000000c0a87f01`);
const ARP_REPLY = framed(`${OTHER_MAC}5a94efe40cdd080600010800060400025a94efe40cddc0a87f01${OTHER_MAC}c0a87f09`);

/** In two pieces, so that they are read apart. */
async function writeSplit(socket: Socket, bytes: Buffer, at: number): Promise<void> {
  socket.write(bytes.subarray(0, at));
  for (let i = 0; i < 3; i++) await turn();
  socket.write(bytes.subarray(at));
}

test('§13.3: a tunnel says OK and nothing else, wherever the request is torn, and delivers what came behind it', async (t) => {
  const { listen, dial } = await bench(t);
  listen(22, (socket) => socket.pipe(socket));
  const bytes = Buffer.from(`${TUNNEL}SSH-2.0-x\r\n`);
  for (let at = 1; at <= bytes.length; at++) {
    const socket = await dial();
    await writeSplit(socket, bytes, at);
    socket.end();
    assert.equal(await collect(socket), 'OKSSH-2.0-x\r\n', `torn at ${at}`);
  }
});

test('§13.3: a client that waits for OK gets it before the guest is asked', async (t) => {
  const { dial, failures } = await bench(t);
  const socket = await dial();
  socket.write(goRequest('/tunnel?ip=192.168.127.2&port=23'));
  // The guest refuses: OK, then the end.
  assert.equal(await collect(socket), 'OK');
  assert.deepEqual(failures, ['cannot dial: connect tcp 192.168.127.2:23: connection was refused']);
});

test('§13.3: a tunnel to where no guest can be ends behind its OK', async (t) => {
  const { exchange, failures } = await bench(t);
  assert.equal(await exchange(goRequest('/tunnel?ip=8.8.8.8&port=53')), 'OK');
  assert.equal(await exchange(goRequest('/tunnel?ip=192.168.127.2&port=0')), 'OK');
  assert.equal(failures.length, 2);
  assert.match(failures[0]!, /^cannot dial: .*8\.8\.8\.8/);
});

test('§13.3: a query without sense is an error, and the connection goes on with HTTP', async (t) => {
  const { exchange } = await bench(t);
  const wrong = async (query: string): Promise<[number, string]> => {
    const { status, body } = parseAnswer(await exchange(goRequest(`/tunnel${query}`), /\r\n\r\n.*\n$/));
    return [status, body];
  };
  assert.deepEqual(await wrong(''), [500, 'ip is mandatory\n']);
  assert.deepEqual(await wrong('?ip=&port=22'), [500, 'ip is mandatory\n']);
  assert.deepEqual(await wrong('?ip=192.168.127.2'), [500, 'strconv.ParseUint: parsing "": invalid syntax\n']);
  assert.deepEqual(await wrong('?ip=192.168.127.2&port=-1'), [500, 'strconv.ParseUint: parsing "-1": invalid syntax\n']);
  assert.deepEqual(await wrong('?ip=192.168.127.2&port=65536'), [500, 'strconv.ParseUint: parsing "65536": value out of range\n']);
  const two = await exchange(goRequest('/tunnel') + goRequest('/nothing'), /not found/);
  assert.match(two, /ip is mandatory\n[^]*404 page not found\n$/);
});

test('§16 row 14: a tunnel to what is no IPv4 address is refused instead of dropped', async (t) => {
  const { exchange } = await bench(t);
  for (const ip of ['localhost', '::1', '192.168.127.300']) {
    const answer = parseAnswer(await exchange(goRequest(`/tunnel?ip=${ip}&port=22`), /\r\n\r\n.*\n$/));
    assert.deepEqual([answer.status, answer.body], [400, `ip must be the IPv4 address of a guest, not "${ip}"\n`]);
  }
});

test('§9.2: each direction of a tunnel ends on its own', async (t) => {
  const { listen, dial } = await bench(t);
  const heard = new Promise<string>((resolve) => {
    listen(22, (socket) => {
      let text = '';
      socket.write(Buffer.from('greeting'));
      socket.on('data', (chunk: Uint8Array) => (text += Buffer.from(chunk).toString()));
      socket.on('end', () => {
        resolve(text);
        socket.end(Buffer.from(' and farewell'));
      });
    });
  });
  const socket = await dial();
  const answer = collect(socket);
  socket.write(TUNNEL);
  socket.end('question');
  assert.equal(await answer, 'OKgreeting and farewell');
  assert.equal(await heard, 'question');
});

test('§9.2: a tunnel to a guest that sends and sends waits for a client that does not read', async (t) => {
  const { listen, dial } = await bench(t);
  const size = 16 << 20;
  let left = size;
  listen(22, (socket) => {
    const fill = (): void => {
      while (left > 0) {
        left -= 65_536;
        if (!socket.write(Buffer.alloc(65_536, left / 65_536))) return void socket.once('drain', fill);
      }
      socket.end();
    };
    fill();
  });
  const socket = await dial();
  socket.pause();
  socket.write(TUNNEL);
  // Nobody reads: what is under way fills up, and stays.
  let before = size;
  let same = 0;
  const stopped = (): boolean => {
    same = left === before && left < size ? same + 1 : 0;
    before = left;
    return same === 10;
  };
  await until(stopped, 'the guest to be stopped');
  assert.ok(left > size / 2, `${left} left`);
  let got = 0;
  socket.on('data', (chunk: Buffer) => (got += chunk.length));
  socket.resume();
  await once(socket, 'end');
  assert.equal(got, size + 2);
  socket.destroy();
});

test('a client that goes while the guest is asked, or a guest that resets, leaves nothing behind', async (t) => {
  const { network, listen, dial } = await bench(t);
  const gone = await dial();
  gone.write(goRequest('/tunnel?ip=192.168.127.77&port=22'));
  await once(gone, 'data');
  gone.destroy();
  listen(22, (socket) => void socket.once('data', () => socket.destroy()));
  const reset = await dial();
  reset.write(`${TUNNEL}bye`);
  assert.equal(await collect(reset), 'OK');
  await until(() => network.counters.tcpNow.connected === 0, 'the connections to end');
});

test('§13.4: frames begin right behind the request, wherever it is torn, and nothing is answered', async (t) => {
  const { network, dial } = await bench(t);
  const bytes = Buffer.concat([Buffer.from(CONNECT), ARP_REQUEST]);
  for (let at = 1; at <= bytes.length; at++) {
    const socket = await dial();
    await writeSplit(socket, bytes, at);
    const reply = await collect(socket, /[^]{44}/);
    assert.deepEqual(Buffer.from(reply, 'latin1'), ARP_REPLY, `torn at ${at}`);
    await until(() => network.portCount === 1, 'the VM to go');
  }
});

test('§13.4: VMs come and go through /connect beside each other, each with a port of its own', async (t) => {
  const { network, dial } = await bench(t);
  const disconnected: string[] = [];
  network.on('disconnected', (port, _reason, link) => disconnected.push(`${port.name} ${link}`));
  const sockets = await Promise.all(Array.from({ length: 5 }, () => dial()));
  for (const socket of sockets) socket.write(CONNECT);
  await until(() => network.portCount === 6, 'five VMs');
  for (const socket of sockets) socket.destroy();
  await until(() => network.portCount === 1, 'them to go');
  assert.deepEqual(
    disconnected.toSorted(),
    [1, 2, 3, 4, 5].map((id) => `@${id} socket`),
  );
});

/** 32 bits of length, big-endian, that count the header of 12 bytes in front of the frame. */
function described(frame: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(12 + frame.length);
  return Buffer.concat([length, Buffer.from('00000000000000000000' + '0100', 'hex'), frame]);
}

test('/connect?vnet_hdr=12 carries a virtio-net header in front of each frame, torn anywhere', async (t) => {
  const { dial, network } = await bench(t);
  const bytes = Buffer.concat([Buffer.from(goRequest('/connect?vnet_hdr=12')), described(ARP_REQUEST.subarray(2))]);
  const wanted = described(ARP_REPLY.subarray(2));
  for (let at = 1; at <= bytes.length; at++) {
    const socket = await dial();
    await writeSplit(socket, bytes, at);
    const reply = await collect(socket, new RegExp(`[^]{${wanted.length}}`));
    assert.deepEqual(Buffer.from(reply, 'latin1'), wanted, `torn at ${at}`);
    await until(() => network.portCount === 1, 'the VM to go');
  }
});

test('/connect?vnet_hdr=0 is /connect, and other queries are ignored as by gvproxy', async (t) => {
  const { dial } = await bench(t);
  for (const query of ['?vnet_hdr=0', '?', '?vnet=12', '?a=b&vnet_hdr=0']) {
    const socket = await dial();
    socket.write(Buffer.concat([Buffer.from(goRequest(`/connect${query}`)), ARP_REQUEST]));
    assert.deepEqual(Buffer.from(await collect(socket, /[^]{44}/), 'latin1'), ARP_REPLY, query);
  }
});

test('a header of another size is refused in words', async (t) => {
  const { exchange, network } = await bench(t);
  for (const size of ['10', '', '012', '12.0', '-12', 'yes']) {
    const answer = await exchange(goRequest(`/connect?vnet_hdr=${size}`), /\r\n\r\n.*\n$/);
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.ok(answer.endsWith(`\r\nvnet_hdr must be 0 or 12, not ${JSON.stringify(size)}\n`), answer);
  }
  const answer = await exchange(goRequest('/connect?vnet_hdr=12&large_frames=1'), /\r\n\r\n.*\n$/);
  assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\nlarge_frames is for links without lengths: /);
  assert.equal(network.portCount, 1);
});

test('who asks first is told which headers /connect takes, where it is', async (t) => {
  const host = await (await bench(t)).ask('GET', '/v1/connect');
  assert.deepEqual([host.status, host.headers['content-type'], host.body], [200, 'application/json', '{"vnet_hdr":[0,12]}']);
  assert.equal((await (await bench(t, { services: true })).ask('GET', '/v1/connect')).status, 404);
});

test('a connection that has carried HTTP can not be taken over, and is told so', async (t) => {
  const { exchange, network } = await bench(t);
  for (const path of ['/connect', '/tunnel?ip=192.168.127.2&port=22']) {
    const answers = await exchange(goRequest('/nothing') + goRequest(path), /not found\n[^]*\r\n\r\n.*\n$/);
    assert.match(answers, /400 Bad Request\r\n[^]*\/(?:connect|tunnel) takes its connection over and must be the first request of it/);
  }
  assert.equal(network.portCount, 1);
});

test('§13.1: /connect is not there on -services, /tunnel is', async (t) => {
  const { exchange, listen } = await bench(t, { services: true });
  listen(22, (socket) => socket.end(Buffer.from('hello')));
  assert.match(await exchange(CONNECT, /not found/), /^HTTP\/1\.1 404 Not Found\r\n/);
  assert.equal(await exchange(TUNNEL, /hello/), 'OKhello');
});

test('a taken-over connection outlives the time limits, and does not count as one that speaks HTTP', async (t) => {
  const { dial, listen } = await bench(t, { timeout: 50 });
  listen(22, (socket) => socket.pipe(socket));
  const tunnel = await dial();
  const vm = await dial();
  tunnel.write(TUNNEL);
  vm.write(CONNECT);
  // Two that speak HTTP have had their time since.
  assert.equal(await collect(await dial()), '');
  assert.equal(await collect(await dial()), '');
  tunnel.end('still');
  assert.equal(await collect(tunnel), 'OKstill');
  vm.write(ARP_REQUEST);
  assert.deepEqual(Buffer.from(await collect(vm, /[^]{44}/), 'latin1'), ARP_REPLY);
});
