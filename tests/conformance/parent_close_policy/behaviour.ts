/**
 * What becomes of a child that is open when its parent ends: it is terminated, asked to end, or left alone.
 *
 * The policy holds however the parent ends, also if it continues as new.
 */

import { strict as assert } from 'node:assert';
import { type WorkflowHandle, WorkflowFailedError } from '@temporalio/client';
import { TerminatedFailure } from '@temporalio/common';
import { type Env, eventually, failure } from '../harness/harness';
import { end, ends, goes } from './workflows';

const WAYS = ['completes', 'fails', 'continues as new', 'is terminated', 'is cancelled', 'times out'];
const OUTCOMES = { TERMINATE: 'TERMINATED', REQUEST_CANCEL: 'CANCELLED', ABANDON: 'COMPLETED' } as const;

export async function check(env: Env): Promise<void> {
  for (const way of WAYS) {
    for (const [policy, expected] of Object.entries(OUTCOMES)) {
      const child = await ended(env, policy as keyof typeof OUTCOMES, way);
      assert.equal((await child.describe()).status.name, expected, `${policy}, the parent ${way}`);
      if (policy !== 'TERMINATE') continue;
      const { cause } = await failure(child.result(), WorkflowFailedError);
      assert.ok(cause instanceof TerminatedFailure && cause.message === 'by parent close policy', String(cause));
    }
  }
  // What is left out is TERMINATE in every SDK.
  const child = await ended(env, 'default', 'completes');
  assert.equal((await child.describe()).status.name, 'TERMINATED');
}

/** The child, which has ended. */
async function ended(env: Env, policy: keyof typeof OUTCOMES | 'default', way: string): Promise<WorkflowHandle> {
  const child = env.client.workflow.getHandle<typeof goes>(env.newId());
  const limit = way === 'times out' ? { workflowRunTimeout: 1000 } : {};
  const parent = await env.startWith(limit, ends, child.workflowId, policy, way);
  if (way === 'is terminated' || way === 'is cancelled') {
    await eventually('the child has started', async () => {
      const { events } = await parent.fetchHistory();
      return events?.some(({ eventType }) => Number(eventType) === 31) ?? false; // CHILD_WORKFLOW_EXECUTION_STARTED
    });
    await (way === 'is terminated' ? parent.terminate() : parent.cancel());
  }
  await parent.result().catch((error) => {
    assert.ok(error instanceof WorkflowFailedError && way !== 'completes' && way !== 'continues as new', `${way}: ${error}`);
  });
  if (policy === 'ABANDON') {
    // It goes on, and hears what it is told.
    assert.equal((await child.describe()).status.name, 'RUNNING');
    await child.signal(end);
  }
  await child.result().then(
    (result) => assert.equal(result, 'by itself'),
    (error) => assert.ok(error instanceof WorkflowFailedError, String(error)),
  );
  env.started.push(child);
  return child;
}
