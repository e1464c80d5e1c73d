/** A workflow's own time-outs and retry policy: run and execution time-out, retries with their attempt number. */

import { strict as assert } from 'node:assert';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, TimeoutFailure } from '@temporalio/common';
import { type Env, failure } from '../harness/harness';
import { forever, retried } from './workflows';

export async function check(env: Env): Promise<void> {
  for (const option of ['workflowRunTimeout', 'workflowExecutionTimeout']) {
    const handle = await env.startWith({ [option]: '1 second' }, forever);
    const { cause } = await failure(handle.result(), WorkflowFailedError);
    assert(cause instanceof TimeoutFailure, String(cause));
    assert.equal((await handle.describe()).status.name, 'TIMED_OUT');
  }

  const retry = { initialInterval: '100 ms', maximumAttempts: 3 } as const;
  const lucky = await env.startWith({ retry }, retried, 3);
  assert.equal(await lucky.result(), 3);
  const unlucky = await env.startWith({ retry }, retried, 9);
  const { cause } = await failure(unlucky.result(), WorkflowFailedError);
  assert(cause instanceof ApplicationFailure, String(cause));
  assert.equal(cause.type, 'Unlucky');
  assert.deepEqual(cause.details, [3]);
  assert.equal((await unlucky.describe()).status.name, 'FAILED');
}
