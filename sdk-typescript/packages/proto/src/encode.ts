/** Objects to protobuf bytes, by the tables. */

import { type Field, type MessageTable, messageOf, tableOf, wireType } from './tables';

/** Grows as needed and is used over and over: what leaves is a copy. */
let buffer = Buffer.allocUnsafe(16 * 1024);
let at = 0;

/** The encoding of a message. Unset and null fields are left out. */
export function encode(name: string, value: object): Buffer {
  at = 0;
  writeFields(tableOf(name), value as Record<string, any>);
  const bytes = Buffer.allocUnsafeSlow(at);
  buffer.copy(bytes, 0, 0, at);
  // One large message must not occupy memory for ever.
  if (buffer.length > 1024 * 1024) buffer = Buffer.allocUnsafe(16 * 1024);
  return bytes;
}

function reserve(length: number): void {
  if (at + length <= buffer.length) return;
  const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + length));
  buffer.copy(larger, 0, 0, at);
  buffer = larger;
}

function writeFields(table: MessageTable, message: Record<string, any>): void {
  for (const field of table.fields) {
    const value = message[field.name];
    if (value === undefined || value === null) continue;
    switch (field.label) {
      case 'one':
        if (!isDefault(field.kind, value)) writeTagged(field, value);
        break;
      case 'maybe':
        writeTagged(field, value);
        break;
      case 'list':
        for (const item of value) writeTagged(field, item);
        break;
      case 'packed':
        if (value.length > 0) {
          varint(field.tag);
          writeBlock(() => {
            for (const item of value) writeValue(field, field.kind, item);
          });
        }
        break;
      case 'map':
        for (const key of Object.keys(value)) {
          varint(field.tag);
          writeBlock(() => writeEntry(field, key, value[key]));
        }
        break;
    }
  }
}

function isDefault(kind: string, value: any): boolean {
  return kind === 'bytes' || kind === 'string' ? value.length === 0 : !value && !Object.is(value, -0);
}

function writeTagged(field: Field, value: any): void {
  varint(field.tag);
  writeValue(field, field.kind, value);
}

function writeEntry(field: Field, key: string, value: any): void {
  varint((1 << 3) | wireType(field.key));
  writeValue(field, field.key, field.key === 'string' ? key : field.key === 'bool' ? key === 'true' : Number(key));
  varint((2 << 3) | wireType(field.kind));
  writeValue(field, field.kind, value);
}

function writeValue(field: Field, kind: string, value: any): void {
  switch (kind) {
    case 'message':
      writeBlock(() => writeFields(messageOf(field), value));
      return;
    case 'string':
      writeString(field, value);
      return;
    case 'bytes':
      writeBytes(field, value);
      return;
    case 'bool':
      varint(value ? 1 : 0);
      return;
    case 'enum':
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
      integer(field, value);
      return;
    case 'sint32':
      varint(((value << 1) ^ (value >> 31)) >>> 0);
      return;
    case 'sint64': {
      const wide = BigInt(value);
      bigVarint(BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n)));
      return;
    }
    case 'double':
      reserve(8);
      at = buffer.writeDoubleLE(value, at);
      return;
    case 'float':
      reserve(4);
      at = buffer.writeFloatLE(value, at);
      return;
    case 'fixed32':
    case 'sfixed32':
      reserve(4);
      at = kind === 'fixed32' ? buffer.writeUInt32LE(value, at) : buffer.writeInt32LE(value, at);
      return;
    case 'fixed64':
    case 'sfixed64':
      reserve(8);
      at = buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
      return;
    default:
      throw new TypeError(`${field.name}: no such type: ${kind}`);
  }
}

function integer(field: Field, value: unknown): void {
  if (typeof value === 'bigint') bigVarint(BigInt.asUintN(64, value));
  else if (!Number.isSafeInteger(value)) throw new TypeError(`${field.name} must be an integer, not ${String(value)}`);
  else if ((value as number) < 0) bigVarint(BigInt.asUintN(64, BigInt(value as number)));
  else varint(value as number);
}

/** A non-negative safe integer. */
function varint(value: number): void {
  reserve(10);
  while (value > 0x7fffffff) {
    buffer[at++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  while (value > 127) {
    buffer[at++] = (value & 127) | 0x80;
    value >>>= 7;
  }
  buffer[at++] = value;
}

function bigVarint(value: bigint): void {
  reserve(10);
  while (value > 127n) {
    buffer[at++] = Number(value & 127n) | 0x80;
    value >>= 7n;
  }
  buffer[at++] = Number(value);
}

function writeString(field: Field, value: unknown): void {
  if (typeof value !== 'string') throw new TypeError(`${field.name} must be a string, not ${typeof value}`);
  const length = Buffer.byteLength(value);
  varint(length);
  reserve(length);
  at += buffer.write(value, at, length, 'utf8');
}

function writeBytes(field: Field, value: unknown): void {
  if (!ArrayBuffer.isView(value)) throw new TypeError(`${field.name} must be a Uint8Array, not ${typeof value}`);
  varint(value.byteLength);
  reserve(value.byteLength);
  buffer.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), at);
  at += value.byteLength;
}

/** A length and what `write` writes. Most blocks are short: room for one byte is kept, more is made if need be. */
function writeBlock(write: () => void): void {
  reserve(1);
  const start = ++at;
  write();
  const length = at - start;
  if (length < 128) {
    buffer[start - 1] = length;
    return;
  }
  const extra = length < 1 << 14 ? 1 : length < 1 << 21 ? 2 : length < 1 << 28 ? 3 : 4;
  reserve(extra);
  buffer.copyWithin(start + extra, start, at);
  const end = at + extra;
  at = start - 1;
  varint(length);
  at = end;
}
