import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openTap } from '../../src/system/tap-device.ts';
import { close } from '../../src/system/syscalls.ts';
import { execute, succeed } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip');

/** Of struct tun's flags. */
function vnetHeader(name: string): boolean {
  return (Number(readFileSync(`/sys/class/net/${name}/tun_flags`, 'utf8')) & 0x4000) !== 0;
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test('a TAP interface is there as long as its descriptor, with the number that the kernel chose', { skip }, () => {
  const { fd, name } = openTap('gwtap%d', false);
  try {
    assert.match(name, /^gwtap\d+$/);
    assert.ok(readdirSync('/sys/class/net').includes(name));
    assert.equal(vnetHeader(name), false);
  } finally {
    close(fd);
  }
  assert.ok(!readdirSync('/sys/class/net').includes(name));
});

test(
  'with offload the interface gives large segments and takes virtio-net headers; without it does not, whoever had it before',
  { skip },
  async () => {
    const name = `gwp${process.pid % 100_000}`;
    await succeed('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap']);
    try {
      const features = async (): Promise<string> => (await execute('ip', ['-d', 'link', 'show', name])).stdout;
      const first = openTap(name, true);
      assert.equal(vnetHeader(name), true);
      assert.throws(() => openTap(name, true), { code: 'EBUSY', message: /another program has the interface/ });
      assert.match(await features(), /vnet_hdr on/);
      close(first.fd);
      const second = openTap(name, false);
      assert.equal(vnetHeader(name), false);
      assert.match(await features(), /vnet_hdr off/);
      close(second.fd);
      assert.ok(readdirSync('/sys/class/net').includes(name), 'a persistent interface stays');
    } finally {
      await succeed('ip', ['link', 'del', name]);
    }
  },
);

test('a name that cannot be is refused with what it may be, and leaves no descriptor', { skip }, () => {
  const before = descriptors();
  for (const name of ['', 'a/b', 'sixteen-bytes-xx', 'a b', 'a:1']) {
    assert.throws(() => openTap(name, false), { code: 'EINVAL', message: /1 to 15 bytes/ });
  }
  assert.throws(() => openTap('lo', false), { code: 'EINVAL', message: /TUNSETIFF EINVAL lo.*not a TAP device/ });
  assert.equal(descriptors(), before);
});
