/** What the hosts of a world do, as steps say: answer, refuse, fail, connect to a forwarded port. */
import { IpAddress } from '../../src/packet/address.ts';
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINPROGRESS, EMFILE, EMSGSIZE, ENETUNREACH, ENOBUFS, EPERM } from '../../src/system/errno.ts';
import { payloadLength } from './frames.ts';
import { pick, type Step } from './program.ts';
import type { World } from './world.ts';

const ERRNOS = [ECONNREFUSED, ECONNRESET, ENETUNREACH, EMFILE, ENOBUFS, EMSGSIZE, EPERM, EAGAIN];

export function stream(world: World, step: Step): void {
  const { streams } = world.host;
  const stream = streams[step.slot % streams.length];
  if (stream === undefined) return;
  const errno = pick(ERRNOS, step.extra);
  pick(
    [
      () => stream.finish(0),
      () => stream.put(payloadLength(step)),
      () => stream.put(step.length * 4),
      () => stream.end(),
      () => stream.limit(step.length),
      () => stream.limit(Infinity),
      () => stream.finish(errno),
      () => stream.fail(errno),
      () => stream.spurious(step.extra & 7),
    ],
    step.flags,
  )();
}

export function datagram(world: World, step: Step): void {
  const { datagrams, pings } = world.host;
  const endpoints = [...datagrams, ...pings];
  const endpoint = endpoints[step.slot % endpoints.length];
  const repeat = pick([1, 1, 1, 8], step.extra);
  for (let i = 0; i < repeat; i++) {
    if (step.flags >= 240) endpoint?.fail(pick(ERRNOS, step.flags), step.length);
    else endpoint?.put(payloadLength(step));
  }
}

export function policy(world: World, step: Step): void {
  world.host.answer = pick([0, 0, 0, -EINPROGRESS, -EINPROGRESS, -ECONNREFUSED, -ENETUNREACH, -EMFILE, -EPERM, -ENOBUFS], step.flags);
}

export function accept(world: World, step: Step): void {
  const repeat = pick([1, 1, 1, 20], step.extra);
  const { host, ipv6 } = world;
  for (let i = 0; i < repeat; i++) {
    const from6 = i % 2 === 0 ? new IpAddress(0, 0, 0, 1) : new IpAddress(0x20010db8, 0, 0, i);
    const from = ipv6 && step.value & 2 ? from6 : IpAddress.v4(i % 2 === 0 ? 0x7f000001 : 0xc6336400 + (i & 0xff));
    host.accept(step.value & 1, from);
  }
}

export function answerDns(world: World, step: Step): void {
  if (world.upstream.waiting === 0) return;
  world.upstream.answer(step.slot, step.flags, step.value, step.length);
  world.handed = true;
}
