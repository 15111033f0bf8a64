/** What can be known of Hyper-V sockets without Windows: names, layouts, and in which order it is called. */
import assert from 'node:assert/strict';
import koffi from 'koffi';
import { test } from 'node:test';
import { SystemError } from '../../src/system/error.ts';
import {
  HV_GUID_WILDCARD,
  isGuid,
  listenHyperv,
  portOfService,
  registryKey,
  serviceOfPort,
  SOCKADDR_HV,
  type Winsock,
  writeHypervSockaddr,
} from '../../src/system/hyperv.ts';

const SERVICE = '00000400-FACB-11E6-BD58-64006A7986D3';

test("§5.1: a port is the first 32 bits of its service's GUID", () => {
  assert.equal(serviceOfPort(1024), SERVICE);
  assert.equal(serviceOfPort(0xffffffff), 'FFFFFFFF-FACB-11E6-BD58-64006A7986D3');
  for (const port of [0, 1, 1024, 0xffffffff]) assert.equal(portOfService(serviceOfPort(port)), port);
  assert.equal(portOfService(SERVICE.toLowerCase()), 1024);
  assert.equal(portOfService('00000400-FACB-11E6-BD58-64006A7986D4'), undefined);
  assert.equal(portOfService('400'), undefined);
});

test('a GUID has its digits and hyphens in place', () => {
  assert.ok(isGuid(SERVICE) && isGuid(SERVICE.toLowerCase()));
  for (const text of ['', '1024', SERVICE.slice(1), `${SERVICE}0`, SERVICE.replace('F', 'G'), SERVICE.replaceAll('-', '')]) {
    assert.ok(!isGuid(text), text);
  }
});

test("§5.1: the registry's key of a service", () => {
  assert.equal(
    registryKey(SERVICE.toLowerCase()),
    `HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices\\${SERVICE}`,
  );
});

test("SOCKADDR_HV is laid out as Windows' headers have it", () => {
  const guid = koffi.struct({ data1: 'uint32_t', data2: 'uint16_t', data3: 'uint16_t', data4: 'uint64_t' });
  assert.equal(koffi.sizeof(guid), 16);
  // data4 is eight bytes there, which ask for no alignment.
  const address = koffi.struct({ family: 'uint16_t', reserved: 'uint16_t', vm: 'uint32_t [4]', service: 'uint32_t [4]' });
  assert.equal(koffi.sizeof(address), SOCKADDR_HV.size);
  assert.equal(koffi.offsetof(address, 'vm'), SOCKADDR_HV.vm);
  assert.equal(koffi.offsetof(address, 'service'), SOCKADDR_HV.service);
});

test('an address is family, reserved bits, VM and service, whose first three groups are little-endian', () => {
  const bytes = new Uint8Array(40).fill(0xaa);
  assert.equal(writeHypervSockaddr(bytes, 2, '00112233-4455-6677-8899-AABBCCDDEEFF', SERVICE), 36);
  const hex = Buffer.from(bytes).toString('hex');
  assert.equal(hex, 'aaaa2200000033221100554477668899aabbccddeeff00040000cbfae611bd5864006a7986d3aaaa');
});

/** Answers as ws2_32.dll does, and keeps what it was asked. */
class FakeWinsock implements Winsock {
  readonly calls: string[] = [];
  fails = '';

  #answer(call: string, text: string, good: number, bad: number): number {
    this.calls.push(`${call}(${text})`);
    return this.fails === call ? bad : good;
  }

  socket(family: number, type: number, protocol: number): number {
    return this.#answer('socket', `${family}, ${type}, ${protocol}`, 77, 2 ** 64);
  }

  bind(socket: number, address: Uint8Array, length: number): number {
    return this.#answer('bind', `${socket}, ${Buffer.from(address).toString('hex')}, ${length}`, 0, -1);
  }

  listen(socket: number, backlog: number): number {
    return this.#answer('listen', `${socket}, ${backlog}`, 0, -1);
  }

  closesocket(socket: number): number {
    return this.#answer('closesocket', String(socket), 0, -1);
  }

  lastError(): number {
    return 10_013;
  }
}

test('listening binds a raw Hyper-V socket to the service, for every VM', async () => {
  const winsock = new FakeWinsock();
  assert.equal(await listenHyperv(SERVICE, 16, winsock), 77);
  const [opened, bound, listening, ...more] = winsock.calls;
  assert.equal(opened, 'socket(34, 1, 1)');
  assert.equal(bound, `bind(77, 22000000${'00'.repeat(16)}00040000cbfae611bd5864006a7986d3, 36)`);
  assert.deepEqual([listening, more], ['listen(77, 16)', []]);
  assert.equal(HV_GUID_WILDCARD.replaceAll(/[0-]/g, ''), '');
});

test('a call that fails says which and why, and leaves no socket', async () => {
  for (const call of ['socket', 'bind', 'listen']) {
    const winsock = new FakeWinsock();
    winsock.fails = call;
    await assert.rejects(listenHyperv(SERVICE, 16, winsock), (error: SystemError) => {
      assert.deepEqual([error.syscall, error.errno, error.address], [call, 10_013, `vsock://${SERVICE}`]);
      return error.message.includes('run as administrator');
    });
    assert.equal(winsock.calls.includes('closesocket(77)'), call !== 'socket');
  }
});
