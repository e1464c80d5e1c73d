/** Values to payloads and back. */

import type { temporal } from '@durably/proto';
import { decode, encode } from '../encoding';
import { PayloadConverterError, ValueError } from '../errors';

export type Payload = temporal.api.common.v1.IPayload;

/** The metadata key that names the encoding. */
export const METADATA_ENCODING_KEY = 'encoding';

export const encodingTypes = Object.freeze({
  METADATA_ENCODING_NULL: 'binary/null',
  METADATA_ENCODING_RAW: 'binary/plain',
  METADATA_ENCODING_JSON: 'json/plain',
  METADATA_ENCODING_PROTOBUF_JSON: 'json/protobuf',
  METADATA_ENCODING_PROTOBUF: 'binary/protobuf',
});

export type EncodingType = (typeof encodingTypes)[keyof typeof encodingTypes];

/** Used by the SDK to turn values into payloads and back. Your own one has to be deterministic. */
export interface PayloadConverter {
  /** Throws a `ValueError` for a value that it can't convert. */
  toPayload<T>(value: T): Payload;
  fromPayload<T>(payload: Payload): T;
}

/** One encoding among those of a `CompositePayloadConverter`. */
export interface PayloadConverterWithEncoding {
  /** Undefined if this encoding is not for the value. */
  toPayload<T>(value: T): Payload | undefined;
  fromPayload<T>(payload: Payload): T;
  readonly encodingType: string;
}

/** A payload that passes as it is. */
export class RawValue<_T = unknown> {
  constructor(private readonly held: Payload) {}

  get payload(): Payload {
    return this.held;
  }

  static fromPayload<T = unknown>(payload: Payload): RawValue<T> {
    return new RawValue<T>(payload);
  }
}

export function toPayloads(converter: PayloadConverter, ...values: unknown[]): Payload[] | undefined {
  if (values.length === 0) return undefined;
  return values.map((value, index) => {
    try {
      return converter.toPayload(value);
    } catch (error) {
      throw about(`argument ${index + 1}`, error);
    }
  });
}

/** The error, with a word on what could not be converted. */
export function about(what: string, error: unknown): unknown {
  if (error instanceof ValueError) error.message = `${what}: ${error.message}`;
  return error;
}

export function mapToPayloads(converter: PayloadConverter, map: Record<string, unknown>): Record<string, Payload> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, converter.toPayload(value)]));
}

export function mapFromPayloads(
  converter: PayloadConverter,
  map: Record<string, Payload> | null | undefined,
): Record<string, any> | undefined {
  if (map === null || map === undefined) return undefined;
  return Object.fromEntries(Object.entries(map).map(([key, payload]) => [key, converter.fromPayload(payload)]));
}

/** The values of payloads; none for an absent list. */
export function arrayFromPayloads(converter: PayloadConverter, payloads: readonly Payload[] | null | undefined): unknown[] {
  return payloads ? payloads.map((payload) => converter.fromPayload(payload)) : [];
}

/** The value at the index; undefined if there are fewer. */
export function fromPayloadsAtIndex<T>(
  converter: PayloadConverter,
  index: number,
  payloads: readonly Payload[] | null | undefined,
): T {
  const payload = payloads?.[index];
  return (payload === undefined ? undefined : converter.fromPayload(payload)) as T;
}

function encodingOf(payload: Payload): string {
  const encoding = payload.metadata?.[METADATA_ENCODING_KEY];
  if (encoding === undefined || encoding === null) throw new ValueError('Missing payload metadata "encoding"');
  return decode(encoding);
}

/** Tries its converters in order for values; for payloads it picks by their encoding. */
export class CompositePayloadConverter implements PayloadConverter {
  readonly converters: readonly PayloadConverterWithEncoding[];
  private readonly byEncoding: ReadonlyMap<string, PayloadConverterWithEncoding>;

  constructor(...converters: PayloadConverterWithEncoding[]) {
    if (converters.length === 0) throw new PayloadConverterError('Must provide at least one PayloadConverterWithEncoding');
    this.converters = converters;
    this.byEncoding = new Map(converters.map((converter) => [converter.encodingType, converter]));
  }

  toPayload<T>(value: T): Payload {
    if (value instanceof RawValue) return value.payload;
    for (const converter of this.converters) {
      const payload = converter.toPayload(value);
      if (payload !== undefined) return payload;
    }
    throw new ValueError(`Unable to convert ${describe(value)} to payload${whyNoJson(value)}`);
  }

