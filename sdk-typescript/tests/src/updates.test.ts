/** Updates of workflows by a worker and a client: what is answered, what is left of it, and that each history replays. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, WithStartWorkflowOperation, type WorkflowHandle, WorkflowUpdateFailedError } from '@durably/client';
import { ActivityFailure, ApplicationFailure, type PayloadCodec, WorkflowNotFoundError } from '@durably/common';
import type { WorkerOptions } from '@durably/worker';
import { add, breaks, counts, end, fails, leaves, log, slow, told, validatesOddly, waits } from './workflows/updates';
import { type Env, withWorker } from './worker';

const activities = {
  echo: async (value: unknown): Promise<unknown> => {
    if (value === 'fail') throw ApplicationFailure.nonRetryable('not echoed', 'Silent');
    return value;
  },
};

async function withUpdates(fn: (env: Env) => Promise<void>, options: Partial<WorkerOptions> = {}): Promise<void> {
  await withWorker(
    'updates',
    async (env) => {
      await fn(env);
      await env.replayAll('updates', options.dataConverter ? { dataConverter: options.dataConverter } : {});
    },
    { activities, ...options },
  );
}

async function causeOf(call: Promise<unknown>): Promise<Error> {
  const error = await call.then(
    (result) => assert.fail(`it returned ${JSON.stringify(result)}`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof WorkflowUpdateFailedError, String(error));
  assert.equal(error.message, 'Workflow Update failed');
  assert.ok(error.cause);
  return error.cause;
}

async function lengthOf(handle: WorkflowHandle): Promise<number> {
  return (await handle.fetchHistory()).events?.length ?? 0;
}

test('an update answers, and one that is turned away leaves nothing behind', async () => {
  await withUpdates(async (env) => {
    const handle = await env.start(counts.name);
    // It has begun.
    assert.deepEqual(await handle.query(log), ['main', 'set']);
    assert.equal(await handle.executeUpdate(add, { args: [2] }), 2);
    const before = await lengthOf(handle);
    const cause = await causeOf(handle.executeUpdate(add, { args: [-1] }));
    assert.ok(cause instanceof ApplicationFailure);
    assert.deepEqual([cause.message, cause.type], ['-1 is not positive', 'RangeError']);
    assert.match(cause.stack ?? '', /updates\.ts:\d+/);
    const unheard = await causeOf(handle.executeUpdate('unheard'));
    assert.equal(unheard.message, 'No registered handler for update: unheard; known updates: [add]');
    assert.ok((await lengthOf(handle)) <= before + 3, 'at most a workflow task');
    const started = await handle.startUpdate(add, { args: [-2], waitForStage: 'ACCEPTED' });
    assert.equal((await causeOf(started.result())).message, '-2 is not positive');
    assert.equal(await handle.executeUpdate('add', { args: [3, { by: 'Ann' }] }), 5);
    await handle.signal(end);
    assert.deepEqual(await handle.result(), ['main', 'set', 'add 2 null', 'add 3 {"by":"Ann"}']);
  });
});

test('an update in the first task is handled when its handler is set', async () => {
  await withUpdates(async (env) => {
    const { workflow } = env.client;
    const options = { workflowId: 'first', taskQueue: env.taskQueue, workflowIdConflictPolicy: 'USE_EXISTING' } as const;
    for (const sum of [7, 14]) {
      const startWorkflowOperation = new WithStartWorkflowOperation(counts, options);
      assert.equal(await workflow.executeUpdateWithStart(add, { args: [7], startWorkflowOperation }), sum);
      assert.equal((await startWorkflowOperation.workflowHandle()).workflowId, 'first');
    }
    const handle = workflow.getHandle<typeof counts>('first');
    await handle.signal(end);
    assert.deepEqual(await handle.result(), ['main', 'add 7 null', 'set', 'add 7 null']);
  });
});

test('handlers wait for activities, timers, children and each other, several at a time', async () => {
  await withUpdates(async (env) => {
    const handle = await env.start(waits.name);
    const names = ['a', 'b', 'c', 'd'];
    const updates = [];
    for (const name of names) updates.push(await handle.startUpdate(slow, { args: [name], updateId: name, waitForStage: 'ACCEPTED' }));
    assert.deepEqual(await handle.query(log), names.map((name) => `${name} begins`));
    await handle.signal(end);
    for (const name of [...names].reverse()) await handle.signal(told, `go ${name}`);
    const answers = await Promise.all(updates.map((update) => update.result()));
    assert.deepEqual(answers, names.map((name) => `${name} ${name} slow`));
    const seen = await handle.result();
    assert.equal(seen.filter((line: string) => line.endsWith('ends')).length, 4);
    // Whoever asks later, elsewhere, by its id.
    const other = new Client({ connection: env.connection }).workflow.getHandle(handle.workflowId);
    assert.equal(await other.getUpdateHandle('c').result(), 'c c slow');
    await assert.rejects(other.getUpdateHandle('z').result(), WorkflowNotFoundError);
  });
});

test('a failure fails the update, and the workflow goes on', async () => {
  await withUpdates(async (env) => {
    const handle = await env.start(breaks.name);
    const failed = async (how: string) => causeOf(handle.executeUpdate(fails, { args: [how] }));
    for (const how of ['failure', 'failure later']) {
      const cause = await failed(how);
      assert.ok(cause instanceof ApplicationFailure);
      assert.deepEqual([cause.message, cause.type, cause.nonRetryable, cause.details], ['no more', 'Gone', true, [1]]);
    }
    const cause = await failed('activity');
    assert.ok(cause instanceof ActivityFailure && cause.cause instanceof ApplicationFailure);
    assert.equal(cause.cause.type, 'Silent');
    await handle.signal(end);
    assert.equal(await handle.result(), 'ended');
  });
});

test('an error that is no failure fails the task, and what cannot be a result does', async () => {
  await withWorker(
    'updates',
    async (env) => {
      for (const [how, message] of [['error', /^none left\n[^]*updates\.ts:\d+/], ['odd result', /^The result of update fails: .*BigInt/]] as const) {
        const handle = await env.start(breaks.name);
        const asked = assert.rejects(handle.executeUpdate(fails, { args: [how] }));
        assert.match(await env.taskFailure(handle), message);
        await handle.terminate();
        await asked;
      }
    },
    { activities },
  );
});

test('an error that is listed fails the workflow, and continue-as-new leaves the update unanswered', async () => {
  await withWorker(
    'updates',
    async (env) => {
      const handle = await env.start(breaks.name);
      const cause = await causeOf(handle.executeUpdate(fails, { args: ['error'] }));
      assert.equal((cause as ApplicationFailure).type, 'AcceptedUpdateCompletedWorkflow');
      await assert.rejects(handle.result(), { name: 'WorkflowFailedError' });
      const next = await env.start(breaks.name);
      assert.equal(((await causeOf(next.executeUpdate(fails, { args: ['new'] }))) as ApplicationFailure).type, 'AcceptedUpdateCompletedWorkflow');
      const newest = env.client.workflow.getHandle(next.workflowId);
      await newest.signal(end);
      assert.equal(await newest.result(), 'ended');
    },
    { activities, workflowFailureErrorTypes: { '*': ['OutOfStock'] } },
  );
});

test('a validator that does more than decide turns the update away, and harms nothing', async () => {
  await withUpdates(async (env) => {
    const handle = await env.start(validatesOddly.name);
    const refused = async (how: string) => (await causeOf(handle.executeUpdate('odd', { args: [how] }))).message;
    const only = 'Update validators only read: they cannot wait or start anything';
    for (const how of ['sleep', 'caught sleep', 'condition', 'activity', 'child', 'signal', 'cancel', 'new']) {
      assert.equal(await refused(how), only, how);
    }
    for (const how of ['promise', 'rejected promise', 'promise that goes on']) assert.match(await refused(how), /^The validator of update odd returned a Promise/);
    assert.equal(await refused('text'), 'just text');
    assert.match(await refused('unreadable'), /^what was thrown can't be read/);
    await assert.rejects(handle.query('waits'), /Query handlers only read/);
    for (let i = 0; i < 3; i++) assert.equal(typeof (await handle.query('draws')), 'number');
    assert.match((await handle.executeUpdate('odd', { args: ['random'] })) as string, /^random .*-/);
    const { events } = await handle.fetchHistory();
    assert.ok(!events?.some(({ workflowTaskFailedEventAttributes }) => workflowTaskFailedEventAttributes));
    await handle.signal(end);
    await handle.result();
  });
});

test('updates of an update that has ended with its workflow say so', async () => {
  await withUpdates(async (env) => {
    for (const how of ['return', 'fail', 'new']) {
      const handle = await env.start(leaves.name, [how]);
      const update = await handle.startUpdate(slow, { args: ['x'], waitForStage: 'ACCEPTED' });
      await handle.signal(end);
      const cause = (await causeOf(update.result())) as ApplicationFailure;
      assert.equal(cause.type, 'AcceptedUpdateCompletedWorkflow');
      if (how === 'new') await env.client.workflow.getHandle(handle.workflowId).signal(end);
    }
  });
});

test('workflows send no updates, and take no names that are the SDK\'s', async () => {
  await withUpdates(async (env) => {
    const said = await env.execute('updatesOthers');
    assert.equal(said.length, 8);
    for (const one of said) assert.match(one, /TypeError: \w+: a workflow can't send updates or queries to another one. Send it a signal/);
    const names = await env.execute('takesNames');
    assert.match(names[0], /Cannot use update name: '__temporal_mine', with reserved prefix: '__temporal_'/);
    assert.match(names[1], /Cannot use signal name/);
    assert.match(names[2], /Cannot use query name: '__stack_trace', which is a reserved name/);
    for (const one of names.slice(3, 6)) assert.match(one, /Expected .* to be either a function or 'undefined'/);
    assert.match(names[6], /Invalid definition type: other/);
    assert.equal(names.length, 7);
  });
});

test('arguments, results and failures of updates pass through codecs', async () => {
  const turn = (payloads: any[]) => payloads.map((payload) => ({ ...payload, data: Buffer.from(payload.data).reverse() }));
  const codec: PayloadCodec = { encode: async (payloads) => turn(payloads), decode: async (payloads) => turn(payloads) };
  const dataConverter = { payloadCodecs: [codec] };
  await withUpdates(
    async (env) => {
      const client = new Client({ connection: env.connection, dataConverter });
      const options = { workflowId: 'coded', taskQueue: env.taskQueue };
      const handle = await client.workflow.start(counts, options);
      assert.deepEqual(await handle.query(log), ['main', 'set']);
      assert.equal(await handle.executeUpdate(add, { args: [12] }), 12);
      await handle.signal(end);
      assert.deepEqual(await handle.result(), ['main', 'set', 'add 12 null']);
      const failing = await client.workflow.start(breaks, { ...options, workflowId: 'failing' });
      const cause = (await causeOf(failing.executeUpdate(fails, { args: ['failure'] }))) as ApplicationFailure;
      assert.deepEqual(cause.details, [1]);
      await failing.signal(end);
      await failing.result();
    },
    { dataConverter },
  );
});
