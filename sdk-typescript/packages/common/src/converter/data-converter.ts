/** How the user configures what happens to values on their way to the server. */

import { ValueError } from '../errors';
import { type FailureConverter, defaultFailureConverter } from './failure-converter';
import { type Payload, type PayloadConverter, defaultPayloadConverter } from './payload-converter';

/** Transforms payloads, for example to encrypt or compress them. Runs outside workflows, so it may do anything. */
export interface PayloadCodec {
  encode(payloads: Payload[]): Promise<Payload[]>;
  /** The reverse of `encode`; has to pass on payloads that it doesn't know. */
  decode(payloads: Payload[]): Promise<Payload[]>;
}

export interface DataConverter {
  /** Path of a module that exports `payloadConverter`. It is bundled with the workflows that it serves. */
  payloadConverterPath?: string;
  /** Path of a module that exports `failureConverter`. It is bundled with the workflows that it serves. */
  failureConverterPath?: string;
  /** Applied in the order given to encode, in reverse order to decode. */
  payloadCodecs?: PayloadCodec[];
}

/** A data converter whose modules are loaded. */
export interface LoadedDataConverter {
  payloadConverter: PayloadConverter;
  failureConverter: FailureConverter;
  payloadCodecs: PayloadCodec[];
}

export const defaultDataConverter: LoadedDataConverter = {
  payloadConverter: defaultPayloadConverter,
  failureConverter: defaultFailureConverter,
  payloadCodecs: [],
};

/** Checks what a module at a configured path exports. */
export function requiredExport<T>(module: Record<string, unknown>, path: string, name: string, methods: string[]): T {
  const found = (module[name] ?? (module['default'] as Record<string, unknown> | undefined)?.[name]) as
    Record<string, unknown> | undefined;
  if (typeof found !== 'object' || found === null) {
    throw new ValueError(`Module ${path} does not have a \`${name}\` export`);
  }
  for (const method of methods) {
    if (typeof found[method] !== 'function') throw new ValueError(`${name} exported at ${path} must have a method ${method}`);
  }
  return found as T;
}

/** The payloads as they go to the server. */
export async function encodePayloads(codecs: readonly PayloadCodec[], payloads: Payload[]): Promise<Payload[]> {
  for (const codec of codecs) payloads = await codec.encode(payloads);
  return payloads;
}

/** The payloads as the payload converter reads them. */
export async function decodePayloads(codecs: readonly PayloadCodec[], payloads: Payload[]): Promise<Payload[]> {
  for (const codec of [...codecs].reverse()) payloads = await codec.decode(payloads);
  return payloads;
}
