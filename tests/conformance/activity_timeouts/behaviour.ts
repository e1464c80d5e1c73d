/** Each of an activity's four time-outs fires when it should, and the error says which one it was. */

import { strict as assert } from 'node:assert';
import { Context } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { timesOut } from './workflows';

export const activities = {
  /** Ends only when the worker does. */
  async hang(): Promise<void> {
    await Context.current().cancelled;
  },
};

export async function check(env: Env): Promise<void> {
  const nowhere = `${env.taskQueue}-without-worker`;
  for (const which of ['START_TO_CLOSE', 'SCHEDULE_TO_START', 'HEARTBEAT'] as const) {
    assert.equal(await env.execute(timesOut, which, nowhere), which);
  }
  // The attempt that it cut off ends by its start-to-close time-out, which is bounded by the same deadline.
  const which = await env.execute(timesOut, 'SCHEDULE_TO_CLOSE', nowhere);
  assert(['SCHEDULE_TO_CLOSE', 'START_TO_CLOSE'].includes(which), which);
}
