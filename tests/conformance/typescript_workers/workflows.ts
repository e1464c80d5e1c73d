/** The workflows of this behaviour, on their own because they are bundled. */

import { proxyActivities } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { slow } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } });

export async function works(): Promise<string> {
  return await slow();
}

/** Any other workflow type. */
export default async function other(...args: unknown[]): Promise<string> {
  return `other workflow with ${args.length} arguments`;
}
