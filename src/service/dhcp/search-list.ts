/** Option 119 (RFC 3397), without compression as gvproxy sends it (contract §11.2). */

/** Labels of 1 to 63 bytes; a domain that can't be written is left out. */
export function encodeSearchList(domains: readonly string[]): Uint8Array {
  const bytes: number[] = [];
  for (const domain of domains) {
    const labels = domain
      .replace(/\.$/, '')
      .split('.')
      .map((label) => Buffer.from(label));
    if (labels.some((label) => label.length === 0 || label.length > 63)) continue;
    for (const label of labels) bytes.push(label.length, ...label);
    bytes.push(0);
  }
  return Uint8Array.from(bytes);
}
