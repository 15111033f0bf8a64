import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { SshConnection } from '../../src/ssh/connection.ts';
import { usableKey } from '../../src/ssh/private-key.ts';
import { missing } from '../guest/requirement.ts';
import { KEY_KINDS, makeKeyFile, PASSPHRASE, run } from './key-files.ts';
import { CLIENT_KEY, dialTo, RecordedLog, SshServer, targetOf, temporaryFolder } from './server.ts';

const skip = missing('ssh-keygen', 'openssl');

for (const kind of KEY_KINDS) {
  test(`§14.6: a server that knows the key lets in who has it as ${kind.name}`, { skip }, async (t) => {
    const { path, publicKey } = makeKeyFile(temporaryFolder(t), kind);
    const server = await SshServer.start(t, { keys: [publicKey] });
    const target = targetOf({ identity: path, passphrase: kind.encrypted === true ? PASSPHRASE : undefined });
    const options = { target, dial: dialTo(() => server.port), log: new RecordedLog(), knownHosts: '/nonexistent' };
    const connection = await SshConnection.establish(options, new AbortController().signal);
    assert.equal(server.logins, 1);
    connection.destroy();
  });
}

for (const kind of KEY_KINDS.filter(({ encrypted }) => encrypted)) {
  test(`a key that is ${kind.name} needs its passphrase, and the right one`, { skip }, async (t) => {
    const text = readFileSync(makeKeyFile(temporaryFolder(t), kind).path, 'utf8');
    await assert.rejects(usableKey(text, undefined), /^Error: the key is encrypted and no passphrase was given$/);
    await assert.rejects(usableKey(text, 'wrong'), /^Error: the passphrase is wrong$/);
  });
}

test('decrypting a key of many rounds does not hold up the event loop', { skip }, async (t) => {
  const file = join(temporaryFolder(t), 'key');
  run('ssh-keygen', ['-q', '-t', 'ed25519', '-a', '16', '-N', PASSPHRASE, '-f', file]);
  const state = { isDone: false, turns: 0 };
  const key = usableKey(readFileSync(file, 'utf8'), PASSPHRASE).finally(() => (state.isDone = true));
  for (; !state.isDone; state.turns++) await turn();
  assert.match(await key, /BEGIN OPENSSH PRIVATE KEY/);
  assert.ok(state.turns > 1000, `${state.turns} turns`);
});

test('line ends of Windows, text around the key and a missing last newline do not matter', async () => {
  const text = `Bag Attributes\r\n${CLIENT_KEY.private.trim().replaceAll('\n', '\r\n')}\r\nmore`;
  assert.equal((await usableKey(text, undefined)).trim(), CLIENT_KEY.private.trim());
});

test('a passphrase that is not needed does no harm', async () => {
  assert.equal((await usableKey(CLIENT_KEY.private, 'not needed')).trim(), CLIENT_KEY.private.trim());
});

test('what is no key that SSH can use is refused with the reason', { skip }, async (t) => {
  const file = join(temporaryFolder(t), 'key');
  const made = async (...args: string[]): Promise<string> => {
    run('openssl', [...args, '-out', file]);
    return usableKey(readFileSync(file, 'utf8'), undefined);
  };
  await assert.rejects(made('ecparam', '-name', 'secp256k1', '-genkey', '-noout'), /SSH has no keys on the curve secp256k1/);
  await assert.rejects(made('genpkey', '-algorithm', 'x25519'), /keys of the type x25519 are not supported/);
  await assert.rejects(
    made('genpkey', '-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:1024'),
    /keys of the type rsa-pss are not supported/,
  );
  await assert.rejects(usableKey('PuTTY-User-Key-File-3: ssh-rsa\n', undefined), /PuTTY's format is not supported/);
  await assert.rejects(usableKey(CLIENT_KEY.public, undefined), /it holds no private key/);
  await assert.rejects(usableKey('', undefined), /it holds no private key/);
  const broken = '-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----';
  await assert.rejects(usableKey(broken, undefined), /the key can't be read/);
  writeFileSync(file, '');
});

test('an identity file that is broken or missing is named', async (t) => {
  const folder = temporaryFolder(t);
  const broken = join(folder, 'broken');
  writeFileSync(broken, '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----\n');
  const fifo = join(folder, 'fifo');
  run('mkfifo', [fifo]);
  const huge = join(folder, 'huge');
  writeFileSync(huge, '');
  truncateSync(huge, 2 ** 32);
  for (const [identity, reason] of [
    [huge, 'it has 4294967296 bytes: too many for a private key'],
    [broken, ''],
    [join(folder, 'none'), 'ENOENT'],
    [folder, 'EISDIR'],
    ['/dev/zero', 'it is no regular file'],
    [fifo, 'it is no regular file'],
  ] as const) {
    const dial = (): never => assert.fail('nothing is dialled without a key');
    const options = { target: targetOf({ identity }), dial, log: new RecordedLog(), knownHosts: '/nonexistent' };
    await assert.rejects(SshConnection.establish(options, new AbortController().signal), (error: Error) => {
      assert.ok(error.message.startsWith(`identity file ${identity}: `) && error.message.includes(reason), error.message);
      return true;
    });
  }
});
