/** Workflows that use what Node.js offers them. */

import assert, { AssertionError } from 'node:assert';
import { URL } from 'node:url';
import { format, inspect } from 'util';
import { AsyncLocalStorage, condition, sleep, workflowMetadataQuery } from '@durably/workflow';
import * as workflow from '@durably/workflow';

declare class AbortController {
  readonly signal: { aborted: boolean; addEventListener(type: 'abort', listener: () => void): void; throwIfAborted(): void };
  abort(reason?: unknown): void;
}

function failing(fn: () => void): string {
  try {
    fn();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return 'nothing failed';
}

export async function asserts(): Promise<string[]> {
  assert(true);
  assert.deepStrictEqual({ a: [1, new Map([[1, 2]])] }, { a: [1, new Map([[1, 2]])] });
  assert.throws(() => assert.equal(1, 2), AssertionError);
  assert.throws(() => assert.equal(1, 2), /1 == 2/);
  await assert.rejects(async () => assert.fail('no'), { message: 'no' });
  return [
    failing(() => assert(0, 'zero')),
    failing(() => assert.strictEqual(1, 2)),
    failing(() => assert.deepEqual([1], [2])),
    failing(() => assert.throws(() => undefined)),
    failing(() => assert.throws(() => assert.fail('another'), RangeError)),
  ];
}

export async function formats(): Promise<string[]> {
  const controller = new AbortController();
  const seen: string[] = [];
  controller.signal.addEventListener('abort', () => seen.push('aborted'));
  controller.abort();
  seen.push(failing(() => controller.signal.throwIfAborted()));
  return [inspect({ a: new Map([[1, { b: [] }]]) }), format('%s is %d', 'x', 5), new URL('http://a/b').pathname, ...seen];
}

export async function calls(name: string): Promise<void> {
  const of = (workflow as unknown as Record<string, ((id: string) => void) & Record<string, unknown>>)[name]!;
  if (typeof of === 'function') of('x');
  else of['ABANDON'];
}

export async function adds(): Promise<void> {
  (Array.prototype as unknown as Record<string, unknown>)['added'] = 1;
}

export async function waits(): Promise<void> {
  await condition(() => workflowMetadataQuery.name === '');
}

const storage = new AsyncLocalStorage<string>();

export async function stores(): Promise<(string | undefined)[]> {
  const seen = (name: string) =>
    storage.run(name, async () => {
      await sleep(1);
      return storage.getStore();
    });
  return [storage.getStore(), ...(await Promise.all([seen('a'), seen('b')])), storage.run('c', () => storage.exit(() => storage.getStore()))];
}

declare const process: { env: { NODE_ENV: string } };

/** As packages do when they are loaded: ask for the environment's name, and add functions for decorators. */
export async function packages(): Promise<unknown[]> {
  const added = Reflect as unknown as Record<string, unknown>;
  const before = added['metadata'];
  added['metadata'] = () => 'added';
  const { Reflect: global } = globalThis as unknown as { Reflect: object };
  return [process.env.NODE_ENV, before ?? 'nothing', global === Reflect, Reflect.has({ a: 1 }, 'a')];
}
