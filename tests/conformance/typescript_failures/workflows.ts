/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  defineSignal,
  proxyActivities,
  rootCause,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { activities } from './behaviour';

/** What a failure says, as plain data. */
function plain(error: unknown): unknown {
  if (error instanceof ApplicationFailure) {
    const { name, message, type, nonRetryable, details, cause } = error;
    return { name, message, type: type || undefined, nonRetryable, details, cause: plain(cause) };
  }
  return error instanceof Error ? { name: error.name, message: error.message, cause: plain(error.cause) } : error;
}

export async function reports(how: string): Promise<unknown> {
  const { fails } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } });
  try {
    return await fails(how);
  } catch (error) {
    if (!(error instanceof ActivityFailure)) {
      throw error;
    }
    const { name, message, activityType, retryState, activityId } = error;
    return { name, message, activityType, retryState, activityId, cause: plain(error.cause), root: rootCause(error) };
  }
}

export async function unknownActivity(): Promise<string> {
  const { missing } = proxyActivities<{ missing(): Promise<void> }>({
    startToCloseTimeout: '1 minute',
    retry: { maximumAttempts: 1 },
  });
  try {
    await missing();
  } catch (error) {
    return error instanceof ActivityFailure ? String(error.cause?.message) : 'something else';
  }
  return 'no failure';
}

/** What an activity's failure makes of a workflow that doesn't catch it. */
export async function uncaught(): Promise<void> {
  const { fails } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } });
  await fails('application');
}

/** An error of another kind becomes a failure, with what is given changed. */
export async function wrapped(): Promise<void> {
  try {
    throw new TypeError('inner');
  } catch (error) {
    throw ApplicationFailure.fromError(error, { message: 'outer', type: 'Outer', details: ['detail'], nonRetryable: true });
  }
}

export const broken = defineSignal('broken');

/** An error that isn't a failure is a bug in the code: the task fails and is tried again, the workflow stays open. */
export async function buggy(): Promise<string> {
  await sleep(1);
  throw new Error('a bug');
}

/** A signal handler's failure is the workflow's. */
export async function handlerFails(): Promise<string> {
  setHandler(broken, () => {
    throw ApplicationFailure.nonRetryable('the handler fails', 'Handler');
  });
  await condition(() => false);
  return 'never';
}
