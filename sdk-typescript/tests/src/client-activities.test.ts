/** Activities that are completed from elsewhere, by token and by ids. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  ActivityCancelledError,
  ActivityCompletionError,
  ActivityNotFoundError,
  ApplicationFailure,
  type FullActivityId,
  type WorkflowHandle,
} from '@durably/client';
import { type Hand, commands, embedded } from './hand';

/** Both ways to name an activity. */
const WAYS = ['token', 'ids'] as const;

interface Begun {
  readonly hand: Hand;
  readonly handle: WorkflowHandle;
  readonly activity: Uint8Array | FullActivityId;
}

/** A workflow with an activity that has begun. */
async function begin(t: TestContext, way: (typeof WAYS)[number]): Promise<Begun> {
  const hand = await embedded(t);
  const handle = await hand.client.workflow.start('x', hand.options());
  const { workflowId } = handle;
  await hand.answer(commands.activity('pay', hand.queue));
  const { taskToken, workflowExecution } = await hand.activity();
  const ids = { workflowId, runId: workflowExecution!.runId, activityId: 'pay' };
  return { hand, handle, activity: way === 'token' ? taskToken : ids };
}

function textOf(payload: { data?: Uint8Array | null } | undefined): string {
  return Buffer.from(payload?.data ?? []).toString();
}

for (const way of WAYS) {
  test(`an activity is completed by ${way}`, async (t) => {
    const { hand, activity } = await begin(t, way);
    await hand.client.activity.complete(activity, { paid: 5 });
    const { history } = await hand.task();
    const [completed] = history!.events.flatMap((event) => event.activityTaskCompletedEventAttributes ?? []);
    assert.equal(textOf(completed!.result!.payloads[0]), '{"paid":5}');
    await assert.rejects(hand.client.activity.complete(activity, 1), ActivityNotFoundError);
  });

  test(`an activity fails by ${way}`, async (t) => {
    const { hand, activity } = await begin(t, way);
    await hand.client.activity.fail(activity, ApplicationFailure.nonRetryable('no money', 'Broke', { left: 0 }));
    const { history } = await hand.task();
    const [failed] = history!.events.flatMap((event) => event.activityTaskFailedEventAttributes ?? []);
    assert.equal(failed!.failure!.message, 'no money');
    assert.equal(failed!.failure!.applicationFailureInfo!.type, 'Broke');
    assert.equal(textOf(failed!.failure!.applicationFailureInfo!.details!.payloads[0]), '{"left":0}');
  });

  test(`an activity heartbeats and is cancelled by ${way}`, async (t) => {
    const { hand, handle, activity } = await begin(t, way);
    await hand.client.activity.heartbeat(activity, { at: 1 });
    const { raw } = await handle.describe();
    assert.equal(textOf(raw.pendingActivities[0]!.heartbeatDetails!.payloads[0]), '{"at":1}');
    await assert.rejects(hand.client.activity.reportCancellation(activity), ActivityCompletionError);
    await handle.signal('stop');
    const { events } = await handle.fetchHistory();
    const scheduled = events!.find((event) => event.activityTaskScheduledEventAttributes)!;
    await hand.answer(commands.cancelActivity(Number(scheduled.eventId)));
    await assert.rejects(hand.client.activity.heartbeat(activity), ActivityCancelledError);
    await hand.client.activity.reportCancellation(activity, 'tidy');
    const { history } = await hand.task();
    const [cancelled] = history!.events.flatMap((event) => event.activityTaskCanceledEventAttributes ?? []);
    assert.equal(textOf(cancelled!.details!.payloads[0]), '"tidy"');
  });
}
