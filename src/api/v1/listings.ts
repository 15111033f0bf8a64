/** What there is to see and not to change: leases, stations, ports, counters. */
import { createRoute, z } from '@hono/zod-openapi';
import type { V1App } from './app.ts';
import { IpAddress } from '../../packet/address.ts';
import { CONNECT_OFFERS } from '../hijack.ts';
import { counterTree, type CounterTree } from './counter-tree.ts';
import type { V1Network } from './subject.ts';

const count = z.number().int().min(0);

const leaseSchema = z.object({ address: z.union([z.ipv4(), z.ipv6()]), mac: z.string() }).openapi('Lease');
const stationSchema = z
  .object({
    mac: z.string(),
    port: count.openapi({ description: 'Id of the port it was last seen on.' }),
    name: z.string().nullable().openapi({ description: "That port's name." }),
  })
  .openapi('Station');
const portSchema = z
  .object({
    id: count.openapi({ description: 'Never reused while the network lives.' }),
    name: z.string(),
    link: z.string().openapi({ description: 'How the VM came in: qemu, vfkit, socket (`/connect`) and so on.' }),
    offload: z.boolean().openapi({ description: 'It gives and takes TCP segments beyond the MTU.' }),
    macs: z.array(z.string()).openapi({ description: 'MAC addresses that it has sent from.' }),
    leases: z.array(leaseSchema).openapi({ description: 'Those of its MAC addresses, in order of address.' }),
    counters: z
      .object({ rxFrames: count, rxBytes: count, rxDropped: count, rxForged: count, txFrames: count, txBytes: count, txDropped: count })
      .openapi({ description: 'rx: from the VM. Bytes are those of Ethernet frames. rxForged: of rxDropped, in the name of another VM.' }),
  })
  .openapi('Port');
const treeSchema: z.ZodType<CounterTree> = z
  .record(z.string(), z.unknown())
  .openapi('Counters', { description: 'Numbers by name, in groups.' }) as unknown as z.ZodType<CounterTree>;
const totalsSchema = z
  .object({
    bytesSent: count.openapi({ description: 'Bytes of frames to VMs since the start.' }),
    bytesReceived: count.openapi({ description: 'Bytes of frames from VMs since the start.' }),
    ports: count,
    flows: z.object({ tcp: count, udp: count }),
    counters: treeSchema,
  })
  .openapi('Totals');

/** Answered by the server in front, as gvforwarder asks for it and nothing else. */
const offers = createRoute({
  method: 'get',
  path: CONNECT_OFFERS,
  summary: 'What /connect understands; there on -listen only, as /connect',
  responses: {
    200: {
      description: 'Values of its query `vnet_hdr`: bytes of virtio-net header in front of each frame.',
      content: { 'application/json': { schema: z.object({ vnet_hdr: z.array(count) }).openapi('ConnectOffers') } },
    },
  },
});
const leases = createRoute({
  method: 'get',
  path: '/v1/leases',
  summary: 'Which address belongs to which MAC address, static leases included',
  responses: {
    200: { description: 'In order of address.', content: { 'application/json': { schema: z.object({ leases: z.array(leaseSchema) }) } } },
  },
});
const stations = createRoute({
  method: 'get',
  path: '/v1/stations',
  summary: 'MAC addresses that VMs have sent from',
  responses: {
    200: { description: 'By port.', content: { 'application/json': { schema: z.object({ stations: z.array(stationSchema) }) } } },
  },
});
const ports = createRoute({
  method: 'get',
  path: '/v1/ports',
  summary: 'VMs that are attached',
  responses: {
    200: { description: 'In order of id.', content: { 'application/json': { schema: z.object({ ports: z.array(portSchema) }) } } },
  },
});
const counters = createRoute({
  method: 'get',
  path: '/v1/counters',
  summary: 'Everything that is counted',
  responses: { 200: { description: 'As of now.', content: { 'application/json': { schema: totalsSchema } } } },
});

/** Sorts as its address: IPv4 first. */
function ordered(address: string): Buffer {
  const { isIpv4, w0, w1, w2, w3 } = IpAddress.parse(address)!;
  const bytes = Buffer.alloc(17, isIpv4 ? 0 : 1);
  [w0, w1, w2, w3].forEach((word, i) => bytes.writeInt32BE(word, 1 + i * 4));
  return bytes;
}

/** In order of address. */
function leasesOf(network: V1Network): z.infer<typeof leaseSchema>[] {
  const all = [...network.leases].map(([address, mac]) => ({ address, mac }));
  return all.toSorted((a, b) => Buffer.compare(ordered(a.address), ordered(b.address)));
}

export function listingRoutes(app: V1App, network: V1Network): void {
  app.openAPIRegistry.registerPath(offers);

  app.openapi(leases, (c) => c.json({ leases: leasesOf(network) }, 200));

  app.openapi(stations, (c) => {
    const names = new Map(network.ports.map(({ id, name }) => [id, name]));
    return c.json({ stations: [...network.stations].map(([mac, port]) => ({ mac, port, name: names.get(port) ?? null })) }, 200);
  });

  app.openapi(ports, (c) => {
    const given = leasesOf(network);
    const seen = [...network.stations];
    const all = network.ports.map((port) => {
      const macs = seen.filter(([, id]) => id === port.id).map(([mac]) => mac);
      const { id, name, offload } = port;
      const own = given.filter(({ mac }) => macs.includes(mac));
      return { id, name, link: network.linkOf(port), offload, macs, leases: own, counters: { ...port.counters } };
    });
    return c.json({ ports: all.toSorted((a, b) => a.id - b.id) }, 200);
  });

  app.openapi(counters, (c) => {
    const { bytesSent, bytesReceived, flows } = network;
    return c.json(
      { bytesSent, bytesReceived, ports: network.ports.length, flows: flows.size, counters: counterTree(network.counters) },
      200,
    );
  });
}
