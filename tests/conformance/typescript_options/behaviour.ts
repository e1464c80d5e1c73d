/** Options as they are written in TypeScript: durations, mistakes in them, proxies. */

import { strict as assert } from 'node:assert';
import { activityInfo } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { conditions, durations, mistakes, proxies } from './workflows';

export const activities = {
  async nothing(): Promise<void> {},

  async name(): Promise<string> {
    return activityInfo().activityType;
  },

  async 'with-dash'(): Promise<string> {
    return activityInfo().activityType;
  },
};

export async function check(env: Env): Promise<void> {
  assert.deepEqual(await env.execute(mistakes), ['TypeError', 'TypeError', 'TypeError', 'ValueError']);
  const took = await env.execute(durations);
  assert(took.slice(0, 4).every((ms) => ms >= 100 && ms < 10_000), String(took));
  assert.deepEqual(await env.execute(conditions), [null, true, false]);
  assert.deepEqual(await env.execute(proxies), ['function', 'name', 'with-dash']);
}
