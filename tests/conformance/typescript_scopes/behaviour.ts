/** Cancellation scopes: what a cancellation reaches, what is shielded from it, and how it shows. */

import { strict as assert } from 'node:assert';
import { Context } from '@temporalio/activity';
import { type Env, eventually } from '../harness/harness';
import { activity, deadlines, goOn, nesting, requested, tidies, triggers } from './workflows';

export const activities = {
  async quick(word: string): Promise<string> {
    return word;
  },

  /** Runs until it is cancelled. */
  async patient(): Promise<void> {
    const context = Context.current();
    const beats = setInterval(() => context.heartbeat(), 50);
    try {
      await context.cancelled;
    } finally {
      clearInterval(beats);
    }
  },
};

export async function check(env: Env): Promise<void> {
  assert.deepEqual(await env.execute(nesting), [
    'cancelled: CancelledFailure',
    'cancelled: CancelledFailure',
    'done: slept',
    'done: slept',
    'asked: true false',
    'cancelled: CancelledFailure',
    'cancelled: CancelledFailure',
  ]);
  assert.deepEqual(await env.execute(deadlines), ['cancelled: CancelledFailure', 'done: in time']);
  assert.deepEqual(await env.execute(activity), ['ActivityFailure', 'CancelledFailure', 'true']);
  assert.deepEqual(await env.execute(requested), ['requested: CancelledFailure', 'slept all the same']);
  const waiting = await env.start(triggers);
  await waiting.signal(goOn);
  assert.deepEqual(await waiting.result(), ['by a signal', 'true', 'false']);
  const tidying = await env.start(tidies);
  await eventually('it waits', async () => ((await tidying.fetchHistory()).events?.length ?? 0) >= 5);
  await tidying.cancel();
  assert.deepEqual(await tidying.result(), [
    'cancelled: Workflow cancelled',
    'cancelled: CancelledFailure',
    'done: shielded',
    'asked: true',
  ]);
}
