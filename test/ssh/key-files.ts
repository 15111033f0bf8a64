/** Key files of every kind that ssh-keygen and openssl write. Each kind says how its file is made. */
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';

export const PASSPHRASE = 'a "long" passphrase';

export interface KeyKind {
  readonly name: string;
  readonly encrypted?: boolean;
  /** What sshd no longer takes, unless it is told to. */
  readonly outdated?: boolean;
  make(file: string): void;
}

/** What the program prints; throws when it fails. */
export function run(program: string, args: readonly string[]): Buffer {
  return execFileSync(program, args, { stdio: 'pipe' });
}

function keygen(file: string, ...args: string[]): void {
  run('ssh-keygen', ['-q', '-f', file, ...args]);
}

function plain(name: string, ...args: string[]): KeyKind {
  return { name, make: (file) => keygen(file, '-N', '', ...args) };
}

function encrypted(name: string, ...args: string[]): KeyKind {
  // One round: how long bcrypt takes is not what these tests ask.
  return { name, encrypted: true, make: (file) => keygen(file, '-N', PASSPHRASE, '-a', '1', ...args) };
}

function ofOpenssl(name: string, ...args: string[]): KeyKind {
  return { name, make: (file) => void run('openssl', [...args, '-out', file]) };
}

const RSA = ['-t', 'rsa', '-b', '2048'];
const PASS = ['-aes256', '-pass', `pass:${PASSPHRASE}`];

export const KEY_KINDS: readonly KeyKind[] = [
  plain('OpenSSH RSA', ...RSA),
  plain('OpenSSH ECDSA 256', '-t', 'ecdsa', '-b', '256'),
  plain('OpenSSH ECDSA 384', '-t', 'ecdsa', '-b', '384'),
  plain('OpenSSH ECDSA 521', '-t', 'ecdsa', '-b', '521'),
  plain('OpenSSH Ed25519', '-t', 'ed25519'),
  { ...plain('OpenSSH DSA', '-t', 'dsa'), outdated: true },
  plain('PKCS#1 RSA', ...RSA, '-m', 'PEM'),
  plain('SEC1 ECDSA', '-t', 'ecdsa', '-m', 'PEM'),
  { ...plain('PEM DSA', '-t', 'dsa', '-m', 'PEM'), outdated: true },
  plain('PKCS#8 RSA', ...RSA, '-m', 'PKCS8'),
  plain('PKCS#8 ECDSA', '-t', 'ecdsa', '-b', '384', '-m', 'PKCS8'),
  ofOpenssl('PKCS#8 Ed25519', 'genpkey', '-algorithm', 'ed25519'),
  ofOpenssl('SEC1 ECDSA behind its parameters', 'ecparam', '-name', 'prime256v1', '-genkey'),
  encrypted('encrypted OpenSSH RSA', ...RSA),
  encrypted('encrypted OpenSSH ECDSA', '-t', 'ecdsa'),
  encrypted('encrypted OpenSSH Ed25519', '-t', 'ed25519'),
  encrypted('encrypted OpenSSH Ed25519, AES-GCM', '-t', 'ed25519', '-Z', 'aes256-gcm@openssh.com'),
  { ...encrypted('encrypted OpenSSH DSA', '-t', 'dsa'), outdated: true },
  encrypted('encrypted PKCS#1 RSA', ...RSA, '-m', 'PEM'),
  encrypted('encrypted SEC1 ECDSA', '-t', 'ecdsa', '-m', 'PEM'),
  encrypted('encrypted PKCS#8 RSA', ...RSA, '-m', 'PKCS8'),
  { ...ofOpenssl('encrypted PKCS#8 Ed25519', 'genpkey', '-algorithm', 'ed25519', ...PASS), encrypted: true },
];

export interface KeyFile {
  readonly kind: KeyKind;
  readonly path: string;
  /** As authorized_keys has it. */
  readonly publicKey: string;
}

export function makeKeyFile(folder: string, kind: KeyKind): KeyFile {
  const path = join(folder, kind.name.replaceAll(/\W+/g, '-'));
  kind.make(path);
  return { kind, path, publicKey: publicKeyOf(path, kind) };
}

/** By ssh-keygen, not by what is tested. */
function publicKeyOf(path: string, kind: KeyKind): string {
  chmodSync(path, 0o600);
  if (kind.name.includes('Ed25519') && kind.name.includes('PKCS#8')) return ed25519OfOpenssl(path);
  const file = kind.name.includes('behind') ? withoutParameters(path) : path;
  return run('ssh-keygen', ['-y', '-P', kind.encrypted === true ? PASSPHRASE : '', '-f', file])
    .toString()
    .trim();
}

/** ssh-keygen can't read these; the last 32 bytes of the public key's DER are the point. */
function ed25519OfOpenssl(path: string): string {
  const der = run('openssl', ['pkey', '-in', path, '-passin', `pass:${PASSPHRASE}`, '-pubout', '-outform', 'DER']);
  const head = Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20', 'latin1');
  return `ssh-ed25519 ${Buffer.concat([head, der.subarray(-32)]).toString('base64')}`;
}

function withoutParameters(path: string): string {
  const file = `${path}-alone`;
  run('openssl', ['ec', '-in', path, '-out', file]);
  chmodSync(file, 0o600);
  return file;
}
