/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ActivityFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  defineSignal,
  isCancellation,
  proxyActivities,
  setHandler,
  sleep,
  Trigger,
} from '@temporalio/workflow';
import type { activities } from './behaviour';

const { quick, patient } = proxyActivities<typeof activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '5 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
});

/** What became of a promise, in one word. */
async function fate(promise: Promise<unknown>): Promise<string> {
  try {
    return `done: ${await promise}`;
  } catch (error) {
    const kind = error instanceof Error ? error.name : typeof error;
    return isCancellation(error) ? `cancelled: ${kind}` : `failed: ${kind}`;
  }
}

/** A scope's cancellation reaches what was begun in it and in the scopes within, and nothing else. */
export async function nesting(): Promise<string[]> {
  const seen: string[] = [];
  let inner: Promise<string> | undefined;
  let shielded: Promise<string> | undefined;
  const outer = new CancellationScope();
  const ended = outer.run(async () => {
    inner = fate(CancellationScope.cancellable(() => sleep('1 hour')));
    shielded = fate(CancellationScope.nonCancellable(() => sleep(20).then(() => 'slept')));
    await sleep('1 hour');
  });
  const outside = fate(sleep(10).then(() => 'slept'));
  outer.cancel();
  seen.push(await fate(ended), String(await inner), String(await shielded), await outside);
  seen.push(`asked: ${outer.consideredCancelled} ${CancellationScope.current().consideredCancelled}`);
  // What begins in a scope that is cancelled already doesn't begin.
  seen.push(await fate(outer.run(() => sleep(1))), await fate(outer.run(() => quick('late'))));
  return seen;
}

/** A scope with a time-out cancels what takes too long, and leaves alone what doesn't. */
export async function deadlines(): Promise<string[]> {
  const late = await fate(CancellationScope.withTimeout(100, () => sleep('1 hour')));
  const inTime = await fate(CancellationScope.withTimeout('1 hour', () => quick('in time')));
  return [late, inTime];
}

/** An activity's cancellation arrives as an ActivityFailure with the cause CancelledFailure. */
export async function activity(): Promise<string[]> {
  const seen: string[] = [];
  try {
    await CancellationScope.withTimeout(300, () => patient());
  } catch (error) {
    if (error instanceof ActivityFailure) {
      seen.push(error.name, String(error.cause?.name), String(error.cause instanceof CancelledFailure));
    }
  }
  return seen;
}

/** `cancelRequested` tells code that doesn't await anything cancellable. */
export async function requested(): Promise<string[]> {
  const seen: string[] = [];
  const scope = new CancellationScope({ cancellable: false });
  const ended = scope.run(async () => {
    const asked = scope.cancelRequested.catch((error) => seen.push(`requested: ${error.name}`));
    await sleep(10);
    seen.push('slept all the same');
    await asked;
  });
  scope.cancel();
  await ended;
  return seen;
}

export const goOn = defineSignal('go-on');

/** A Trigger is a promise that anything can settle; the first settlement counts. */
export async function triggers(): Promise<string[]> {
  const trigger = new Trigger<string>();
  setHandler(goOn, () => {
    trigger.resolve('by a signal');
    trigger.reject(new Error('too late'));
  });
  return [await trigger, String(await condition(() => true, 10)), String(await condition(() => false, 10))];
}

/** The workflow's own cancellation cancels its root scope; tidying up needs a shield. */
export async function tidies(): Promise<string[]> {
  const seen: string[] = [];
  try {
    await Promise.all([sleep('1 hour'), condition(() => false)]);
  } catch (error) {
    seen.push(error instanceof CancelledFailure ? `cancelled: ${error.message}` : String(error));
    seen.push(await fate(quick('unshielded')));
    seen.push(await fate(CancellationScope.nonCancellable(() => quick('shielded'))));
    seen.push(`asked: ${CancellationScope.current().consideredCancelled}`);
  }
  return seen;
}
