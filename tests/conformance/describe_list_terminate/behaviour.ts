/** What operators do: describe, list with filters, count, terminate with a reason. */

import { strict as assert } from 'node:assert';
import { WorkflowFailedError } from '@temporalio/client';
import { TerminatedFailure } from '@temporalio/common';
import { type Env, eventually, failure } from '../harness/harness';
import { conformanceWaiter } from './workflows';

export async function check(env: Env): Promise<void> {
  const start = (number: number) => env.startWith({ memo: { number } }, conformanceWaiter);
  const [first, second, third] = [await start(0), await start(1), await start(2)];
  const description = await first.describe();
  assert.equal(description.workflowId, first.workflowId);
  assert.equal(description.runId, first.firstExecutionRunId);
  assert.equal(description.status.name, 'RUNNING');
  assert.equal(description.type, 'conformanceWaiter');
  assert.equal(description.taskQueue, env.taskQueue);
  assert.equal(description.closeTime, undefined);
  assert.deepEqual(description.memo, { number: 0 });

  async function listed(query: string): Promise<string[]> {
    const found: string[] = [];
    for await (const info of env.client.workflow.list({ query })) {
      found.push(info.workflowId);
    }
    return found.sort();
  }
  const same = (a: string[], b: string[]) => a.join() === b.join();
  const everything = [first, second, third].map((handle) => handle.workflowId).sort();
  const queue = `TaskQueue = '${env.taskQueue}'`;
  await eventually('the list shows all three', async () => same(await listed(queue), everything));
  assert.deepEqual(await listed(`${queue} AND WorkflowId = '${second.workflowId}'`), [second.workflowId]);
  assert.deepEqual(await listed(`${queue} AND WorkflowType = 'conformanceWaiter'`), everything);
  assert.deepEqual(await listed(`${queue} AND ExecutionStatus = 'Completed'`), []);

  await first.terminate('no longer needed');
  const { cause } = await failure(first.result(), WorkflowFailedError);
  assert(cause instanceof TerminatedFailure, String(cause));
  assert.match(cause.message, /no longer needed/);
  const closed = await first.describe();
  assert.equal(closed.status.name, 'TERMINATED');
  assert(closed.closeTime instanceof Date);
  await eventually('the list shows the status', async () =>
    same(await listed(`${queue} AND ExecutionStatus = 'Terminated'`), [first.workflowId]),
  );
  const running = `${queue} AND ExecutionStatus = 'Running'`;
  assert.deepEqual(await listed(running), everything.filter((id) => id !== first.workflowId));
  assert.equal((await env.client.workflow.count(running)).count, 2);
  await second.terminate();
  await third.terminate();
}
