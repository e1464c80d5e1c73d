/** What becomes of errors: thrown in activities, in workflows and in handlers, caught and not. */

import { strict as assert } from 'node:assert';
import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { ActivityFailure } from '@temporalio/common';
import { type Env, eventually, failure } from '../harness/harness';
import { broken, buggy, handlerFails, reports, uncaught, unknownActivity, wrapped } from './workflows';

class Custom extends Error {
  override readonly name = 'Custom';
}

export const activities = {
  async fails(how: string): Promise<never> {
    switch (how) {
      case 'application':
        throw ApplicationFailure.create({ message: 'refused', type: 'Refused', details: [1, { a: null }], cause: new Error('why') });
      case 'custom':
        throw new Custom('of our own', { cause: new RangeError('too far') });
      case 'text':
        throw 'just text';
      default:
        throw new TypeError(how);
    }
  },
};

const ours = { name: 'ActivityFailure', message: 'Activity task failed', activityType: 'fails', activityId: '1' };
const exhausted = { ...ours, retryState: 'MAXIMUM_ATTEMPTS_REACHED' };
/** A cause that is no failure itself has its message, and nothing else that travels. */
const plainError = (message: string) => ({ name: 'TemporalFailure', message });
const application = { name: 'ApplicationFailure', nonRetryable: false, details: [] as unknown[] };

export async function check(env: Env): Promise<void> {
  assert.deepEqual(await env.execute(reports, 'application'), {
    ...exhausted,
    cause: {
      ...application,
      message: 'refused',
      type: 'Refused',
      details: [1, { a: null }],
      cause: plainError('why'),
    },
    root: 'why',
  });
  assert.deepEqual(await env.execute(reports, 'custom'), {
    ...exhausted,
    cause: {
      ...application,
      message: 'of our own',
      type: 'Custom',
      cause: plainError('too far'),
    },
    root: 'too far',
  });
  assert.deepEqual(await env.execute(reports, 'text'), {
    ...exhausted,
    cause: { ...application, message: 'just text' },
    root: 'just text',
  });
  assert.match(await env.execute(unknownActivity), /missing.*fails/s);

  const notCaught = await failure((await env.start(uncaught)).result(), WorkflowFailedError);
  assert.equal(notCaught.message, 'Workflow execution failed');
  assert(notCaught.cause instanceof ActivityFailure, String(notCaught.cause));
  assert(notCaught.cause.cause instanceof ApplicationFailure, String(notCaught.cause.cause));
  assert.equal(notCaught.cause.cause.type, 'Refused');

  const { cause: outer } = await failure((await env.start(wrapped)).result(), WorkflowFailedError);
  assert(outer instanceof ApplicationFailure, String(outer));
  assert.deepEqual([outer.message, outer.type, outer.details, outer.nonRetryable], ['outer', 'Outer', ['detail'], true]);
  assert.equal(outer.cause, undefined, 'the error itself became the failure');

  const handling = await env.start(handlerFails);
  await handling.signal(broken);
  const { cause: handler } = await failure(handling.result(), WorkflowFailedError);
  assert(handler instanceof ApplicationFailure, String(handler));
  assert.deepEqual([handler.message, handler.type], ['the handler fails', 'Handler']);

  const open = await env.client.workflow.start(buggy, { workflowId: env.newId(), taskQueue: env.taskQueue, args: [] });
  await eventually('the failed task is in the history', async () =>
    ((await open.fetchHistory()).events ?? []).some(
      (event) => event.workflowTaskFailedEventAttributes?.failure?.message === 'a bug',
    ),
  );
  assert.equal((await open.describe()).status.name, 'RUNNING');
  await open.terminate();
}
