/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, continueAsNew, defineSignal, setHandler, workflowInfo } from '@temporalio/workflow';

export const carry = defineSignal<[value: string]>('carry');

/** Returns what the runs of the chain have carried, and whether the last one continues another. */
export async function chain(left: number, before: string[]): Promise<[carried: string[], continues: boolean]> {
  const carried = [...before];
  setHandler(carry, (value) => {
    carried.push(value);
  });
  if (left === 0) {
    return [carried, workflowInfo().continuedFromExecutionRunId !== undefined];
  }
  await condition(() => carried.length > before.length);
  return await continueAsNew<typeof chain>(left - 1, carried);
}
