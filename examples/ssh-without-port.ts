/**
 * SSH into a guest without any port of this machine: ssh2 speaks over a stream that the network dials.
 *
 * So that this runs without a VM, the guest is one in TypeScript, with an SSH server of ssh2's; a VM with sshd is no different to `run`.
 */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import ssh2, { type Connection } from 'ssh2';
import { VirtualNetwork } from 'guestwire';
import { attachGuest, type SoftGuest } from 'guestwire/testing';

await using network = await VirtualNetwork.create();
const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
const { address } = await guest.dhcp();
serve(guest);
console.log(await run(network, address, 'uname'));

/** What a command prints in the guest. */
async function run(on: VirtualNetwork, host: string, command: string): Promise<string> {
  const client = new ssh2.Client();
  client.connect({ sock: await on.dial(host, 22, { signal: AbortSignal.timeout(10_000) }), username: 'core', password: 'secret' });
  await once(client, 'ready');
  let output = '';
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) => {
    client.exec(command, (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
  });
  channel.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(channel, 'close');
  client.end();
  await once(client, 'close');
  return output.trim();
}

/** An SSH server in the guest that answers every command with its name. */
function serve(on: SoftGuest): void {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const server = new ssh2.Server({ hostKeys: [privateKey] }, (client: Connection) => {
    client.on('authentication', (login) => (login.method === 'password' && login.password === 'secret' ? login.accept() : login.reject()));
    client.on('session', (accept) => {
      accept().on('exec', (acceptCommand, _reject, { command }) => {
        const channel = acceptCommand();
        channel.write(`${command} in the guest\n`);
        channel.exit(0);
        channel.end();
      });
    });
    client.on('error', () => {});
  });
  on.listen(22, (socket) => {
    socket.on('error', () => {});
    // It asks no more of a socket than a Duplex has.
    server.injectSocket(socket as unknown as Socket);
  });
}
