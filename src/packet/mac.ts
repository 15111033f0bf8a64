/** MAC addresses as text, for configuration and listings; frames carry them as two integers (see ethernet.ts). */

export interface Mac {
  /** First two bytes. */
  readonly hi: number;
  /** Last four bytes as a signed 32-bit word. */
  readonly lo: number;
}

/** Accepts `:` or `-` between bytes; undefined when the text is no MAC address. */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i.test(text)) return undefined;
  const digits = text.replace(/[:-]/g, '');
  return { hi: parseInt(digits.slice(0, 4), 16), lo: parseInt(digits.slice(4), 16) | 0 };
}

/** Lower case, with colons. */
export function formatMac(hi: number, lo: number): string {
  const digits = hi.toString(16).padStart(4, '0') + (lo >>> 0).toString(16).padStart(8, '0');
  return digits.replace(/..(?!$)/g, '$&:');
}
