/** Ranges of ports in requests for forwards: `127.0.0.1:8000-8010` to `192.168.127.2:8000-8010` is eleven forwards. */
import { ApiError } from './errors.ts';
import type { ForwardRequest } from './subject.ts';

/** Forwards of one request: each takes a descriptor. */
export const FORWARDS_PER_REQUEST = 1024;

interface Range {
  readonly host: string;
  readonly first: number;
  readonly last: number;
}

/** What a request without ranges is given back as it is. Throws ApiError. */
export function expandRanges(requests: readonly ForwardRequest[]): ForwardRequest[] {
  const all: ForwardRequest[] = [];
  for (const request of requests) {
    const expanded = expandRange(request);
    if (all.length + expanded.length > FORWARDS_PER_REQUEST) {
      throw new ApiError('invalid-range', `one request may be about ${FORWARDS_PER_REQUEST} forwards at most`);
    }
    all.push(...expanded);
  }
  return all;
}

function expandRange(request: ForwardRequest): ForwardRequest[] {
  const { protocol, local, remote } = request;
  const from = protocol === 'unix' ? undefined : parseRange(local);
  const to = protocol === 'unix' ? undefined : parseRange(remote);
  if (from === undefined && to === undefined) return [request];
  if (from === undefined || to === undefined) throw new ApiError('invalid-range', `only one of ${local} and ${remote} is a range`);
  const count = from.last - from.first + 1;
  if (to.last - to.first + 1 !== count) throw new ApiError('invalid-range', `${local} and ${remote} have different numbers of ports`);
  return Array.from({ length: count }, (_, i) => ({
    protocol,
    local: `${from.host}:${from.first + i}`,
    remote: `${to.host}:${to.first + i}`,
  }));
}

/** The local texts that a text stands for. Throws ApiError. */
export function expandLocal(protocol: string, local: string): string[] {
  const range = protocol === 'unix' ? undefined : parseRange(local);
  if (range === undefined) return [local];
  return Array.from({ length: range.last - range.first + 1 }, (_, i) => `${range.host}:${range.first + i}`);
}

/** Undefined when the text is no range. Throws ApiError for one that makes no sense, or is longer than a request may be. */
function parseRange(text: string): Range | undefined {
  const match = /^(.*):(\d{1,9})-(\d{1,9})$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[2]);
  const last = Number(match[3]);
  if (first < 1 || last > 65_535) throw new ApiError('invalid-range', `${text}: ports of a range are from 1 to 65535`);
  if (last < first) throw new ApiError('invalid-range', `${text}: the last port is before the first`);
  if (last - first >= FORWARDS_PER_REQUEST) {
    throw new ApiError('invalid-range', `${text}: one request may be about ${FORWARDS_PER_REQUEST} forwards at most`);
  }
  return { host: match[1]!, first, last };
}
