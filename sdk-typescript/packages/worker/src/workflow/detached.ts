/**
 * Copies of what workflow code logs, made of this realm's objects: the run goes on and may change what it has logged,
 * and tools that print objects don't know the classes of another realm.
 */

import { types } from 'node:util';
import { cutoffStackTrace } from '@durably/common/lib/converter/failure-converter';

const ERRORS: Readonly<Record<string, ErrorConstructor>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** The copy; stacks of errors are mapped by `mapStack`, and cut down to the user's frames. */
export function detached(value: unknown, mapStack: (stack: string) => string): unknown {
  return new Copier(mapStack).copy(value);
}

class Copier {
  /** Copies by what they are of: objects that refer to each other still do. */
  private readonly made = new Map<object, unknown>();

  constructor(private readonly mapStack: (stack: string) => string) {}

  copy = (value: unknown): unknown => {
    if (typeof value === 'function') return `[Function: ${value.name || '(anonymous)'}]`;
    if (typeof value !== 'object' || value === null) return value;
    const known = this.made.get(value);
    if (known !== undefined) return known;
    if (types.isNativeError(value)) return this.error(value);
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      this.made.set(value, list);
      for (const item of value) list.push(this.copy(item));
      return list;
    }
    if (Object.prototype.toString.call(value) === '[object Object]') {
      const object = {};
      this.made.set(value, object);
      this.properties(value, object);
      return object;
    }
    return clone(value);
  };

  private error(error: Error): Error {
    const made = new (ERRORS[error.name] ?? Error)(error.message);
    this.made.set(error, made);
    const hide = (name: string, value: unknown) =>
      Object.defineProperty(made, name, { value, configurable: true, writable: true });
    if (made.name !== error.name) hide('name', error.name);
    const frames = cutoffStackTrace(this.mapStack(error.stack ?? ''));
    hide('stack', `${error.name}: ${error.message}${frames && `\n${frames}`}`);
    if (error.cause !== undefined) hide('cause', this.copy(error.cause));
    this.properties(error, made);
    return made;
  }

  private properties(from: object, to: object): void {
    const isError = types.isNativeError(from);
    for (const [key, value] of Object.entries(from)) {
      // What says nothing, and a failure's message in the API's form, which says everything again.
      if (isError && (value === undefined || key === 'failure' || key === 'cause')) continue;
      const copy = { value: this.copy(value), enumerable: true, configurable: true, writable: true };
      Object.defineProperty(to, key, copy);
    }
  }
}

/** Dates, maps, bytes and their like. */
function clone(value: object): unknown {
  try {
    return structuredClone(value);
  } catch {
    return String(Object.prototype.toString.call(value));
  }
}
