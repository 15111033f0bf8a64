import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowPolicy } from '../../src/flow/policy.ts';
import { IpAddress } from '../../src/packet/address.ts';

const METADATA = [
  '169.254.169.254',
  '169.254.0.1',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::a9fe:a9fe',
];
const NOBODYS = ['0.0.0.1', '127.0.0.1', '224.0.0.1', '255.255.255.255', 'ff02::1', 'ff0e::1', '64:ff9b::127.0.0.1', '64:ff9b::'];
const HOSTS = [
  '169.253.1.1',
  '1.2.3.4',
  'fd00:ec3::254',
  'fd20:ce::253',
  'fd20:ce:0:1::254',
  'fd20:ce::1:0:254',
  '2001:db8::254',
  '::2',
  '64:ff9b::1.2.3.4',
  '64:ff9b:1::1.2.3.4',
  '64:ff9b:2::a9fe:a9fe',
];

function blocked(allowLinkLocal: boolean): string[] {
  const policy = new FlowPolicy({ nat: [], allowLinkLocal });
  return [...METADATA, ...NOBODYS, ...HOSTS].filter((text) => policy.blocked(IpAddress.parse(text)!));
}

test('credentials of the cloud are out of reach in both versions of IP, unless that is wanted', () => {
  assert.deepEqual(blocked(false), [...METADATA, ...NOBODYS]);
  assert.deepEqual(blocked(true), NOBODYS);
});
