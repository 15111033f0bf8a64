/** What every guest must be able to do once it has an address, with busybox's programs. */
import assert from 'node:assert/strict';
import { get } from 'node:http';
import type { GuestConsole } from './guest-console.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';

/** Asks the gateway for a lease; `script` configures the interface and keeps the lease's values in the file `lease`. */
export async function takeLease(guest: GuestConsole, device: string, script: string, lease: string): Promise<string> {
  await guest.run(`busybox udhcpc -i ${device} -n -q -t 5 -T 1 -s ${script}`);
  return guest.run(`cat ${lease}`);
}

/** Pings, resolves, fetches and sends `size` hashed bytes. */
export async function runErrands(guest: GuestConsole, size: number): Promise<void> {
  for (const address of ['192.168.127.1', '192.168.127.254']) await guest.run(`busybox ping -c 1 -W 2 ${address}`);
  assert.match(await guest.run('busybox nslookup host.containers.internal'), /192\.168\.127\.254/);
  assert.match(await guest.run('busybox nslookup gateway.docker.internal'), /192\.168\.127\.1\b/);
  const blob = randomBytes(size);
  const [files, hashes] = [await serveFiles(new Map([['/blob', blob]])), await serveHash()];
  try {
    const url = `http://host.containers.internal:${files.port}/blob`;
    assert.equal((await guest.run(`busybox wget -q -O - ${url} | sha256sum`)).split(' ')[0], sha256(blob));
    // Half-close: the answer comes after the guest has finished sending.
    const sent = `busybox wget -q -O - ${url} | busybox nc 192.168.127.254 ${hashes.port}`;
    assert.equal((await guest.run(sent)).trim(), sha256(blob));
  } finally {
    files.server.close();
    hashes.server.close();
  }
}

/** Serves a page on the guest's port 22, and fetches it through the host's port that leads there. */
export async function serveToHost(guest: GuestConsole, folder: string, sshPort: number, text: string): Promise<void> {
  await guest.run(`echo '${text}' > ${folder}/index.html; busybox httpd -p 22 -h ${folder}`);
  assert.equal(await fetchText(`http://127.0.0.1:${sshPort}/`), `${text}\n`);
}

/** What an HTTP server answers. Rejects after 10 s. */
export function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { timeout: 10_000, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
    })
      .on('timeout', () => reject(new Error(`no answer from ${url}`)))
      .on('error', reject);
  });
}
