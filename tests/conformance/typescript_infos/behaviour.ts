/** What workflow and activity code can learn about itself. */

import { strict as assert } from 'node:assert';
import { activityInfo, Context } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { infos } from './workflows';

export const activities = {
  async describe(): Promise<Record<string, unknown>> {
    const info = activityInfo();
    const context = Context.current();
    return {
      ids: [info.workflowExecution?.workflowId, info.workflowExecution?.runId, info.activityId],
      names: [info.activityType, info.workflowType, info.taskQueue, info.workflowNamespace, info.attempt, info.isLocal],
      limits: [info.startToCloseTimeoutMs, info.scheduleToCloseTimeoutMs, info.heartbeatTimeoutMs],
      times: [typeof info.scheduledTimestampMs, typeof info.currentAttemptScheduledTimestampMs],
      token: info.taskToken instanceof Uint8Array && info.base64TaskToken === Buffer.from(info.taskToken).toString('base64'),
      heartbeat: info.heartbeatDetails ?? null,
      signal: [context.cancellationSignal instanceof AbortSignal, context.cancellationSignal.aborted],
      same: context.info === info,
    };
  },
};

export async function check(env: Env): Promise<void> {
  const options = { memo: { note: ['ü'] }, workflowRunTimeout: '1 minute', workflowTaskTimeout: '5 seconds' } as const;
  const handle = await env.startWith(options, infos);
  const [own, activity] = await handle.result();
  const { workflowId, firstExecutionRunId: runId } = handle;
  assert.deepEqual(own, {
    ids: [workflowId, runId, runId],
    names: ['infos', env.taskQueue, 'default', 1],
    times: [true, true],
    limits: [own.limits instanceof Array ? own.limits[0] : undefined, 60_000, 5_000],
    memo: { note: ['ü'] },
    parent: true,
    history: 3,
    continueAsNewSuggested: false,
  });
  assert.deepEqual(activity, {
    ids: [workflowId, runId, '1'],
    names: ['describe', 'infos', env.taskQueue, 'default', 1, false],
    limits: [50_000, 60_000, 10_000],
    times: ['number', 'number'],
    token: true,
    heartbeat: null,
    signal: [true, false],
    same: true,
  });
}
