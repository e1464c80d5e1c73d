/**
 * Signals and cancellations from one workflow to another: delivered once, or refused with an error.
 *
 * What the sender gets is the same in every language; the words of errors are each SDK's own.
 */

import { strict as assert } from 'node:assert';
import { type WorkflowHandle, WorkflowFailedError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { type Env, failure } from '../harness/harness';
import { cancels, listens, soFar, speaks, speaksAtOnce, takesBack } from './workflows';

/** Event types of Temporal's API: what the sender's history says. */
const NAMES: Record<number, string> = {
  22: 'cancel initiated',
  23: 'cancel failed',
  24: 'cancel delivered',
  37: 'signal initiated',
  38: 'signal failed',
  39: 'signal delivered',
};

async function told(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map(({ eventType }) => NAMES[Number(eventType)]).filter((name) => name !== undefined);
}

export async function check(env: Env): Promise<void> {
  /** The history of a sender that must end with this. */
  async function sent(result: string, what: string, times: number, handle: WorkflowHandle): Promise<void> {
    assert.equal(await handle.result(), result);
    const pair = [`${what} initiated`, `${what} ${result === 'delivered' ? 'delivered' : 'failed'}`];
    assert.deepEqual(await told(handle), Array.from({ length: times }, () => pair).flat());
  }
  const says = async (result: string, to: string, runId: string, words: string[], workflowId = env.newId()) =>
    sent(result, 'signal', result === 'delivered' ? words.length : 1, await env.startWith({ workflowId }, speaks, to, runId, words));
  const asks = async (result: string, to: string, runId: string, workflowId = env.newId()) =>
    sent(result, 'cancel', 1, await env.startWith({ workflowId }, cancels, to, runId));

  let listener = await env.start(listens);
  const { workflowId: id, firstExecutionRunId: firstRun } = listener;
  await says('delivered', id, '', ['one', 'nothing', 'three']);
  await says('delivered', id, firstRun, ['with its run']);
  const heard = [[1, 'one'], 'nothing', [3, 'three'], [1, 'with its run']];
  assert.deepEqual(await listener.query(soFar), heard);

  const taken = await env.start(takesBack, id);
  assert.equal(await taken.result(), 'cancelled');
  assert.deepEqual(await told(taken), []);

  await says('delivered', id, '', ['last']);
  assert.deepEqual(await listener.result(), [...heard, [0, 'last']]);

  // Each is delivered once. Those that are sent in one step may arrive in any order.
  listener = await env.start(listens);
  await env.execute(speaksAtOnce, listener.workflowId, 50);
  const numbers = ((await listener.result()) as [number, string][]).map(([number]) => number).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: 51 }, (_, number) => number));

  // Nobody is there: the id is unknown, the run is another one, or it has ended.
  await says('not found', env.newId(), '', ['one']);
  await says('not found', listener.workflowId, '', ['one']);
  await says('not found', listener.workflowId, firstRun, ['one']);
  await asks('not found', env.newId(), '');
  let own = env.newId();
  await says('not found', own, '', ['one'], own);
  own = env.newId();
  await asks('not found', own, '', own);

  for (const withRun of [false, true]) {
    listener = await env.start(listens);
    await asks('delivered', listener.workflowId, withRun ? listener.firstExecutionRunId : '');
    const { cause } = await failure(listener.result(), WorkflowFailedError);
    assert.ok(cause instanceof CancelledFailure, String(cause));
    assert.equal((await listener.describe()).status.name, 'CANCELLED');
  }
  // It has ended: there is nothing left to cancel.
  await asks('delivered', listener.workflowId, '');
}
