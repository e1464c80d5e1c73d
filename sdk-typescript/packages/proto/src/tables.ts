/** The generated rows, read into types when they are first used. */

import { enums, messages, services } from './generated/tables';

export type Label = 'one' | 'maybe' | 'list' | 'packed' | 'map';

export interface Field {
  readonly name: string;
  readonly number: number;
  readonly label: Label;
  /** A scalar's name, `enum`, or `message`. */
  readonly kind: string;
  /** Full name of the enum or message. */
  readonly of: string;
  /** Kind of a map's key. */
  readonly key: string;
  /** How values are encoded, with the number: what precedes each of them. */
  readonly tag: number;
  /** For messages: resolved when first needed, since types refer to each other. */
  message: MessageTable | undefined;
}

export interface MessageTable {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly byNumber: readonly (Field | undefined)[];
  /** An object whose absent fields read as protobuf's defaults. */
  readonly create: new () => Record<string, any>;
}

const tables = new Map<string, MessageTable>();

/** The table of the message with the full name. */
export function tableOf(name: string): MessageTable {
  const known = tables.get(name);
  if (known) return known;
  const row = messages[name];
  if (row === undefined) throw new TypeError(`there is no message ${name}`);
  const fields = row === '' ? [] : row.split(';').map(readField);
  const byNumber: (Field | undefined)[] = [];
  for (const field of fields) byNumber[field.number] = field;
  const table = { name, fields, byNumber, create: makeClass(fields) };
  tables.set(name, table);
  return table;
}

/** The table of a field's messages. */
export function messageOf(field: Field): MessageTable {
  return (field.message ??= tableOf(field.of));
}

function readField(row: string): Field {
  const [name, number, label, type, key] = row.split(' ') as [string, string, Label, string, string | undefined];
  const isEnum = type.startsWith('enum:');
  const kind = isEnum ? 'enum' : type.includes('.') ? 'message' : type;
  const of = isEnum ? type.slice(5) : kind === 'message' ? type : '';
  const wire = label === 'map' || label === 'packed' ? 2 : wireType(kind);
  return {
    name,
    number: Number(number),
    label,
    kind,
    of,
    key: key ?? '',
    tag: (Number(number) << 3) | wire,
    message: undefined,
  };
}

export function wireType(kind: string): 0 | 1 | 2 | 5 {
  switch (kind) {
    case 'string':
    case 'bytes':
    case 'message':
      return 2;
    case 'double':
    case 'fixed64':
    case 'sfixed64':
      return 1;
    case 'float':
    case 'fixed32':
    case 'sfixed32':
      return 5;
    default:
      return 0;
  }
}

const NOTHING = new Uint8Array(0);
const NO_ITEMS: readonly never[] = Object.freeze([]);
const NO_ENTRIES: Readonly<Record<string, never>> = Object.freeze(Object.create(null));

function makeClass(fields: readonly Field[]): MessageTable['create'] {
  class Message {}
  const defaults = Message.prototype as Record<string, unknown>;
  for (const field of fields) defaults[field.name] = defaultOf(field);
  return Message;
}

export function defaultOf(field: Field): unknown {
  switch (field.label) {
    case 'maybe':
      return undefined;
    case 'list':
    case 'packed':
      return NO_ITEMS;
    case 'map':
      return NO_ENTRIES;
  }
  switch (field.kind) {
    case 'string':
      return '';
    case 'bytes':
      return NOTHING;
    case 'bool':
      return false;
    default:
      return 0;
  }
}

interface EnumTable {
  readonly numbers: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<number, string>;
}

const enumTables = new Map<string, EnumTable>();

/** Names and numbers of the enum with the full name. */
export function enumOf(name: string): EnumTable {
  const known = enumTables.get(name);
  if (known) return known;
  const row = enums[name];
  if (row === undefined) throw new TypeError(`there is no enum ${name}`);
  const pairs = row.split(';').map((pair) => pair.split(' ') as [string, string]);
  const numbers = new Map(pairs.map(([one, number]) => [one, Number(number)]));
  const names = new Map(pairs.map(([one, number]) => [Number(number), one]));
  const table = { numbers, names };
  enumTables.set(name, table);
  return table;
}

export interface Method {
  readonly name: string;
  readonly request: string;
  readonly response: string;
}

/** Methods of the service with the full name. */
export function methodsOf(service: string): readonly Method[] {
  const row = services[service];
  if (row === undefined) throw new TypeError(`there is no service ${service}`);
  return row.split(';').map((method) => {
    const [name, request, response] = method.split(' ') as [string, string, string];
    return { name, request, response };
  });
}
