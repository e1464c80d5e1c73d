/** Asks, as it is made, for what is not there yet. */

import { sleep } from '@durably/workflow';
import * as workflow from '@durably/workflow';

export const update = (workflow as unknown as { defineUpdate(name: string): object }).defineUpdate('update');

export async function waits(): Promise<void> {
  await sleep('1 hour');
}
