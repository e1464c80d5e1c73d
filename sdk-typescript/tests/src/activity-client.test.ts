/** The client that activities have at hand. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activityInfo, getClient } from '@durably/activity';
import { MockActivityEnvironment, TestWorkflowEnvironment } from '@durably/testing';
import { Worker } from '@durably/worker';
import { type looking, seen } from './workflows/looking';

test('an activity asks and signals its own workflow', async (t) => {
  const environment = await TestWorkflowEnvironment.createLocal({ server: { namespace: 'orders' } });
  t.after(() => environment.teardown());
  const look = async () => {
    const handle = getClient().workflow.getHandle(activityInfo().workflowExecution.workflowId);
    await handle.signal(seen, 'the activity');
    return (await handle.describe()).status.name;
  };
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    namespace: environment.namespace,
    taskQueue: 'q',
    workflowsPath: require.resolve('./workflows/looking'),
    activities: { look },
  });
  const { workflow } = environment.client;
  const result = await worker.runUntil(
    workflow.execute<typeof looking>('looking', { workflowId: 'w', taskQueue: 'q' }),
  );
  assert.deepEqual(result, ['RUNNING', 'the activity']);
});

test('an activity without a worker has the client that it was given', async (t) => {
  await assert.rejects(new MockActivityEnvironment().run(async () => getClient()), /No client/);
  const environment = await TestWorkflowEnvironment.createLocal();
  t.after(() => environment.teardown());
  const { client } = environment;
  assert.equal(await new MockActivityEnvironment({}, { client }).run(async () => getClient()), client);
});
