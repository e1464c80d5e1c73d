/** The JSON form of messages, as protobuf defines it: what `temporal workflow show --output json` writes. */

import { type Field, type MessageTable, enumOf, messageOf, tableOf } from './tables';

const DURATION = 'google.protobuf.Duration';
const TIMESTAMP = 'google.protobuf.Timestamp';

/** A message as a value for `JSON.stringify`. Fields with default values are left out. */
export function toJson(name: string, message: object): unknown {
  return messageToJson(tableOf(name), message as Record<string, any>);
}

function messageToJson(table: MessageTable, message: Record<string, any>): unknown {
  if (table.name === TIMESTAMP) return timestampToJson(message);
  if (table.name === DURATION) return durationToJson(message);
  const json: Record<string, unknown> = {};
  for (const field of table.fields) {
    const value = Object.hasOwn(message, field.name) ? message[field.name] : undefined;
    if (value === undefined || value === null) continue;
    if (field.label === 'list' || field.label === 'packed') {
      json[field.name] = value.map((item: any) => valueToJson(field, item));
    } else if (field.label === 'map') {
      json[field.name] = Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, valueToJson(field, item)]),
      );
    } else {
      json[field.name] = valueToJson(field, value);
    }
  }
  return json;
}

function valueToJson(field: Field, value: any): unknown {
  switch (field.kind) {
    case 'message':
      return messageToJson(messageOf(field), value);
    case 'enum':
      return enumOf(field.of).names.get(value) ?? value;
    case 'bytes':
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
    case 'int64':
    case 'uint64':
    case 'sint64':
    case 'fixed64':
    case 'sfixed64':
      return String(value);
    case 'double':
    case 'float':
      return Number.isFinite(value) ? value : String(value);
    default:
      return value;
  }
}

function fraction(nanos: number): string {
  return nanos ? `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}` : '';
}

function timestampToJson(message: Record<string, any>): string {
  const date = new Date(Number(message['seconds'] ?? 0) * 1000).toISOString();
  return `${date.slice(0, 19)}${fraction(message['nanos'] ?? 0)}Z`;
}

function durationToJson(message: Record<string, any>): string {
  const seconds = Number(message['seconds'] ?? 0);
  const nanos = message['nanos'] ?? 0;
  return `${nanos < 0 && seconds === 0 ? '-' : ''}${seconds}${fraction(Math.abs(nanos))}s`;
}

/** A message from its JSON form. Names that this version doesn't know are ignored; a wrong value is a TypeError. */
export function fromJson(name: string, json: unknown): any {
  return messageFromJson(tableOf(name), json);
}

function messageFromJson(table: MessageTable, json: unknown): Record<string, any> {
  const message: Record<string, any> = new table.create();
  if (table.name === TIMESTAMP || table.name === DURATION) return timeFromJson(table, message, json);
  if (typeof json !== 'object' || json === null) throw wrong(table.name, json);
  const given = json as Record<string, unknown>;
  for (const field of table.fields) {
    const value = given[field.name] ?? given[snakeCase(field.name)];
    if (value === undefined || value === null) continue;
    if (field.label === 'list' || field.label === 'packed') {
      if (!Array.isArray(value)) throw wrong(`${table.name}.${field.name}`, value);
      message[field.name] = value.map((item) => valueFromJson(table, field, item));
    } else if (field.label === 'map') {
      const entries = Object.entries(value as object);
      message[field.name] = Object.fromEntries(entries.map(([k, item]) => [k, valueFromJson(table, field, item)]));
    } else {
      message[field.name] = valueFromJson(table, field, value);
    }
  }
  return message;
}

function valueFromJson(table: MessageTable, field: Field, value: unknown): unknown {
  const where = `${table.name}.${field.name}`;
  switch (field.kind) {
    case 'message':
      return messageFromJson(messageOf(field), value);
    case 'enum':
      return enumFromJson(where, field, value);
    case 'bytes':
      if (typeof value !== 'string') throw wrong(where, value);
      return Buffer.from(value, 'base64');
    case 'string':
      if (typeof value !== 'string') throw wrong(where, value);
      return value;
    case 'bool':
      if (typeof value !== 'boolean') throw wrong(where, value);
      return value;
    case 'double':
    case 'float':
      return Number(value);
    default:
      return integerFromJson(where, value);
  }
}

/** By its full name, its number, or without the prefix in PascalCase, as older tools write it. */
function enumFromJson(where: string, field: Field, value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') throw wrong(where, value);
  const { numbers } = enumOf(field.of);
  const found = numbers.get(value);
  if (found !== undefined) return found;
  const plain = value.replace(/_/g, '').toLowerCase();
  for (const [name, number] of numbers) {
    if (name.replace(/_/g, '').toLowerCase().endsWith(plain)) return number;
  }
  throw wrong(where, value);
}

function integerFromJson(where: string, value: unknown): number | bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  if (typeof value !== 'string' || !/^-?\d+$/.test(value)) throw wrong(where, value);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : BigInt(value);
}

function timeFromJson(table: MessageTable, message: Record<string, any>, json: unknown): Record<string, any> {
  const text = typeof json === 'string' ? json : '';
  const pattern = table.name === DURATION ? /^(-?\d+)(?:\.(\d{1,9}))?s$/ : /^(.+?)(?:\.(\d{1,9}))?Z$/;
  const match = pattern.exec(text);
  if (!match) throw wrong(table.name, json);
  const seconds = table.name === DURATION ? Number(match[1]) : Date.parse(`${match[1]}Z`) / 1000;
  if (!Number.isFinite(seconds)) throw wrong(table.name, json);
  message['seconds'] = seconds;
  const nanos = Number((match[2] ?? '').padEnd(9, '0'));
  message['nanos'] = text.startsWith('-') ? -nanos : nanos;
  return message;
}

function wrong(where: string, value: unknown): TypeError {
  return new TypeError(`${JSON.stringify(value)} is not a value for ${where}`);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
