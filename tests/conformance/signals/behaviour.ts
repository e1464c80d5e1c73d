/** Signals arrive in the order in which they were acknowledged, none lost, also before the first workflow task. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { add, addTwo, collects } from './workflows';

export async function check(env: Env): Promise<void> {
  const numbers = Array.from({ length: 50 }, (_, i) => i);
  const ordered = await env.start(collects, numbers.length);
  for (const i of numbers) {
    await ordered.signal(add, i);
  }
  assert.deepEqual(await ordered.result(), numbers);

  const handle = await env.start(collects, 3);
  await handle.signal('anything');
  await handle.signal(addTwo, 'a', { b: 1 });
  await handle.signal('add', null);
  const sorted = (values: unknown[]) => values.map((value) => JSON.stringify(value)).sort();
  assert.deepEqual(sorted(await handle.result()), sorted(['anything', ['a', { b: 1 }], null]));
}
