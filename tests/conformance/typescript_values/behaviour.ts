/** How values travel: plain data unchanged, bytes as bytes, the rest as JSON makes of it. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { bytes, counts, kinds, throughActivity } from './workflows';

export const activities = {
  async echo(value: unknown): Promise<unknown> {
    return value;
  },

  async count(...args: unknown[]): Promise<number> {
    return args.length;
  },

  async reverse(value: Uint8Array): Promise<Uint8Array> {
    return Uint8Array.from(value).reverse();
  },

  async kind(value: unknown): Promise<string> {
    return value instanceof Uint8Array ? `bytes ${value.length}` : `${typeof value} ${JSON.stringify(value)}`;
  },
};

export async function check(env: Env): Promise<void> {
  assert.deepEqual(await env.execute(throughActivity, { deep: [{ 'ключ': '😀' }, 1e21, -0.5] }), [
    'object',
    { deep: [{ 'ключ': '😀' }, 1e21, -0.5] },
  ]);
  assert.deepEqual(await env.execute(throughActivity, 'x'.repeat(100_000)), ['string', 'x'.repeat(100_000)]);
  assert.deepEqual(await env.execute(throughActivity, undefined), ['undefined', null]);
  assert.deepEqual([...(await env.execute(bytes, Uint8Array.of(0, 1, 254, 255)))], [255, 254, 1, 0]);
  assert.deepEqual(await env.execute(kinds), [
    'undefined undefined',
    'object null',
    'string "1970-01-01T00:00:00.000Z"',
    'object {"b":1}',
    'object [null]',
    'object null',
    'bytes 2',
  ]);
  assert.deepEqual(await env.execute(counts), [0, 0, 1, 2, 2]);
  assert.deepEqual(await env.execute(counts, 'a', undefined), [2, 0, 1, 2, 2]);
}
