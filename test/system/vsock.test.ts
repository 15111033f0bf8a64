/** AF_VSOCK as far as this machine has it; the rest is test/guest/vsock.test.ts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { SystemError } from '../../src/system/error.ts';
import * as sys from '../../src/system/syscalls.ts';
import { connectVsock, listenVsock, localCid, vsockName, vsockPeer } from '../../src/system/vsock.ts';

/** A kernel with the family and its device; both ways are tested, each where it can be. */
const here = existsSync('/dev/vsock');

test('addresses are called as Go calls them', () => {
  const names = [0, 1, 2, 3, 0xffffffff].map((cid) => vsockName({ cid, port: 1024 }));
  assert.deepEqual(names, ['hypervisor(0):1024', 'local(1):1024', 'host(2):1024', 'vm(3):1024', 'any(4294967295):1024']);
});

test("§5.1: without a CID this machine's own is bound, and the port is the one the kernel chose; or the error says what is missing", () => {
  if (!here) {
    assert.throws(() => listenVsock(undefined, 0, 1), {
      message: 'open ENOENT /dev/vsock: no such file or directory (this kernel has no vsock: modprobe vsock)',
    });
    return;
  }
  const own = localCid();
  const { fd, address } = listenVsock(undefined, 0, 1);
  try {
    assert.equal(address.cid, own);
    assert.ok(address.port > 0 && address.port < 0xffffffff);
    assert.throws(() => listenVsock(own, address.port, 1), { code: 'EADDRINUSE', transport: 'vsock', port: address.port });
    assert.equal(vsockPeer(fd), undefined);
  } finally {
    sys.close(fd);
  }
});

test('a CID that is not ours is refused with the one that is', () => {
  const open = readdirSync('/proc/self/fd').length;
  assert.throws(
    () => listenVsock(77_777, 1024, 1),
    (error: SystemError) => {
      assert.ok(error instanceof SystemError);
      if (!here) return error.code === 'EAFNOSUPPORT' && error.message.includes('modprobe vsock');
      assert.match(error.message, /^bind EADDRNOTAVAIL vm\(77777\):1024: cannot assign requested address \(this machine/);
      return true;
    },
  );
  assert.equal(readdirSync('/proc/self/fd').length, open);
});

test('a connection that comes to nothing says why within its time, and leaves no descriptor', async () => {
  sys.load();
  const open = readdirSync('/proc/self/fd').length;
  // A VM of this machine's, of which there is none; where there is a hypervisor above us it may keep silent.
  const codes = ['EAFNOSUPPORT', 'ENODEV', 'ECONNRESET', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'];
  await assert.rejects(connectVsock(77_777, 1024, { timeout: 100 }), (error: SystemError) => codes.includes(error.code));
  await assert.rejects(connectVsock(77_777, 1024, { signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' });
  const fds = readdirSync('/proc/self/fd').length;
  // Node's loop keeps one of its own once something was polled.
  assert.ok(fds <= open + 1, `${fds} of ${open}`);
});
