/** The workflows of this behaviour, on their own because they are bundled. */

import { ActivityFailure, ApplicationFailure, proxyActivities } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { elsewhere } = proxyActivities<typeof activities>({ activityId: 'elsewhere', startToCloseTimeout: '1 minute' });

export async function waits(key: string): Promise<string> {
  try {
    return await elsewhere(key);
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof ApplicationFailure) {
      return `failed: ${error.cause.message}`;
    }
    throw error;
  }
}
