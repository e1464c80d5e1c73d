/** A workflow that calls the activity that it is told to, once. */

import { executeChild, makeContinueAsNewFunc, proxyActivities } from '@durably/workflow';

const activities = proxyActivities<Record<string, (argument: string) => Promise<unknown>>>({
  startToCloseTimeout: '1 minute',
  retry: { maximumAttempts: 1 },
});

export async function callsOnce(activity: string, argument: string): Promise<unknown> {
  return await activities[activity]!(argument);
}

/** As one for another SDK might, with options that are not there. */
export async function asksForMore(again: boolean): Promise<string> {
  const options = { startToCloseTimeout: '1 minute', versioningIntent: 'COMPATIBLE', eventGroups: undefined } as const;
  const { give } = proxyActivities<{ give(): Promise<string> }>(options);
  if (!again) return await give();
  await give();
  const other = { args: [], workflowIdConflictPolicy: 'FAIL', versioningIntent: 'COMPATIBLE' } as const;
  await executeChild(nothing, other);
  const more = { workflowRunTimeout: '1 minute', backoff: 5 } as const;
  return await makeContinueAsNewFunc<typeof asksForMore>(more)(false);
}

export async function nothing(): Promise<void> {}
