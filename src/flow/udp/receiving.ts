/** Host → guest: datagrams are received in batches and become frames; what the guest's port has no room for waits in the socket. */
import { EAGAIN } from '../../host/errno.ts';
import type { UdpContext } from './context.ts';
import { LARGEST, type UdpFlow } from './flow.ts';
import { NONE, takeReports, tellGuest } from './host-errors.ts';
import { touch } from './lifetime.ts';

/** Datagrams taken from a socket in one call, and calls per flow and pump. */
export const SLOTS = 32;
export const SLOT_SIZE = 65_536;
export const CALLS_PER_PUMP = 4;
/** Bytes of a guest's port that one call may fill: large datagrams are taken a few at a time, the others wait in the socket. */
export const ROOM_PER_CALL: number = 4 * SLOT_SIZE;

/** True when the socket may have more. */
export function receiveFrom(ctx: UdpContext, flow: UdpFlow): boolean {
  if (flow.troubled) takeReports(ctx, flow);
  for (let call = 0; call < CALLS_PER_PUMP; call++) {
    const port = flow.neighbour.port;
    if (port === null) return false;
    const room = ctx.delivery.room(flow.largest);
    const count = Math.min(Math.max(Math.floor(ROOM_PER_CALL / room), 1), SLOTS);
    if (port.claim(count * room) < 0) {
      flow.blockedOn = port;
      ctx.block(flow);
      return false;
    }
    const got = flow.endpoint.receive(ctx.receive, LARGEST, SLOT_SIZE, count, ctx.lengths);
    if (got === -EAGAIN) return false;
    if (got < 0) {
      if (takeReports(ctx, flow) !== NONE) continue;
      if (!tellGuest(ctx, ctx.delivery.quote(flow), -got)) return false;
      continue;
    }
    deliver(ctx, flow, got);
    if (got < count) return false;
  }
  return true;
}

function deliver(ctx: UdpContext, flow: UdpFlow, count: number): void {
  const { counters, delivery, lengths, receive } = ctx;
  let largest = 0;
  for (let i = 0; i < count; i++) {
    const length = lengths[i]!;
    if (length > largest) largest = length;
    if (delivery.deliver(flow, receive + i * SLOT_SIZE, length)) counters.datagramsOut++;
    else counters.dropNoRoom++;
  }
  // Down slowly: what was large once may be so again.
  flow.largest = Math.max(largest, flow.largest - (flow.largest >> 3));
  flow.received += count;
  touch(ctx, flow);
}
