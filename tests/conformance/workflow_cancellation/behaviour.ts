/** A cancellation reaches the workflow, which may tidy up, end as cancelled, or decline. */

import { strict as assert } from 'node:assert';
import { WorkflowFailedError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { type Env, eventually, failure } from '../harness/harness';
import { cancellable, seen } from './workflows';

export const activities = {
  /** What has to happen even after a cancellation. */
  async tidyUp(): Promise<string> {
    return 'tidied up';
  },
};

export async function check(env: Env): Promise<void> {
  async function cancelled(decline: boolean) {
    const handle = await env.start(cancellable, decline);
    await eventually('the workflow waits', async () => (await handle.query(seen)).join() === 'waiting');
    await handle.cancel();
    return handle;
  }

  const ended = await cancelled(false);
  const { cause } = await failure(ended.result(), WorkflowFailedError);
  assert(cause instanceof CancelledFailure, String(cause));
  assert.equal((await ended.describe()).status.name, 'CANCELLED');
  assert.deepEqual(await ended.query(seen), ['waiting', 'cancelled', 'tidied up']);

  const declined = await cancelled(true);
  assert.deepEqual(await declined.result(), ['waiting', 'cancelled', 'tidied up']);
  assert.equal((await declined.describe()).status.name, 'COMPLETED');
}
