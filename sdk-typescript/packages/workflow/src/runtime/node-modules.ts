/** The modules of Node.js that workflows may import, as the official SDK lets them: what is deterministic of them. */

import { host } from './globals';

type Compare = (a: unknown, b: unknown) => boolean;

class AssertionError extends Error {
  override readonly name = 'AssertionError';
  readonly code = 'ERR_ASSERTION';
  readonly generatedMessage: boolean;
  constructor(
    message: string | Error | undefined,
    readonly actual: unknown,
    readonly expected: unknown,
    readonly operator: string,
  ) {
    super(message === undefined ? `${inspect(actual)} ${operator} ${inspect(expected)}` : String(message));
    this.generatedMessage = message === undefined;
  }
}

function inspect(value: unknown): string {
  return host().inspect(value);
}

function ok(value: unknown, message?: string | Error): void {
  if (!value) throw message instanceof Error ? message : new AssertionError(message, value, true, '==');
}

function comparing(operator: string, isRight: Compare) {
  return (actual: unknown, expected: unknown, message?: string | Error): void => {
    if (isRight(actual, expected)) return;
    throw message instanceof Error ? message : new AssertionError(message, actual, expected, operator);
  };
}

const isDeepStrictEqual: Compare = (a, b) => host().isDeepStrictEqual(a, b);
const not =
  (compare: Compare): Compare =>
  (a, b) =>
    !compare(a, b);
const same: Compare = (a, b) => Object.is(a, b);
// biome-ignore lint/suspicious/noDoubleEquals: it is what `equal` means
const loose: Compare = (a, b) => a == b || (a !== a && b !== b);

function fail(message?: string | Error): never {
  throw message instanceof Error ? message : new AssertionError(message ?? 'Failed', undefined, undefined, 'fail');
}

/** Whether the error is what was asked for: a class, a pattern of its text, properties, or a function that tells. */
function matches(error: unknown, expected: unknown): boolean {
  if (expected === undefined) return true;
  if (expected instanceof RegExp) return expected.test(String(error));
  if (typeof expected === 'function') {
    if (expected.prototype !== undefined && error instanceof expected) return true;
    return !Error.isPrototypeOf(expected) && expected.call({}, error) === true;
  }
  return Object.entries(expected as object).every(([key, value]) =>
    value instanceof RegExp ? value.test(String((error as any)?.[key])) : isDeepStrictEqual((error as any)?.[key], value),
  );
}

function expectThrown(outcome: { error: unknown } | undefined, expected: unknown, operator: string): void {
  if (outcome === undefined) throw new AssertionError('Missing expected exception', undefined, expected, operator);
  if (!matches(outcome.error, expected)) throw outcome.error;
}

function throws(fn: () => unknown, expected?: unknown): void {
  let outcome: { error: unknown } | undefined;
  try {
    fn();
  } catch (error) {
    outcome = { error };
  }
  expectThrown(outcome, expected, 'throws');
}

async function rejects(promise: Promise<unknown> | (() => Promise<unknown>), expected?: unknown): Promise<void> {
  let outcome: { error: unknown } | undefined;
  try {
    await (typeof promise === 'function' ? promise() : promise);
  } catch (error) {
    outcome = { error };
  }
  expectThrown(outcome, expected, 'rejects');
}

function makeAssert(): object {
  const methods = {
    AssertionError,
    ok,
    fail,
    throws,
    rejects,
    equal: comparing('==', loose),
    notEqual: comparing('!=', not(loose)),
    strictEqual: comparing('strictEqual', same),
    notStrictEqual: comparing('notStrictEqual', not(same)),
    deepEqual: comparing('deepEqual', isDeepStrictEqual),
    notDeepEqual: comparing('notDeepEqual', not(isDeepStrictEqual)),
    deepStrictEqual: comparing('deepStrictEqual', isDeepStrictEqual),
    notDeepStrictEqual: comparing('notDeepStrictEqual', not(isDeepStrictEqual)),
    match: comparing('match', (text, pattern) => (pattern as RegExp).test(String(text))),
    doesNotMatch: comparing('doesNotMatch', (text, pattern) => !(pattern as RegExp).test(String(text))),
    ifError: (error: unknown) => {
      if (error !== undefined && error !== null) throw error;
    },
  };
  const assert = Object.assign((value: unknown, message?: string | Error) => ok(value, message), methods);
  return Object.assign(assert, { strict: assert, default: assert });
}

/** Made when the context's globals are in place. */
export function nodeModules(): Readonly<Record<string, unknown>> {
  const { URL, URLSearchParams, TextEncoder, TextDecoder } = globalThis;
  const url = { URL, URLSearchParams };
  const util = {
    TextDecoder,
    TextEncoder,
    inspect,
    isDeepStrictEqual,
    format: (...args: unknown[]) => host().format(args),
  };
  const assert = makeAssert();
  return Object.fromEntries(
    Object.entries({ assert, 'assert/strict': assert, url, util }).flatMap(([name, module]) => [
      [name, module],
      [`node:${name}`, module],
    ]),
  );
}
