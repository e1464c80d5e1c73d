/** Tests of a workflow that waits for people: a signal, a query, three days in no time, a retry, and a replay of what has happened. */

// snippet: start
import { strict as assert } from 'node:assert';
import { type TestContext, test } from 'node:test';
import type { WorkflowHandle } from '@durably/client';
import { TestWorkflowEnvironment } from '@durably/testing';
import { Worker } from '@durably/worker';
import { approval, decide, state } from './approval';

type Handle = WorkflowHandle<typeof approval>;
const workflowsPath = require.resolve('./approval');

/** Gives a test a server with a worker, and starts the workflow. */
async function begin(t: TestContext, use: (handle: Handle) => Promise<void>, tell = async (answer: string) => {}) {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  const connection = environment.nativeConnection;
  const worker = await Worker.create({ connection, taskQueue: 'test', workflowsPath, activities: { tell } });
  await worker.runUntil(async () => {
    await use(await environment.client.workflow.start(approval, { workflowId: 'approval', taskQueue: 'test' }));
  });
}
// end snippet

// snippet: signal
test('somebody answers', (t) =>
  begin(t, async (handle) => {
    assert.equal(await handle.query(state), 'waiting');
    await handle.signal(decide, 'yes');
    assert.equal(await handle.result(), 'yes');
  }));
// end snippet

// snippet: time
test('nobody answers', (t) =>
  begin(t, async (handle) => {
    assert.equal(await handle.result(), 'nobody answered'); // three days pass at once
  }));
// end snippet

// snippet: retry
test('a mail is tried again', async (t) => {
  let attempts = 0;
  const tell = async () => {
    if (++attempts < 5) throw new Error('no connection');
  };
  const use = async (handle: Handle) => void (await handle.result()); // and so do the pauses between the attempts
  await begin(t, use, tell);
  assert.equal(attempts, 5);
});
// end snippet

// snippet: replay
test('new code fits old runs', (t) =>
  begin(t, async (handle) => {
    await handle.result();
    const history = await handle.fetchHistory(); // or one that you have saved
    await Worker.runReplayHistory({ workflowsPath }, history); // throws if the code has changed what it does
  }));
// end snippet
