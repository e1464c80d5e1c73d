/** The client's calls: starting by function and by name, handles, results across runs, lists, ids used again. */

import { strict as assert } from 'node:assert';
import { WorkflowContinuedAsNewError, WorkflowFailedError } from '@temporalio/client';
import { TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import { type Env, eventually, failure } from '../harness/harness';
import { end, twice, waits } from './workflows';

export async function check(env: Env): Promise<void> {
  const { taskQueue, client } = env;
  const byName = await client.workflow.start('waits', { workflowId: env.newId(), taskQueue, args: ['hello'] });
  await byName.signal('end', 'world');
  assert.equal(await byName.result(), 'hello, world');
  assert.equal(await client.workflow.result(byName.workflowId), 'hello, world');
  const withoutArgs = await client.workflow.start(waits, { workflowId: env.newId(), taskQueue });
  await client.workflow.getHandle<typeof waits>(withoutArgs.workflowId).signal(end, 'world');
  assert.equal(await withoutArgs.result(), 'no greeting, world');

  const chain = await env.start(twice, true);
  assert.equal(await chain.result(), 'second run');
  const first = client.workflow.getHandle(chain.workflowId, chain.firstExecutionRunId, { followRuns: false });
  const { newExecutionRunId } = await failure(first.result(), WorkflowContinuedAsNewError);
  assert.notEqual(newExecutionRunId, chain.firstExecutionRunId);
  assert.equal((await chain.describe()).runId, newExecutionRunId);

  const workflowId = env.newId();
  const old = await client.workflow.start(waits, { workflowId, taskQueue });
  const young = await client.workflow.start(waits, { workflowId, taskQueue, workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
  assert.notEqual(old.firstExecutionRunId, young.firstExecutionRunId);
  const { cause } = await failure(old.result(), WorkflowFailedError);
  assert(cause instanceof TerminatedFailure, String(cause));
  await young.signal(end, 'x');
  assert.equal(await young.result(), 'no greeting, x');

  const handle = client.workflow.getHandle(workflowId, undefined, { firstExecutionRunId: young.firstExecutionRunId });
  assert.equal(await handle.result(), 'no greeting, x');
  const late = await client.workflow.start(waits, { workflowId: env.newId(), taskQueue, workflowExecutionTimeout: '1s' });
  const timedOut = await failure(late.result(), WorkflowFailedError);
  assert(timedOut.cause instanceof TimeoutFailure, String(timedOut.cause));

  await eventually('all are listed', async () => {
    const statuses: string[] = [];
    for await (const info of client.workflow.list({ query: `TaskQueue = '${taskQueue}'`, pageSize: 2 })) {
      assert(info.startTime instanceof Date && typeof info.historyLength === 'number');
      statuses.push(info.status.name);
    }
    const expected = 'COMPLETED COMPLETED COMPLETED COMPLETED CONTINUED_AS_NEW TERMINATED TIMED_OUT';
    return statuses.sort().join(' ') === expected;
  });
}
