/** Two networks in one process, with the same addresses and nothing in common, until this program joins a port of one to a guest of the other. */
import { VirtualNetwork } from 'guestwire';
import { attachGuest } from 'guestwire/testing';

await using office = await VirtualNetwork.create();
await using lab = await VirtualNetwork.create();
const { guest: clerk } = attachGuest(office, '5a:94:ef:e4:0c:ee');
const { guest: robot } = attachGuest(lab, '5a:94:ef:e4:0c:ee');
for (const guest of [clerk, robot]) await guest.dhcp();
console.log(`${clerk.address} in the office, ${robot.address} in the lab`);

robot.listen(80, (socket) => {
  // The end of its network may come before that of its connection.
  socket.on('error', () => {});
  socket.resume().end(Buffer.from('robot here'));
});

// Port 8080 of the office's gateway leads to the lab's guest.
using _joined = office.listen(8080, (connection) => {
  lab.dial(robot.address, 80).then(
    (stream) => connection.pipe(stream).pipe(connection),
    (error: Error) => connection.destroy(error),
  );
});
const socket = await clerk.connect(office.addresses.gatewayIP, 8080);
socket.end();
for await (const chunk of socket) console.log(`joined: ${Buffer.from(chunk as Uint8Array).toString()}`);
