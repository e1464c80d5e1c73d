/** A run that the worker has thrown out of its cache is rebuilt from its history and goes on with the same commands. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { current, step, steps } from './workflows';

export const activities = {
  /** Something to remember. */
  async double(n: number): Promise<number> {
    return 2 * n;
  },
};

export const ownWorkers = true;

export async function check(env: Env): Promise<void> {
  // With the smallest cache an SDK allows, and more runs than it holds, every task replays.
  const runs = await Promise.all([1, 2, 3, 4].map(() => env.start(steps, 3)));
  const worker = await env.worker({ activities, maxCachedWorkflows: 0 });
  await worker.runUntil(async () => {
    for (let i = 0; i < 3; i++) {
      await Promise.all(runs.map((run) => run.signal(step)));
    }
    const results = await Promise.all(runs.map((run) => run.result()));
    assert.deepEqual(results.map(([value]) => value), [8, 8, 8, 8]);
    assert.equal(new Set(results.map(([, , name]) => name)).size, 4, 'each run draws its own');
    assert.equal(await runs[0]?.query(current), 8);
  });
}
