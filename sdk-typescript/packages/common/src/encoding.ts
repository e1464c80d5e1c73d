/** Text as bytes, and bytes as text: for payload converters and codecs. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** UTF-8 bytes. */
export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of UTF-8 bytes. */
export function decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