  fromPayload<T>(payload: Payload): T {
    const encoding = encodingOf(payload);
    const converter = this.byEncoding.get(encoding);
    if (converter === undefined) throw new ValueError(`Unknown encoding: ${encoding}`);
    return converter.fromPayload(payload);
  }
}

function describe(value: unknown): string {
  if (typeof value === 'object' && value !== null) return `an object of ${value.constructor?.name ?? 'no class'}`;
  if (typeof value === 'bigint') return `the BigInt ${value}`;
  return typeof value === 'function' ? `the function ${value.name || '(without a name)'}` : String(value);
}

/** What JSON has against it: nothing else could take the value. */
function whyNoJson(value: unknown): string {
  if (typeof value === 'function' || typeof value === 'symbol') return ': JSON has no such values';
  let last = '';
  try {
    JSON.stringify(value, (key, part: unknown) => {
      last = key;
      return part;
    });
    return '';
  } catch (error) {
    // Of a circular structure, the engine draws the way around on further lines.
    const message = (error as Error).message.replace(/\n\s*/g, ' ');
    return last === '' || message.includes("'") ? `: ${message}` : `: ${message} (property '${last}')`;
  }
}

const ENCODINGS = {
  undefined: { [METADATA_ENCODING_KEY]: encode(encodingTypes.METADATA_ENCODING_NULL) },
  binary: { [METADATA_ENCODING_KEY]: encode(encodingTypes.METADATA_ENCODING_RAW) },
  json: { [METADATA_ENCODING_KEY]: encode(encodingTypes.METADATA_ENCODING_JSON) },
};

/** `undefined`, as nothing. */
export class UndefinedPayloadConverter implements PayloadConverterWithEncoding {
  readonly encodingType = encodingTypes.METADATA_ENCODING_NULL;

  toPayload(value: unknown): Payload | undefined {
    return value === undefined ? { metadata: ENCODINGS.undefined } : undefined;
  }

  fromPayload<T>(_payload: Payload): T {
    return undefined as T;
  }
}

/** `Uint8Array`, as it is. */
export class BinaryPayloadConverter implements PayloadConverterWithEncoding {
  readonly encodingType = encodingTypes.METADATA_ENCODING_RAW;

  toPayload(value: unknown): Payload | undefined {
    if (!ArrayBuffer.isView(value) || !isUint8Array(value)) return undefined;
    return { metadata: ENCODINGS.binary, data: value };
  }

  fromPayload<T>(payload: Payload): T {
    // A copy: what came shares memory with the messages around it, and may belong to another realm.
    return new Uint8Array(payload.data ?? []) as T;
  }
}

function isUint8Array(value: ArrayBufferView): value is Uint8Array {
  return Object.prototype.toString.call(value) === '[object Uint8Array]';
}

/** So many parts of a value are looked at. */
const PARTS = 100;

/** JSON makes `{}` of a promise, which nobody means: an `await` was forgotten. Looks as deep as results are mostly written. */
function refusePromises(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (isPromise(value)) throw new ValueError('Unable to convert a promise to payload: `await` is missing');
  let left = PARTS;
  for (const key in value) {
    if (left-- === 0) return;
    if (isPromise((value as Record<string, unknown>)[key])) {
      throw new ValueError(`Unable to convert a promise to payload (property '${key}'): \`await\` is missing`);
    }
  }
}

function isPromise(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object Promise]';
}

/** Anything that JSON can say. */
export class JsonPayloadConverter implements PayloadConverterWithEncoding {
  readonly encodingType = encodingTypes.METADATA_ENCODING_JSON;

  toPayload(value: unknown): Payload | undefined {
    if (value === undefined) return undefined;
    refusePromises(value);
    let json: string | undefined;
    try {
      json = JSON.stringify(value);
    } catch {
      return undefined;
    }
    return json === undefined ? undefined : { metadata: ENCODINGS.json, data: encode(json) };
  }

  fromPayload<T>(payload: Payload): T {
    if (payload.data === undefined || payload.data === null) throw new ValueError('Got payload with no data');
    return JSON.parse(decode(payload.data)) as T;
  }
}

/** What is used unless you configure your own: nothing, bytes, JSON. */
export class DefaultPayloadConverter extends CompositePayloadConverter {
  constructor() {
    super(new UndefinedPayloadConverter(), new BinaryPayloadConverter(), new JsonPayloadConverter());
  }
}

export const defaultPayloadConverter: PayloadConverter = new DefaultPayloadConverter();
