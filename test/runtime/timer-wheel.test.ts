import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock, SeededRandom } from '../../src/runtime/clock.ts';
import { Timer, TimerWheel } from '../../src/runtime/timer-wheel.ts';

const TICK = 4;
const HOUR = 3_600_000;

test('a timer fires at the first advance at or after its deadline, once', () => {
  const wheel = new TimerWheel(0);
  let fired = 0;
  const timer = new Timer(() => fired++);
  wheel.arm(timer, 10);
  wheel.advance(11.9);
  assert.equal(fired, 0);
  assert.ok(timer.armed);
  wheel.advance(12);
  assert.equal(fired, 1);
  assert.ok(!timer.armed);
  wheel.advance(10_000);
  assert.equal(fired, 1);
});

test('timers fire in the order of their deadlines', () => {
  const wheel = new TimerWheel(0);
  const order: number[] = [];
  for (const delay of [5000, 8, 100_000, 1020, 1028, 4, 250_000]) wheel.arm(new Timer(() => order.push(delay)), delay);
  wheel.advance(250_000);
  assert.deepEqual(order, [4, 8, 1020, 1028, 5000, 100_000, 250_000]);
});

test('a timer pushed back stays in its slot until that comes up and then fires at the new deadline only', () => {
  const wheel = new TimerWheel(0);
  const fired: number[] = [];
  const timer = new Timer(() => fired.push(wheel.now));
  wheel.arm(timer, 100);
  const { slotTick } = timer;
  for (let now = 4; now <= 96; now += 4) {
    wheel.advance(now);
    wheel.arm(timer, 100);
    assert.equal(timer.slotTick, slotTick);
  }
  for (let now = 100; now <= 400; now += 4) wheel.advance(now);
  assert.deepEqual(fired, [196]);
});

test('a timer brought forward fires at the earlier deadline', () => {
  const wheel = new TimerWheel(0);
  const fired: number[] = [];
  const timer = new Timer(() => fired.push(wheel.now));
  wheel.arm(timer, HOUR);
  wheel.arm(timer, 40);
  for (let now = 0; now <= 200; now += 4) wheel.advance(now);
  assert.deepEqual(fired, [40]);
});

test('a cancelled timer does not fire and can be armed again', () => {
  const wheel = new TimerWheel(0);
  let fired = 0;
  const timer = new Timer(() => fired++);
  wheel.arm(timer, 8);
  wheel.cancel(timer);
  wheel.cancel(timer);
  assert.equal(wheel.untilNext(), Infinity);
  wheel.advance(100);
  assert.equal(fired, 0);
  wheel.arm(timer, 8);
  wheel.advance(108);
  assert.equal(fired, 1);
});

test('a timer may cancel the others of its slot while it fires', () => {
  for (const victim of [1, 2, 3]) {
    const wheel = new TimerWheel(0);
    const fired: number[] = [];
    const timers = [0, 1, 2, 3].map(
      (i) =>
        new Timer(() => {
          fired.push(i);
          if (i === 0) wheel.cancel(timers[victim]!);
        }),
    );
    for (const timer of timers) wheel.arm(timer, 8);
    wheel.advance(8);
    assert.deepEqual(
      fired,
      [0, 1, 2, 3].filter((i) => i !== victim),
    );
    assert.equal(wheel.untilNext(), Infinity);
  }
});

test('after a leap of hours due timers fire in the order of their deadlines, the others at their time', () => {
  const wheel = new TimerWheel(0);
  const random = new SeededRandom(7);
  const fired: number[] = [];
  const delays = Array.from({ length: 2000 }, () => (random.word() >>> 0) % (10 * HOUR));
  for (const delay of delays) wheel.arm(new Timer(() => fired.push(delay)), delay);
  wheel.advance(1000);
  wheel.advance(8 * HOUR);
  const due = delays.filter((delay) => Math.ceil(delay / TICK) <= (8 * HOUR) / TICK).toSorted((a, b) => a - b);
  assert.ok(due.length > 1000 && due.length < 2000);
  assert.deepEqual(fired, due);
  for (let now = 8 * HOUR; now <= 10 * HOUR + 1000; now += 1000) wheel.advance(now);
  assert.equal(fired.length, 2000);
  assert.equal(wheel.untilNext(), Infinity);
});

