/** The workflows of this behaviour, on their own because they are bundled. */

import {
  CancellationScope,
  CancelledFailure,
  type ChildWorkflowCancellationType,
  ChildWorkflowFailure,
  condition,
  defineQuery,
  defineSignal,
  executeChild,
  isCancellation,
  setHandler,
  startChild,
} from '@temporalio/workflow';

export const isTidy = defineSignal('is_tidy');
export const state = defineQuery<string>('state');

/** Waits to be cancelled; then to be told that all is tidy, and ends as cancelled, or completes all the same. */
export async function tidiesUp(decline: boolean): Promise<string> {
  let tidy = false;
  let seen = 'running';
  setHandler(isTidy, () => void (tidy = true));
  setHandler(state, () => seen);
  try {
    await condition(() => false);
  } catch (error) {
    seen = 'tidying up';
    await CancellationScope.nonCancellable(() => condition(() => tidy));
    if (!decline) throw error;
  }
  return 'finished';
}

/** What became of a child that was cancelled. */
async function fate(promise: Promise<string>): Promise<string> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof ChildWorkflowFailure && error.cause instanceof CancelledFailure) return 'cancelled';
    throw error;
  }
}

export const cancelIt = defineSignal('cancel_it');
export const leave = defineSignal('leave');
export const childEnded = defineQuery<string>('child_ended');

/** Starts a child, cancels it when it is told to, and tells how the wait for it ended. */
export async function cancels(workflowId: string, cancellationType: ChildWorkflowCancellationType, decline: boolean): Promise<string> {
  let go = false;
  let stay = true;
  let ended = '';
  setHandler(cancelIt, () => void (go = true));
  setHandler(leave, () => void (stay = false));
  setHandler(childEnded, () => ended);
  const scope = new CancellationScope();
  const handle = await scope.run(() => startChild(tidiesUp, { workflowId, cancellationType, args: [decline] }));
  await condition(() => go);
  scope.cancel();
  ended = await fate(handle.result());
  await condition(() => !stay);
  return ended;
}

/** Cancels a child in the step in which it starts it: nothing is sent. */
export async function neverStarts(workflowId: string): Promise<string> {
  const scope = new CancellationScope();
  const starting = scope.run(() => startChild(tidiesUp, { workflowId, args: [false] }));
  scope.cancel();
  return await fate(starting.then(() => 'started'));
}

/** Waits for its child, and knows nothing of cancellation. */
export async function waits(workflowId: string, cancellationType: ChildWorkflowCancellationType): Promise<string> {
  return await executeChild(tidiesUp, { workflowId, cancellationType, args: [false] });
}

/** Its own cancellation is not its child's. */
export async function shields(workflowId: string): Promise<string> {
  const handle = await CancellationScope.nonCancellable(() => startChild(tidiesUp, { workflowId, args: [false] }));
  try {
    await Promise.race([handle.result(), CancellationScope.current().cancelRequested]);
  } catch (error) {
    if (isCancellation(error)) return 'left it alone';
    throw error;
  }
  return 'never cancelled';
}
