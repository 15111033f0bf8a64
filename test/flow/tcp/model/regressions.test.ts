/** What random programs (programs.test.ts) have found, as the scripts their shrunk programs come down to. */
import { test } from 'node:test';
import { ACK, Bench, FIN, PSH, SYN } from '../bench.ts';

test('a host that sends and ends while the guest has not acknowledged our SYN is heard to the end', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({ flags: SYN | ACK });
  bench.stream.put('hello');
  bench.stream.end();
  bench.round();
  bench.silence();
  bench.guest({});
  bench.expect({ flags: FIN | PSH | ACK, data: 'hello' });
  bench.silence();
});
