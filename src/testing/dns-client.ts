/** The soft guest's resolver: one question, one answer, tried a few times. */
import { decode, encode, type StringAnswer } from 'dns-packet';
import type { Datagrams } from './datagrams.ts';

const PORT = 53;
const TRIES = 3;
const INTERVAL = 1000;

/** IPv4 or IPv6 addresses of `name`; empty when it has none or does not exist. Rejects when the resolver does not answer. */
export function resolveName(guest: Datagrams, name: string, type: 'A' | 'AAAA'): Promise<string[]> {
  const port = guest.ephemeralPort();
  const query = encode({ type: 'query', id: port, flags: 0x100, questions: [{ type, name }] });
  return new Promise((resolve, reject) => {
    let tries = 0;
    let cancel = (): void => {};
    const attempt = (): void => {
      if (tries++ === TRIES) {
        guest.onDatagram(port, undefined);
        return reject(new Error(`no answer about ${name}`));
      }
      guest.sendDatagram(port, guest.nameserver, PORT, query);
      cancel = guest.scheduler.after(INTERVAL, attempt);
    };
    guest.onDatagram(port, ({ payload }) => {
      const { id, answers = [] } = decode(payload);
      if (id !== port) return;
      cancel();
      guest.onDatagram(port, undefined);
      resolve(answers.flatMap((answer) => (answer.type === type ? [(answer as StringAnswer).data] : [])));
    });
    attempt();
  });
}
