/** Messages under their names, `temporal.api.common.v1.Payload.encode(payload).finish()`, as generated code offers them. */

import { decode } from './decode';
import { encode } from './encode';
import { enums, messages } from './generated/tables';
import { fromJson } from './json';
import { enumOf } from './tables';

/** One type of message: what may be passed in, and what comes out. */
export interface Codec<In extends object, Out> {
  /** The message's bytes, by `finish()`. */
  encode(message: In): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Out;
  /** A message of the properties given. */
  create(properties?: In): In;
  /** Of the form that JSON has: enums by name, bytes in base64. */
  fromObject(object: Record<string, unknown>): Out;
}

function codec<In extends object, Out>(name: string): Codec<In, Out> {
  return {
    encode: (message) => ({ finish: () => encode(name, message) }),
    decode: (bytes) => decode(name, bytes) as Out,
    create: (properties) => ({ ...properties }) as In,
    fromObject: (object) => fromJson(name, object) as Out,
  };
}

/** Gives the object a property for each of the outermost packages. */
export function defineNames(to: Record<string, unknown>, packages: readonly string[]): void {
  for (const name of packages) to[name] = names(name);
}

/** What the package holds, as properties: messages, enums and packages. Made when first asked for, of thousands. */
function names(scope: string): object {
  const known = new Map<string, unknown>();
  return new Proxy(Object.create(null), {
    get(_, name) {
      if (typeof name !== 'string') return undefined;
      if (!known.has(name)) known.set(name, valueOf(`${scope}.${name}`));
      return known.get(name);
    },
  });
}

function valueOf(name: string): unknown {
  if (messages[name] !== undefined) return codec(name);
  if (enums[name] !== undefined) return Object.freeze(Object.fromEntries(enumOf(name).numbers));
  const isPackage = [messages, enums].some((all) => Object.keys(all).some((one) => one.startsWith(`${name}.`)));
  return isPackage ? names(name) : undefined;
}