test('after a leap a timer that throws leaves those behind it to the next advance, in order', () => {
  const wheel = new TimerWheel(0);
  const fired: number[] = [];
  for (const delay of [HOUR, 5000, 300_000]) {
    wheel.arm(
      new Timer(() => {
        fired.push(delay);
        if (delay === 5000) throw new Error('fault');
      }),
      delay,
    );
  }
  assert.throws(() => wheel.advance(8 * HOUR), /fault/);
  assert.deepEqual(fired, [5000]);
  wheel.advance(8 * HOUR + TICK);
  assert.deepEqual(fired, [5000, 300_000, HOUR]);
});

test('after a leap a timer may cancel the last of its slot while another is put back into the same slot', () => {
  const wheel = new TimerWheel(0);
  const leap = 1024 * 1024;
  let fired = 0;
  const canceller = new Timer(() => wheel.cancel(last));
  const pushedBack = new Timer(() => fired++);
  const last = new Timer(() => assert.fail('cancelled'));
  wheel.arm(canceller, 40);
  wheel.arm(pushedBack, 40);
  wheel.arm(last, 40);
  pushedBack.deadline = leap + 40;
  wheel.advance(leap);
  assert.equal(fired, 0);
  wheel.advance(leap + 40);
  assert.equal(fired, 1);
});

test('a timer that arms itself with no delay fires once per advance, not for ever', () => {
  const wheel = new TimerWheel(0);
  let fired = 0;
  const timer = new Timer(() => {
    fired++;
    wheel.arm(timer, 0);
  });
  wheel.arm(timer, 0);
  for (let now = 4; now <= 40; now += 4) wheel.advance(now);
  assert.equal(fired, 10);
  wheel.advance(10 * HOUR);
  assert.ok(fired <= 12, String(fired));
});

test('a jump of hours fires everything that is due and keeps the rest', () => {
  const wheel = new TimerWheel(0);
  const fired = new Set<number>();
  for (const hours of [0.01, 0.5, 1, 1.9, 2.1, 30]) wheel.arm(new Timer(() => fired.add(hours)), hours * HOUR);
  wheel.advance(2 * HOUR);
  assert.deepEqual(
    [...fired].sort((a, b) => a - b),
    [0.01, 0.5, 1, 1.9],
  );
  wheel.advance(3 * HOUR);
  assert.ok(fired.has(2.1));
  assert.ok(!fired.has(30));
  wheel.advance(31 * HOUR);
  assert.ok(fired.has(30));
});

test('time does not run backwards when the clock does', () => {
  const wheel = new TimerWheel(1000);
  let fired = 0;
  wheel.arm(new Timer(() => fired++), 100);
  wheel.advance(10);
  assert.equal(wheel.now, 1000);
  wheel.advance(1099);
  assert.equal(fired, 0);
  wheel.advance(1100);
  assert.equal(fired, 1);
});

test('untilNext is Infinity when nothing is armed and never later than a deadline', () => {
  const wheel = new TimerWheel(0);
  assert.equal(wheel.untilNext(), Infinity);
  for (const delay of [1, 4, 30, 1000, 1024, 1500, 60_000, 7 * HOUR]) {
    const timer = new Timer(() => {});
    wheel.arm(timer, delay);
    assert.ok(wheel.untilNext() <= delay + TICK, String(delay));
    wheel.cancel(timer);
  }
});

test('untilNext sees a far timer that comes down before the next near one', () => {
  const wheel = new TimerWheel(0);
  const fired: string[] = [];
  wheel.arm(new Timer(() => fired.push('far')), 2060);
  wheel.advance(1500);
  wheel.arm(new Timer(() => fired.push('near')), 800);
  while (fired.length === 0) wheel.advance(wheel.now + wheel.untilNext());
  assert.deepEqual(fired, ['far']);
  assert.equal(wheel.now, 2060);
});

