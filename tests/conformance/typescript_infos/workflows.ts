/** The workflows of this behaviour, on their own because they are bundled. */

import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { describe } = proxyActivities<typeof activities>({
  startToCloseTimeout: '50 seconds',
  scheduleToCloseTimeout: '2 minutes',
  heartbeatTimeout: 10_000,
});

export async function infos(): Promise<[own: Record<string, unknown>, activity: Record<string, unknown>]> {
  const info = workflowInfo();
  const own = {
    ids: [info.workflowId, info.runId, info.firstExecutionRunId],
    names: [info.workflowType, info.taskQueue, info.namespace, info.attempt],
    times: [info.startTime instanceof Date, info.runStartTime instanceof Date],
    limits: [info.executionTimeoutMs, info.runTimeoutMs, info.taskTimeoutMs],
    memo: info.memo,
    parent: info.parent === undefined,
    history: info.historyLength,
    continueAsNewSuggested: info.continueAsNewSuggested,
  };
  return [own, await describe()];
}
