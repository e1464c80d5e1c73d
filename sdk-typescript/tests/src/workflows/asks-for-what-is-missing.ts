/** Asks, as it is made, for what is not there yet. */

import { sleep } from '@durably/workflow';
import * as workflow from '@durably/workflow';

export const local = (workflow as unknown as { proxyLocalActivities(options: object): object }).proxyLocalActivities({});

export async function waits(): Promise<void> {
  await sleep('1 hour');
}
