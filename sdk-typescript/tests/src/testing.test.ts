/** `@durably/testing`: environments with and without a clock that skips time, and activities alone. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import * as activity from '@durably/activity';
import { Client, Connection } from '@durably/client';
import { CancelledFailure, defineSearchAttributeKey } from '@durably/common';
import { MockActivityEnvironment, TestWorkflowEnvironment, defaultActivityInfo } from '@durably/testing';
import { Worker, bundleWorkflowCode } from '@durably/worker';
import type { Activities, race, rest } from './workflows/time';

const DAY = 24 * 60 * 60 * 1000;
const bundled = bundleWorkflowCode({ workflowsPath: require.resolve('./workflows/time') });

async function skipping(t: TestContext): Promise<TestWorkflowEnvironment> {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  return environment;
}

async function workerOf(environment: TestWorkflowEnvironment, activities: Activities): Promise<Worker> {
  return Worker.create({
    connection: environment.nativeConnection,
    namespace: environment.namespace,
    taskQueue: 'q',
    workflowBundle: await bundled,
    activities,
  });
}

function options() {
  return { workflowId: randomUUID(), taskQueue: 'q' };
}

test('time skips while a result is awaited, and stands otherwise', async (t) => {
  const environment = await skipping(t);
  assert.equal(environment.supportsTimeSkipping, true);
  const worker = await workerOf(environment, { late: async () => '' });
  await worker.runUntil(async () => {
    const before = await environment.currentTimeMs();
    const { workflow } = environment.client;
    assert.equal(await workflow.execute<typeof rest>('rest', { ...options(), args: [3] }), 3);
    const after = await environment.currentTimeMs();
    assert.ok(after - before >= 3 * DAY && after - before < 4 * DAY, `${after - before} ms`);
    const handle = await workflow.start<typeof rest>('rest', { ...options(), args: [10] });
    assert.ok((await environment.currentTimeMs()) - after < DAY);
    await Promise.all([handle.result(), workflow.execute<typeof rest>('rest', { ...options(), args: [2] })]);
    assert.ok((await environment.currentTimeMs()) - after >= 10 * DAY);
  });
});

test('a sleep moves the clock, for tests and for activities', async (t) => {
  const environment = await skipping(t);
  const before = await environment.currentTimeMs();
  await environment.sleep('2 days');
  const passed = (await environment.currentTimeMs()) - before;
  assert.ok(passed >= 2 * DAY && passed < 3 * DAY, `${passed} ms`);
  const late = async () => {
    await environment.sleep('20 days');
    return 'activity';
  };
  const worker = await workerOf(environment, { late });
  const winner = worker.runUntil(() => environment.client.workflow.execute<typeof race>('race', options()));
  assert.equal(await winner, 'timer');
});

test('a local environment has the real clock, a namespace of its own, and a port if asked', async (t) => {
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  const searchAttributes = [defineSearchAttributeKey('Area', 'KEYWORD')];
  const environment = await TestWorkflowEnvironment.createLocal({
    server: { namespace: 'orders', port, searchAttributes, executable: { type: 'cached-download' } },
  });
  t.after(() => environment.teardown());
  assert.equal(environment.supportsTimeSkipping, false);
  assert.ok(Math.abs((await environment.currentTimeMs()) - Date.now()) < 60_000);
  await environment.sleep(1);
  const worker = await workerOf(environment, { late: async () => 'soon' });
  const result = worker.runUntil(() => environment.client.workflow.execute<typeof race>('race', options()));
  assert.equal(await result, 'soon');
  const connection = await Connection.connect({ address: environment.address });
  t.after(() => connection.close());
  assert.equal((await new Client({ connection, namespace: 'orders' }).workflow.count()).count, 1);
  const existing = await TestWorkflowEnvironment.createFromExistingServer({
    address: environment.address,
    namespace: 'orders',
  });
  t.after(() => existing.teardown());
  assert.equal((await existing.client.workflow.count()).count, 1);
});

test('an activity runs alone, heartbeats and is told its info', async () => {
  const environment = new MockActivityEnvironment({ attempt: 4, heartbeatDetails: { at: 1 } });
  const beats: unknown[] = [];
  environment.on('heartbeat', (details) => beats.push(details));
  const result = await environment.run(async (x: number) => {
    const { attempt, heartbeatDetails, activityId } = activity.activityInfo();
    activity.heartbeat(heartbeatDetails);
    activity.Context.current().heartbeat();
    return `${activityId} ${attempt} ${x}`;
  }, 7);
  assert.equal(result, 'test 4 7');
  assert.deepEqual(beats, [{ at: 1 }, undefined]);
  assert.equal(new MockActivityEnvironment().context.info.attempt, defaultActivityInfo.attempt);
  assert.equal(activity.inActivityContext(), false);
});

test('an activity that runs alone is cancelled', async () => {
  const environment = new MockActivityEnvironment();
  const running = environment.run(async () => {
    try {
      await activity.sleep('1 day');
    } finally {
      assert.ok(activity.cancellationSignal().aborted);
    }
  });
  environment.cancel();
  await assert.rejects(running, (error) => error instanceof CancelledFailure && error.message === 'CANCELLED');
  environment.cancel('TIMED_OUT');
  const { cancellationDetails } = environment.context;
  assert.deepEqual([cancellationDetails?.cancelRequested, cancellationDetails?.timedOut], [true, false]);
  await assert.rejects(environment.run(activity.cancelled), CancelledFailure);
});
