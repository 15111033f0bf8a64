/**
 * Private keys as ssh-keygen and openssl write them, turned into what ssh2 reads. ssh2 knows OpenSSH's format and the
 * PEM forms of RSA, EC and DSA; PKCS#8 is translated here, and encrypted OpenSSH keys are decrypted on another thread.
 */
import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { KeyWorkerInput, KeyWorkerOutput } from './key-worker.ts';

const PRIVATE_BLOCK = /-----BEGIN ((?:[A-Z]+ )*)PRIVATE KEY-----[\s\S]*?-----END \1PRIVATE KEY-----/;
const OPENSSH_MAGIC = 'openssh-key-v1\0';

/** `text` is the file. Resolves to an unencrypted key for ssh2; rejects with an Error that says what is wrong with it. */
export async function usableKey(text: string, passphrase: string | undefined): Promise<string> {
  const [block, kind] = PRIVATE_BLOCK.exec(text.replaceAll(/\r\n?/g, '\n')) ?? [];
  if (block === undefined) {
    throw new Error(/PuTTY-User-Key-File/.test(text) ? advice("PuTTY's format is not supported") : advice('it holds no private key'));
  }
  if (kind !== 'OPENSSH ') return translated(block, passphrase);
  if (!isEncrypted(block)) return block;
  if (passphrase === undefined) throw new Error('the key is encrypted and no passphrase was given');
  return translated(await decryptedElsewhere({ text: block, passphrase }), undefined);
}

/** OpenSSH's format names the cipher behind the magic (PROTOCOL.key of OpenSSH). */
function isEncrypted(block: string): boolean {
  const data = Buffer.from(block.split('\n').slice(1, -1).join(''), 'base64');
  const at = OPENSSH_MAGIC.length + 4;
  return data.toString('latin1', at, at + 4) !== 'none';
}

async function decryptedElsewhere(input: KeyWorkerInput): Promise<string> {
  const worker = new Worker(new URL('./key-worker.js', import.meta.url), { workerData: input });
  try {
    const [answer] = (await once(worker, 'message')) as [KeyWorkerOutput];
    if ('pem' in answer) return answer.pem;
    throw new Error(/passphrase|integrity|authenticate data|bad decrypt/i.test(answer.error) ? 'the passphrase is wrong' : answer.error);
  } finally {
    void worker.terminate();
  }
}

function translated(pem: string, passphrase: string | undefined): string {
  const key = parsed(pem, passphrase);
  const type = key.asymmetricKeyType;
  if (type === 'rsa') return key.export({ type: 'pkcs1', format: 'pem' }) as string;
  if (type === 'ec') return ecKey(key);
  if (type === 'ed25519') return opensshEd25519(key);
  if (type !== 'dsa') throw new Error(advice(`keys of the type ${type} are not supported`));
  // Node exports DSA as PKCS#8 only, which ssh2 can't read: an unencrypted PEM passes as it is.
  if (/-----BEGIN DSA PRIVATE KEY-----\n(?!Proc-Type)/.test(pem)) return pem;
  throw new Error(advice('DSA keys are read unencrypted and in PEM form only'));
}

function parsed(pem: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_MISSING_PASSPHRASE' || (passphrase === undefined && /ENCRYPTED/.test(pem))) {
      throw new Error('the key is encrypted and no passphrase was given', { cause: error });
    }
    if (passphrase !== undefined && /ENCRYPTED/.test(pem)) throw new Error('the passphrase is wrong', { cause: error });
    throw new Error(`the key can't be read: ${message}`, { cause: error });
  }
}

function ecKey(key: KeyObject): string {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? 'an unknown curve';
  if (!['prime256v1', 'secp384r1', 'secp521r1'].includes(curve)) throw new Error(advice(`SSH has no keys on the curve ${curve}`));
  return key.export({ type: 'sec1', format: 'pem' }) as string;
}

/** OpenSSH's own format is the only one in which ssh2 reads an Ed25519 key (PROTOCOL.key of OpenSSH). */
function opensshEd25519(key: KeyObject): string {
  const { d, x } = key.export({ format: 'jwk' });
  const seed = Buffer.from(d!, 'base64url');
  const point = Buffer.from(x!, 'base64url');
  const publicKey = Buffer.concat([sshString('ssh-ed25519'), sshString(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, publicKey, sshString(Buffer.concat([seed, point])), sshString('')]);
  // Padded with 1, 2, 3, … to a multiple of the cipher's block: eight bytes for "none".
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, -secret.length & 7);
  const one = Buffer.from([0, 0, 0, 1]);
  const all = [Buffer.from(OPENSSH_MAGIC), sshString('none'), sshString('none'), sshString(''), one, sshString(publicKey)];
  const data = Buffer.concat([...all, sshString(Buffer.concat([secret, padding]))]).toString('base64');
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${data.replaceAll(/.{70}/g, '$&\n').trimEnd()}\n-----END OPENSSH PRIVATE KEY-----`;
}

function sshString(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function advice(problem: string): string {
  return `${problem} (RSA, ECDSA and Ed25519 keys of ssh-keygen and openssl are)`;
}
