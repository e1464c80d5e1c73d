/** Update-with-start: one call that updates the run of an id, and starts it first if there is none. */

import { strict as assert } from 'node:assert';
import {
  WithStartWorkflowOperation,
  type WorkflowOptions,
  WorkflowUpdateFailedError,
  type WorkflowUpdateOptions,
  isGrpcServiceError,
} from '@temporalio/client';
import { ApplicationFailure, WorkflowExecutionAlreadyStartedError, type WorkflowIdConflictPolicy } from '@temporalio/common';
import { type Env, failure } from '../harness/harness';
import { cart, pay, put, putWhenPaid } from './workflows';

type Operation = WithStartWorkflowOperation<typeof cart>;

// Event types of Temporal's API: started; the task scheduled, started, completed; the update accepted and completed.
const BEGUN = [1, 5, 6, 7, 41, 43];
const INVALID_ARGUMENT = 3;

export async function check(env: Env): Promise<void> {
  const start = (owner: string, workflowId: string, policy: WorkflowIdConflictPolicy, options: Partial<WorkflowOptions> = {}) =>
    new WithStartWorkflowOperation(cart, {
      args: [owner],
      workflowId,
      taskQueue: env.taskQueue,
      ...options,
      workflowIdConflictPolicy: policy,
    });
  const puts = (thing: string, startWorkflowOperation: Operation, options: WorkflowUpdateOptions = {}) =>
    env.client.workflow.executeUpdateWithStart(put, { args: [thing], startWorkflowOperation, ...options });
  await checkAStart(env, start, puts);
  await checkWhoIsThere(env, start, puts);
  await checkRefusals(env, start, puts);
}

type Start = (owner: string, id: string, policy: WorkflowIdConflictPolicy, options?: Partial<WorkflowOptions>) => Operation;
type Puts = (thing: string, operation: Operation, options?: WorkflowUpdateOptions) => Promise<number>;

/** The run that the handle's workflow has now. */
async function runOf(operation: Operation): Promise<string> {
  return (await (await operation.workflowHandle()).describe()).runId;
}

/** Nobody is there: each policy starts a run, and its first task has the update. */
async function checkAStart(env: Env, start: Start, puts: Puts): Promise<void> {
  for (const policy of ['FAIL', 'USE_EXISTING'] as const) {
    const id = env.newId();
    const operation = start('Ann', id, policy);
    assert.equal(await puts('milk', operation), 1);
    const handle = await operation.workflowHandle();
    assert.equal(handle.workflowId, id);
    const { events } = await handle.fetchHistory();
    assert.deepEqual(events?.map(({ eventType }) => eventType), BEGUN);
    await handle.signal(pay);
    assert.deepEqual(await handle.result(), ['Ann', 'milk']);
    env.started.push(handle);
  }
  // One that is only accepted; its workflow is known by then.
  const id = env.newId();
  const startWorkflowOperation = start('Bob', id, 'FAIL');
  const update = await env.client.workflow.startUpdateWithStart(putWhenPaid, {
    args: ['bread'],
    updateId: 'bread',
    startWorkflowOperation,
    waitForStage: 'ACCEPTED',
  });
  const handle = await startWorkflowOperation.workflowHandle();
  const { updateId, workflowId, workflowRunId } = update;
  assert.deepEqual([updateId, workflowId, workflowRunId], ['bread', id, await runOf(startWorkflowOperation)]);
  await handle.signal(pay);
  assert.equal(await update.result(), 'bread');
  assert.deepEqual(await handle.result(), ['Bob', 'bread']);
  env.started.push(handle);
}

/** A run is there already. */
async function checkWhoIsThere(env: Env, start: Start, puts: Puts): Promise<void> {
  const id = env.newId();
  const first = start('Ann', id, 'USE_EXISTING');
  assert.equal(await puts('milk', first, { updateId: 'milk' }), 1);
  const handle = await first.workflowHandle();
  const run = await runOf(first);
  const second = start('Bob', id, 'USE_EXISTING');
  assert.equal(await puts('bread', second), 2);
  assert.equal(await runOf(second), run);
  // Asked once more by its id: the answer of then.
  assert.equal(await puts('something else', start('Bob', id, 'USE_EXISTING'), { updateId: 'milk' }), 1);
  // FAIL: nothing happens, and both halves say why.
  await refused(puts, start('Bob', id, 'FAIL'), id);
  // But an update that is there already is found by its id.
  assert.equal(await puts('milk', start('Bob', id, 'FAIL'), { updateId: 'milk' }), 1);
  await handle.signal(pay);
  assert.deepEqual(await handle.result(), ['Ann', 'milk', 'bread']);
  env.started.push(handle);
  // It is closed: a new run, unless the reuse policy says otherwise.
  await refused(puts, start('Bob', id, 'USE_EXISTING', { workflowIdReusePolicy: 'REJECT_DUPLICATE' }), id);
  const fourth = start('Bob', id, 'USE_EXISTING');
  assert.equal(await puts('eggs', fourth), 1);
  const newest = await runOf(fourth);
  assert.notEqual(newest, run);
  // Ten at once.
  const numbers = Array.from({ length: 10 }, (_, number) => number);
  const counts = await Promise.all(numbers.map((number) => puts(`egg ${number}`, start('Bob', id, 'USE_EXISTING'))));
  assert.deepEqual(counts.sort((a, b) => a - b), numbers.map((number) => number + 2));
  // One that takes the place of the run that is there.
  const fifth = start('Cid', id, 'TERMINATE_EXISTING');
  assert.equal(await puts('salt', fifth), 1);
  const last = await fifth.workflowHandle();
  assert.equal((await env.client.workflow.getHandle(id, newest).describe()).status.name, 'TERMINATED');
  await last.signal(pay);
  assert.deepEqual(await last.result(), ['Cid', 'salt']);
  env.started.push(last);
}

async function refused(puts: Puts, operation: Operation, id: string): Promise<void> {
  for (const call of [puts('eggs', operation), operation.workflowHandle()]) {
    assert.equal((await failure(call, WorkflowExecutionAlreadyStartedError)).workflowId, id);
  }
}

async function checkRefusals(env: Env, start: Start, puts: Puts): Promise<void> {
  // The update is turned away, and the run that was started for it goes on.
  const operation = start('Ann', env.newId(), 'FAIL');
  const { cause } = await failure(puts('', operation), WorkflowUpdateFailedError);
  assert(cause instanceof ApplicationFailure);
  assert.equal(cause.type, 'Nothing');
  const handle = await operation.workflowHandle();
  assert.equal((await handle.describe()).status.name, 'RUNNING');
  await handle.signal(pay);
  assert.deepEqual(await handle.result(), ['Ann']);
  env.started.push(handle);
  // What the client itself refuses: it was used.
  assert.match((await failure(puts('milk', operation), Error)).message, /already been executed/);
  // What the server refuses.
  for (const options of [{ cronSchedule: '* * * * *' }, { startDelay: '1 second' }] as Partial<WorkflowOptions>[]) {
    const impossible = start('Ann', env.newId(), 'FAIL', options);
    for (const call of [puts('milk', impossible), impossible.workflowHandle()]) {
      const error = await failure(call, Error);
      assert(isGrpcServiceError(error), `${error}`);
      assert.equal(error.code, INVALID_ARGUMENT);
    }
  }
}
