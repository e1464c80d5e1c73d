/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  type ParentClosePolicy,
  setHandler,
  startChild,
} from '@temporalio/workflow';

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
  const options = parentClosePolicy === 'default' ? { workflowId } : { workflowId, parentClosePolicy };
  // Shielded: the parent's cancellation would be its child's too. Temporal's server drops what a run asks of others as it
  // ends, and durably's does not.
  await CancellationScope.nonCancellable(() => startChild(goes, options));
  if (way === 'fails') throw ApplicationFailure.retryable('deliberate');
  if (way === 'continues as new') await continueAsNew<typeof ends>('', 'default', '');
  if (way !== 'completes') await condition(() => false);
  return 'done';
}
