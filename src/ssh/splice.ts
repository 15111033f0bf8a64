/** Joins a local connection and a channel, byte for byte, each direction ending on its own (contract §9.2). */
import type { Socket } from 'node:net';
import type { ClientChannel } from 'ssh2';
import type { SendGate } from './send-gate.ts';

/** Holds at most one chunk of the local side, and of the channel what its window allowed (see docs/limits.md). */
export function splice(local: Socket, channel: ClientChannel, gate: SendGate): void {
  let isOpen = true;
  local.on('data', (chunk) => {
    local.pause();
    gate.send(channel, chunk, () => local.resume());
  });
  local.on('end', () => channel.end());
  local.on('drain', () => channel.resume());
  local.on('close', () => {
    // ssh2 leaves it to us to close a channel of which both directions have ended.
    if (isOpen) channel.close();
    channel.resume();
  });
  channel.on('data', (chunk: Buffer) => {
    if (!local.destroyed && !local.write(chunk)) channel.pause();
  });
  channel.on('end', () => local.end());
  channel.on('close', () => {
    isOpen = false;
    local.destroySoon();
  });
  local.resume();
}
