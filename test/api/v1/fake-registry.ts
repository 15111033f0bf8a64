/** Forwards without sockets: keeps what it is given, as the real registry does, and binds where it is told. */
import type { ForwardErrorCode, ForwardInfo, ForwardRegistry, ForwardRequest } from '../../../src/api/v1/subject.ts';

class FakeError extends Error {
  readonly code: ForwardErrorCode;

  constructor(code: ForwardErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export class FakeRegistry implements ForwardRegistry {
  readonly forwards: Map<string, ForwardInfo> = new Map();
  readonly #reserved: Set<string> = new Set();
  /** Text of local addresses that the host refuses. */
  readonly taken: Set<string> = new Set();
  #port = 40_000;

  list(): ForwardInfo[] {
    return [...this.forwards.values()].toSorted((a, b) => (a.local < b.local ? -1 : 1));
  }

  async exposeAll(requests: readonly ForwardRequest[]): Promise<ForwardInfo[]> {
    const reserved: string[] = [];
    try {
      for (const { protocol, local, remote } of requests) {
        const key = `${protocol}:${local}`;
        if (this.forwards.has(key) || this.#reserved.has(key)) {
          throw new FakeError('conflict', `proxy already running for ${protocol} on ${local}`);
        }
        if (!remote.includes('192.168.127.')) throw new FakeError('remote', `${remote} is no guest's`);
        this.#reserved.add(key);
        reserved.push(key);
      }
      // Names are resolved here.
      await new Promise(setImmediate);
      for (const { protocol, local } of requests) {
        if (this.taken.has(local)) throw new FakeError('bind', `listen ${protocol} ${local}: bind: address already in use`);
      }
    } finally {
      for (const key of reserved) this.#reserved.delete(key);
    }
    const made = requests.map((request) => (request.protocol === 'unix' ? request : { ...request, boundPort: this.#bind(request.local) }));
    for (const forward of made) this.forwards.set(`${forward.protocol}:${forward.local}`, forward);
    return made;
  }

  #bind(local: string): number {
    const port = Number(/\d+$/.exec(local)?.[0]);
    return port === 0 ? this.#port++ : port;
  }

  unexpose(protocol: string, local: string): void {
    if (!this.forwards.delete(`${protocol}:${local}`)) throw new FakeError('not-found', 'proxy not found');
  }
}
