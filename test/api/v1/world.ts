/** The API over a real network, with forwards that are none; closed when the test ends. */
import type { TestContext } from 'node:test';
import { createV1, type V1Api } from '../../../src/api/v1/v1.ts';
import { type NetworkOptions, VirtualNetwork } from '../../../src/index.ts';
import { FakeRegistry } from './fake-registry.ts';

export interface World {
  readonly network: VirtualNetwork;
  readonly registry: FakeRegistry;
  readonly v1: V1Api;
  /** What the log would have. */
  readonly failures: string[];
  /** `body`, unless it is text, goes as JSON. */
  readonly ask: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined when there is no body. */
  readonly body: unknown;
}

export async function createWorld(t: TestContext, options: NetworkOptions = {}): Promise<World> {
  const network = await VirtualNetwork.create(options);
  t.after(() => network.close());
  const registry = new FakeRegistry();
  const failures: string[] = [];
  const v1 = createV1(network, registry, { version: '1.2.3', failed: (text) => failures.push(text) });
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const type: Record<string, string> = text === undefined ? {} : { 'content-type': 'application/json' };
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: { ...type, ...headers },
      ...(text === undefined ? {} : { body: text }),
    });
    const response = await v1.fetch(request);
    const answer = await response.text();
    const isJson = response.headers.get('content-type') === 'application/json';
    return {
      status: response.status,
      headers: response.headers,
      text: answer,
      body: isJson && answer !== '' ? JSON.parse(answer) : undefined,
    };
  };
  return { network, registry, v1, failures, ask };
}

/** Code of an error's body, having looked that it is one. */
export function codeOf({ body }: Answer): string {
  const { error } = body as { error: { code: string; message: string; advice: string } };
  if (error.message === '' || error.advice === '') throw new Error(`no message or advice in ${JSON.stringify(body)}`);
  return error.code;
}
