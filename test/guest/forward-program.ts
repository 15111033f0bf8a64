/**
 * A virtual network whose forwards are changed by lines of JSON on standard input; each is answered by one. For tests that run it in
 * a namespace of its own. Usage: forward-program.js SOCKET, where VMs attach.
 *
 *     {"expose": {"protocol": "tcp", "local": ":0", "remote": "192.168.127.2:80"}}      {"port": 41234} or {"error": "…"}
 *     {"unexpose": ["tcp", ":0"]}                                                       {}
 *     {"cycles": 1000, "local": "…", "remote": "…"}     as often exposed and unexposed   {}
 *     {"hog": true}, {"hog": false}    takes every descriptor there is, and gives them back
 *     {"descriptors": true}            how many are open                                {"descriptors": 40}
 */
import { closeSync, openSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { ForwardRequest } from '../../src/forward/forward.ts';
import { VirtualNetwork } from '../../src/network.ts';

interface Command {
  readonly expose?: ForwardRequest;
  readonly unexpose?: [protocol: string, local: string];
  readonly cycles?: number;
  readonly local?: string;
  readonly remote?: string;
  readonly hog?: boolean;
  readonly descriptors?: boolean;
}

const network = await VirtualNetwork.create();
await network.listenQemu(`unix://${process.argv[2]!}`);
const hogged: number[] = [];

function hog(): void {
  for (;;) {
    try {
      hogged.push(openSync('/dev/null', 'r'));
    } catch {
      return;
    }
  }
}

async function cycle(count: number, local: string, remote: string): Promise<void> {
  for (let i = 0; i < count; i++) {
    await network.forwards.expose({ protocol: 'tcp', local, remote });
    network.forwards.unexpose('tcp', local);
  }
}

async function obey(command: Command): Promise<object> {
  if (command.expose !== undefined) return { port: (await network.forwards.expose(command.expose)).boundPort };
  if (command.unexpose !== undefined) network.forwards.unexpose(...command.unexpose);
  if (command.cycles !== undefined) await cycle(command.cycles, command.local!, command.remote!);
  if (command.hog === true) hog();
  if (command.hog === false) for (const fd of hogged.splice(0)) closeSync(fd);
  return command.descriptors === true ? { descriptors: readdirSync('/proc/self/fd').length } : {};
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  obey(JSON.parse(line) as Command).then(
    (answer) => console.log(JSON.stringify(answer)),
    (error: Error) => console.log(JSON.stringify({ error: error.message })),
  );
});
lines.on('close', () => void network.close());
console.log('{"ready": true}');
