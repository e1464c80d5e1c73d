/** The workflows of this behaviour, on their own because they are bundled. */

import { ActivityFailure, type ActivityOptions, proxyActivities, TimeoutFailure } from '@temporalio/workflow';
import type { activities } from './behaviour';

export type Which = 'START_TO_CLOSE' | 'SCHEDULE_TO_CLOSE' | 'SCHEDULE_TO_START' | 'HEARTBEAT';

const BRIEF = '400 ms';
const once = { maximumAttempts: 1 };

function options(which: Which, nowhere: string): ActivityOptions {
  switch (which) {
    case 'START_TO_CLOSE':
      return { startToCloseTimeout: BRIEF, retry: once };
    case 'SCHEDULE_TO_CLOSE':
      return { scheduleToCloseTimeout: BRIEF };
    case 'SCHEDULE_TO_START':
      return { scheduleToStartTimeout: BRIEF, startToCloseTimeout: '1 minute', taskQueue: nowhere };
    case 'HEARTBEAT':
      return { heartbeatTimeout: BRIEF, startToCloseTimeout: '1 minute', retry: once };
  }
}

export async function timesOut(which: Which, nowhere: string): Promise<string> {
  const { hang } = proxyActivities<typeof activities>(options(which, nowhere));
  try {
    await hang();
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) {
      return String(error.cause.timeoutType);
    }
    throw error;
  }
  return 'no time-out';
}
