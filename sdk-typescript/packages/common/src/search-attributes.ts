/** Values that servers index, so that workflows can be listed by them. */

import { type Payload, type PayloadConverter, defaultPayloadConverter } from './converter/payload-converter';
import { decode, encode } from './encoding';
import { ValueError } from './errors';

export const SearchAttributeType = Object.freeze({
  TEXT: 'TEXT',
  KEYWORD: 'KEYWORD',
  INT: 'INT',
  DOUBLE: 'DOUBLE',
  BOOL: 'BOOL',
  DATETIME: 'DATETIME',
  KEYWORD_LIST: 'KEYWORD_LIST',
} as const);
export type SearchAttributeType = keyof typeof SearchAttributeType;

export interface SearchAttributeValues {
  TEXT: string;
  KEYWORD: string;
  INT: number;
  DOUBLE: number;
  BOOL: boolean;
  DATETIME: Date;
  KEYWORD_LIST: string[];
}

export interface SearchAttributeKey<T extends SearchAttributeType> {
  name: string;
  type: T;
}

export type SearchAttributePair = {
  [T in SearchAttributeType]: { key: SearchAttributeKey<T>; value: SearchAttributeValues[T] };
}[SearchAttributeType];

/** Untyped, as older programs have them: lists of values by name. */
export type SearchAttributeValue = string | number | boolean | Date;
export type SearchAttributes = Record<string, SearchAttributeValue[] | readonly SearchAttributeValue[] | undefined>;

export function defineSearchAttributeKey<T extends SearchAttributeType>(name: string, type: T): SearchAttributeKey<T> {
  return { name, type };
}

/** How types are called in a payload's metadata. */
const METADATA_TYPES: Readonly<Record<SearchAttributeType, string>> = {
  TEXT: 'Text',
  KEYWORD: 'Keyword',
  INT: 'Int',
  DOUBLE: 'Double',
  BOOL: 'Bool',
  DATETIME: 'Datetime',
  KEYWORD_LIST: 'KeywordList',
};

/** Search attributes with the types that the namespace has for them. */
export class TypedSearchAttributes {
  private readonly pairs: ReadonlyMap<string, SearchAttributePair>;

  constructor(pairs: readonly SearchAttributePair[] = []) {
    for (const pair of pairs) check(pair);
    this.pairs = new Map(pairs.map((pair) => [pair.key.name, pair]));
    if (this.pairs.size !== pairs.length) throw new TypeError('Duplicate search attribute key');
  }

  get<T extends SearchAttributeType>(key: SearchAttributeKey<T>): SearchAttributeValues[T] | undefined {
    const pair = this.pairs.get(key.name);
    return pair?.key.type === key.type ? (pair.value as SearchAttributeValues[T]) : undefined;
  }

  getAll(): SearchAttributePair[] {
    return [...this.pairs.values()];
  }

  copy(): TypedSearchAttributes {
    return new TypedSearchAttributes(this.getAll());
  }
}

function check({ key, value }: SearchAttributePair): void {
  const fits: Record<SearchAttributeType, boolean> = {
    TEXT: typeof value === 'string',
    KEYWORD: typeof value === 'string',
    INT: Number.isInteger(value),
    DOUBLE: typeof value === 'number',
    BOOL: typeof value === 'boolean',
    DATETIME: Object.prototype.toString.call(value) === '[object Date]',
    KEYWORD_LIST: Array.isArray(value) && value.every((item) => typeof item === 'string'),
  };
  if (!fits[key.type]) throw new TypeError(`Invalid value for search attribute ${key.name} of type ${key.type}`);
}

/** The payloads of search attributes, typed and untyped. */
export function searchAttributesToPayloads(
  untyped: SearchAttributes | undefined,
  typed: SearchAttributePair[] | TypedSearchAttributes | undefined,
  converter: PayloadConverter = defaultPayloadConverter,
): Record<string, Payload> | undefined {
  const payloads: Record<string, Payload> = {};
  for (const [name, values] of Object.entries(untyped ?? {})) {
    if (values === undefined) continue;
    if (!Array.isArray(values)) throw new ValueError(`Search attribute ${name} must be an array of values`);
    payloads[name] = converter.toPayload(values);
  }
  const pairs = typed instanceof TypedSearchAttributes ? typed.getAll() : (typed ?? []);
  for (const pair of pairs) {
    check(pair);
    const payload = converter.toPayload(pair.value);
    payload.metadata = { ...payload.metadata, type: encode(METADATA_TYPES[pair.key.type]) };
    payloads[pair.key.name] = payload;
  }
  return Object.keys(payloads).length === 0 ? undefined : payloads;
}

/** Untyped search attributes of payloads. */
export function searchAttributesFromPayloads(
  payloads: Record<string, Payload> | null | undefined,
  converter: PayloadConverter = defaultPayloadConverter,
): SearchAttributes {
  const found: SearchAttributes = {};
  for (const [name, payload] of Object.entries(payloads ?? {})) {
    const value = converter.fromPayload<unknown>(payload);
    const values = Array.isArray(value) ? value : [value];
    const isDate = typeOf(payload) === 'DATETIME';
    found[name] = isDate ? values.map((item) => new Date(item)) : values;
  }
  return found;
}

/** Search attributes of payloads that say their types. */
export function typedSearchAttributesFromPayloads(
  payloads: Record<string, Payload> | null | undefined,
  converter: PayloadConverter = defaultPayloadConverter,
): TypedSearchAttributes {
  const pairs: SearchAttributePair[] = [];
  for (const [name, payload] of Object.entries(payloads ?? {})) {
    const type = typeOf(payload);
    if (type === undefined) continue;
    const raw = converter.fromPayload<unknown>(payload);
    const single = type !== 'KEYWORD_LIST' && Array.isArray(raw) ? raw[0] : raw;
    const value = type === 'DATETIME' ? new Date(single as string) : single;
    if (value !== undefined && value !== null) pairs.push({ key: { name, type }, value } as SearchAttributePair);
  }
  return new TypedSearchAttributes(pairs);
}

function typeOf(payload: Payload): SearchAttributeType | undefined {
  const metadata = payload.metadata?.['type'];
  if (!metadata) return undefined;
  const text = decode(metadata);
  return (Object.keys(METADATA_TYPES) as SearchAttributeType[]).find((type) => METADATA_TYPES[type] === text);
}
