/** What one run leaves in modules and on `globalThis` is never visible to another, whoever comes first. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { leave, look, marks } from './workflows';

export async function check(env: Env): Promise<void> {
  const names = ['Ann', 'Bob', 'Cay'];
  const runs = await Promise.all(names.map((name) => env.start(marks, name)));
  for (const [i, run] of runs.entries()) {
    assert.deepEqual(await run.query(look), [1, [names[i]], names[i]]);
  }
  for (const [i, run] of [...runs.entries()].reverse()) {
    await run.signal(leave);
    assert.deepEqual(await run.result(), [1, [names[i]], names[i]]);
  }
  const later = await env.start(marks, 'Dan');
  await later.signal(leave);
  assert.deepEqual(await later.result(), [1, ['Dan'], 'Dan']);
}
