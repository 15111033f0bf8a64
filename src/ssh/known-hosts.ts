/** The keys of a host in a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). */
import { createHmac } from 'node:crypto';

export interface KnownHostKeys {
  /** Keys in SSH's wire format, as the file has them in order. */
  readonly accepted: readonly Buffer[];
  readonly revoked: readonly Buffer[];
}

/**
 * Lines that can't be read are passed over, as ssh does. `@cert-authority` lines too: host certificates are not supported.
 * A host on another port than 22 is found under `[host]:port` only.
 */
export function knownHostKeys(file: string, host: string, port: number): KnownHostKeys {
  const name = port === 22 ? host : `[${host}]:${port}`;
  const accepted: Buffer[] = [];
  const revoked: Buffer[] = [];
  for (const line of file.split('\n')) {
    const fields = line.trim().split(/\s+/);
    const marker = fields[0]!.startsWith('@') ? fields.shift()! : '';
    const [names, type, data] = fields;
    if (names === undefined || names.startsWith('#') || data === undefined) continue;
    if (!matches(names, name)) continue;
    const key = Buffer.from(data, 'base64');
    if (keyType(key) !== type) continue;
    if (marker === '') accepted.push(key);
    else if (marker === '@revoked') revoked.push(key);
  }
  return { accepted, revoked };
}

/** The type that a key in wire format names at its start: `ssh-ed25519`. */
export function keyType(key: Buffer): string {
  return key.length < 4 ? '' : key.toString('latin1', 4, 4 + key.readUInt32BE(0));
}

function matches(names: string, name: string): boolean {
  if (names.startsWith('|')) return matchesHash(names, name);
  let found = false;
  for (const pattern of names.split(',')) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(pattern.slice(1), name)) return false;
    } else if (matchesPattern(pattern, name)) found = true;
  }
  return found;
}

/** `|1|SALT|HASH`: HMAC-SHA1 of the name. */
function matchesHash(text: string, name: string): boolean {
  const [, version, salt, hash] = text.split('|');
  if (version !== '1' || salt === undefined || hash === undefined) return false;
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
}

/** `*` and `?` are wildcards; ssh compares without case. */
function matchesPattern(pattern: string, name: string): boolean {
  const wanted = pattern.toLowerCase();
  const text = name.toLowerCase();
  // Where to go on after a mismatch: the last star, with one more character given to it.
  let star = -1;
  let resume = 0;
  let p = 0;
  let t = 0;
  while (t < text.length) {
    if (p < wanted.length && (wanted[p] === '?' || wanted[p] === text[t]) && wanted[p] !== '*') {
      p++;
      t++;
    } else if (p < wanted.length && wanted[p] === '*') {
      star = p++;
      resume = t;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (wanted[p] === '*') p++;
  return p === wanted.length;
}
