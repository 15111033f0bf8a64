/** Makes a failing program smaller: fewer actions, then kinder conditions, as long as it fails (delta debugging, Zeller 2002). */
import type { Action, Program } from './program.ts';

/** Programs tried at most. */
const BUDGET = 400;

export function shrink(program: Program, fails: (program: Program) => boolean): Program {
  let tries = BUDGET;
  let best = program;
  const attempt = (candidate: Program): boolean => {
    if (tries-- <= 0 || !fails(candidate)) return false;
    best = candidate;
    return true;
  };
  for (let size = best.actions.length; size >= 1; size >>>= 1) {
    for (let at = 0; at < best.actions.length;) {
      const actions = best.actions.filter((_, index) => index < at || index >= at + size);
      if (!attempt({ ...best, actions })) at += size;
    }
  }
  for (const [index] of best.actions.entries()) {
    while (attempt({ ...best, actions: best.actions.with(index, half(best.actions[index]!)) }) && best.actions[index]!.some(canHalve));
  }
  const calm = { loss: 0, duplicate: 0, reorder: 0, jitter: 0, quantum: 0 } as const;
  for (const name of Object.keys(calm)) {
    attempt({ ...best, up: { ...best.up, [name]: 0 } });
    attempt({ ...best, down: { ...best.down, [name]: 0 } });
  }
  attempt({ ...best, busyTurns: 0 });
  attempt({ ...best, wrapsAfter: -1 });
  attempt({ ...best, mtu: 1500 });
  attempt({ ...best, ipv6: false });
  return best;
}

function canHalve(value: unknown): boolean {
  return typeof value === 'number' && value > 100;
}

/** The action's last number, halved when it is large. */
function half(action: Action): Action {
  return action.map((value: unknown, index) =>
    index === action.length - 1 && canHalve(value) ? Math.floor((value as number) / 2) : value,
  ) as Action;
}
