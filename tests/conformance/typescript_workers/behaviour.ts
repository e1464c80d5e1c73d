/** A worker's life: its states, what shutting down lets end, and the workflow that stands for all unknown ones. */

import { strict as assert } from 'node:assert';
import { EventEmitter, once } from 'node:events';
import { Context } from '@temporalio/activity';
import { type Env, failure } from '../harness/harness';
import { works } from './workflows';

const events = new EventEmitter();

export const activities = {
  /** Ends when it is cancelled, as it is when its worker's grace is over. */
  async slow(): Promise<string> {
    events.emit('started');
    const context = Context.current();
    try {
      await context.cancelled;
      return 'never';
    } catch {
      return 'ended with its worker';
    }
  },
};

export const ownWorkers = true;

export async function check(env: Env): Promise<void> {
  const worker = await env.worker({ activities, shutdownGraceTime: '100 ms' });
  assert.equal(worker.getState(), 'INITIALIZED');
  const running = worker.run();
  assert.equal(worker.getState(), 'RUNNING');
  await failure(worker.run(), Error);

  const started = once(events, 'started');
  const handle = await env.start(works);
  await started;
  worker.shutdown();
  assert.match(worker.getState(), /STOPPING|DRAINING/);
  await running;
  assert.equal(worker.getState(), 'STOPPED');

  const next = await env.worker({ activities });
  const result = await next.runUntil(async () => {
    assert.equal(await handle.result(), 'ended with its worker');
    return await env.client.workflow.execute('unheard', { workflowId: env.newId(), taskQueue: env.taskQueue, args: [1, 2] });
  });
  assert.equal(result, 'other workflow with 2 arguments');
  assert.equal(next.getState(), 'STOPPED');

  const failing = await env.worker({ activities });
  const { message } = await failure(failing.runUntil(Promise.reject(new Error('on purpose'))), Error);
  assert.equal(message, 'on purpose');
  assert.equal(failing.getState(), 'STOPPED');
}
