/** The pool is told of VMs that go: by the gateway, which only a whole network has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLineNetwork, DEFAULT_SUBNET } from '../../../src/config/defaults.ts';
import { planAddresses } from '../../../src/config/subnet.ts';
import { VirtualNetwork } from '../../../src/network.ts';
import { attachGuest } from '../../../src/testing/attach.ts';

const MAC = '02:00:00:00:00:07';

test('a VM that comes back on another link has its address again, and a clone of one that is here does not', async () => {
  const addresses = planAddresses(DEFAULT_SUBNET, '', '', '');
  const options = commandLineNetwork({ addresses, mtu: 0, sshPort: -1, captureFile: '', searchDomains: [], ec2MetadataAccess: false });
  // The guard would not let the clone say anything.
  const network = await VirtualNetwork.create({ ...options, guard: 'off' });
  try {
    const first = attachGuest(network, MAC);
    const { address } = await first.guest.dhcp();
    first.port.close();
    const second = attachGuest(network, MAC);
    assert.equal((await second.guest.dhcp()).address, address);
    const clone = attachGuest(network, MAC);
    assert.notEqual((await clone.guest.dhcp()).address, address);
  } finally {
    await network.close();
  }
});
