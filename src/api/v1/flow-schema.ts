/** A conversation, as listings and events tell of it. */
import { z } from '@hono/zod-openapi';
import { type FlowSnapshot, TCP_STATES, type TcpStateName } from '../../flow/snapshot.ts';

export const stateSchema: z.ZodType<TcpStateName> = z
  .enum(TCP_STATES)
  .openapi('TcpState', { description: "RFC 9293's names; CONNECTING: the host's connect is under way, the guest's SYN not answered yet." });

const count = z.number().int().min(0);

export const flowSchema: z.ZodType<FlowSnapshot> = z
  .object({
    id: z.string(),
    protocol: z.enum(['tcp', 'udp']),
    guest: z.string(),
    guestPort: count,
    remote: z.string().openapi({ description: 'As the guest sees it: before NAT.' }),
    remotePort: count,
    direction: z.enum(['outbound', 'inbound']).openapi({ description: 'outbound: the guest began; inbound: the host did.' }),
    port: count.openapi({ description: "Id of the VM's port when the flow began." }),
    state: stateSchema.exactOptional().openapi({ description: 'TCP only: of the connection to the guest.' }),
    datagramsOut: count.exactOptional().openapi({ description: 'UDP only: from the guest.' }),
    datagramsIn: count.exactOptional().openapi({ description: 'UDP only: to the guest.' }),
    idle: count.nullable().openapi({ description: 'Milliseconds since the guest was heard (TCP) or any datagram was seen (UDP).' }),
  })
  .openapi('Flow');
