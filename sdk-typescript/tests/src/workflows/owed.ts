/** A workflow that asks for one of each thing, and waits for what never comes. */

import { condition, proxyActivities, startChild } from '@durably/workflow';

const { activity } = proxyActivities<{ activity(): Promise<void> }>({ startToCloseTimeout: '1 minute' });

export async function owed(): Promise<void> {
  activity().catch(() => undefined);
  startChild('child', { workflowId: 'child' }).catch(() => undefined);
  await condition(() => false);
}
