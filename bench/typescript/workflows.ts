/** The workflow of the SDK benchmark: so many echo activities, one after the other. */

import { proxyActivities } from '@temporalio/workflow';
import type { activities } from './sdk_bench';

const { echo } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

export async function steps(count: number): Promise<string> {
  let value = 'x';
  for (let i = 0; i < count; i++) {
    value = await echo(value);
  }
  return value;
}
