/** Errors in each place where the user's code runs. */

import { condition, defineSignal, proxyActivities, setHandler, sleep, workflowInfo } from '@temporalio/workflow';

export class OutOfStock extends Error {}

export const signal = defineSignal('signal');

/** Throws where it is told to, once it is signalled. */
export async function throws(where: string): Promise<void> {
  if (where === 'main') throw new OutOfStock('none left');
  let told = false;
  setHandler(signal, async () => {
    told = true;
    if (where === 'handler') throw new OutOfStock('none left');
    if (where === 'handler after await') {
      await sleep(1);
      throw new OutOfStock('none left');
    }
  });
  await condition(() => {
    if (told && where === 'condition') throw new OutOfStock('none left');
    return false;
  });
}

/** Does something else when it is replayed. */
export async function changes(): Promise<void> {
  const { nothing } = proxyActivities<{ nothing(): Promise<void> }>({ startToCloseTimeout: '1 minute' });
  if (workflowInfo().unsafe.isReplaying) await sleep('1 hour');
  await nothing();
}
