/**
 * The generator behind `Math.random` and `uuid4`: Johannes Baagøe's Alea, seeded as the official SDK seeds it, so that a
 * run that moves from there draws the same numbers.
 */

const SCALE = 2.3283064365386963e-10; // 2^-32

export type Random = () => number;

/** A generator of numbers in [0, 1) for a seed of 64 bits. */
export function randomOf(seed: number | bigint): Random {
  const bytes = bytesOf(BigInt(seed));
  const mash = masher();
  const state = [mash([32]), mash([32]), mash([32])] as [number, number, number];
  for (let i = 0; i < 3; i++) {
    const value = state[i]! - mash(bytes);
    state[i] = value < 0 ? value + 1 : value;
  }
  let [a, b, c] = state;
  let carry = 1;
  return () => {
    const total = 2091639 * a + carry * SCALE;
    a = b;
    b = c;
    carry = total | 0;
    c = total - carry;
    return c;
  };
}

/** Most significant first. */
function bytesOf(seed: bigint): number[] {
  const bytes: number[] = [];
  for (let shift = 56n; shift >= 0n; shift -= 8n) bytes.push(Number((seed >> shift) & 0xffn));
  return bytes;
}

/** Hashes numbers into [0, 1), each time from where it left off. */
function masher(): (data: readonly number[]) => number {
  let n = 0xefc8249d;
  return (data) => {
    for (const value of data) {
      n += value;
      let h = 0.02519603282416938 * n;
      n = h >>> 0;
      h -= n;
      h *= n;
      n = h >>> 0;
      h -= n;
      n += h * 0x100000000;
    }
    return (n >>> 0) * SCALE;
  };
}

/** A version 4 UUID of the generator's numbers. */
export function uuidOf(random: Random): string {
  const view = new DataView(new ArrayBuffer(16));
  for (let at = 0; at < 16; at += 4) view.setUint32(at, (random() * 0x100000000) >>> 0);
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x40);
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
  let hex = '';
  for (let at = 0; at < 16; at++) hex += view.getUint8(at).toString(16).padStart(2, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
