/** Domain names in messages (RFC 1035 §3.1), written without compression. */

const LABEL_LIMIT = 63;
const NAME_LIMIT = 255;

/** `name` with or without the final dot; undefined when it can't be written. */
export function encodeName(name: string): Uint8Array | undefined {
  const labels = name
    .replace(/\.$/, '')
    .split('.')
    .map((label) => Buffer.from(label));
  if (labels.some(({ length }) => length === 0 || length > LABEL_LIMIT)) return undefined;
  const bytes = Uint8Array.from([...labels.flatMap((label) => [label.length, ...label]), 0]);
  return bytes.length <= NAME_LIMIT ? bytes : undefined;
}
