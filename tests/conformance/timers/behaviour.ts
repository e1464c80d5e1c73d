/** Timers fire in order and not too early; a cancelled timer doesn't fire; a wait has a time-out. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { timers } from './workflows';

export async function check(env: Env): Promise<void> {
  const [order, seconds] = await env.execute(timers);
  assert.deepEqual(order, ['now', 'early', 'late', 'cancelled', 'timed out']);
  assert(seconds >= 0.8 && seconds < 30, `${seconds} s`);
}
