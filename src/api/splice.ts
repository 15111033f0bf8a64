/** Joins two streams, each direction on its own (contract §9.2). */
import type { Duplex } from 'node:stream';

/** Milliseconds that one side may go on without ending while the other is gone. */
const LINGER = 60_000;

/** The end of one is the end of what the other is sent; the opposite direction goes on. What is read too fast waits where it comes from. */
export function splice(a: Duplex, b: Duplex): void {
  a.pipe(b);
  b.pipe(a);
  whenGone(a, b);
  whenGone(b, a);
}

/** A side that broke does not take along what is still under way to the other; but whatever that one sends goes nowhere. */
function whenGone(gone: Duplex, other: Duplex): void {
  gone.on('error', () => {});
  gone.once('close', () => {
    if (other.destroyed) return;
    other.end();
    if (other.readableEnded) return;
    other.once('data', () => other.destroy());
    other.resume();
    const timer = setTimeout(() => other.destroy(), LINGER).unref();
    other.once('close', () => clearTimeout(timer));
  });
}
