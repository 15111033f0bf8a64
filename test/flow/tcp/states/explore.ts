/** Makes tests of a table: one for each state and event. A cell that is missing does not compile, and fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventName } from './events.ts';
import { EVENTS } from './events.ts';
import { outcome } from './outcome.ts';
import { situation, type StateName, STATES } from './situations.ts';

export interface Row {
  /** Where it is written. */
  readonly rfc: string;
  /** The outcome in each state, as outcome.ts puts it. */
  readonly expect: Readonly<Record<StateName, string>>;
}

const NEVER = 'never: ';

/** The event can't happen, for this reason. */
export function never(reason: string): string {
  return NEVER + reason;
}

/** The same outcome in several states. */
export function each<K extends StateName>(states: readonly K[], outcome: string): Record<K, string> {
  return Object.fromEntries(states.map((state) => [state, outcome])) as Record<K, string>;
}

/** RFC 9293 §3.4.2: those in which our SYN was acknowledged. */
export const SYNCHRONIZED = [
  'ESTABLISHED',
  'FIN_WAIT_1',
  'FIN_WAIT_2',
  'CLOSE_WAIT',
  'CLOSING',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSED_BEHIND',
  'TIME_WAIT_BEHIND',
] as const;
/** Where segments are looked at as RFC 9293 §3.10.7.4 has it. */
export const CHECKED = ['SYN_RECEIVED', 'SIMULTANEOUS', ...SYNCHRONIZED] as const;
/** The guest's FIN has come. */
export const FINISHED = ['CLOSE_WAIT', 'CLOSING', 'LAST_ACK', 'TIME_WAIT', 'CLOSED_BEHIND', 'TIME_WAIT_BEHIND'] as const;
/** Nothing is in flight. */
export const ACKNOWLEDGED = ['FIN_WAIT_2', 'TIME_WAIT', 'CLOSED_BEHIND', 'TIME_WAIT_BEHIND'] as const;

export function explore<G extends keyof typeof EVENTS>(group: G, table: Readonly<Record<EventName<G>, Row>>): void {
  const acts = EVENTS[group] as Readonly<Record<string, (x: ReturnType<typeof situation>) => void>>;
  test(`${group}: every state has an expectation for every event`, () => {
    assert.deepEqual(Object.keys(table).sort(), Object.keys(acts).sort());
    for (const { expect } of Object.values<Row>(table)) assert.deepEqual(Object.keys(expect).sort(), [...STATES].sort());
  });
  for (const [event, { rfc, expect }] of Object.entries<Row>(table)) {
    for (const state of STATES) {
      if (expect[state].startsWith(NEVER)) continue;
      test(`${event} in ${state} (${rfc})`, () => {
        assert.equal(outcome(situation(state), acts[event]!), expect[state]);
      });
    }
  }
}
