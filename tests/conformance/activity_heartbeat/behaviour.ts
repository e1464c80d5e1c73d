/** What an attempt has recorded with a heartbeat is what the next attempt resumes from. */

import { strict as assert } from 'node:assert';
import { ApplicationFailure, activityInfo, heartbeat } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { counting } from './workflows';

export const activities = {
  /** Counts on from where the attempt before it got to; each attempt gets two further. */
  async countTo(goal: number): Promise<[position: number, attempt: number]> {
    const info = activityInfo();
    let position: number = info.heartbeatDetails?.position ?? 0;
    while (position < goal) {
      position += 1;
      heartbeat({ position, note: 'so far' });
      if (position % 2 === 0 && position < goal) {
        throw ApplicationFailure.create({ message: `stumbled at ${position}` });
      }
    }
    return [position, info.attempt];
  },
};

export async function check(env: Env): Promise<void> {
  assert.deepEqual(await env.execute(counting, 6), [6, 3]);
}
