/** The workflows of this behaviour, on their own because they are bundled. */

import { ActivityFailure, ApplicationFailure, proxyActivities } from '@temporalio/workflow';
import type { activities } from './behaviour';

const startToCloseTimeout = '1 minute';

export async function lucky(): Promise<number> {
  const { thirdTimeLucky } = proxyActivities<typeof activities>({ startToCloseTimeout, retry: { initialInterval: '10 ms' } });
  return await thirdTimeLucky();
}

/** Returns the attempt that has failed last, and why there was none after it. */
export async function refused(kind: string, nonRetryable: boolean): Promise<[attempt: unknown, why: string]> {
  const { refuse } = proxyActivities<typeof activities>({
    startToCloseTimeout,
    retry: { initialInterval: '10 ms', maximumAttempts: 3, nonRetryableErrorTypes: ['Listed'] },
  });
  try {
    await refuse(kind, nonRetryable);
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof ApplicationFailure) {
      const { message, type, details } = error.cause;
      if (message === 'refused' && type === kind && error.activityType === 'refuse') {
        return [details?.[0], String(error.retryState)];
      }
    }
    throw error;
  }
  throw ApplicationFailure.nonRetryable('the activity has not failed');
}

export async function later(): Promise<string> {
  // An hour by policy: only the delay that the failure asks for lets this end in time.
  const { askForLater } = proxyActivities<typeof activities>({ startToCloseTimeout, retry: { initialInterval: '1 hour' } });
  return await askForLater();
}
