/** A workflow that waits for what never comes. */

import { condition } from '@durably/workflow';

export async function waiting(): Promise<void> {
  await condition(() => false);
}
