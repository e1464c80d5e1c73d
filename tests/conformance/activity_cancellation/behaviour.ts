/** Cancelling an activity: before it starts, while it runs and heartbeats, and with the three ways of waiting. */

import { strict as assert } from 'node:assert';
import { CancelledFailure, Context } from '@temporalio/activity';
import { type Env, eventually } from '../harness/harness';
import { cancels, enough } from './workflows';

const PENDING_ACTIVITY_STATE_STARTED = 2;

async function work(context: Context): Promise<never> {
  for (;;) {
    context.heartbeat();
    // A long-running activity that works in small steps
    await context.sleep(50);
  }
}

export const activities = {
  /** Heartbeats until it is told to stop, and takes a moment to tidy up. */
  async untilCancelled(): Promise<string> {
    const context = Context.current();
    try {
      return await work(context);
    } catch (error) {
      context.heartbeat('stopped');
      throw error;
    }
  },

  /** Hears of the cancellation and completes all the same. */
  async finishAnyway(): Promise<string> {
    try {
      return await work(Context.current());
    } catch (error) {
      assert(error instanceof CancelledFailure);
      return 'finished';
    }
  },
};

export async function check(env: Env): Promise<void> {
  for (const [name, how, expected] of [
    ['untilCancelled', 'WAIT_CANCELLATION_COMPLETED', 'cancelled'],
    ['finishAnyway', 'WAIT_CANCELLATION_COMPLETED', 'finished'],
    ['untilCancelled', 'TRY_CANCEL', 'cancelled'],
    ['untilCancelled', 'ABANDON', 'cancelled'],
  ] as const) {
    const handle = await env.start(cancels, name, how, '');
    await eventually(`${name} has started`, async () => {
      const pending = (await handle.describe()).raw.pendingActivities ?? [];
      return pending.some((activity) => activity.state === PENDING_ACTIVITY_STATE_STARTED);
    });
    await handle.signal(enough);
    assert.equal(await handle.result(), expected, `${name}, ${how}`);
  }
  // Nobody polls that queue: the activity is cancelled before it starts.
  const handle = await env.start(cancels, 'untilCancelled', 'WAIT_CANCELLATION_COMPLETED', `${env.taskQueue}-none`);
  await handle.signal(enough);
  assert.equal(await handle.result(), 'cancelled');
}
