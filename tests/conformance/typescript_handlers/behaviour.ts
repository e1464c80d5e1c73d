/** Handlers of signals and queries: set late, replaced, taken away, and the defaults that catch the rest. */

import { strict as assert } from 'node:assert';
import { QueryNotRegisteredError } from '@temporalio/client';
import { type Env, eventually, failure } from '../harness/harness';
import { add, join, knowsOne, late, replaced, words } from './workflows';

export async function check(env: Env): Promise<void> {
  const waiting = await env.start(late);
  await waiting.signal('else', 1, [2]);
  await waiting.signal(add, 'a');
  await waiting.signal(add, 'b');
  assert.deepEqual(await waiting.result(), ['add a', 'add b', 'else [1,[2]]']);

  const changing = await env.start(replaced);
  await changing.signal(add, 'a');
  await eventually('a is there', async () => (await changing.query(words)).length === 1);
  await changing.signal(add, 'b');
  await eventually('b is there', async () => (await changing.query(words)).length === 2);
  await changing.signal(add, 'c');
  assert.equal(await changing.query(join, '+'), 'first a+second b');
  assert.equal(await changing.query('unheard', 1, 2), 'no unheard(1,2)');
  assert.deepEqual(await changing.result(), ['first a', 'second b']);

  const one = await env.start(knowsOne);
  await one.result();
  const { message } = await failure(one.query('other'), QueryNotRegisteredError);
  assert.match(message, /other/);
  assert.match(message, /words/, 'the error names the queries that there are');
}
