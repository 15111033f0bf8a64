/** Kinds of traffic through a SilentNetwork, a turn at a time: what the micro benchmarks and the test of allocations drive. */
import { MSS, SilentNetwork } from './silent-network.ts';

/** Frames of the guest in one batch. */
const BATCH = 32;

export interface Traffic {
  readonly name: string;
  /** One turn. Throws when the traffic does not flow. */
  readonly turn: () => void;
  readonly network: SilentNetwork;
}

function connected(): SilentNetwork {
  const network = new SilentNetwork();
  network.connect();
  return network;
}

/** Full-sized segments of the guest, acknowledged by the gateway. */
export function tcpUp(): Traffic {
  const network = connected();
  const [stream] = network.host.streams;
  const turn = (): void => {
    for (let i = 0; i < BATCH; i++) network.sendData();
    const before = stream!.taken;
    network.round();
    if (stream!.taken - before !== BATCH * MSS || network.unacknowledged !== 0) throw new Error('not everything arrived');
    // So that it stays a small integer, as what a real socket counts in the kernel.
    stream!.taken = 0;
  };
  return { name: 'TCP guest → host', turn, network };
}

/** Full-sized segments for the guest, which acknowledges every turn. */
export function tcpDown(): Traffic {
  const network = connected();
  const [stream] = network.host.streams;
  const turn = (): void => {
    const before = network.received;
    stream!.supply(BATCH * MSS);
    // The congestion window is opened by the first turns.
    for (let i = 0; i < BATCH && network.received - before < BATCH; i++) {
      network.round();
      network.acknowledge();
    }
    network.round();
    if (network.received - before !== BATCH || stream!.queued !== 0) throw new Error('not everything arrived');
  };
  return { name: 'TCP host → guest', turn, network };
}

/** One byte and its answer. */
export function roundTrips(): Traffic {
  const network = connected();
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
  return { name: 'TCP round trips', turn, network };
}

export function udpUp(): Traffic {
  const network = new SilentNetwork();
  const { datagrams } = network.host;
  const turn = (): void => {
    for (let i = 0; i < BATCH; i++) network.sendDatagram();
    network.round();
    if (datagrams[0]!.taken !== BATCH) throw new Error('not everything arrived');
    datagrams[0]!.taken = 0;
  };
  return { name: 'UDP guest → host', turn, network };
}

export function udpDown(): Traffic {
  const network = new SilentNetwork();
  network.sendDatagram();
  network.round();
  const [datagrams] = network.host.datagrams;
  const turn = (): void => {
    const before = network.received;
    datagrams!.supply(BATCH);
    network.round();
    if (network.received - before !== BATCH) throw new Error('not everything arrived');
  };
  return { name: 'UDP host → guest', turn, network };
}

/** A client of a forwarded port, and the guest's answers. */
function udpForward(): Traffic {
  const network = new SilentNetwork();
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
  return { name: 'UDP through a forward', turn, network };
}

export const TRAFFIC: readonly (() => Traffic)[] = [tcpUp, tcpDown, roundTrips, udpUp, udpDown, udpForward];
