/** The values that cross, and what one finds by working with them; for activities and workflows alike. */

export interface Values {
  object: { name: string; count: number; ratio: number; deep: { flags: (boolean | null)[] } };
  list: [number, string, null, { three: number }];
  nothing: null | undefined;
  text: string;
  bytes: Uint8Array;
}

export const VALUES: Values = {
  object: { name: 'Zoë 🦊', count: 3, ratio: 0.5, deep: { flags: [true, false, null] } },
  list: [1, 'two', null, { three: 3 }],
  nothing: null,
  text: 'naïve 日本 🦊\n"quoted" \\ end',
  bytes: new Uint8Array([0, 1, 127, 128, 255]),
};

export function describe({ object, list, nothing, text, bytes }: Values): Record<string, unknown> {
  return {
    name: object.name,
    count: object.count + 1,
    ratio: object.ratio * 2,
    flags: object.deep.flags.filter((flag) => flag === true).length,
    list: [list.length, list[1].toUpperCase(), list[2] === null, list[3].three],
    // The empty payload is `undefined` here.
    nothing: nothing === null || nothing === undefined,
    text: text + '!',
    characters: [...text].length,
    bytes: Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}