test('a lone timer of minutes wakes its process a few times, not every second', () => {
  const wheel = new TimerWheel(0);
  const fired: number[] = [];
  wheel.arm(new Timer(() => fired.push(wheel.now)), 200_001);
  let wakes = 0;
  while (fired.length === 0) {
    wheel.advance(wheel.now + wheel.untilNext());
    wakes++;
  }
  assert.deepEqual(fired, [200_004]);
  assert.ok(wakes <= 3, String(wakes));
});

test('the rest of a slot still fires after one of its timers threw', () => {
  const wheel = new TimerWheel(0);
  let fired = 0;
  wheel.arm(
    new Timer(() => {
      throw new Error('fault');
    }),
    8,
  );
  wheel.arm(new Timer(() => fired++), 8);
  assert.throws(() => wheel.advance(8), /fault/);
  assert.equal(wheel.untilNext(), 0);
  wheel.advance(12);
  assert.equal(fired, 1);
  assert.equal(wheel.untilNext(), Infinity);
});

test('between turns now follows the clock and arming is reported', () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(0);
  let armed = 0;
  let fired = 0;
  wheel.between = { clock, armed: () => armed++ };
  clock.advance(HOUR);
  wheel.arm(new Timer(() => fired++), 1000);
  assert.equal(armed, 1);
  wheel.between = null;
  wheel.advance(HOUR + 999);
  assert.equal(fired, 0);
  clock.advance(HOUR);
  assert.equal(wheel.now, HOUR + 999);
  wheel.advance(HOUR + 1000);
  assert.equal(fired, 1);
});

test('a hundred thousand timers fire, each in its tick', () => {
  const wheel = new TimerWheel(0);
  const random = new SeededRandom(7);
  let fired = 0;
  for (let i = 0; i < 100_000; i++) {
    const delay = (random.word() >>> 0) % 100_000;
    wheel.arm(
      new Timer(() => {
        fired++;
        if (wheel.now < delay || wheel.now >= delay + 2 * TICK) assert.fail(`${delay} fired at ${wheel.now}`);
      }),
      delay,
    );
  }
  for (let now = TICK; now <= 100_000; now += TICK) wheel.advance(now);
  assert.equal(fired, 100_000);
  assert.equal(wheel.untilNext(), Infinity);
});

type Step = { kind: 'arm'; timer: number; delay: number } | { kind: 'cancel'; timer: number } | { kind: 'advance'; ms: number };

const delays = fc.oneof(fc.nat(50), fc.nat(3000), fc.nat(400_000), fc.nat(20_000_000));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('arm' as const), timer: fc.nat(7), delay: delays }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), timer: fc.nat(7) }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.oneof(fc.double({ min: 0, max: 40, noNaN: true }), delays) }),
    },
  ),
  { maxLength: 60 },
);

test('after any steps the wheel has fired what a plain list would have', () => {
  fc.assert(
    fc.property(steps, fc.nat(5000), (sequence, start) => {
      const wheel = new TimerWheel(start);
      const deadlines = Array.from({ length: 8 }, () => Infinity);
      let fired: number[] = [];
      const timers = deadlines.map((_, i) => new Timer(() => fired.push(i)));
      let now = start;
      for (const step of sequence) {
        if (step.kind === 'arm') {
          wheel.arm(timers[step.timer]!, step.delay);
          deadlines[step.timer] = now + step.delay;
        } else if (step.kind === 'cancel') {
          wheel.cancel(timers[step.timer]!);
          deadlines[step.timer] = Infinity;
        } else {
          const next = now + wheel.untilNext();
          const crossed = Math.floor((now + step.ms) / TICK) > Math.floor(now / TICK);
          now += step.ms;
          fired = [];
          wheel.advance(now);
          // What is due when no tick was crossed waits for the next one: still within the rounding.
          const due = crossed ? [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => Math.ceil(deadlines[i]! / TICK) <= Math.floor(now / TICK)) : [];
          assert.deepEqual(
            [...fired].sort((a, b) => a - b),
            due,
          );
          if (due.length > 0) assert.ok(next <= now, `untilNext said ${next}, fired at ${now}`);
          for (const i of due) deadlines[i] = Infinity;
        }
        for (let i = 0; i < 8; i++) assert.equal(timers[i]!.armed, deadlines[i] !== Infinity);
      }
    }),
    { numRuns: 500 },
  );
});
