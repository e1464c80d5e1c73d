/** A failing activity is tried again by its retry policy, and what its last failure says reaches the workflow. */

import { strict as assert } from 'node:assert';
import { ApplicationFailure, activityInfo } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { later, lucky, refused } from './workflows';

export const activities = {
  /** Fails in its first two attempts. */
  async thirdTimeLucky(): Promise<number> {
    const { attempt } = activityInfo();
    if (attempt < 3) {
      throw ApplicationFailure.create({ message: `attempt ${attempt}`, type: 'Unlucky' });
    }
    return attempt;
  },

  /** Fails in every attempt. */
  async refuse(type: string, nonRetryable: boolean): Promise<void> {
    throw ApplicationFailure.create({ message: 'refused', type, nonRetryable, details: [activityInfo().attempt] });
  },

  /** Names the delay of its next attempt itself. */
  async askForLater(): Promise<string> {
    if (activityInfo().attempt === 1) {
      throw ApplicationFailure.create({ message: 'later', nextRetryDelay: '10 ms' });
    }
    return 'done';
  },
};

export async function check(env: Env): Promise<void> {
  assert.equal(await env.execute(lucky), 3);
  assert.deepEqual(await env.execute(refused, 'Plain', false), [3, 'MAXIMUM_ATTEMPTS_REACHED']);
  assert.deepEqual(await env.execute(refused, 'Plain', true), [1, 'NON_RETRYABLE_FAILURE']);
  assert.deepEqual(await env.execute(refused, 'Listed', false), [1, 'NON_RETRYABLE_FAILURE']);
  assert.equal(await env.execute(later), 'done');
}
