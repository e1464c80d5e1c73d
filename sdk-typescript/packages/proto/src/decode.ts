/** Protobuf bytes to objects, by the tables. `bytes` fields share the memory of what they came in. */

import { type Field, type MessageTable, messageOf, tableOf } from './tables';

const MALFORMED = 'the bytes end inside a message';

/** The message in the bytes. Fields that this version doesn't know are skipped. */
export function decode(name: string, bytes: Uint8Array): any {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return new Reader(buffer).message(tableOf(name), buffer.length);
  } catch (error) {
    throw new TypeError(`not a ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

class Reader {
  private at = 0;

  constructor(private readonly buffer: Buffer) {}

  message(table: MessageTable, end: number): Record<string, any> {
    if (end > this.buffer.length) throw new RangeError(MALFORMED);
    const message = new table.create();
    while (this.at < end) {
      const tag = this.varint();
      const field = table.byNumber[tag >>> 3];
      if (field === undefined) this.skip(tag & 7);
      else this.field(message, field, tag & 7);
    }
    if (this.at !== end) throw new RangeError(MALFORMED);
    return message;
  }

  private field(message: Record<string, any>, field: Field, wire: number): void {
    const name = field.name;
    switch (field.label) {
      case 'list':
        this.listOf(message, name).push(this.value(field, field.kind));
        return;
      case 'packed': {
        const list = this.listOf(message, name);
        if (wire !== 2) {
          list.push(this.value(field, field.kind));
          return;
        }
        const end = this.varint() + this.at;
        while (this.at < end) list.push(this.value(field, field.kind));
        return;
      }
      case 'map': {
        const entries = Object.hasOwn(message, name) ? message[name] : (message[name] = {});
        this.entry(entries, field);
        return;
      }
      default:
        message[name] = this.value(field, field.kind);
    }
  }

  private listOf(message: Record<string, any>, name: string): any[] {
    return Object.hasOwn(message, name) ? message[name] : (message[name] = []);
  }

  private entry(entries: Record<string, any>, field: Field): void {
    const end = this.varint() + this.at;
    let key: unknown = field.key === 'string' ? '' : 0;
    let value: unknown;
    while (this.at < end) {
      const tag = this.varint();
      if (tag >>> 3 === 1) key = this.value(field, field.key);
      else if (tag >>> 3 === 2) value = this.value(field, field.kind);
      else this.skip(tag & 7);
    }
    if (value === undefined) {
      value = field.kind === 'message' ? new (messageOf(field).create)() : field.kind === 'string' ? '' : 0;
    }
    // A key may be called `__proto__`.
    Object.defineProperty(entries, String(key), { value, enumerable: true, writable: true, configurable: true });
  }

  private value(field: Field, kind: string): unknown {
    switch (kind) {
      case 'message': {
        const length = this.varint();
        return this.message(messageOf(field), this.at + length);
      }
      case 'string':
        return this.string();
      case 'bytes':
        return this.block();
      case 'bool':
        return this.varint() !== 0;
      case 'enum':
      case 'int32':
        return this.varint() | 0;
      case 'uint32':
        return this.varint();
      case 'int64':
        return this.wide(true);
      case 'uint64':
        return this.wide(false);
      case 'sint32': {
        const raw = this.varint();
        return (raw >>> 1) ^ -(raw & 1);
      }
      case 'sint64': {
        const raw = BigInt(this.wide(false));
        return exact((raw >> 1n) ^ -(raw & 1n));
      }
      default:
        return this.fixed(kind);
    }
  }

  private fixed(kind: string): unknown {
    const start = this.at;
    const is64 = kind === 'double' || kind.endsWith('64');
    this.at += is64 ? 8 : 4;
    if (this.at > this.buffer.length) throw new RangeError(MALFORMED);
    switch (kind) {
      case 'double':
        return this.buffer.readDoubleLE(start);
      case 'float':
        return this.buffer.readFloatLE(start);
      case 'fixed32':
        return this.buffer.readUInt32LE(start);
      case 'sfixed32':
        return this.buffer.readInt32LE(start);
      case 'fixed64':
        return exact(this.buffer.readBigUInt64LE(start));
      default:
        return exact(this.buffer.readBigInt64LE(start));
    }
  }

  /** The low 32 bits of a number; for lengths, tags and small integers. */
  private varint(): number {
    const buffer = this.buffer;
    let byte = buffer[this.at++];
    if (byte === undefined) throw new RangeError(MALFORMED);
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let shift = 7; ; shift += 7) {
      byte = buffer[this.at++];
      if (byte === undefined) throw new RangeError(MALFORMED);
      if (shift < 32) value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
      if (shift > 63) throw new RangeError('a number has too many bytes');
    }
  }

  private wide(signed: boolean): number | bigint {
    const start = this.at;
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.buffer[this.at++];
      if (byte === undefined) throw new RangeError(MALFORMED);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
    this.at = start;
    let big = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.buffer[this.at++];
      if (byte === undefined) throw new RangeError(MALFORMED);
      big |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
      if (shift > 63n) throw new RangeError('a number has too many bytes');
    }
    return exact(signed ? BigInt.asIntN(64, big) : BigInt.asUintN(64, big));
  }

  private string(): string {
    const length = this.varint();
    const start = this.at;
    this.at += length;
    if (this.at > this.buffer.length) throw new RangeError(MALFORMED);
    return this.buffer.utf8Slice(start, this.at);
  }

  private block(): Buffer {
    const length = this.varint();
    const start = this.at;
    this.at += length;
    if (this.at > this.buffer.length) throw new RangeError(MALFORMED);
    return this.buffer.subarray(start, this.at);
  }

  private skip(wire: number): void {
    switch (wire) {
      case 0:
        this.wide(false);
        return;
      case 1:
        this.at += 8;
        break;
      case 2: {
        const length = this.varint();
        this.at += length;
        break;
      }
      case 5:
        this.at += 4;
        break;
      default:
        throw new RangeError(`a field has the unknown wire type ${wire}`);
    }
    if (this.at > this.buffer.length) throw new RangeError(MALFORMED);
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

declare global {
  // Of Node.js, which doesn't list it.
  interface Buffer {
    utf8Slice(start: number, end: number): string;
  }
}
