/** The example of updates in the README. */

// snippet: updates
import { allHandlersFinished, condition, defineSignal, defineUpdate, proxyActivities, setHandler } from '@durably/workflow';

const { reserve } = proxyActivities<{ reserve(item: string): Promise<string> }>({ startToCloseTimeout: '1 minute' });

export const put = defineUpdate<number, [item: string]>('put');
export const checkOut = defineSignal('checkOut');

export async function cart(): Promise<string[]> {
  const items: string[] = [];
  let isOpen = true;
  const putIn = async (item: string) => items.push(await reserve(item));
  const validator = (item: string) => {
    if (item === '') throw new Error('there is nothing to put in'); // turned away, without a trace in the history
  };
  setHandler(put, putIn, { validator, description: 'Reserves an item, and answers how many there are' });
  setHandler(checkOut, () => void (isOpen = false));
  await condition(() => !isOpen && allHandlersFinished());
  return items;
}
// end snippet
