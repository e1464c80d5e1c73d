/** An activity that ends elsewhere: completed or failed from outside, by task token and by ids. */

import { strict as assert } from 'node:assert';
import { EventEmitter, once } from 'node:events';
import { ApplicationFailure, activityInfo, CompleteAsyncError } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { waits } from './workflows';

const tokens = new EventEmitter();

export const activities = {
  /** Hands its token to somebody else and leaves. */
  async elsewhere(key: string): Promise<string> {
    tokens.emit(key, activityInfo().taskToken);
    throw new CompleteAsyncError();
  },
};

export async function check(env: Env): Promise<void> {
  async function begin(key: string) {
    const handed = once(tokens, key);
    const handle = await env.start(waits, key);
    const [token] = await handed;
    return { handle, token: token as Uint8Array };
  }

  const byToken = await begin('token');
  await env.client.activity.heartbeat(byToken.token, 'half');
  await env.client.activity.complete(byToken.token, 'by token');
  assert.equal(await byToken.handle.result(), 'by token');

  const { handle: byIds } = await begin('ids');
  const ids = { workflowId: byIds.workflowId, runId: byIds.firstExecutionRunId, activityId: 'elsewhere' };
  await env.client.activity.complete(ids, 'by ids');
  assert.equal(await byIds.result(), 'by ids');

  const failed = await begin('failed');
  await env.client.activity.fail(failed.token, ApplicationFailure.nonRetryable('not today'));
  assert.equal(await failed.handle.result(), 'failed: not today');
}
