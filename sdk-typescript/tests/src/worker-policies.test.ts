/**
 * What becomes of a workflow when its code throws: failures end it, all other errors fail the task until they are fixed,
 * unless they are listed in `workflowFailureErrorTypes`; wherever they are thrown.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, type WorkflowHandle, WorkflowFailedError } from '@durably/client';
import { ApplicationFailure } from '@durably/common';
import { Worker, type WorkerOptions } from '@durably/worker';
import { type Env, logged, withWorker } from './worker';

const LATER = ['handler', 'handler after await', 'promise', 'condition'];
const ALL = { workflowFailureErrorTypes: { '*': ['Error'] } };
const noJson = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{') };

/** Makes of all payloads what nobody can decode. */
const unreadable = { encode: async (payloads: any[]) => payloads.map(() => noJson), decode: async (payloads: any[]) => payloads };

async function causeOf(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const error = await handle.result().then(
    (result) => assert.fail(`it returned ${JSON.stringify(result)}`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure);
  return error.cause;
}

async function started(env: Env, where: string): Promise<WorkflowHandle> {
  const handle = await env.start('throwsLater', [where]);
  await handle.signal('signal');
  return handle;
}

test('errors that are listed fail the workflow wherever they are thrown, by name, base class, or as Error', async () => {
  for (const name of ['OutOfStock', 'Error']) {
    await withWorker(
      'policies',
      async (env) => {
        const handles = [await env.start('throwsInMain')];
        for (const where of LATER) handles.push(await started(env, where));
        for (const handle of handles) {
          const { message, type, stack } = await causeOf(handle);
          assert.deepEqual([message, type], ['none left', 'OutOfStock']);
          assert.match(stack ?? '', /policies\.ts:\d+/);
        }
      },
      { workflowFailureErrorTypes: { '*': [name] } },
    );
  }
});

test('errors that are not listed fail the task, wherever they are thrown', async () => {
  await withWorker(
    'policies',
    async (env) => {
      for (const where of LATER) {
        const handle = await started(env, where);
        assert.match(await env.taskFailure(handle), /none left[^]*policies\.ts:\d+/);
        await handle.terminate();
      }
    },
    { workflowFailureErrorTypes: { '*': ['RangeError'], throwsInMain: ['Error'] } },
  );
});

test('code that disagrees with its history fails the workflow if that is listed, by any of its names', async () => {
  const lists: WorkerOptions['workflowFailureErrorTypes'][] = [
    { '*': ['NondeterminismError'] },
    { '*': ['Error'] },
    { looksAtReplay: ['DeterminismViolationError'] },
    ['NondeterminismError'],
  ];
  for (const workflowFailureErrorTypes of lists) {
    await withWorker(
      'misuse',
      async (env) => {
        const handle = await env.start('looksAtReplay');
        const { message, type, nonRetryable } = await causeOf(handle);
        assert.match(message, /history: ActivityTaskScheduled\(echo[^]*code: {4}TimerStarted.*misuse\.ts:\d+/);
        assert.deepEqual([type, nonRetryable], ['NonDeterminism', false]);
        const about = () => logged.filter(({ meta }) => meta?.['workflowId'] === handle.workflowId);
        while (about().length === 0) await env.client.workflow.count();
        assert.deepEqual(about().map((entry) => entry.message), ['Workflow failed']);
      },
      { workflowFailureErrorTypes, activities: { echo: async (value: unknown) => value }, maxCachedWorkflows: 0 },
    );
  }
});

test('what only the code does wrong is listed by the same names', async () => {
  await withWorker(
    'misuse',
    async (env) => {
      assert.match((await causeOf(await env.start('collectsGarbage'))).message, /garbage collection is not deterministic/);
    },
    { workflowFailureErrorTypes: { '*': ['NondeterminismError'] } },
  );
});

test('what cannot be decoded or encoded follows the policy too', async () => {
  await withWorker(
    'policies',
    async (env) => {
      const { client } = env;
      const other = new Client({ connection: env.connection, dataConverter: { payloadCodecs: [unreadable] } });
      const options = { workflowId: 'input', taskQueue: env.taskQueue, args: [1] };
      const input = await other.workflow.start('decodes', options);
      assert.match((await causeOf(client.workflow.getHandle(input.workflowId))).message, /JSON/);
      const odd = { bigint: /The result of workflow returnsWhat: .*BigInt/, circle: /circular/, toJSON: /not as JSON/ };
      for (const [kind, message] of Object.entries(odd)) {
        assert.match((await causeOf(await env.start('returnsWhat', [kind]))).message, message);
      }
    },
    { ...ALL, activities: { give: async () => 1 } },
  );
});

test('a result of an activity that cannot be decoded follows the policy', async () => {
  for (const listed of [true, false]) {
    await withWorker(
      'policies',
      async (env) => {
        const activities = await Worker.create({
          connection: env.connection,
          taskQueue: env.taskQueue,
          activities: { give: async () => 1 },
          dataConverter: { payloadCodecs: [unreadable] },
        });
        await activities.runUntil(async () => {
          const handle = await env.start('decodes', [1]);
          if (listed) {
            assert.match((await causeOf(handle)).message, /JSON/);
          } else {
            assert.match(await env.taskFailure(handle), /JSON/);
            await handle.terminate();
          }
        });
      },
      { ...(listed ? ALL : {}), enableNonLocalActivities: false },
    );
  }
});

test('failures that are hard to convert fail the workflow or its task, and the worker goes on', async () => {
  await withWorker('policies', async (env) => {
    for (const kind of ['circular cause', 'deep cause']) {
      const { message, type } = await causeOf(await env.start('failsWith', [kind]));
      assert.deepEqual([message, type], ['hard to say', 'Hard']);
    }
    for (const [kind, message] of [['details', /BigInt/], ['message', /no message for you/]] as const) {
      const handle = await env.start('failsWith', [kind]);
      assert.match(await env.taskFailure(handle), message);
      await handle.terminate();
    }
  });
});

test('a failure converter that throws fails the task, and says so', async () => {
  await withWorker(
    'policies',
    async (env) => {
      for (const workflow of ['throwsInMain', 'failsWith']) {
        const handle = await env.start(workflow, ['plain']);
        assert.match(await env.taskFailure(handle), /failure converter failed at an error of type .*: the key for failures is missing/);
        await handle.terminate();
      }
      const handle = await env.start('asked');
      await assert.rejects(handle.query('fails'), /failure converter failed at an error of type OutOfStock|the key for failures/);
      await handle.terminate();
    },
    { dataConverter: { failureConverterPath: join(__dirname, 'workflows', 'broken-failures.js') } },
  );
});

test('a reason for failed tasks is logged once, and then counted', async () => {
  await withWorker('policies', async (env) => {
    const handle = await env.start('throwsInMain');
    // An attempt takes two: that it failed, and that the run was evicted for it.
    while (env.worker.requests < 4) await handle.describe();
    const about = logged.filter(({ meta }) => meta?.['workflowId'] === handle.workflowId);
    assert.deepEqual(about.map(({ message }) => message.slice(0, 20)), ['Workflow task failed']);
    await handle.terminate();
  });
});
