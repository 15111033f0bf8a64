/** Records a pcapng file of one VM among several: `node capture-one-vm.js FILE`. Wireshark and tshark read it. */
import { VirtualNetwork } from 'guestwire';
import { attachGuest } from 'guestwire/testing';

const [file = 'one-vm.pcapng'] = process.argv.slice(2);
await using network = await VirtualNetwork.create();
const [watched, other] = ['5a:94:ef:00:00:01', '5a:94:ef:00:00:02'].map((mac) => attachGuest(network, mac));

let frames = 0;
using _tap = network.tap(() => frames++, { port: watched!.port });
{
  using capture = network.capture(file, { port: watched!.port });
  for (const { guest } of [watched!, other!]) {
    await guest.dhcp();
    await guest.ping(network.addresses.gatewayIP);
  }
  if (capture.error !== null) throw capture.error;
}
console.log(`${frames} frames in ${file}`);
