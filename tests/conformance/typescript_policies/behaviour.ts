/** Which errors fail a workflow instead of its task, by `workflowFailureErrorTypes`, wherever they are thrown. */

import { strict as assert } from 'node:assert';
import { type WorkflowHandle, WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { type WorkerOptions, bundleWorkflowCode } from '@temporalio/worker';
import { type Env, eventually, failure } from '../harness/harness';
import { changes, signal, throws } from './workflows';

const PLACES = ['main', 'handler', 'handler after await'];
/** With the official SDK, an error in a condition fails the task whatever is listed; with ours it is as any other. */
const isOurs = '@temporalio/workflow'.startsWith('@durably/');

const activities = { async nothing(): Promise<void> {} };

export const ownWorkers = true;

async function causeOf(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const { cause } = await failure(handle.result(), WorkflowFailedError);
  assert(cause instanceof ApplicationFailure, String(cause));
  return cause;
}

/** A workflow task has failed, and the run goes on. */
async function failsItsTask(handle: WorkflowHandle): Promise<void> {
  await eventually('a workflow task fails', async () =>
    ((await handle.fetchHistory()).events ?? []).some((event) => event.workflowTaskFailedEventAttributes),
  );
  assert.equal((await handle.describe()).status.name, 'RUNNING');
  await handle.terminate();
}

async function started(env: Env, where: string): Promise<WorkflowHandle> {
  const handle = await env.start(throws, where);
  if (where !== 'main') await handle.signal(signal);
  return handle;
}

export async function check(env: Env): Promise<void> {
  // Made once for all workers: bundling takes long with the official SDK.
  const workflowBundle = await bundleWorkflowCode({ workflowsPath: env.workflowsPath });
  const by = async (workflowFailureErrorTypes: WorkerOptions['workflowFailureErrorTypes'], fn: () => Promise<void>) => {
    const worker = await env.worker({
      activities,
      maxCachedWorkflows: 0,
      workflowFailureErrorTypes,
      workflowsPath: undefined,
      workflowBundle,
    });
    await worker.runUntil(fn);
  };
  const own: Record<string, string[]>[] = [{ '*': ['OutOfStock'] }, { throws: ['Error'], changes: ['OutOfStock'] }];
  for (const types of own) {
    await by(types, async () => {
      for (const where of PLACES) {
        const { message, type } = await causeOf(await started(env, where));
        assert.deepEqual([message, type], ['none left', 'OutOfStock'], where);
      }
      const inCondition = await started(env, 'condition');
      if (isOurs) assert.equal((await causeOf(inCondition)).message, 'none left');
      else await failsItsTask(inCondition);
      await failsItsTask(await env.start(changes));
    });
  }
  await by({ '*': ['RangeError'], changes: ['Error'] }, async () => {
    for (const where of [...PLACES, 'condition']) await failsItsTask(await started(env, where));
  });
  const lists: Record<string, string[]>[] = [
    { '*': ['NondeterminismError'] },
    { '*': ['DeterminismViolationError'] },
    { changes: ['NondeterminismError'] },
    { '*': ['Error'] },
  ];
  for (const types of lists) {
    await by(types, async () => {
      const { message, nonRetryable } = await causeOf(await env.start(changes));
      assert.match(message, /determinism/);
      assert.equal(nonRetryable, false);
    });
  }
}
