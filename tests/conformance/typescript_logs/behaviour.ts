/** What workflows and activities log arrives once, replay or not, and says where it comes from; so do their failures. */

import { strict as assert } from 'node:assert';
import { ApplicationFailure, Context, log } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { type Env, failure, logged } from '../harness/harness';
import { fails, logs } from './workflows';

export const activities = {
  async notes(): Promise<void> {
    log.info('works', { number: 2 });
    Context.current().log.debug('too fine to be shown');
  },

  async refuses(isBenign: boolean): Promise<void> {
    throw ApplicationFailure.create({ message: 'refused', category: isBenign ? 'BENIGN' : undefined });
  },
};

/** What has been logged about a workflow. */
const about = (workflowId: string) => logged.filter(({ meta }) => meta?.workflowId === workflowId);

export const ownWorkers = true;

export async function check(env: Env): Promise<void> {
  // Without a cache, each task replays what is before it.
  const worker = await env.worker({ activities, maxCachedWorkflows: 0 });
  const handle = await env.start(logs);
  const warnings: string[][] = [];
  await worker.runUntil(async () => {
    await handle.result();
    for (const isBenign of [false, true]) {
      const failing = await env.start(fails, isBenign);
      await failure(failing.result(), WorkflowFailedError);
      warnings.push(about(failing.workflowId).map(({ level, message }) => `${level} ${message}`));
    }
  });
  // A benign failure is nobody's concern.
  assert.deepEqual(warnings, [['WARN Activity failed', 'WARN Workflow failed'], ['WARN Workflow failed']]);
  const told = about(handle.workflowId).filter(({ message }) => /begins|slept|works|ends/.test(message));
  assert.deepEqual(
    told.map(({ level, message }) => `${level} ${message}`),
    ['INFO begins', 'WARN has slept', 'INFO works', 'ERROR ends'],
  );
  for (const { meta, timestampNanos } of told) {
    assert.equal(meta?.workflowType, 'logs');
    assert.equal(meta?.runId ?? meta?.workflowRunId, handle.firstExecutionRunId);
    assert.equal(meta?.taskQueue, env.taskQueue);
    assert.equal(typeof timestampNanos, 'bigint');
  }
  const [begins, , works, ends] = told;
  assert.equal(begins?.meta?.number, 1);
  assert.equal(works?.meta?.number, 2);
  assert.equal(works?.meta?.activityType, 'notes');
  assert.equal(works?.meta?.attempt, 1);
  assert.deepEqual(ends?.meta?.deep, { list: [1] });
}
