/** Kinds of traffic through a SilentNetwork, a turn at a time: what the micro benchmarks and the test of allocations drive. */
import { type Family, IPV4, IPV6 } from '../../src/flow/family.ts';
import { SilentNetwork } from './silent-network.ts';

/** Frames of the guest in one batch. */
const BATCH = 32;

export interface Traffic {
  readonly name: string;
  /** One turn. Throws when the traffic does not flow. */
  readonly turn: () => void;
  readonly network: SilentNetwork;
}

function connected(family: Family): SilentNetwork {
  const network = new SilentNetwork(family);
  network.connect();
  return network;
}

const over = (family: Family): string => (family === IPV6 ? ' over IPv6' : '');

/** Full-sized segments of the guest, acknowledged by the gateway. */
export function tcpUp(family: Family): Traffic {
  const network = connected(family);
  const [stream] = network.host.streams;
  const turn = (): void => {
    for (let i = 0; i < BATCH; i++) network.sendData();
    const before = stream!.taken;
    network.round();
    if (stream!.taken - before !== BATCH * network.mss || network.unacknowledged !== 0) throw new Error('not everything arrived');
    // So that it stays a small integer, as what a real socket counts in the kernel.
    stream!.taken = 0;
  };
  return { name: `TCP guest → host${over(family)}`, turn, network };
}

/** Full-sized segments for the guest, which acknowledges every turn. */
export function tcpDown(family: Family): Traffic {
  const network = connected(family);
  const [stream] = network.host.streams;
  const turn = (): void => {
    const before = network.received;
    stream!.supply(BATCH * network.mss);
    // The congestion window is opened by the first turns.
    for (let i = 0; i < BATCH && network.received - before < BATCH; i++) {
      network.round();
      network.acknowledge();
    }
    network.round();
    if (network.received - before !== BATCH || stream!.queued !== 0) throw new Error('not everything arrived');
  };
  return { name: `TCP host → guest${over(family)}`, turn, network };
}

/** One byte and its answer. */
export function roundTrips(family: Family): Traffic {
  const network = connected(family);
  const [stream] = network.host.streams;
  const turn = (): void => {
    const before = network.received;
    network.sendByte();
    network.round();
    stream!.supply(1);
    network.round();
    network.acknowledge();
    network.round();
    if (network.received - before !== 1) throw new Error('the answer is missing');
  };
  return { name: `TCP round trips${over(family)}`, turn, network };
}

export function udpUp(family: Family): Traffic {
  const network = new SilentNetwork(family);
  const { datagrams } = network.host;
  const turn = (): void => {
    for (let i = 0; i < BATCH; i++) network.sendDatagram();
    network.round();
    if (datagrams[0]!.taken !== BATCH) throw new Error('not everything arrived');
    datagrams[0]!.taken = 0;
  };
  return { name: `UDP guest → host${over(family)}`, turn, network };
}

export function udpDown(family: Family): Traffic {
  const network = new SilentNetwork(family);
  network.sendDatagram();
  network.round();
  const [datagrams] = network.host.datagrams;
  const turn = (): void => {
    const before = network.received;
    datagrams!.supply(BATCH);
    network.round();
    if (network.received - before !== BATCH) throw new Error('not everything arrived');
  };
  return { name: `UDP host → guest${over(family)}`, turn, network };
}

/** A client of a forwarded port, and the guest's answers. */
function udpForward(family: Family): Traffic {
  const network = new SilentNetwork(family);
  // So that the guest is known.
  network.connect();
  const listener = network.forward();
  const turn = (): void => {
    const before = network.received;
    listener.supply(BATCH);
    network.round();
    for (let i = 0; i < BATCH; i++) network.sendDatagram();
    network.round();
    if (network.received - before !== BATCH || listener.taken !== BATCH) throw new Error('not everything arrived');
    listener.taken = 0;
  };
  return { name: `UDP through a forward${over(family)}`, turn, network };
}

/** Over one version of IP after the other. */
export const TRAFFIC: readonly (() => Traffic)[] = [IPV4, IPV6].flatMap((family) =>
  [tcpUp, tcpDown, roundTrips, udpUp, udpDown, udpForward].map((begin) => () => begin(family)),
);
