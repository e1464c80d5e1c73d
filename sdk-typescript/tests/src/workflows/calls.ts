/** A workflow that calls the activity that it is told to, once. */

import { proxyActivities } from '@durably/workflow';

const activities = proxyActivities<Record<string, (argument: string) => Promise<unknown>>>({
  startToCloseTimeout: '1 minute',
  retry: { maximumAttempts: 1 },
});

export async function callsOnce(activity: string, argument: string): Promise<unknown> {
  return await activities[activity]!(argument);
}
