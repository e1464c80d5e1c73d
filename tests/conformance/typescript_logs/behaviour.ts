/** What workflows and activities log arrives once, replay or not, and says where it comes from. */

import { strict as assert } from 'node:assert';
import { Context, log } from '@temporalio/activity';
import { type Env, logged } from '../harness/harness';
import { logs } from './workflows';

export const activities = {
  async notes(): Promise<void> {
    log.info('works', { number: 2 });
    Context.current().log.debug('too fine to be shown');
  },
};

export const ownWorkers = true;

export async function check(env: Env): Promise<void> {
  // Without a cache, each task replays what is before it.
  const worker = await env.worker({ activities, maxCachedWorkflows: 0 });
  const handle = await env.start(logs);
  await worker.runUntil(handle.result());
  const lines = logged.filter(({ meta }) => meta?.workflowId === handle.workflowId);
  const told = lines.filter(({ message }) => /begins|slept|works|ends/.test(message));
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
