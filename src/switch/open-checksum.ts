/** Checksums that whoever takes a frame is to complete: what else stands at their place is written over. */
import * as vnet from '../packet/vnet-header.ts';
import type { Port } from '../link/port.ts';

/** Where a checksum will be written to the frame at `at`; Infinity for none. */
export function openField(bytes: Uint8Array, port: Port, at: number): number {
  const header = at - vnet.VNET_HEADER;
  if (!port.offload || (vnet.flags(bytes, header) & vnet.NEEDS_CHECKSUM) === 0) return Infinity;
  return at + vnet.checksumStart(bytes, header) + vnet.checksumOffset(bytes, header);
}
