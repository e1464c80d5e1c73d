/** The workflows of this behaviour, on their own because they are bundled. */

import { ApplicationFailure, condition, continueAsNew, defineSignal, type ParentClosePolicy, setHandler, startChild } from '@temporalio/workflow';

export const end = defineSignal('end');

/** Goes on until it is told that it may end. */
export async function goes(): Promise<string> {
  let mayEnd = false;
  setHandler(end, () => void (mayEnd = true));
  await condition(() => mayEnd);
  return 'by itself';
}

/** Starts a child, and ends in this way without waiting for it. */
export async function ends(workflowId: string, parentClosePolicy: ParentClosePolicy | 'default', way: string): Promise<string> {
  if (workflowId === '') return 'the next run';
  await startChild(goes, parentClosePolicy === 'default' ? { workflowId } : { workflowId, parentClosePolicy });
  if (way === 'fails') throw ApplicationFailure.retryable('deliberate');
  if (way === 'continues as new') await continueAsNew<typeof ends>('', 'default', '');
  if (way !== 'completes') await condition(() => false);
  return 'done';
}
