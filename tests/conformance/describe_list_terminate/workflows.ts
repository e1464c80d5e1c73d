/** The workflows of this behaviour, on their own because they are bundled. */

import { condition } from '@temporalio/workflow';

export async function conformanceWaiter(): Promise<void> {
  await condition(() => false);
}
