/** What a VM's end of a link looks like to a test: frames both ways. */
import type { Readable, Writable } from 'node:stream';
import { SoftGuest } from '../../src/testing/index.ts';
import { framed, type FramingName, onFrames } from './framed-stream.ts';

export interface FramePipe {
  send(frame: Uint8Array): void;
  /** Calls `receive` with each frame; it may keep it. */
  onFrame(receive: (frame: Buffer) => void): void;
}

export function framePipe(input: Readable, output: Writable, framing: FramingName): FramePipe {
  return {
    send: (frame) => void output.write(framed(frame, framing)),
    onFrame: (receive) => onFrames(input, receive, framing),
  };
}

/** A soft guest at the VM's end. */
export function plugInto(pipe: FramePipe, mac: string): SoftGuest {
  const guest = new SoftGuest({
    mac,
    scheduler: {
      now: () => performance.now(),
      after(ms, run) {
        // What a guest that a test has left still waits for keeps nobody alive.
        const timer = setTimeout(run, ms).unref();
        return () => clearTimeout(timer);
      },
    },
    wire: {
      send(frame) {
        pipe.send(frame);
        return true;
      },
    },
  });
  pipe.onFrame((frame) => guest.receive(frame, 0, frame.length));
  return guest;
}
