/**
 * Cancelling a child workflow: with the four ways of waiting, before its start is sent, and with its parent.
 *
 * What each parent saw, and the order of its history's events, is the same in every language that has the way of waiting.
 */

import { strict as assert } from 'node:assert';
import type { WorkflowHandle } from '@temporalio/client';
import { type Env, eventually } from '../harness/harness';
import { cancelIt, cancels, childEnded, isTidy, leave, neverStarts, shields, state, tidiesUp, waits } from './workflows';

/** Event types of Temporal's API: the child's, as the parent sees them. */
const NAMES: Record<number, string> = {
  29: 'initiated',
  31: 'started',
  32: 'completed',
  34: 'canceled',
  36: 'terminated',
  22: 'request initiated',
  23: 'request failed',
  24: 'requested',
};
const CANCEL_REQUESTED = 20; // WORKFLOW_EXECUTION_CANCEL_REQUESTED

async function eventsOf(handle: WorkflowHandle): Promise<number[]> {
  return ((await handle.fetchHistory()).events ?? []).map(({ eventType }) => Number(eventType));
}

/** What the history says of the child, in order. */
async function told(handle: WorkflowHandle): Promise<string[]> {
  return (await eventsOf(handle)).map((type) => NAMES[type]).filter((name) => name !== undefined);
}

const hasStarted = (handle: WorkflowHandle) =>
  eventually('the child has started', async () => (await told(handle)).includes('started'));
const heard = (child: WorkflowHandle) =>
  eventually('the child has heard of the cancellation', async () => (await child.query(state)) === 'tidying up');
const hasEnded = (handle: WorkflowHandle) =>
  eventually('the wait for the child has ended', async () => (await handle.query(childEnded)) !== '');

export async function check(env: Env): Promise<void> {
  /** A parent that has cancelled its child, and the child. */
  async function cancelled(how: Parameters<typeof cancels>[1], decline: boolean) {
    const child = env.client.workflow.getHandle<typeof tidiesUp>(env.newId());
    const handle = await env.start(cancels, child.workflowId, how, decline);
    env.started.push(child);
    await hasStarted(handle);
    await handle.signal(cancelIt);
    return { handle, child };
  }

  // The parent waits until the child has ended, however it ends.
  for (const [decline, ends] of [[false, 'canceled'], [true, 'completed']] as const) {
    const { handle, child } = await cancelled('WAIT_CANCELLATION_COMPLETED', decline);
    await heard(child);
    assert.equal(await handle.query(childEnded), '', 'the child is still tidying up');
    await child.signal(isTidy);
    await handle.signal(leave);
    assert.equal(await handle.result(), decline ? 'finished' : 'cancelled');
    assert.deepEqual(await told(handle), ['initiated', 'started', 'request initiated', 'requested', ends]);
  }

  // The parent goes on while the child is still tidying up. (When it goes on with WAIT_CANCELLATION_REQUESTED differs: the
  // official core waits for the child's end, whatever its documentation says.)
  for (const how of ['TRY_CANCEL', 'WAIT_CANCELLATION_REQUESTED'] as const) {
    const { handle, child } = await cancelled(how, false);
    if (how === 'TRY_CANCEL') await hasEnded(handle);
    await heard(child);
    await child.signal(isTidy);
    await eventually("the parent's history says that the child has ended", async () => (await told(handle)).includes('canceled'));
    await handle.signal(leave);
    assert.equal(await handle.result(), 'cancelled', how);
    assert.deepEqual(await told(handle), ['initiated', 'started', 'request initiated', 'requested', 'canceled'], how);
  }

  // The child is not asked; it ends with its parent.
  const { handle, child } = await cancelled('ABANDON', false);
  await hasEnded(handle);
  assert.equal(await child.query(state), 'running');
  await handle.signal(leave);
  assert.equal(await handle.result(), 'cancelled');
  assert.deepEqual(await told(handle), ['initiated', 'started']);

  // Nothing was sent.
  const never = await env.start(neverStarts, env.newId());
  assert.equal(await never.result(), 'cancelled');
  assert.deepEqual(await told(never), []);

  await withTheParent(env);
}

/** The parent itself is cancelled. */
async function withTheParent(env: Env): Promise<void> {
  const statusOf = async (handle: WorkflowHandle) => {
    await handle.result().catch(() => undefined);
    return (await handle.describe()).status.name;
  };
  let child = env.client.workflow.getHandle(env.newId());
  const waiting = await env.start(waits, child.workflowId, 'WAIT_CANCELLATION_COMPLETED');
  await hasStarted(waiting);
  await waiting.cancel();
  await heard(child);
  assert.equal((await waiting.describe()).status.name, 'RUNNING');
  await child.signal(isTidy);
  assert.deepEqual([await statusOf(waiting), await statusOf(child)], ['CANCELLED', 'CANCELLED']);
  assert.ok((await eventsOf(child)).includes(CANCEL_REQUESTED));

  // With this one the parent doesn't wait; what becomes of the child is up to the parent close policy: TERMINATE.
  child = env.client.workflow.getHandle(env.newId());
  const leaving = await env.start(waits, child.workflowId, 'ABANDON');
  await hasStarted(leaving);
  await leaving.cancel();
  assert.deepEqual([await statusOf(leaving), await statusOf(child)], ['CANCELLED', 'TERMINATED']);
  assert.ok(!(await eventsOf(child)).includes(CANCEL_REQUESTED));

  child = env.client.workflow.getHandle(env.newId());
  const shielding = await env.start(shields, child.workflowId);
  await hasStarted(shielding);
  await shielding.cancel();
  assert.equal(await shielding.result(), 'left it alone');
  assert.deepEqual(await told(shielding), ['initiated', 'started']);
}
